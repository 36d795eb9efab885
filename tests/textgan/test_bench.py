"""What the bench prints, by a clock that only its parts move."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests.helpers.runs import PRESETS
from textgan.bench import run_bench
from textgan.engine.loop import Experiment
from textgan.engine.run_log import SampleFile
from textgan.engine.trainer import Trainer
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.program import TrainingProgram


class Parts:
    """Stands in for an experiment: drawing takes 1 ms, a step 3, an evaluation 50, the first five far more.

    On a device of its own, time passes only when it is waited for.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.now = self.pending = 0.0
        self.iteration = 0
        self.drawn: list[int] = []
        self.evaluated: list[int] = []

    def work(self, milliseconds: float) -> None:
        if self.device.type == "cpu":
            self.now += milliseconds / 1e3
        else:
            self.pending += milliseconds / 1e3

    def synchronise(self, device: torch.device) -> None:
        assert device == self.device
        self.now, self.pending = self.now + self.pending, 0.0

    def draw(self, iteration: int) -> Sequence[Tensor]:
        self.drawn.append(iteration)
        self.work(1 if iteration >= 5 else 700)
        return [torch.full((1,), iteration)]

    def step(self, real: Sequence[Tensor], measure: bool) -> None:
        assert not measure
        assert [int(batch) for batch in real] == [self.iteration]
        self.work(3 if self.iteration >= 5 else 900)
        self.iteration += 1

    def evaluate(self, iteration: int) -> tuple[Mapping[str, float], SampleFile]:
        self.evaluated.append(iteration)
        self.work(50)
        return {}, SampleFile(".txt", b"", lambda *_: None)

    def open(self, _config: WganGpSettings) -> Experiment:
        return Experiment(cast(Trainer, self), self.device, self.draw, self.evaluate, {}, None, {}, {})


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_part_is_told_its_own_time(
    device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Parts(device)
    monkeypatch.setattr("textgan.bench.time", SimpleNamespace(perf_counter=lambda: parts.now))
    monkeypatch.setattr(torch.cuda, "synchronize", parts.synchronise)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    program: TrainingProgram[Any] = TrainingProgram("words.train", PRESETS, parts.open, lambda *_: "")
    assert run_bench(program, ["--preset", "orig-small", "--eval-samples", "1200"], None) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"orig-small on grammar: batch 32, {device}, 3 threads",
        "",
        "part                ms",
        "drawing batches   1.00",
        "training step     3.00",
        "evaluation       50.00",
        "",
        "250.0 steps/s; drawing batches takes 25.00% of the time",
        "an evaluation draws and scores 1,200 samples",
    ]
    assert parts.drawn == list(range(45))
    assert parts.evaluated == [45] * 5
