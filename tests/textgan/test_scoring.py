"""Samples that are scored in a thread while the training goes on, as on CUDA; a CPU stands for it."""

import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.helpers.runs import assert_same_run, stop_at, train_until_power_cut
from textgan.engine import loop, progress
from textgan.engine.checkpoint import save_checkpoint
from textgan.engine.loop import RunOutcome
from textgan.engine.progress import Clock
from textgan.engine.run_folder import read_metrics
from textgan.engine.run_log import with_scores
from textgan.engine.scoring import Scored, Scorer, Scoring, beside_training
from textgan.engine.trainer import NonFiniteError, Trainer
from textgan.models.wgan_gp import WganGpSettings
from textgan.train import open_experiment, train

SECONDS = 60.0  # until a thread that waits in vain gives up


@pytest.fixture
def threaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "beside_training", lambda _device: True)


def run_with(config: WganGpSettings, before: Callable[[int], None]) -> RunOutcome:
    """Train, and call `before(iteration)` in the thread before samples are scored."""
    experiment = open_experiment(config)

    def evaluate(iteration: int) -> Scoring:
        score = experiment.evaluate(iteration)

        def later() -> Scored:
            before(iteration)
            return score()

        return later

    facts = {**experiment.facts, "program": "textgan.train", "command": "", "argv": None}
    (outcome,) = loop.run([config], [replace(experiment, evaluate=evaluate, facts=facts)])
    return outcome


def test_only_cuda_scores_in_a_thread() -> None:
    assert beside_training(torch.device("cuda"))
    assert not beside_training(torch.device("cpu"))


def test_a_run_scored_in_a_thread_is_the_run_scored_at_once(
    finished: WganGpSettings, tmp_path: Path, threaded: None
) -> None:
    beside = replace(finished, run_dir=tmp_path / "beside")
    train(beside)
    assert_same_run(finished.folder, beside.folder)
    assert [list(row) for row in read_metrics(beside.folder)] == [list(row) for row in read_metrics(finished.folder)]


def test_training_goes_on_and_waits_before_the_next_evaluation_a_checkpoint_and_the_end(
    tiny: WganGpSettings, monkeypatch: pytest.MonkeyPatch, threaded: None
) -> None:
    config = replace(tiny, iterations=7, eval_every=3, checkpoint_every=5)
    events, gates = list[Any](), {iteration: threading.Event() for iteration in (0, 3, 6, 7)}
    step, finish = Trainer.step, Scorer.finish

    def stepping(self: Trainer, *arguments: Any) -> Any:
        events.append(self.iteration)
        if self.iteration == 1:
            gates[0].set()  # the samples of iteration 0 are scored while the training takes steps
        return step(self, *arguments)

    def finishing(self: Scorer) -> None:
        if self._pending is not None:
            gates[self._pending[0]["iteration"]].set()
        finish(self)

    def saving(*arguments: Any) -> None:
        events.append("checkpoint")
        save_checkpoint(*arguments)

    def before(iteration: int) -> None:
        assert gates[iteration].wait(SECONDS)
        events.append(f"scores of {iteration}")

    monkeypatch.setattr(Trainer, "step", stepping)
    monkeypatch.setattr(Scorer, "finish", finishing)
    monkeypatch.setattr(Scorer, "is_scored", False)
    monkeypatch.setattr(loop, "save_checkpoint", saving)
    outcome = run_with(config, before)
    assert events.index("scores of 0") > events.index(1)
    assert [event for event in events if event != "scores of 0"] == [
        *(0, 1, 2, 3, 4), "scores of 3", "checkpoint", 5, 6, "scores of 6", "scores of 7", "checkpoint",
    ]  # fmt: skip
    assert outcome.summary is not None
    assert [row["iteration"] for row in read_metrics(config.folder)] == [0, 3, 6, 7]


def test_steps_before_a_row_is_written_are_on_the_clock(
    tiny: WganGpSettings, monkeypatch: pytest.MonkeyPatch, threaded: None
) -> None:
    events: list[str] = []
    finish = Scorer.finish
    monkeypatch.setattr(Clock, "settle", lambda *_: events.append("settle"))

    def finishing(self: Scorer) -> None:
        if self._pending is not None:
            events.append("finish")
        finish(self)

    monkeypatch.setattr(Scorer, "finish", finishing)
    monkeypatch.setattr(Scorer, "is_scored", property(lambda self: self._pending is not None))
    train(replace(tiny, iterations=2, eval_every=1, checkpoint_every=100))
    assert events[:2] == ["settle", "finish"]


