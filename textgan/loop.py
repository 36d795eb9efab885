"""The training loop: step, evaluate, log, save, until the budget is used or a signal asks to stop. Knows no text."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from types import FrameType

from torch import Tensor

from data.command import STOP_SIGNALS, leave_terminal
from textgan.checkpoint import save_checkpoint
from textgan.progress import Budget, Clock, Evaluations, Progress
from textgan.runlog import RunLog, Samples, make_row
from textgan.trainer import Learner, StepStats


def run_training(
    trainer: Learner,
    log: RunLog,
    clock: Clock,
    budget: Budget,
    evaluations: Evaluations,
    checkpoint_every: int,
    draw: Callable[[int], Sequence[Tensor]],
    evaluate: Callable[[int], tuple[Mapping[str, float], Samples]],
) -> int | None:
    """Train on; return None when the budget is used, or the number of the signal that stopped the run.

    Args:
        trainer: at the iteration where the run starts or continues.
        log: the run's log; its folder takes the checkpoints.
        clock: the run's seconds so far.
        budget: where the run ends.
        evaluations: when the run is evaluated.
        checkpoint_every: iterations between checkpoints; the end is saved too.
        draw: returns the real batches of an iteration, one for each critic step.
        evaluate: returns the scores of an iteration and the samples they were measured on.

    Raises:
        NonFiniteError: a loss or gradient became infinite or NaN; the last checkpoint stays.
    """
    stats: StepStats | None = None
    saved = trainer.iteration
    started = time.perf_counter() - clock.wall_seconds
    with closing(log), stop_signals() as stopped, closing(Progress(budget, trainer.iteration, clock)) as progress:
        while True:
            finished = budget.used(trainer.iteration, clock) >= 1
            clock.wall_seconds = time.perf_counter() - started
            due = finished or evaluations.due(trainer.iteration, clock, log.last_train_seconds)
            if due and not log.has(trainer.iteration):
                scores, samples = evaluate(trainer.iteration)
                log.log(make_row(trainer, clock, stats, scores), samples)
                progress.scored(scores)
            ends = finished or stopped() is not None
            if (ends or trainer.iteration % checkpoint_every == 0) and trainer.iteration != saved:
                clock.wall_seconds = time.perf_counter() - started
                save_checkpoint(log.folder, trainer, clock)
                saved = trainer.iteration
            if ends:
                return None if finished else stopped()
            tick = time.perf_counter()
            stats = trainer.step(draw(trainer.iteration))
            clock.train_seconds += time.perf_counter() - tick
            progress.update(trainer.iteration, clock)


@contextmanager
def stop_signals() -> Iterator[Callable[[], int | None]]:
    """Catch the first SIGINT, SIGTERM or SIGHUP; the yielded function returns its number. A second one acts normally.

    SIGTERM and SIGHUP that the process ignores stay ignored, as nohup wants. Only a process's main thread hears
    signals; in another one there is nothing to tell.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        leave_terminal(number)
        signal.signal(number, previous[signal.Signals(number)])

    # nohup leaves SIGHUP ignored; a shell's background job has SIGINT ignored too, and is stopped by it all the same.
    heard = [each for each in STOP_SIGNALS if each == signal.SIGINT or signal.getsignal(each) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, remember) for number in heard}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
