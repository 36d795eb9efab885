"""Tables and the page are those of the records; a damaged task does not stop the others."""

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from data.errors import InputError
from leaderboards import build, verify
from leaderboards.records import read_record
from tests.helpers.records import build_all, change, submit_few
from textgan.engine.run_folder import read_options


class Tags(HTMLParser):
    """Where a page's tags point to."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.places += [value or "" for name, value in attrs if name in ("src", "href")]


def test_tables_are_the_records(records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- leaderboard toy -->\nold\n<!-- end -->\nafter\n", "utf-8")
    flags = ["--records", str(records), "--output", str(tmp_path / "out"), "--readme", str(readme)]
    assert build.main([*flags, "--check"]) == 1
    assert "stale: toy.md, index.md, README.md;" in capsys.readouterr().err
    assert build.main(flags) == 0
    assert build.main([*flags, "--check"]) == 0
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (tmp_path / "out" / "toy.md").read_text("utf-8").splitlines()
        if line.startswith("| ")
    ]
    head, body = rows[0], {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}
    assert head[:4] == ["name", "kind", "runs", "critic rate"]  # the only setting in which records differ
    assert head[4:10] == [f"JSD-{n} {column}" for n in (4, 6) for column in ("best run", "best mean", "at the end")]
    record = read_record(records / "toy" / "ttur-critic_lr-0.003")
    shown = body[record.name]
    assert (shown["runs"], shown["critic rate"], shown["kind"]) == ("2", "0.003", "runs")
    end = record.scores["jsd_4"]
    assert shown["JSD-4 at the end"] == f"{end.end:.3f} ± {np.std(end.runs or (), ddof=1):.3f}"
    samples = read_record(records / "toy" / "2-gram-model")
    assert body["2-gram model"]["JSD-6 at the end"] == f"{samples.scores['jsd_6'].end:.3f}"
    assert body["2-gram model"]["note"] == "counts alone"
    floor = read_options(tmp_path / "suite" / "a0")["floor"]
    assert body["real text"]["JSD-4 at the end"] == f"{floor['jsd_4']:.3f}"
    first, *middle, last = readme.read_text("utf-8").splitlines()
    assert (first, last) == ("before", "after")
    names = ["name", "runs", "JSD-4 at the end", "JSD-6 at the end", "note"]
    columns = [head.index(name) for name in names]
    in_readme = [[cell.strip() for cell in line.strip("|").split("|")] for line in middle if line.startswith("| ")]
    assert in_readme == [[row[column] for column in columns] for row in rows]
    # A changed record makes all stale that show it.
    path = records / "toy" / "2-gram-model" / "record.json"
    path.write_text(path.read_text("utf-8").replace("counts alone", "changed"), "utf-8")
    capsys.readouterr()
    assert build.main([*flags, "--check"]) == 1
    assert "stale: toy.md, README.md, index.html" in capsys.readouterr().err


def test_a_readme_without_an_end_is_left_alone(records: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    for text in ("much more\n", "much more\n<!-- leaderboard other -->\n<!-- end -->\n"):
        readme.write_text(f"<!-- leaderboard toy -->\n{text}", "utf-8")
        with pytest.raises(InputError, match=r"README\.md: no <!-- end --> after <!-- leaderboard toy -->"):
            build.main(["--records", str(records), "--output", str(tmp_path / "out"), "--readme", str(readme)])
        assert readme.read_text("utf-8") == f"<!-- leaderboard toy -->\n{text}"


def test_a_page_with_a_hundred_records_is_small(records: Path, tmp_path: Path) -> None:
    template = records / "toy" / "ttur-critic_lr-0.003"
    for number in range(100):
        copy = records / "toy" / f"copy-{number}"
        shutil.copytree(template, copy)
        record = json.loads((copy / "record.json").read_text("utf-8"))
        (copy / "record.json").write_text(json.dumps({**record, "name": f"copy {number}"}), "utf-8")
    nothing = str(tmp_path / "none.md")
    assert build.main(["--records", str(records), "--output", str(tmp_path / "out"), "--readme", nothing]) == 0
    page = tmp_path / "out" / "index.html"
    assert page.stat().st_size < 5_000_000
    text = page.read_text("utf-8")
    assert all(f"<td>copy {number}</td>" in text for number in range(100))
    tags = Tags()
    tags.feed(text)
    assert not [place for place in tags.places if not place.startswith("#")]  # it needs no network


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda folder: (folder / "first" / "record.json").write_text('{"name": "fi', "utf-8"),
    "of another kind": lambda folder: (folder / "first" / "record.json").write_text("[]", "utf-8"),
    "a number for a name": lambda folder: change(folder / "first" / "record.json", name=3),
    "no scores": lambda folder: change(folder / "first" / "record.json", scores={"jsd_4": {"end": "low"}}),
    "a list of scores": lambda folder: change(folder / "first" / "record.json", scores=[1]),
    "another signature": lambda folder: change(folder / "first" / "record.json", signature="jsd|n:9"),
    "samples elsewhere": lambda folder: change(
        folder / "first" / "record.json", samples=[{"file": "../../../few.txt", "sha256": "", "scores": {}}]
    ),
    "not UTF-8": lambda folder: (folder / "first" / "record.json").write_bytes(b"\xff{}"),
    "no task": lambda folder: (folder / "task.json").unlink(),
    "a task cut off": lambda folder: (folder / "task.json").write_text("", "utf-8"),
    "a task that shows nothing": lambda folder: change(folder / "task.json", shown={}),
    "a task without metrics": lambda folder: change(folder / "task.json", shown=None),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_task_is_named_and_the_others_are_built(
    few: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    for task in ("good", "better"):
        assert submit_few(few, "--task", task, "--name", "sound") == 0
    assert build_all(few) == 0
    old = (few / "toy.md").read_bytes()
    for name in ("good.md", "better.md", "index.md", "index.html"):
        (few / name).unlink()
    DAMAGES[damage](few / "records" / "toy")
    capsys.readouterr()
    assert build_all(few) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]*records/toy[^\n]*\n", err)
    assert [Path(line.split()[-1]).name for line in out.splitlines()] == [
        "better.md",
        "good.md",
        "index.md",
        "index.html",
    ]
    assert (few / "toy.md").read_bytes() == old
    assert build_all(few, "--check") == 1
    assert "records/toy" in capsys.readouterr().err
    # Another record of the same task can still be made, or is refused in one line.
    if (few / "records" / "toy" / "task.json").exists() and not damage.startswith("a task"):
        assert submit_few(few, "--name", "second") == 0
    if not damage.startswith("a task that") and damage != "a task without metrics":
        capsys.readouterr()
        assert verify.main([str(few / "records"), "--reference", str(few / "real.txt")]) == 1
        out = capsys.readouterr().out
        assert [line for line in out.splitlines() if line.startswith("FAILED") and "toy/first" in line]
        assert sum(line.startswith("passed") and line.endswith("/sound: ok") for line in out.splitlines()) == 2
