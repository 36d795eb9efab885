import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from data.errors import InputError
from tests.helpers.runs import LARGE_RATES, assert_same_run, config_of, dying, stop_at, tiny_text, write_run
from textgan.engine.loop import Experiment
from textgan.engine.progress import Budget
from textgan.engine.run_folder import read_metrics, read_options
from textgan.engine.trainer import NonFiniteError
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs import executors
from textgan.runs.executors import RunResult, is_finished
from textgan.runs.options import ExecutorOptions
from textgan.runs.program import TrainingProgram
from textgan.train import TEXT, train

LOADED = 600  # seconds; what takes a moment may take minutes on a loaded machine


@pytest.fixture
def small(text_file: Path, tmp_path: Path) -> WganGpSettings:
    return tiny_text(text_file, tmp_path / "runs" / "run", checkpoint_every=4, **LARGE_RATES)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> ExecutorOptions:
    """Processes of one thread each on any machine, as these tests have, so that sums are the same to the last bit."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return ExecutorOptions("processes", workers=2)


def seeds(config: WganGpSettings, count: int) -> list[WganGpSettings]:
    """The same run with other seeds, in folders of their own."""
    return [replace(config, seed=seed, run_dir=config.folder.with_name(f"run{seed}")) for seed in range(count)]


def run_all(
    configs: Sequence[WganGpSettings], execution: ExecutorOptions, program: TrainingProgram[Any] = TEXT
) -> list[RunResult]:
    return executors.run_all(program, configs, execution)


def finished_folder(config: WganGpSettings) -> None:
    write_run(config.folder, [{"iteration": 20}])
    (config.folder / "options.json").write_text(json.dumps({"config": config.as_json()}), "utf-8")
    (config.folder / "summary.json").write_text("{}", "utf-8")


def test_a_run_is_finished_when_it_has_a_summary_and_just_these_settings(small: WganGpSettings) -> None:
    assert not is_finished(small)
    finished_folder(small)
    assert is_finished(small)
    for change in ({"iterations": 21}, {"critic_lr": 4e-3}, {"seed": 1}, {"minutes": 5.0}, {"eval_every": 1}):
        assert not is_finished(replace(small, **change))
    # The device and the data are settings as well; a path to the data from here is the same one.
    assert not is_finished(replace(small, device="auto"))
    assert is_finished(replace(small, data=os.path.relpath(small.data)))
    (small.folder / "summary.json").unlink()
    assert not is_finished(small)


def refuse_to_start(*_arguments: Any, **_named: Any) -> Any:
    raise AssertionError("nothing is to be started")


@pytest.mark.parametrize("executor", ["inline", "processes", "ray"])
def test_finished_runs_are_skipped(small: WganGpSettings, monkeypatch: pytest.MonkeyPatch, executor: Any) -> None:
    configs = seeds(small, 2)
    for config in configs:
        finished_folder(config)
    monkeypatch.setattr(subprocess, "Popen", refuse_to_start)
    monkeypatch.setitem(sys.modules, "ray", None)
    idle = replace(TEXT, open=refuse_to_start)
    assert run_all(configs, ExecutorOptions(executor), idle) == [
        RunResult(config.folder, "skipped") for config in configs
    ]


@pytest.mark.slow
def test_both_executors_run_as_train_does_and_others_go_on_when_one_fails(
    small: WganGpSettings, tmp_path: Path, one_thread: ExecutorOptions
) -> None:
    alone = replace(small, run_dir=tmp_path / "alone")
    train(alone)
    missing = tmp_path / "missing.txt"
    for execution in (ExecutorOptions("inline"), one_thread):
        run = replace(small, run_dir=tmp_path / execution.executor / "run")
        failing = replace(small, data=str(missing), run_dir=tmp_path / execution.executor / "failing")
        ended = run_all([failing, run], execution)
        assert [(each.folder, each.state) for each in ended] == [(failing.folder, "failed"), (run.folder, "finished")]
        assert f"{missing}: " in ended[0].message
        assert "\n" not in ended[0].message
        assert_same_run(run.folder, alone.folder)
        recorded = read_options(run.folder)["config"]
        assert recorded == {**read_options(alone.folder)["config"], "run_dir": str(run.folder)}
        assert run_all([run], execution) == [RunResult(run.folder, "skipped")]
    # What a process said stands in its log.
    assert f"error: {missing}: " in (tmp_path / "processes" / "failing.log").read_text("utf-8")
    assert "6 iterations" in (tmp_path / "processes" / "run.log").read_text("utf-8")


def test_a_run_with_a_larger_budget_is_continued(small: WganGpSettings, tmp_path: Path) -> None:
    whole = replace(small, iterations=10, run_dir=tmp_path / "whole")
    train(whole)
    assert run_all([small], ExecutorOptions("inline")) == [RunResult(small.folder, "finished")]
    rows = read_metrics(small.folder)
    assert [row["iteration"] for row in rows] == [0, 2, 4, 6]
    assert run_all([replace(small, iterations=10)], ExecutorOptions("inline")) == [RunResult(small.folder, "finished")]
    assert_same_run(whole.folder, small.folder)
    assert read_metrics(small.folder)[:4] == rows  # clocks and all: it was not begun anew


def test_a_run_that_was_continued_to_a_larger_budget_is_finished(small: WganGpSettings) -> None:
    train(small)
    larger = replace(small, iterations=8)
    train(larger)
    assert is_finished(larger)
    assert run_all([larger], ExecutorOptions("inline"), replace(TEXT, open=refuse_to_start)) == [
        RunResult(larger.folder, "skipped")
    ]


@pytest.mark.slow
def test_a_process_that_is_killed_is_continued(
    small: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: ExecutorOptions
) -> None:
    config = replace(small, iterations=10)
    whole = replace(config, run_dir=tmp_path / "whole")
    train(whole)
    popen, attempts = subprocess.Popen, []
    statuses: list[int] = []
    kept: list[Any] = []

    def start_and_die_at_first(command: Sequence[str], **named: Any) -> Any:
        attempts.append(list(command))
        if len(attempts) > 1:
            return popen(command, **named)
        process = popen(dying(command, "checkpoints/000000008"), **named)
        statuses.append(process.wait())
        assert not (config.folder / "summary.json").exists()
        assert [path.name for path in config.folder.glob("checkpoints/[0-9]*")] == ["000000004"]
        kept.extend(row for row in read_metrics(config.folder) if row["iteration"] <= 4)
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_die_at_first)
    assert run_all([config], one_thread) == [RunResult(config.folder, "finished")]
    assert statuses == [-signal.SIGKILL]
    assert len(attempts) == 2
    assert attempts[0] == attempts[1]
    assert_same_run(whole.folder, config.folder)
    # Clocks and all: it was not begun anew.
    assert len(kept) == 3
    assert read_metrics(config.folder)[: len(kept)] == kept


class Scripted:
    """Stands in for `subprocess.Popen`: a run's attempts say something and end with a status each, by its seed."""

    def __init__(self, statuses: Mapping[int, Sequence[int]], wait: Callable[[], None] = lambda: None) -> None:
        self.statuses = statuses
        self.wait = wait
        self.one_at_a_time = threading.Lock()  # flags are read by tyro, which is not made for several threads
        self.attempts: Counter[int] = Counter()
        self.commands: list[Sequence[str]] = []
        self.environments: list[Mapping[str, str]] = []

    def __call__(self, command: Sequence[str], stdout: IO[bytes], stderr: int, env: Mapping[str, str]) -> "Attempt":
        with self.one_at_a_time:
            seed = config_of(command[3:]).seed
        self.attempts[seed] += 1
        self.commands.append(command)
        self.environments.append(env)
        assert stderr == subprocess.STDOUT
        stdout.write(f"attempt {self.attempts[seed]}\nlast words of {seed}\n\n".encode())
        return Attempt(self.statuses[seed][self.attempts[seed] - 1], self.wait)