def test_rows_that_a_kill_lost_are_computed_again_from_the_same_samples(
    finished: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threaded: None
) -> None:
    killed = replace(finished, run_dir=tmp_path / "killed")
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "is_scored", False)
        patch.setattr(Scorer, "close", lambda self: self._thread.shutdown())  # kill -9 logs nothing more
        train_until_power_cut(patch, 7, train, killed)
    assert [row["iteration"] for row in read_metrics(killed.folder)] == [0, 2, 4]  # the samples of 6 were drawn
    train(killed)
    assert_same_run(finished.folder, killed.folder)


def test_a_run_that_ctrl_c_stopped_continues_as_if_it_had_not_stopped(
    finished: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threaded: None
) -> None:
    stopped = replace(finished, run_dir=tmp_path / "stopped")
    monkeypatch.setattr(Scorer, "is_scored", False)
    with monkeypatch.context() as patch:
        stop_at(patch, 6, lambda: signal.raise_signal(signal.SIGINT))
        assert train(stopped).stopped_by == signal.SIGINT
    assert [row["iteration"] for row in read_metrics(stopped.folder)] == [0, 2, 4, 6]
    train(stopped)
    assert_same_run(finished.folder, stopped.folder)


def test_a_row_in_the_thread_is_logged_before_an_error_ends_the_run(
    tiny: WganGpSettings, monkeypatch: pytest.MonkeyPatch, threaded: None
) -> None:
    def fail() -> None:
        raise NonFiniteError("iteration 7: a loss not finite")

    stop_at(monkeypatch, 6, fail)
    monkeypatch.setattr(Scorer, "is_scored", False)
    with pytest.raises(NonFiniteError):
        train(tiny)
    assert [row["iteration"] for row in read_metrics(tiny.folder)] == [0, 2, 4, 6]


def test_an_error_of_a_score_ends_the_run(tiny: WganGpSettings, threaded: None) -> None:
    def fail(iteration: int) -> None:
        if iteration == 4:
            raise ValueError("no score")

    with pytest.raises(ValueError, match="no score"):
        run_with(tiny, fail)
    assert [row["iteration"] for row in read_metrics(tiny.folder)] == [0, 2]


def test_clocks_while_the_training_waits(tiny: WganGpSettings, monkeypatch: pytest.MonkeyPatch, threaded: None) -> None:
    """A step takes 1 s; each wait for scores takes 10 s, which the wall clock alone counts."""
    clock = SimpleNamespace(now=0.0)
    step, finish = Trainer.step, Scorer.finish

    def stepping(self: Trainer, *arguments: Any) -> Any:
        clock.now += 1
        return step(self, *arguments)

    def finishing(self: Scorer) -> None:
        clock.now += 10 * (self._pending is not None)
        finish(self)

    monkeypatch.setattr(Trainer, "step", stepping)
    monkeypatch.setattr(Scorer, "finish", finishing)
    monkeypatch.setattr(Scorer, "is_scored", False)
    for module in (loop, progress):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    train(replace(tiny, checkpoint_every=100))
    rows = read_metrics(tiny.folder)
    assert [row["time/train_seconds"] for row in rows] == [0, 2, 4, 6, 8]
    # A row has the wall clock at its evaluation, before the wait for the evaluation before it.
    assert [row["time/wall_seconds"] for row in rows] == [0, 2, 14, 26, 38]


def test_a_checkpoint_waits_for_the_device_on_the_training_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=5.0)

    def synchronise(_device: torch.device) -> None:
        clock.now += 0.25

    monkeypatch.setattr(torch.cuda, "synchronize", synchronise)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    counted = Clock(train_seconds=3.0)
    counted.settle(torch.device("cpu"))
    assert counted.train_seconds == 3.0
    counted.settle(torch.device("cuda"))
    assert counted.train_seconds == 3.25


def test_scores_stand_between_clocks_and_statistics() -> None:
    row = {"iteration": 3, "time/train_seconds": 1.5, "train/critic_loss": 0.5}
    found = with_scores(row, {"jsd_4": 0.25})
    assert list(found.items()) == [
        ("iteration", 3), ("time/train_seconds", 1.5), ("scores/jsd_4", 0.25), ("train/critic_loss", 0.5),
    ]  # fmt: skip
