"""A run's clock, budget, evaluation times and progress bar."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch
from tqdm import tqdm

from textgan.engine.run_folder import Row, score_title


@dataclass
class Clock:
    """Seconds of a run: in total, and of training (without evaluation, sampling and checkpoints)."""

    wall_seconds: float = 0.0
    train_seconds: float = 0.0

    def count_training(self, since: float, device: torch.device, wait: bool) -> None:
        """Add the training time since a reading of `time.perf_counter`.

        CUDA computes in the background; the time is complete when the device has finished. With `wait`, and once per
        second of training, this waits for it.
        """
        seconds = self.train_seconds + time.perf_counter() - since
        if device.type == "cuda" and (wait or int(seconds) > int(self.train_seconds)):
            torch.cuda.synchronize(device)
        self.train_seconds += time.perf_counter() - since

    def settle(self, device: torch.device) -> None:
        """Wait until CUDA has finished the steps so far, and add this time; whatever reads their results would wait."""
        if device.type == "cuda":
            self.count_training(time.perf_counter(), device, wait=True)


@dataclass(frozen=True)
class Budget:
    """Limits of a run, in iterations and in minutes of training; it ends at the first limit it reaches."""

    iterations: int | None
    minutes: float | None

    def used(self, iteration: int, clock: Clock) -> float:
        """Return the used fraction of the budget, at least 1 at the end."""
        return max(
            0.0 if self.iterations is None else iteration / self.iterations,
            0.0 if self.minutes is None else clock.train_seconds / (60 * self.minutes),
        )


@dataclass(frozen=True)
class Evaluations:
    """The times of evaluations: every `every` iterations, or every `seconds` seconds of training if `seconds` is set.

    The start and the end of a run are always evaluated.
    """

    every: int
    seconds: float | None

    def counted(self, iteration: int) -> bool:
        """Whether an evaluation is due at an iteration, whatever the clock."""
        return self.seconds is None and iteration % self.every == 0

    def due(self, iteration: int, clock: Clock, last: Row | None) -> bool:
        """Whether an evaluation is due; `last` is the row of the last one, None before the first."""
        if self.seconds is None or last is None:
            return iteration % self.every == 0
        return clock.train_seconds // self.seconds > float(last["time/train_seconds"]) // self.seconds


class Progress:
    """Shows iterations per second, the latest scores and the remaining training time, if stderr is a terminal."""

    def __init__(self, budget: Budget, iteration: int, clock: Clock) -> None:
        self._budget = budget
        self._start = (iteration, clock.train_seconds)
        self._scores = ""
        self._bar = tqdm(total=1.0, disable=None, bar_format="{percentage:3.0f}%|{bar}|{postfix}", mininterval=0.2)

    def scored(self, scores: Mapping[str, float]) -> None:
        """Show scores of an evaluation."""
        self._scores = "".join(f", {score_title(name)} {value:.3f}" for name, value in scores.items())

    def update(self, iteration: int, clock: Clock) -> None:
        """Show the run's iteration and remaining time."""
        if self._bar.disable:
            return
        used = min(self._budget.used(iteration, clock), 1.0)
        iterations, seconds = iteration - self._start[0], clock.train_seconds - self._start[1]
        left = tqdm.format_interval(clock.train_seconds * (1 - used) / used)
        rate = iterations / seconds
        self._bar.n = used
        self._bar.set_postfix_str(f"iteration {iteration}, {rate:.1f}/s{self._scores}, {left} left", refresh=False)
        try:
            self._bar.update(0)
        except OSError:  # the terminal was closed; the run goes on without a bar
            self._bar.disable = True

    def close(self) -> None:
        """Leave the bar in its last state on the terminal."""
        with suppress(OSError):
            self._bar.close()