class Attempt:
    def __init__(self, status: int, wait: Callable[[], None]) -> None:
        self.status = status
        self._wait: Callable[[], None] = wait

    def wait(self) -> int:
        wait, self._wait = self._wait, lambda: None
        wait()
        return self.status

    def terminate(self) -> None:
        pass


def test_how_processes_end(small: WganGpSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = {
        0: [0],
        1: [-9, -9, 0],
        2: [-9, -11, -9, 0],  # once too often
        3: [2, 0],  # a wrong setting stays wrong
        4: [-9, 1, 0],  # not finite: so it would be again
        5: [143, 0],
        6: [130, 0],
    }
    scripted = Scripted(statuses)
    monkeypatch.setattr(subprocess, "Popen", scripted)
    configs = seeds(small, 7)
    finished_folder(configs[0])
    (configs[0].folder / "summary.json").unlink()
    ended = run_all(configs, ExecutorOptions("processes", workers=3, retries=2))
    assert [(each.state, each.message) for each in ended] == [
        ("finished", ""),
        ("finished", ""),
        ("failed", "killed by signal 9"),
        ("failed", "last words of 3"),
        ("failed", "last words of 4"),
        ("stopped", "by a signal"),
        ("stopped", "by a signal"),
    ]
    assert [each.folder for each in ended] == [config.folder for config in configs]
    assert scripted.attempts == {0: 1, 1: 3, 2: 3, 3: 1, 4: 2, 5: 1, 6: 1}
    log = (small.folder.parent / "run1.log").read_text("utf-8")
    assert log == "".join(f"attempt {number}\nlast words of 1\n\n" for number in (1, 2, 3))
    for command in scripted.commands:
        assert command[:3] == [sys.executable, "-m", "textgan.train"]
        assert config_of(command[3:]) == configs[config_of(command[3:]).seed]


@pytest.mark.parametrize(("cores", "workers", "threads"), [(16, 4, "4"), (2, 2, "1"), (2, 5, "1"), (None, 1, "1")])
def test_cores_are_shared_out(
    small: WganGpSettings, monkeypatch: pytest.MonkeyPatch, cores: int | None, workers: int, threads: str
) -> None:
    scripted = Scripted({0: [0]})
    monkeypatch.setattr(subprocess, "Popen", scripted)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setenv("OF_THE_CALLER", "stays")
    run_all([small], ExecutorOptions("processes", workers=workers))
    (environment,) = scripted.environments
    assert environment == {**os.environ, "OMP_NUM_THREADS": threads}


def test_as_many_run_at_a_time_as_there_are_workers(small: WganGpSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go, others = threading.Semaphore(0), threading.Event(), set(threading.enumerate())
    show_until_done = executors._show_until_done

    def wait() -> None:
        started.release()
        assert go.wait(LOADED)

    def look(*arguments: Any) -> None:
        assert all(started.acquire(timeout=LOADED) for _ in range(3))
        # All nine are waiting for a place or for the word to go, and each process has a thread that waits for it.
        assert len(set(threading.enumerate()) - others) == 3
        go.set()
        show_until_done(*arguments)

    monkeypatch.setattr(executors, "_show_until_done", look)
    monkeypatch.setattr(subprocess, "Popen", Scripted({seed: [0] for seed in range(9)}, wait))
    ended = run_all(seeds(small, 9), ExecutorOptions("processes", workers=3))
    assert [each.state for each in ended] == ["finished"] * 9


def test_a_run_that_the_suite_itself_stops_is_not_tried_again(
    small: WganGpSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before a run has come so far as to save when asked to stop, it dies of the signal.
    started, told = threading.Event(), threading.Event()

    class Starting(Attempt):
        def wait(self) -> int:
            started.set()
            assert told.wait(LOADED)
            return -signal.SIGTERM

        def terminate(self) -> None:
            told.set()

    attempts: list[Attempt] = []

    def start(*_arguments: Any, **_named: Any) -> Attempt:
        attempts.append(Attempt(0, lambda: None) if attempts else Starting(0, lambda: None))
        return attempts[-1]

    def interrupted(*_arguments: Any) -> None:
        assert started.wait(LOADED)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(executors, "_show_until_done", interrupted)
    others = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        run_all([small], ExecutorOptions("processes", workers=1))
    for thread in set(threading.enumerate()) - others:
        thread.join(LOADED)
    assert len(attempts) == 1


def test_a_signal_stops_a_suite_in_this_process(
    small: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = seeds(small, 3)
    whole = replace(configs[1], run_dir=tmp_path / "whole")
    train(whole)
    train(configs[0])
    with monkeypatch.context() as patch:
        stop_at(patch, 3, lambda: signal.raise_signal(signal.SIGTERM))
        assert run_all(configs, ExecutorOptions("inline")) == [
            RunResult(configs[0].folder, "skipped"),
            RunResult(configs[1].folder, "stopped", "by a signal"),
            RunResult(configs[2].folder, "stopped", "not begun"),
        ]
    assert not configs[2].folder.exists()
    ended = run_all(configs, ExecutorOptions("inline"))
    assert [each.state for each in ended] == ["skipped", "finished", "finished"]
    assert_same_run(whole.folder, configs[1].folder)


@pytest.mark.parametrize(
    "error",
    [
        InputError("text.txt: no such file"),
        NonFiniteError("iteration 3: critic loss nan"),
        RuntimeError("out of memory"),
    ],
)
def test_an_error_in_this_process_is_that_runs_own(small: WganGpSettings, error: Exception) -> None:
    opened: list[int] = []
    message = f"RuntimeError: {error}" if isinstance(error, RuntimeError) else str(error)

    def open_or_raise(config: Any) -> Experiment:
        opened.append(config.seed)
        if config.seed == 1:
            raise error
        return TEXT.open(config)

    configs = seeds(small, 3)
    assert run_all(configs, ExecutorOptions("inline"), replace(TEXT, open=open_or_raise)) == [
        RunResult(configs[0].folder, "finished"),
        RunResult(configs[1].folder, "failed", message),
        RunResult(configs[2].folder, "finished"),
    ]
    assert opened == [0, 1, 2]


def test_without_ray_it_says_how_to_get_it(small: WganGpSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError) as refused:
        run_all([small], ExecutorOptions("ray"))
    assert str(refused.value) == "--executor ray: Ray is not installed; pip install 'textgan[ray]'"
    assert not small.folder.parent.exists()


@pytest.mark.parametrize(
    ("iterations", "minutes", "share"),
    [(120, None, 0.25), (None, 2.0, 0.375), (120, 2.0, 0.375), (60, 2.0, 0.5), (20, None, 1.0), (None, 0.1, 1.0)],
)
def test_the_share_done_is_that_of_the_budget(iterations: int | None, minutes: float | None, share: float) -> None:
    budget = Budget(iterations, minutes)
    assert executors.share_done([], budget) == 0
    start = {"iteration": 0, "time/wall_seconds": 5.0, "time/train_seconds": 0.0}
    last = {"iteration": 30, "time/wall_seconds": 100.0, "time/train_seconds": 45.0}  # evaluation is not counted
    assert executors.share_done([start, last], budget) == pytest.approx(share)
