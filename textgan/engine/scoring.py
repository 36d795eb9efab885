"""Score samples while the training goes on, and log the rows in order."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from textgan.engine.run_folder import Row
from textgan.engine.run_log import RunLog, SampleFile, with_scores

Scored = tuple[Mapping[str, float], SampleFile]
Scoring = Callable[[], Scored]
"""Scores samples that were drawn before; returns the scores and the file of the samples."""


def beside_training(device: torch.device) -> bool:
    """Whether samples are scored in a thread while the training goes on: on CUDA.

    On a CPU the thread would take time from the steps that the training clock counts.
    """
    return device.type == "cuda"


class Scorer:
    """Scores the samples of one evaluation at a time, at once or in a thread, and logs the rows in order.

    Args:
        log: the run's log.
        in_thread: whether to score in a thread. A row is then logged by `begin` or `finish`.
        report: called with iteration and scores before a row is logged.
    """

    def __init__(self, log: RunLog, in_thread: bool, report: Callable[[int, Mapping[str, float]], None]) -> None:
        self.last: Row | None = log.rows[-1] if log.rows else None
        self._log, self._report = log, report
        self._thread = ThreadPoolExecutor(1, "scoring") if in_thread else None
        self._pending: tuple[Row, Future[Scored]] | None = None

    def begin(self, row: Row, score: Scoring) -> None:
        """Score samples, for a row without scores; the evaluation before this one is logged first."""
        self.finish()
        self.last = row
        if self._thread is None:
            self._write(row, *score())
        else:
            self._pending = row, self._thread.submit(score)

    @property
    def is_scored(self) -> bool:
        """Whether an evaluation in the thread is scored, and not logged yet."""
        return self._pending is not None and self._pending[1].done()

    def finish(self) -> None:
        """Wait for the evaluation in the thread, and log it."""
        if self._pending is not None:
            (row, scored), self._pending = self._pending, None
            self._write(row, *scored.result())

    def close(self) -> None:
        """Log the evaluation in the thread, and end the thread."""
        try:
            self.finish()
        finally:
            if self._thread is not None:
                self._thread.shutdown()

    def _write(self, row: Row, scores: Mapping[str, float], samples: SampleFile) -> None:
        self._report(row["iteration"], scores)
        self._log.log(with_scores(row, scores), samples)
