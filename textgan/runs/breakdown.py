"""Time the parts of a training iteration: batches, gradients of each player, penalty, optimiser steps, evaluation."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch

from eval.core.timing import peak_memory
from textgan.engine.loop import Experiment
from textgan.engine.trainer import TrainerPlay
from textgan.engine.updates import Gradients, Play, Turn

R = TypeVar("R")

_PARTS = ("step: generator gradients", "step: critic gradients", "step: critic penalty", "step: optimiser")
_WARM_UP, _STEPS, _DIVIDED, _EVALUATIONS = 5, 40, 10, 5


@dataclass(frozen=True)
class Breakdown:
    """Mean seconds of each part of an iteration, by name, and the peak of memory in bytes.

    The peak is of CUDA memory in tensors, or on a CPU of the whole process (None on Windows).
    """

    seconds: Mapping[str, float]
    peak_memory: int | None


class Stopwatch:
    """Seconds spent in parts of a program on a device, and numbers of calls, by name."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}
        self.calls: Counter[str] = Counter()

    def time(self, part: str, call: Callable[[], R]) -> R:
        """Add the duration of a call, waiting for the device, to a part's seconds, and return the call's result."""
        start = time.perf_counter()
        result = call()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
        self.calls[part] += 1
        return result


class _TimedPlay:
    """A play whose gradients and optimiser steps a stopwatch times."""

    def __init__(self, play: Play, watch: Stopwatch) -> None:
        self.iteration, self.turns, self.players, self.state = play.iteration, play.turns, play.players, play.state
        self.weights = play.weights
        self._play, self._watch = play, watch

    def gradients(self, turn: Turn, second_order: bool = False) -> Gradients:
        return self._watch.time(f"step: {turn.player} gradients", lambda: self._play.gradients(turn, second_order))

    def apply(self, turn: Turn, gradients: Gradients) -> None:
        self._watch.time("step: optimiser", lambda: self._play.apply(turn, gradients))


def measure(experiment: Experiment) -> Breakdown:
    """Train for 55 iterations of the last phase, then evaluate five times, and return the mean time of each part.

    The whole step is timed in 40 iterations, and its parts in ten others, because on a GPU to time a part is to wait
    for the device. The time of the penalty is the time of the critic's gradients with it minus the time without it.
    """
    trainer, watch = experiment.trainer, Stopwatch(experiment.device)
    trainer.iteration = sum(phase.iterations or 0 for phase in trainer.phases[:-1])

    def step() -> None:
        real = watch.time("drawing batches", lambda: experiment.next_batches(trainer.iteration))
        watch.time("training step", lambda: trainer.step(real, measure=False))

    for _ in range(_WARM_UP):
        step()
    watch.seconds.clear()
    for _ in range(_STEPS):
        step()
    seconds = {part: taken / _STEPS for part, taken in watch.seconds.items()}
    watch.seconds.clear()
    _divide(experiment, watch)
    seconds |= {part: watch.seconds[part] / _DIVIDED for part in _PARTS if part in watch.seconds}
    for _ in range(_EVALUATIONS):
        score = watch.time("evaluation: drawing", lambda: experiment.evaluate(trainer.iteration))
        watch.time("evaluation: scoring", score)
    drawing, scoring = (watch.seconds[part] / _EVALUATIONS for part in ("evaluation: drawing", "evaluation: scoring"))
    seconds |= {"evaluation": drawing + scoring, "evaluation: scoring": scoring}
    on_cuda = experiment.device.type == "cuda"
    return Breakdown(seconds, torch.cuda.max_memory_allocated(experiment.device) if on_cuda else peak_memory())


def _divide(experiment: Experiment, watch: Stopwatch) -> None:
    """Take steps by the trainer's own update rule, and time the parts of each."""
    trainer = experiment.trainer
    phase = trainer.phases[-1]
    update, unpenalised = phase.rule.update, phase.game.unpenalised
    timed = replace(phase.rule, update=lambda play: update(_TimedPlay(play, watch)))
    trainer.phases = [*trainer.phases[:-1], replace(phase, rule=timed)]
    plain = Stopwatch(experiment.device)
    for _ in range(_DIVIDED):
        real = watch.time("drawing batches", lambda: experiment.next_batches(trainer.iteration))
        if unpenalised is not None:
            without = replace(phase, game=replace(phase.game, critic=unpenalised))
            play = TrainerPlay(trainer, without, trainer.play(real).iteration, real, measure=False)
            for turn in play.turns:
                if turn.player == "critic":
                    plain.time("critic", partial(play.gradients, turn))
        trainer.step(real, measure=False)
    if unpenalised is not None:
        part = "step: critic gradients"
        calls = watch.calls[part] / plain.calls["critic"]  # a rule may ask for a turn's gradients more than once
        watch.seconds["step: critic penalty"] = watch.seconds[part] - calls * plain.seconds["critic"]
