"""`--status` of suites: states, shares, scores and expected ends, without a trace in the folder."""

import json
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from data.files import LOCK, locked_folder
from images.suite import main as main_of_images
from tests.helpers.paths import ROOT
from tests.helpers.runs import rows_of, write_run
from textgan.engine.run_folder import read_options
from textgan.runs.status import run_status
from textgan.suite import Method, configs_of, main
from textgan.train import TEXT

OLD_RUNS = ROOT / "tests" / "textgan" / "runs_423dd7f"


def table(capsys: pytest.CaptureFixture[str], *flags: str, command: Any = main) -> dict[str, dict[str, Any]]:
    """Return what `--status --json` prints, by run."""
    capsys.readouterr()
    assert command(["--status", "--json", *flags]) == 0
    return {row["run"]: row for row in json.loads(capsys.readouterr().out)}


def contents(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def write_log(folder: Path, *lines: str, newer: bool = True) -> None:
    """Write the log of a run's process, newer than its metrics or older."""
    log, metrics = folder.with_name(f"{folder.name}.log"), folder / "metrics.jsonl"
    log.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    if metrics.exists():
        at = metrics.stat().st_mtime + (10 if newer else -10)
        os.utime(log, (at, at))


@pytest.mark.parametrize("command", [main, main_of_images])
def test_runs_of_an_earlier_version(command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = Path(shutil.copytree(OLD_RUNS, tmp_path / "suite"))
    before = contents(suite)
    found = table(capsys, "--suite-dir", str(suite), command=command)
    assert {name: (run["state"], run["iteration"]) for name, run in found.items()} == {
        "images-finished": ("finished", 6), "images-stopped": ("stopped", 4), "text-corpus-seed1": ("finished", 6),
        "text-finished": ("finished", 6), "text-stopped": ("stopped", 4),
    }  # fmt: skip
    for name, run in found.items():
        last = json.loads((suite / name / "metrics.jsonl").read_text("utf-8").splitlines()[-1])
        headlines = {score: last.get(score) for score in ("fd_random", "jsd_4")}
        assert {score: run[score] for score in headlines} == headlines
        assert "jsd_1" not in run
        assert run["minutes"] == last["train_seconds"] / 60
        assert run["share"] == last["iteration"] / 6  # the budget of these runs is six iterations
        assert (run["expected_end"], run["message"]) == (None, "")
    assert contents(suite) == before


def test_a_running_run_ends_at_the_rate_so_far(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Five of twenty minutes of training took 450 seconds in all: the other fifteen will take 1,350.
    run = write_run(tmp_path / "suite" / "a", rows_of([0.5, 0.4, 0.3, 0.3, 0.25]), minutes=20.0)
    write_run(tmp_path / "suite" / "b", [], minutes=20.0)
    os.utime(run / "metrics.jsonl", (1e9, 1e9))
    with locked_folder(run, "taken"), locked_folder(tmp_path / "suite" / "b", "taken"):
        before = contents(tmp_path)
        found = table(capsys, "--suite-dir", str(tmp_path / "suite"))
        assert main(["--status", "--suite-dir", str(tmp_path / "suite")]) == 0
        assert contents(tmp_path) == before
    assert found["a"]["state"] == found["b"]["state"] == "running"
    assert found["a"]["share"] == 0.25
    assert (found["a"]["iteration"], found["a"]["minutes"]) == (1000, 5)
    assert (found["a"]["jsd_4"], found["a"]["jsd_6"]) == (0.25, 0.5)
    assert datetime.fromisoformat(found["a"]["expected_end"]).timestamp() == 1e9 + 1350
    # Not 900, by the training clock, nor 1,800, from the start.
    assert (found["b"]["share"], found["b"]["expected_end"], found["b"]["jsd_4"]) == (0, None, None)
    title, rows = capsys.readouterr().out.split("\n\n")
    assert title == f"{tmp_path / 'suite'}: 2 running"
    head, first, second = rows.splitlines()
    assert head.split() == ["run", "state", "done", "iteration", "minutes", "JSD-4", "JSD-6", "expected", "end"]
    local = f"{datetime.fromtimestamp(1e9 + 1350).astimezone():%Y-%m-%d %H:%M}"
    assert first.split() == ["a", "running", "25%", "1,000", "5.0", "0.250", "0.500", *local.split()]
    assert second.split() == ["b", "running", "0%", "0", "0.0", "-", "-", "-"]


def test_the_share_is_of_the_budget_that_ends_first(tmp_path: Path) -> None:
    for name, budget, share in (
        ("a", {"iterations": 4000, "minutes": None}, 0.25),
        ("b", {"iterations": 4000, "minutes": 6.25}, 0.8),
        ("c", {"iterations": 900, "minutes": 6.25}, 1.0),
    ):
        run = write_run(tmp_path / name, rows_of([0.5] * 5), **budget)
        assert run_status(run).share == share


@pytest.mark.parametrize(
    ("log", "newer", "message"),
    [
        ([], True, ""),
        (["note: no matter"], True, ""),
        (["stopped; the same command continues suite/a"], True, ""),
        (["error: loss is NaN", "stopped; the same command continues suite/a"], True, ""),
        (["note: no matter", "error: loss is NaN; try smaller rates"], True, "error: loss is NaN; try smaller rates"),
        (["Traceback (most recent call last):", "ValueError: wrong"], True, "ValueError: wrong"),
        (
            ["Traceback (most recent call last):", "torch.OutOfMemoryError: full", ""],
            True,
            "torch.OutOfMemoryError: full",
        ),
        (["error: loss is NaN"], False, ""),
    ],
)
def test_a_log_tells_failed_from_stopped(log: list[str], newer: bool, message: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", rows_of([0.5, 0.4]))
    write_log(run, *log, newer=newer)
    ended = ("failed" if message else "stopped", message)
    assert (run_status(run).state, run_status(run).message) == ended
    with locked_folder(run, "taken"):
        assert run_status(run).state == "running"  # tried again
    (run / LOCK).touch()  # killed
    assert (run_status(run).state, run_status(run).message) == ended


def test_a_long_log_is_read_at_its_end(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", rows_of([0.5]))
    write_log(run, *["note: a line"] * 20_000, "error: é" + "x" * 100)
    assert run_status(run).message == "error: é" + "x" * 100


def test_a_run_that_failed_before_it_began_and_a_damaged_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "whole", rows_of([0.5]))
    (tmp_path / "early.v1.log").write_text("error: corpus.txt: no such file\n", "utf-8")
    damaged = write_run(tmp_path / "damaged", rows_of([0.5]))
    (damaged / "options.json").write_text("{", "utf-8")
    found = table(capsys, "--suite-dir", str(tmp_path))
    assert {name: run["state"] for name, run in found.items()} == {
        "damaged": "failed", "early.v1": "failed", "whole": "stopped"
    }  # fmt: skip
    assert found["early.v1"]["message"] == "error: corpus.txt: no such file"
    assert found["damaged"]["message"].startswith(f"{damaged / 'options.json'}: damaged")
    main(["--status", "--suite-dir", str(tmp_path), "--format", "markdown"])
    assert "- early.v1: error: corpus.txt: no such file" in capsys.readouterr().out


def test_flags_of_the_suite_add_waiting_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "suite"
    names = ("--presets", "quickstart", "--seeds", "0", "1", "--suite-dir", str(suite))
    planned = configs_of(TEXT, [Method("quickstart", {"preset": "quickstart", "iterations": 1000})], [0], suite)
    run = write_run(planned[0].folder, rows_of([0.5] * 5), **planned[0].as_json())
    shutil.copytree(OLD_RUNS / "text-stopped", suite / "another")
    (run / "summary.json").write_text("{}", "utf-8")
    waiting = table(capsys, *names, "--set", "iterations=1000")
    assert {name: (row["state"], row["share"]) for name, row in waiting.items()} == {
        "quickstart-seed0": ("finished", 1), "quickstart-seed1": ("waiting", 0), "another": ("stopped", 4 / 6),
    }  # fmt: skip
    assert list(waiting) == ["quickstart-seed0", "quickstart-seed1", "another"]
    # A larger budget is not used up, and the same command would continue the run.
    larger = table(capsys, *names, "--set", "iterations=4000")
    assert (larger["quickstart-seed0"]["state"], larger["quickstart-seed0"]["share"]) == ("stopped", 0.25)
    alone = table(capsys, "--suite-dir", str(suite))
    assert {name: row["state"] for name, row in alone.items()} == {"another": "stopped", "quickstart-seed0": "finished"}
    toml = tmp_path / "suite.toml"
    toml.write_text('seeds = [0, 7]\n[[method]]\npreset = "quickstart"\niterations = 1000\n', "utf-8")
    of_file = table(capsys, "--file", str(toml), "--suite-dir", str(suite))
    assert {name: row["state"] for name, row in of_file.items()} == {
        "quickstart-seed0": "finished", "quickstart-seed7": "waiting", "another": "stopped"
    }  # fmt: skip
    assert read_options(run)["config"]["iterations"] == 1000


def test_a_suite_that_has_not_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = str(tmp_path / "suite")
    found = table(capsys, "--presets", "ttur-small", "--seeds", "3", "--suite-dir", suite)
    assert {name: row["state"] for name, row in found.items()} == {"ttur-small-seed3": "waiting"}
    assert not Path(suite).exists()
    with pytest.raises(InputError, match=r"suite: no run there; name the suite's folder with --suite-dir"):
        main(["--status", "--suite-dir", suite])
    with pytest.raises(InputError, match=r"^--format json: goes with --status$"):
        main(["--json", "--suite-dir", suite])
