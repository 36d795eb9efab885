"""The training loop: step, evaluate, log and save, until the budget is used or a signal asks to stop."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.errors import InputError
from data.files import write_json
from data.signals import stop_signals
from textgan.engine.checkpoint import load_checkpoint, save_checkpoint
from textgan.engine.diagnostics import diagnose
from textgan.engine.phases import phase_at
from textgan.engine.processes import of_rank_0, rank
from textgan.engine.progress import Budget, Clock, Evaluations, Progress
from textgan.engine.replicas import Replicas, load_checkpoints
from textgan.engine.run_folder import DeclaredScore, headline
from textgan.engine.run_log import RunLog, begin_or_continue, locked, make_row
from textgan.engine.schedules import assumption_a2
from textgan.engine.scoring import Scorer, Scoring, beside_training
from textgan.engine.settings import GanSettings, Settings
from textgan.engine.trainer import Trainer

_STEP, _END = 1, 0  # what rank 0 tells the others before each step, and at the end

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Experiment:
    """A trainer, its data and its evaluation.

    Attributes:
        trainer: holds the initial weights.
        device: device of the training.
        next_batches: returns the real batches of an iteration.
        evaluate: draws samples at an iteration, and returns a function that scores them, maybe after further steps.
        scores: declarations of all scores that `evaluate` returns.
        floor: scores of real data, None if unknown.
        facts: entries of `options.json` about the data; `data_sha256` may not change when a run is continued.
        beside_samples: JSON files to write beside the samples, by name.
    """

    trainer: Trainer
    device: torch.device
    next_batches: Callable[[int], Sequence[Tensor]]
    evaluate: Callable[[int], Scoring]
    scores: Mapping[str, DeclaredScore]
    floor: Mapping[str, float] | None
    facts: Mapping[str, Any]
    beside_samples: Mapping[str, Any]


@dataclass(frozen=True)
class RunOutcome:
    """The end of a training run: its summary, or None and the signal that stopped it; both None beside rank 0."""

    folder: Path
    summary: dict[str, Any] | None
    stopped_by: int | None


def run(
    configs: Sequence[Settings],
    experiments: Sequence[Experiment],
    report: Report | None = None,
    cuda_graphs: bool = False,
) -> list[RunOutcome]:
    """Run or continue experiments in their folders, until the budget is used or a signal asks to stop.

    Several experiments differ in their seeds; they train together, on one clock. Of several processes rank 0 alone does
    this, and the others follow.

    Losses and norms are read from the device only after steps that are logged. If an evaluation is due by the clock,
    one more step is taken, and logged, before it. On CUDA samples are scored in a thread while the training goes on; it
    waits for them, off the training clock, before the next evaluation, before a checkpoint, and at the end. A
    checkpoint thus comes after the rows of all evaluations before it, and a run that is continued repeats the others.

    Args:
        configs: the settings of each run.
        experiments: built from these settings.
        report: called with iteration and scores after each evaluation of the first run.
        cuda_graphs: whether steps that are not logged are a CUDA graph.

    Raises:
        InputError: a folder holds a run with different settings.
        NonFiniteError: a loss, gradient or weight became infinite or NaN; the last checkpoints are kept.
        LostProcessError: another process of the run ended.
    """
    config, experiment, folders = configs[0], experiments[0], [each.folder for each in configs]
    if rank():
        return [_follow(config.folder, experiment)]
    trainers = [each.trainer for each in experiments]
    trainer = trainers[0]  # all are at one iteration
    budget, evaluations = Budget(config.iterations, config.minutes), Evaluations(config.eval_every, config.eval_seconds)
    shown = headline(experiment.scores)
    with ExitStack() as opened:
        for folder in folders:
            opened.enter_context(locked(folder))
        for each, of_run in zip(configs, experiments, strict=True):
            _open_folder(each, of_run)
        clock = load_checkpoints(folders, trainers) or Clock()
        of_rank_0(trainer.iteration)
        logs = [RunLog(folder, trainer.iteration, experiment.floor) for folder in folders]
        for log in logs:
            opened.enter_context(closing(log))
        replicas = Replicas(configs, trainers, cuda_graphs)
        first = saved = trainer.iteration
        started = time.perf_counter() - clock.wall_seconds

        def advance(logged: bool) -> list[dict[str, float]] | None:
            """Take a step on the training clock, and return the statistics of each run if it is logged."""
            tick = time.perf_counter()
            of_rank_0(_STEP)
            stats = replicas.step([each.next_batches(trainer.iteration) for each in experiments], logged)
            clock.count_training(tick, experiment.device, logged)
            progress.update(trainer.iteration, clock)
            return stats

        def scored(iteration: int, scores: Mapping[str, float]) -> None:
            if report is not None:
                report(iteration, scores)
            progress.scored({name: scores[name] for name in shown})

        with stop_signals() as stopped, closing(Progress(budget, trainer.iteration, clock)) as progress:
            in_thread = beside_training(experiment.device)
            scorers = [Scorer(log, in_thread, scored if log is logs[0] else lambda *_: None) for log in logs]
            for scorer in scorers:
                opened.enter_context(closing(scorer))
            stats, due = None, False
            while True:
                for scorer in scorers:
                    if scorer.is_scored:
                        clock.settle(experiment.device)
                        scorer.finish()
                finished = budget.used(trainer.iteration, clock) >= 1
                last = scorers[0].last
                due = due or finished or evaluations.due(trainer.iteration, clock, last)
                if due and (last is None or last["iteration"] != trainer.iteration):
                    if stats is None and trainer.iteration > first:
                        stats = advance(logged=True)
                        continue
                    clock.wall_seconds = time.perf_counter() - started
                    for number, (of_run, scorer) in enumerate(zip(experiments, scorers, strict=True)):
                        score = of_run.evaluate(trainer.iteration)
                        found = diagnose(of_run.trainer, of_run.next_batches) if config.diagnostics else {}
                        scorer.begin(make_row(of_run.trainer, clock, (stats[number] if stats else {}) | found), score)
                ends, due = finished or stopped() is not None, False
                if (ends or trainer.iteration % config.checkpoint_every == 0) and trainer.iteration != saved:
                    clock.settle(experiment.device)
                    replicas.settle()
                    for scorer in scorers:
                        scorer.finish()
                    clock.wall_seconds = time.perf_counter() - started
                    for folder, each_trainer in zip(folders, trainers, strict=True):
                        save_checkpoint(folder, each_trainer, clock)
                    saved = trainer.iteration
                if ends:
                    for scorer in scorers:
                        scorer.finish()
                    of_rank_0(_END)
                    break
                following = trainer.iteration + 1
                stats = advance(logged=evaluations.counted(following) or following == config.iterations)
        if not finished:
            return [RunOutcome(folder, None, stopped()) for folder in folders]
        facts = _rate_facts(config, trainer)
        return [RunOutcome(log.folder, log.summarise(facts), None) for log in logs]


def _open_folder(config: Settings, experiment: Experiment) -> None:
    """Write the options of a new run and the files beside its samples, or check the ones of a run that goes on.

    Raises:
        InputError: the folder holds a run with different settings.
    """
    scores = {name: asdict(score) for name, score in experiment.scores.items()}
    facts = {**experiment.facts, "scores": scores, "floor": experiment.floor}
    begin_or_continue(config.folder, config.as_json(), config.may_change, experiment.device, facts)
    for name, content in experiment.beside_samples.items():
        write_json(config.folder / "samples" / name, content)


def _follow(folder: Path, experiment: Experiment) -> RunOutcome:
    """Take this process's share of the steps of rank 0, from its checkpoint until it ends; signals are left to it.

    Raises:
        InputError: the folder lacks the checkpoint of rank 0.
        LostProcessError: another process of the run ended.
    """
    trainer = experiment.trainer
    with stop_signals():
        iteration = of_rank_0()
        load_checkpoint(folder, trainer)
        if trainer.iteration != iteration:
            raise InputError(f"{folder}: not the folder of rank 0; give a --run-dir that all machines share")
        while of_rank_0() == _STEP:
            trainer.step(experiment.next_batches(trainer.iteration), measure=False)
    return RunOutcome(folder, None, None)


def _rate_facts(config: Settings, trainer: Trainer) -> dict[str, Any]:
    """Return the ratio of generator's to critic's rate at first and last update, and whether assumption A2 holds."""
    phase = trainer.phases[-1]
    if not isinstance(config, GanSettings) or len(phase.scales) < 2:
        return {}
    holds, why = assumption_a2(config.generator_schedule, config.critic_schedule)
    end = max(phase_at(trainer.phases, trainer.iteration)[1] - 1, 0)
    rates = {"generator_to_critic_start": phase.rate_ratio(0), "generator_to_critic_end": phase.rate_ratio(end)}
    return {"rates": {**rates, "assumption_a2": holds, "why": why}}
