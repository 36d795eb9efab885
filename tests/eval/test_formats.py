"""Every command that prints scores or tables prints them in every format, whatever the files are called."""

import csv
import importlib
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval.core.figures import label
from eval.report import main as report
from tests.helpers.runs import falling, rows_of, write_run

NASTY = "a|b\n\x1b[31m$\\frac{$&_%#~^`<i>`.txt"


@pytest.fixture
def place(tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with texts, images and runs, some with names that mean something."""
    lines = text_file.read_text("utf-8").splitlines()
    folder = tmp_path / "place"
    for name in ("real.txt", NASTY, "-x.txt", "a/500.txt", "b/500.txt", "_hidden.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen = lines[:200] if name == "real.txt" else lines[300:330] if name == "b/500.txt" else lines[500:530]
        path.write_text("\n".join(chosen), "utf-8")
    (folder / "images").mkdir()
    for number, image in enumerate(draw_shapes(0, 44)[0]):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / "images" / f"{number}.png")
    for rate in (1e-3, 3e-3):
        for seed in (0, 1):
            rows = rows_of(falling(0.8 + seed / 100, 10 * rate))
            write_run(folder / f"runs/lr[{rate}]-{seed}", rows, seed=seed, critic_lr=rate, note="a|b_c\x1b")
    monkeypatch.chdir(folder)
    return folder


Printed = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    def run(module: str, *arguments: str) -> str:
        capsys.readouterr()
        assert importlib.import_module(module).main(list(arguments)) == 0
        return capsys.readouterr().out.removesuffix("\n")

    return run


REFERENCE = ("--reference", "real.txt")
TABLES = [
    *((f"eval.{metric}", "./-x.txt", *REFERENCE) for metric in ("jsd", "overlap", "likelihood")),
    *((f"eval.{metric}", NASTY, *REFERENCE) for metric in ("bleu", "diversity", "memorisation", "ms_jaccard")),
    ("eval.jsd", NASTY, *REFERENCE, "--level", "word"),
    ("eval.jsd", "_hidden.txt", "--reference", NASTY, "--curve"),
    ("eval.report", NASTY, "a/500.txt", *REFERENCE),
    ("eval.ngrams", "build", NASTY, "--ngram", "3"),
    ("eval.fid", "images", "images", "--features", "random-conv", "--metrics", "fid", "kid", "precision-recall"),
    ("eval.disturb", "images", "--features", "random-conv", "--metrics", "fd-random", "precision"),
    ("eval.disturb", "text", NASTY, "--metrics", "diversity", "lengths", "--count", "40"),
    ("textgan.compare", "runs"),
]


@pytest.mark.parametrize("command", TABLES, ids=lambda command: command[0])
def test_a_table_comes_in_every_format(command: tuple[str, ...], place: Path, printed: Printed) -> None:
    def strict(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: Any = json.loads(printed(*command, "--format", "json"), parse_constant=strict)
    assert found == json.loads(printed(*command, "--json"))
    head, *rows = csv.reader(io.StringIO(printed(*command, "--format", "csv"), newline=""))
    assert rows
    assert {len(row) for row in rows} == {len(head)}
    values = [dict(zip(head, row, strict=True)).get("value") for row in rows]
    assert {value for value in values if value} <= set(re.findall(r"[-.\de]+", json.dumps(found)))  # unrounded
    text = printed(*command)
    tables = re.split(r"\n\n+", printed(*command, "--format", "markdown"))
    tables = [table for table in tables if table.startswith("|")]
    assert tables
    for table in tables:
        cells = {len(re.findall(r"(?:\\.|[^\\|])*\|", line)) for line in table.splitlines()}
        assert len(cells) == 1
    latex = printed(*command, "--format", "latex")
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == len(tables)
    for line in latex.splitlines():
        bare = re.sub(
            r"\\[\\&%$#_{}]", "", line.replace(r"$\pm$", "").replace(r"$\downarrow$", "").replace(r"$\uparrow$", "")
        )
        assert line.startswith("%") or (bare.count("{") == bare.count("}") and not set(bare) & set("$#%~^_"))
    for shown in (text, latex, "\n".join(tables)):
        assert all(character == "\n" or character.isprintable() for character in shown)


def test_files_of_one_name_are_told_apart(place: Path, printed: Printed, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("a/500.txt", "b/500.txt", *REFERENCE, "--metrics", "jsd")
    assert printed("eval.report", *flags).splitlines()[0].split()[:2] == ["a/500.txt", "b/500.txt"]
    assert printed("eval.report", *flags, "--format", "markdown").startswith(
        "|  |  | a/500.txt | b/500.txt | real text |"
    )
    assert list(json.loads(printed("eval.report", *flags, "--json"))) == ["a/500.txt", "b/500.txt"]
    rows = csv.DictReader(io.StringIO(printed("eval.report", NASTY, *flags[2:], "--format", "csv"), newline=""))
    assert {row["file"] for row in rows} == {NASTY}
    with pytest.raises(InputError, match=r"a/500\.txt: given twice; leave one out"):
        report(["a/500.txt", "./a/500.txt", *REFERENCE])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_figure_draws_any_name(ending: str, place: Path, printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    labels: list[str] = []
    draw = Figure.legend

    def legend(figure: Figure, handles: Any, names: Any, **rest: Any) -> Any:
        labels.extend(names)
        return draw(figure, handles, names, **rest)

    monkeypatch.setattr(Figure, "legend", legend)
    Path("漢字 %d 𝔸.txt").write_bytes(Path("-x.txt").read_bytes())
    names = (NASTY, "_hidden.txt", "漢字 %d 𝔸.txt", "a/500.txt", "b/500.txt")
    printed("eval.report", *names, *REFERENCE, "--metrics", "jsd", "--plot", f"figure.{ending}")
    assert Path(f"figure.{ending}").stat().st_size > 1000
    assert labels == [label(name) for name in names]


def test_a_wrong_ending_is_refused_before_the_work(place: Path) -> None:
    for module, flag in (("eval.report", "--plot"), ("textgan.compare", "--output")):
        with pytest.raises(InputError, match=rf"{flag} x\.docx: must end in"):
            importlib.import_module(module).main(["none.txt", flag, "x.docx"])


def test_what_is_proposed_can_be_pasted(place: Path, printed: Printed, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("-s.txt", "my samples (1).txt", "it's $HOME"):
        out = printed("eval.ngram_sampler", "real.txt", "--order", "2", "--count", "20", "--output", f"./{name}")
        proposed = shlex.split(out.partition("score them: ")[2])
        assert proposed[:3] == ["python", "-m", "eval.jsd"]
        assert printed(*proposed[2:]).startswith("jsd of 20 samples")
    out = printed("textgan.suite", "controls", "--output", "./-c s.toml")
    assert out == "wrote -c s.toml; run it: python -m textgan.suite --file './-c s.toml'"


def test_a_folder_that_a_glob_would_miss_is_compared(place: Path, printed: Printed) -> None:
    assert "critic_lr" not in printed("textgan.compare", "runs/lr[0.001]-0", "runs/lr[0.001]-1")
    head, *rows = csv.reader(printed("textgan.compare", "runs", "--format", "csv").splitlines())
    assert [row[head.index("method")] for row in rows[:2]] == [
        "ttur-small, critic_lr 0.001",
        "ttur-small, critic_lr 0.003",
    ]
