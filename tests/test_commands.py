"""Commands as users type them: the documented ones work, wrong ones end with one line and status 2."""

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from data.command import run_command
from data.grammar import train_lines
from eval.text.cli import CharacterCommand, WordCommand
from images.config import ImageConfig
from tests.helpers.commands import command_module, run, run_console
from tests.helpers.full_disk import full_disk
from tests.helpers.paths import ROOT
from tests.helpers.runs import wait_until
from tests.helpers.workplace import OWN_RECORDS, OWN_TABLES, fill_workplace
from textgan.__main__ import COMMANDS as CONSOLE
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.executors import RunResult
from textgan.runs.halving import Trial

METRICS = ("jsd", "overlap", "likelihood", "bleu", "ms_jaccard", "diversity", "memorisation")
COMMANDS = (
    *("textgan.train", "textgan.sample", "textgan.suite", "textgan.compare", "textgan.search", "textgan.sweep"),
    *("eval.ngrams", "eval.ngram_sampler", "eval.report", *(f"eval.{metric}" for metric in METRICS)),
    *("images.train", "images.suite", "images.search", "images.sample"),
    *("data.images", "data.cache", "eval.fid", "eval.disturb"),
    *("leaderboards.submit", "leaderboards.build", "leaderboards.verify"),
)
POSITIONAL = {"samples", "source", "sources", "files", "runs", "places", "run", "reference"}
BENCHES = ("textgan.bench", "images.bench", "eval.bench")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `kept`, the files that the documentation's commands read, and the `cache` that they fill."""
    folder: Path = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGAN_CACHE", str(folder / "cache"))
        fill_workplace(folder / "here")
    (folder / "here").rename(folder / "kept")
    return folder


@pytest.fixture
def workplace(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: the files that the documentation's commands read, as no test has changed them."""
    folder = prepared / "here"  # where they were made: runs record their place
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prepared / "kept", folder)
    monkeypatch.chdir(folder)
    return folder


def documented() -> list[str]:
    sources = [command_module(module).__doc__ or "" for module in (*COMMANDS, *BENCHES)]
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "eval/coming_from_texygen.md")]
    sources += [page.read_text("utf-8") for page in (*pages, *ROOT.glob("[a-z]*/README.md"))]
    found = re.findall(r"^ *(?:[$] )?python -m ([\w.]+ [^#\n]*|[\w.]+$)", "\n".join(sources), re.MULTILINE)
    return sorted({command.strip() for command in found})


