"""The training loop: step, evaluate, log and save, until the budget is used or a signal asks to stop."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from data.command import STOP_SIGNALS, leave_terminal
from data.files import write_json
from textgan.engine.checkpoint import load_checkpoint, save_checkpoint
from textgan.engine.progress import Budget, Clock, Evaluations, Progress
from textgan.engine.run_folder import DeclaredScore, headline
from textgan.engine.run_log import RunLog, SampleFile, begin_or_continue, locked, make_row
from textgan.engine.schedules import assumption_a2
from textgan.engine.settings import Settings
from textgan.engine.trainer import Learner, Trainer

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Experiment:
    """A trainer, its data and its evaluation.

    Attributes:
        trainer: holds the initial weights.
        device: device of the training.
        next_batches: returns the real batches of an iteration, one per critic step.
        evaluate: returns the scores at an iteration and the scored samples.
        scores: declarations of all scores that `evaluate` returns.
        floor: scores of real data, None if unknown.
        facts: entries of `options.json` about the data; `data_sha256` may not change when a run is continued.
        beside_samples: JSON files to write beside the samples, by name.
    """

    trainer: Learner
    device: torch.device
    next_batches: Callable[[int], Sequence[Tensor]]
    evaluate: Callable[[int], tuple[Mapping[str, float], SampleFile]]
    scores: Mapping[str, DeclaredScore]
    floor: Mapping[str, float] | None
    facts: Mapping[str, Any]
    beside_samples: Mapping[str, Any]


@dataclass(frozen=True)
class RunOutcome:
    """The end of a training run: its summary, or None and the signal that stopped it."""

    folder: Path
    summary: dict[str, Any] | None
    stopped_by: int | None


def run(config: Settings, experiment: Experiment, report: Report | None = None) -> RunOutcome:
    """Run or continue an experiment in its folder, until the budget is used or a signal asks to stop.

    Args:
        config: the run's settings.
        experiment: built from these settings.
        report: called with iteration and scores after each evaluation.

    Raises:
        InputError: the folder holds a run with different settings.
        NonFiniteError: a loss or gradient became infinite or NaN; the last checkpoint is kept.
    """
    trainer, folder = experiment.trainer, config.folder
    budget, evaluations = Budget(config.iterations, config.minutes), Evaluations(config.eval_every, config.eval_seconds)
    scores_declared = {name: asdict(score) for name, score in experiment.scores.items()}
    facts = {**experiment.facts, "scores": scores_declared, "floor": experiment.floor}
    shown = headline(experiment.scores)
    with locked(folder):
        begin_or_continue(folder, config.as_json(), config.may_change, experiment.device, facts)
        for name, content in experiment.beside_samples.items():
            write_json(folder / "samples" / name, content)
        clock = load_checkpoint(folder, trainer) or Clock()
        log = RunLog(folder, trainer.iteration, experiment.floor)
        stats: Mapping[str, float | None] = {}
        saved = trainer.iteration
        started = time.perf_counter() - clock.wall_seconds
        with closing(log), stop_signals() as stopped, closing(Progress(budget, trainer.iteration, clock)) as progress:
            while True:
                finished = budget.used(trainer.iteration, clock) >= 1
                clock.wall_seconds = time.perf_counter() - started
                due = finished or evaluations.due(trainer.iteration, clock, log.last_train_seconds)
                if due and not log.has(trainer.iteration):
                    scores, samples = experiment.evaluate(trainer.iteration)
                    if report is not None:
                        report(trainer.iteration, scores)
                    log.log(make_row(trainer, clock, stats, scores), samples)
                    progress.scored({name: scores[name] for name in shown})
                ends = finished or stopped() is not None
                if (ends or trainer.iteration % config.checkpoint_every == 0) and trainer.iteration != saved:
                    clock.wall_seconds = time.perf_counter() - started
                    save_checkpoint(folder, trainer, clock)
                    saved = trainer.iteration
                if ends:
                    break
                tick = time.perf_counter()
                stats = asdict(trainer.step(experiment.next_batches(trainer.iteration)))
                clock.train_seconds += time.perf_counter() - tick
                progress.update(trainer.iteration, clock)
        if not finished:
            return RunOutcome(folder, None, stopped())
        return RunOutcome(folder, log.summarise(_rate_facts(config, trainer)), None)


def _rate_facts(config: Settings, trainer: Learner) -> dict[str, Any]:
    """Return the ratio of generator's to critic's rate at first and last update, and whether assumption A2 holds."""
    if not isinstance(trainer, Trainer):
        return {}
    generator, critic = trainer.generator, trainer.critic

    def ratio(iteration: int) -> float | None:
        a = generator.learning_rate * generator.schedule(iteration)
        b = critic.learning_rate * critic.schedule(iteration * config.critic_steps)
        return a / b if b else None

    holds, why = assumption_a2(config.generator_schedule, config.critic_schedule)
    rates = {"generator_to_critic_start": ratio(0), "generator_to_critic_end": ratio(max(trainer.iteration - 1, 0))}
    return {"rates": {**rates, "assumption_a2": holds, "why": why}}


@contextmanager
def stop_signals() -> Iterator[Callable[[], int | None]]:
    """Catch the first SIGINT, SIGTERM or SIGHUP; the yielded function returns its number. A second one acts normally.

    SIGTERM and SIGHUP stay ignored if the process ignores them, as under nohup. Signals reach only a process's main
    thread; in other threads the yielded function returns None.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        leave_terminal(number)
        signal.signal(number, previous[signal.Signals(number)])

    # nohup ignores SIGHUP. A shell's background job ignores SIGINT too, but SIGINT must stop it nevertheless.
    caught = [
        number for number in STOP_SIGNALS if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN
    ]
    previous = {number: signal.signal(number, remember) for number in caught}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