def python_examples() -> list[tuple[str, str]]:
    """Return the Python examples on the pages, with the name of their page."""
    pages = sorted([*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/README.md")])
    return [
        (page.relative_to(ROOT).as_posix(), code)
        for page in pages
        for code in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize(("page", "code"), python_examples())
def test_a_python_example_prints_what_the_command_prints(
    prepared: Path,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    page: str,
    code: str,
) -> None:
    monkeypatch.setenv("TEXTGAN_CACHE", str(prepared / "cache"))
    found: dict[str, Any] = {}
    exec(compile(code, page, "exec"), found)
    shown = capfd.readouterr().out
    if "score_images" in found:
        command = ["eval.fid", "samples.npz", "folder-of-images", "--features", "random-conv", "--size", "32"]
    else:
        Path("lines").write_text("the cat sat on a mat\na dog sat on the mat\n", "utf-8")
        command = ["eval.report", "lines", "--reference", "corpus.txt", "--metrics", "jsd"]
        command += ["bleu", "--ngram", "4", "--lower-case"] if "lower_case" in code else []
    printed = json.loads(run(capfd, *command, "--json")[1])
    expected = printed["lines"] if isinstance(printed, dict) else printed
    assert all(score["signature"] in shown for score in expected)
    last = list(expected[-1]["scores"].values())[-1] if "for name" in code else expected[0]["scores"].get("jsd-4")
    assert str((last or expected[0]["scores"]["fd-random"])["value"]) in shown


def test_there_are_python_examples() -> None:
    assert [page for page, _ in python_examples()] == ["README.md", "eval/README.md", "eval/README.md"]


def test_every_command_is_documented() -> None:
    assert {shlex.split(command)[0] for command in documented()} >= set(COMMANDS)
    sampling = [command for command in documented() if command.startswith("textgan.sample")]
    assert any(command.endswith(" --count 1000 --output samples.txt") for command in sampling)
    assert any(command.endswith(" --export my-generator") for command in sampling)


# BENCHES take minutes as documented; test_benches_report_every_part runs them on little data.
@pytest.mark.parametrize("command", [command for command in documented() if shlex.split(command)[0] in COMMANDS])
def test_a_documented_command_works(
    prepared: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("TEXTGAN_CACHE", str(prepared / "cache"))
    module, *arguments = shlex.split(command)
    if module in ("textgan.train", "images.train"):
        status, out, err = run(capfd, module, *arguments, "--dry-run")
        assert (status, err) == (0, "")
        resolved = json.loads(out)
        for given in " ".join(arguments).removeprefix("--").split(" --"):
            flag, *values = given.split()
            setting = resolved[flag.replace("-", "_")]
            if isinstance(setting, list):
                assert setting == values
            else:
                assert setting.endswith(values[0]) if isinstance(setting, str) else [setting] == [*map(float, values)]
        return
    flags = {word: arguments[index] for index, word in enumerate(arguments[:-1], start=1) if word.startswith("--")}
    # These two refuse to overwrite the output that `workplace` holds for the commands that read it.
    if module == "leaderboards.submit" and "--task" in flags:
        shutil.rmtree(Path("leaderboards/records", flags["--task"]), ignore_errors=True)
    if module == "eval.ngrams" and "--output" in flags:
        shutil.rmtree(flags["--output"], ignore_errors=True)
    places = {
        "leaderboards.submit": OWN_RECORDS,
        "leaderboards.build": OWN_TABLES,
        "eval.fid": ("--features", "random-conv"),  # Inception's weights are out of reach
        "eval.disturb": ("--count", "60"),
    }.get(module, ())
    # Hours of training; that suites and searches do what they say is tested on small ones.
    finished: Any = lambda _program, configs, _: [RunResult(each.folder, "finished") for each in configs]  # noqa: E731
    trials = [Trial(3e-3, 1e-3, 2, 1800, [0.6, 0.7])]
    monkeypatch.setattr("textgan.suite.run_all", finished)
    monkeypatch.setattr("textgan.search.search", lambda _program, _command, _sign: trials)
    monkeypatch.setattr("data.images.shapes.COUNT", 120)
    if module == "leaderboards.verify":  # the project's own records, of the whole grammar
        monkeypatch.setenv("TEXTGAN_CACHE", str(prepared / "whole"))
    else:
        for lines in ("TRAIN_LINES", "HELD_OUT_LINES"):
            monkeypatch.setattr(f"data.grammar.{lines}", 4000)
    status, out, err = run(capfd, module, *arguments, *places)
    assert (status, err) == (0, "")
    if module == "textgan.sample" and "--output" in flags:
        assert Path(flags["--output"]).read_text("utf-8").count("\n") == int(flags["--count"])
    if module == "textgan.sample" and "--export" in flags:
        assert Path(flags["--export"], "model.safetensors").exists()


def test_the_console_command_lists_and_runs_every_documented_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert {module.removesuffix(".__main__") for module, _ in CONSOLE.values()} >= {*COMMANDS, *BENCHES}
    status, out, err = run_console(capfd, "--help")
    assert (status, err) == (0, "")
    for name, (_, does) in CONSOLE.items():
        assert re.search(rf"^  {name} +{re.escape(does)}$", out, re.MULTILINE)
        status, shown, err = run_console(capfd, *name.split(), "--help")
        assert (status, err) == (0, "")
        assert shown.startswith(f"usage: textgan {name} ")
    assert run_console(capfd, "--version")[:2] == (0, f"textgan {version('textgan')}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("jsdd", "jsdd: no command; did you mean textgan jsd?; see textgan --help"),
        ("images trian", "images trian: no command; did you mean textgan images train"),
        ("", "no command given; see textgan --help"),
        ("jsd a.txt --ngramm 4", "unrecognised --ngramm (did you mean --ngram?); see textgan jsd --help"),
        ("fid stats", "source (STR) and --output are missing; see textgan fid stats --help"),
    ],
)
def test_a_wrong_console_command_is_one_line(words: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_console(capfd, *words.split())
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_benches_report_every_part(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for module, data, samples in (("textgan.bench", "corpus.txt.gz", 40), ("images.bench", "folder-of-images", 20)):
        arguments = f"--preset quickstart --data {data} --dim 4 --batch-size 4 --eval-samples {samples} --device cpu"
        status, out, _ = run(capfd, module, *arguments.split())
        assert status == 0
        title, table, notes = out.split("\n\n")
        assert title.startswith(f"quickstart on {data}: batch 4, cpu, ")
        parts = dict(re.split("  +", row) for row in table.splitlines()[1:])
        step = [f"step: {part}" for part in ("generator gradients", "critic gradients", "critic penalty", "optimiser")]
        assert list(parts) == ["drawing batches", "training step", *step, "evaluation", "evaluation: scoring"]
        assert all(float(parts[part]) > 0 for part in parts if part != "step: critic penalty")  # a difference
        assert f"\nan evaluation draws and scores {samples} samples\n" in notes
    words = "--extrapolate-from 3 2 --dim 4 --batch-size 4 --data corpus.txt.gz --eval-samples 40 --device cpu --json"
    status, out, err = run(capfd, "textgan.bench", *words.split())
    assert (status, err) == (0, "")
    assert [(each["dim"], each["extrapolated"]) for each in json.loads(out)] == [(2, False), (3, False), (4, True)]
    words = "--dims 4 --batch-size 4 --data corpus.txt.gz --eval-samples 640 --device cpu --json"
    status, out, err = run(capfd, "textgan.bench", *words.split())
    assert (status, err) == (0, "")
    (found,) = json.loads(out)
    assert (found["dim"], found["batch_size"], found["critic_steps"]) == (4, 4, 1)
    assert found["low"] <= found["ratio"] <= found["high"]
    assert found["flops_per_second"] == pytest.approx(1e3 * found["flops"] / found["milliseconds"])
    for module, preset, data in (
        ("textgan", "mle-words", "corpus.txt.gz"),
        ("images", "ttur-small", "folder-of-images"),
    ):
        words = f"--preset {preset} --data {data} --dim 4 --batch-size 4 --eval-samples 20 --device cpu --peer --json"
        status, out, err = run(capfd, f"{module}.bench", *words.split())
        assert (status, err) == (0, "")
        (found,) = json.loads(out)
        assert (found["preset"], found["dim"], found["data"]) == (preset, 4, data)
        assert 0 < found["low"] <= found["ratio"] <= found["high"]
    sizes = "--lines 2000 --dictionary-lines 700 --self-bleu-lines 30 --nltk-lines 3 --frechet-dims 40"
    status, out, err = run(capfd, "eval.bench", *sizes.split(), "--json")
    assert (status, err) == (0, "")
    results = {result["name"].split(",")[0]: result for result in json.loads(out)}
    assert results["score 640 samples against 700 lines of grammar"]["rival_figure"] > 0  # it asserts that they agree
    assert results["peak memory of the build"]["figure"] > 0.01
    assert results["Fréchet distance"]["rival_figure"] > 0  # here too
    status, out, _ = run(capfd, "eval.bench", "encoding", "--lines", "1000", "--format", "json")
    results = {result["name"]: result["figure"] for result in json.loads(out)}
    assert status == 0
    assert results["rate"] == pytest.approx(1000 / results["read, encode and cache 1,000 lines by char"])
    status, out, _ = run(capfd, "eval.bench", "scale", "corpus.txt.gz", "--count", "90", "--metrics", "zipf", "--json")
    assert status == 0
    (found,) = json.loads(out)
    assert (found["metric"], found["lines"]) == ("zipf", 90)
    assert found["processor_seconds"] > 0.05
    assert found["megabytes"] > 20


def test_a_full_gpu_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    def full(arguments: list[str]) -> int:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    def broken(arguments: list[str]) -> int:
        raise RuntimeError("a defect")

    with pytest.raises(SystemExit, match="2"):
        run_command(full)
    assert capfd.readouterr().err == "error: the GPU's memory is full; lower --batch-size\n"
    with pytest.raises(RuntimeError, match="a defect"):
        run_command(broken)


@pytest.mark.parametrize("module", [module for module in COMMANDS if module != "eval.ngrams"])
def test_help_names_every_flag(module: str, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capfd, module, "--help")
    assert status == 0
    options: Any = {
        "textgan.train": WganGpSettings,
        "textgan.sample": importlib.import_module("textgan.sample").SampleCommand,
        "eval.jsd": importlib.import_module("eval.jsd").JsdCommand,
        "eval.overlap": CharacterCommand,
        "eval.likelihood": CharacterCommand,
        "eval.report": importlib.import_module("eval.report").ReportCommand,
        "eval.ngram_sampler": importlib.import_module("eval.ngram_sampler").SamplerCommand,
        "textgan.compare": importlib.import_module("textgan.compare").CompareCommand,
        "textgan.suite": importlib.import_module("textgan.runs.options").ExecutorOptions,
        "textgan.sweep": importlib.import_module("textgan.sweep").SweepCommand,
        "images.train": ImageConfig,
        "images.suite": importlib.import_module("textgan.runs.options").ExecutorOptions,
        "images.search": importlib.import_module("textgan.runs.options").ExecutorOptions,
        "images.sample": importlib.import_module("images.sample").SampleCommand,
        "data.cache": importlib.import_module("data.cache_entries").CacheCommand,
        "data.images": importlib.import_module("data.images.__main__").ImagesCommand,
        "eval.disturb": importlib.import_module("eval.disturb").DisturbCommand,
        "eval.fid": importlib.import_module("eval.fid").FidCommand,
        "textgan.search": importlib.import_module("textgan.runs.options").ExecutorOptions,
        "leaderboards.submit": importlib.import_module("leaderboards.submit").SubmitCommand,
        "leaderboards.build": importlib.import_module("leaderboards.build").BuildCommand,
        "leaderboards.verify": importlib.import_module("leaderboards.verify").VerifyCommand,
    }.get(module, WordCommand)
    for field in fields(options):
        assert f"--{field.name.replace('_', '-')} " in out or field.name in POSITIONAL


def test_samples_of_a_run_and_of_its_export_are_the_same_and_are_scored_the_same(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "runs/quickstart-grammar-seed0"
    assert run(capfd, "textgan.sample", source, "--export", "exported")[0] == 0
    for name, folder in (("a.txt", source), ("b.txt", "exported")):
        assert run(capfd, "textgan.sample", folder, "--count", "70", "--output", name, "--device", "cpu")[0] == 0
    assert Path("a.txt").read_bytes() == Path("b.txt").read_bytes()
    scores = [json.loads(run(capfd, "eval.jsd", name, "--json")[1])[0] for name in ("a.txt", "b.txt")]
    assert scores[0] == scores[1]
    assert scores[0]["samples"] == 70
    assert scores[0]["reference"].startswith("corpus.txt.gz")
    printed = run(capfd, "textgan.sample", "exported", "--count", "70", "--device", "cpu")[1]
    assert printed == Path("a.txt").read_text("utf-8")


def test_the_last_lines_tell_a_newcomer_what_happened(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = Path("runs/quickstart-grammar-seed0")
    config = json.loads((folder / "options.json").read_text("utf-8"))["config"]
    names = (
        "dim",
        "latent_dim",
        "batch_size",
        "iterations",
        "eval_every",
        "checkpoint_every",
        "eval_samples",
        "device",
    )
    arguments = [word for name in names for word in (f"--{name.replace('_', '-')}", str(config[name]))]
    arguments += ["--preset", "ttur", "--data", "corpus.txt.gz", "--run-dir", str(folder)]
    status, out, _ = run(capfd, "textgan.train", *arguments)
    assert status == 0
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert f"JSD-4  {summary['first']['jsd_4']:.3f}  {summary['best']['jsd_4']['value']:.3f}" in out
    for hint in ("tensorboard --logdir runs", f"eval.jsd {folder}/samples/4.txt", f"sample {folder}", "--preset ttur"):
        assert hint in out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("textgan.train --no-such-flag 3", "--no-such-flag"),
        ("textgan.train --preset huge", "'huge'"),
        ("textgan.train --dim wide", "--dim"),
        ("textgan.train --dim", "--dim"),
        ("textgan.train --batch-size 0", "--batch-size 0: must be at least 1"),
        ("textgan.train --data nowhere.txt", "nowhere.txt: no such file"),
        ("textgan.train --data empty.txt", "empty.txt: no lines"),
        ("textgan.train --data few.txt", "few.txt: 5 training lines, fewer than --batch-size"),
        ("textgan.train --data short.txt", "short.txt: every line is shorter than n = 6"),
        ("textgan.train --data bad.txt", "bad.txt:3: not UTF-8"),
        ("textgan.train --data samples.txt --run-dir samples.txt/run --dim 4", "samples.txt"),
        ("textgan.train --data lm1b:nowhere", "nowhere: no such file or folder; download"),
        ("textgan.train --device cuda --data samples.txt", "--device cuda"),
        ("textgan.sample nowhere", "nowhere: not a run"),
        ("textgan.sample runs/quickstart-grammar-seed0 --count 0", "--count 0"),
        ("textgan.sample runs/quickstart-grammar-seed0 --output samples.txt/x.txt", "samples.txt"),
        ("eval.jsd", "PATH"),
        ("eval.jsd nowhere.txt", "nowhere.txt: no such file"),
        ("eval.jsd empty.txt", "empty.txt: the file is empty"),
        ("eval.jsd bad.txt --reference corpus.txt.gz", "bad.txt:3: not UTF-8"),
        ("eval.jsd runs", "runs: a folder where a file is needed"),
        ("eval.jsd samples.txt --reference corpus.txt.gz --ngram 40", "--ngram 40"),
        ("eval.jsd samples.txt --ngram x", "(expected INT)"),
        ("eval.jsd samples.txt --padding x", "--padding 'x': choose from in, out;"),
        ("eval.jsd samples.txt --padding", "--padding: a value is missing ({in,out});"),
        ("eval.bleu bad.txt --reference corpus.txt.gz", "bad.txt:3: not UTF-8"),
        ("eval.report samples.txt bad.txt --reference corpus.txt.gz", "bad.txt:3: not UTF-8"),
        ("eval.report samples.txt other.txt --reference corpus.txt.gz", "pass --count 20"),
        ("textgan.compare nowhere", "nowhere: no run there"),
        ("textgan.compare", "no runs: name at least one folder"),
        ("textgan.suite --file nowhere.toml", "nowhere.toml: No such file"),
        ("textgan.suite --set dim", "--set dim: must be NAME=VALUE"),
        ("textgan.suite --set dim=x", "dim=x: not a value of this setting"),
        ("textgan.search --grid-size 0", "--grid-size 0: must be at least 1"),
        ("textgan.search --preset dcgan-celeba-ttur", "--preset 'dcgan-celeba-ttur': choose from quickstart, ttur, o"),
        ("images.search --preset ttur", "--preset 'ttur': choose from quickstart, ttur-small, orig-small, dcgan-celeb"),
        ("textgan.suite controls --preset huge --output x.toml", "--preset 'huge': choose from quickstart, ttur, orig"),
        ("images.suite controls --preset mle --output x.toml", "--preset 'mle': choose from quickstart, ttur-small"),
        ("images.bench --preset ttur", "--preset 'ttur': choose from quickstart, ttur-small"),
        ("leaderboards.verify runs", "runs: no record there"),
        ("leaderboards.submit samples.txt --task x", "--name: say what made these samples"),
        ("eval.ngram_sampler corpus.txt.gz --order 9 --output x.txt", "--order 9: corpus.txt.gz allows 1 to"),
        ("eval.fid nowhere shapes", "nowhere: no such file"),
        (
            "eval.fid runs/quickstart-shapes-seed0 samples.npz",
            "a run without samples.npz; draw them: python -m images.s",
        ),
        ("eval.ngrams", "Expected one of {build, merge}"),
        ("eval.ngrams build nowhere.txt", "nowhere.txt: no such file"),
        ("eval.ngrams merge part-2.ngrams nowhere --output whole", "nowhere: not usable n-gram counts"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    workplace: Path, capfd: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    Path("empty.txt").touch()
    Path("few.txt").write_text("".join(f"a line of number {i}\n" for i in range(5)), "utf-8")
    Path("short.txt").write_text("ab\n" * 5000, "utf-8")
    Path("bad.txt").write_bytes(b"a line\nanother\nbr\xffken\n")
    if "cuda" in command:
        import torch

        if torch.cuda.is_available():
            pytest.skip("CUDA is there")
    before = sorted(path for path in workplace.rglob("*") if "cache" not in path.parts)
    module, *arguments = command.split()
    status, out, err = run(capfd, module, *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(path for path in workplace.rglob("*") if "cache" not in path.parts) == before


@pytest.mark.parametrize(("kilobytes", "entries"), [(8, 0), (280, 1)])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str], kilobytes: int, entries: int
) -> None:
    # At 280 kB the code points of 2,000 lines fit and the corpus is cached (one entry); of its n-grams those of n = 4,
    # almost all different, do not, so none are.
    random, text = Random(0), tmp_path / "text.txt"
    text.write_text("".join("".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=32)) + "\n" for _ in range(2000)))
    with full_disk(kilobytes):
        status, _, err = run(capfd, "eval.jsd", str(text), "--reference", str(text))
    assert status == 2
    assert re.fullmatch(r"error: .*File too large; .*TEXTGAN_CACHE.*\n", err)
    assert len([path for path in cache.glob("*/*") if path.parent.name != "hashes"]) == entries
    assert not list(cache.rglob("*.partial"))


@pytest.mark.parametrize(
    ("reference", "message"),
    [("hub:nobody/nothing", "hub:nobody/nothing: cannot be loaded"), ("lm1b", "download 1-billion-word")],
)
def test_without_a_network_the_hub_is_one_line(
    text_file: Path, capfd: pytest.CaptureFixture[str], reference: str, message: str
) -> None:
    status, _, err = run(capfd, "eval.jsd", str(text_file), "--reference", reference)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_an_unwritable_folder_is_one_line(text_file: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    status, _, err = run(capfd, "eval.jsd", str(text_file), "--reference", str(text_file))
    assert status == 2
    assert re.fullmatch(r"error: .*Permission denied; .*TEXTGAN_CACHE.*\n", err)


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(text_file: Path) -> None:
    piped = f"{shlex.quote(sys.executable)} -m data.grammar | head -n 2; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", piped], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    first, second, status = result.stdout.splitlines()
    assert [first, second] == next(train_lines())[:2]
    assert status == "0"


@pytest.mark.slow
def test_a_signal_stops_a_run_cleanly(tmp_path: Path, text_file: Path) -> None:
    folder = tmp_path / "runs" / "stopped"
    command = [sys.executable, "-m", "textgan.train", "--data", str(text_file), "--dim", "4", "--run-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    wait_until(process, (folder / "samples" / "0.txt").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGINT
    assert err == f"stopped; the same command continues {folder}\n"
    assert len(list(folder.glob("checkpoints/*"))) <= 1  # none where not a step was taken
