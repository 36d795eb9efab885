"""A training command, of text or of images: its flags, its run in a folder, and its end. Knows neither of them."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import tyro
from torch import Tensor, nn

from data.command import parse_command
from data.errors import InputError
from data.files import write_json
from data.naming import printable
from textgan.checkpoint import load_checkpoint
from textgan.loop import run_training
from textgan.progress import Budget, Clock, Evaluations
from textgan.runlog import RunLog, Samples, begin_or_continue, locked
from textgan.schedules import assumption_a2, parse_schedule
from textgan.settings import Settings, refuse_both_intervals
from textgan.trainer import Learner, NonFiniteError, Player, Trainer, weight_average

C = TypeVar("C", bound=Settings)
Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Experiment:
    """What a run trains, on what, and how it is scored.

    Attributes:
        trainer: with its first weights.
        device: where it trains.
        draw: returns the real batches of an iteration, one for each critic step.
        evaluate: returns the scores of an iteration and the samples they were measured on.
        floor: what real data scores, where that is known.
        facts: what is recorded of the data; `data_sha256` must stay as it is when a run is continued.
        beside_samples: JSON files that lie beside the samples, by name.
    """

    trainer: Learner
    device: torch.device
    draw: Callable[[int], Sequence[Tensor]]
    evaluate: Callable[[int], tuple[Mapping[str, float], Samples]]
    floor: Mapping[str, float] | None
    facts: Mapping[str, Any]
    beside_samples: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a training run ended: with its summary, or without one by a signal."""

    folder: Path
    summary: dict[str, Any] | None
    stopped_by: int | None


@dataclass(frozen=True)
class Program(Generic[C]):
    """A training command: its module, settings and presets, what it trains by them, and what it says at the end."""

    module: str
    settings: type[C]
    presets: Mapping[str, C]
    open: Callable[[C], Experiment]
    closing_words: Callable[[Path, dict[str, Any]], str]

    @property
    def package(self) -> str:
        """Where its other commands are: those for many runs, and the bench."""
        return self.module.partition(".")[0]

    def train(self, config: C, report: Report | None = None) -> Outcome:
        """Conduct the experiment that settings stand for; `report` is told every evaluation's iteration and scores.

        Raises:
            InputError: data or weights cannot be used, or the folder holds a run with other settings.
            NonFiniteError: a loss or gradient became infinite or NaN; the last checkpoint stays.
        """
        return conduct(config, self.open(config), report)


def conduct(config: Settings, experiment: Experiment, report: Report | None = None) -> Outcome:
    """Run, or continue, an experiment in its folder until its budget is used or a signal asks it to stop.

    Args:
        config: the run's settings.
        experiment: what they stand for.
        report: is told every evaluation's iteration and scores.

    Raises:
        InputError: the folder holds a run with other settings.
        NonFiniteError: a loss or gradient became infinite or NaN; the last checkpoint stays.
    """

    def evaluate(iteration: int) -> tuple[Mapping[str, float], Samples]:
        scores, samples = experiment.evaluate(iteration)
        if report is not None:
            report(iteration, scores)
        return scores, samples

    trainer, folder = experiment.trainer, config.folder
    facts = {**experiment.facts, "scores": config.scores, "floor": experiment.floor}
    with locked(folder):
        begin_or_continue(folder, config.as_json(), config.may_change, experiment.device, facts)
        for name, content in experiment.beside_samples.items():
            write_json(folder / "samples" / name, content)
        clock = load_checkpoint(folder, trainer) or Clock()
        log = RunLog(folder, trainer.iteration, experiment.floor)
        budget = Budget(config.iterations, config.minutes)
        evaluations = Evaluations(config.eval_every, config.eval_seconds)
        stopped_by = run_training(
            trainer, log, clock, budget, evaluations, config.checkpoint_every, experiment.draw, evaluate
        )
        return Outcome(folder, log.summarise(_about_rates(config, trainer)) if stopped_by is None else None, stopped_by)


def _about_rates(config: Settings, trainer: Learner) -> dict[str, Any]:
    """Return what a run's summary says of its two time scales: a(n) / b(n) in its first and last update, and A2."""
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


def generator_player(config: Settings, network: nn.Module, device: torch.device) -> Player:
    """Return a network as the generator of a run's settings."""
    average = weight_average(network.to(device), config.generator_average)
    return _player(config, network, config.generator_lr, config.generator_schedule, 1, average)


def critic_player(config: Settings, network: nn.Module, device: torch.device) -> Player:
    """Return a network as the critic of a run's settings."""
    network.to(device)
    return _player(config, network, config.critic_lr, config.critic_schedule, config.critic_steps, None)


def _player(config: Settings, network: nn.Module, rate: float, schedule: str, steps: int, average: Any) -> Player:
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, betas=(config.beta1, config.beta2))
    updates = None if config.iterations is None else config.iterations * steps
    return Player(network, optimiser, rate, parse_schedule(schedule, updates), average)


@dataclass(frozen=True)
class TrainCommand(Generic[C]):
    """Flags of a training command."""

    config: tyro.conf.OmitArgPrefixes[C]
    """Settings of the run."""
    dry_run: bool = False
    """Print the resolved settings and stop."""


def parse_train(
    arguments: Sequence[str], settings: type[C], presets: Mapping[str, C], prog: str, description: str | None
) -> TrainCommand[C]:
    """Parse flags; `--preset` decides what the others start from.

    Raises:
        InputError: a wrong flag or value.
    """
    given = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    refuse_both_intervals([flag[2:].replace("-", "_") for flag in given])
    default = TrainCommand(preset_in(arguments, presets, "quickstart"))
    return parse_command(TrainCommand[settings], arguments, prog, description, default)  # type: ignore[valid-type]


def preset_in(arguments: Sequence[str], presets: Mapping[str, C], default: str) -> C:
    """Return the preset that flags name, or else the default.

    Raises:
        InputError: there is none of this name.
    """
    words = [word for argument in arguments for word in argument.split("=", 1)]
    named = [word for flag, word in pairwise(words) if flag == "--preset"]
    preset = named[-1] if named else default
    if preset not in presets:
        raise InputError(f"--preset {preset!r}: choose from {', '.join(presets)}")
    return presets[preset]


def run_program(program: Program[C], arguments: Sequence[str], description: str | None) -> int:
    """Train by flags, then say what happened and what to try next; return the exit status.

    Raises:
        InputError: a wrong flag or value, or data that cannot be used.
    """
    command = parse_train(arguments, program.settings, program.presets, program.module, description)
    config = command.config
    if command.dry_run:
        print(json.dumps(config.as_json(), indent=2))
        return 0
    try:
        outcome = program.train(config)
    except NonFiniteError as error:
        told = f"error: {error}; the last checkpoint in {config.folder} stays; try smaller rates"
        print(printable(told), file=sys.stderr)
        return 1
    if outcome.summary is None:
        print(printable(f"stopped; the same command continues {outcome.folder}"), file=sys.stderr)
        return 128 + (outcome.stopped_by or 0)
    print(program.closing_words(outcome.folder, outcome.summary))
    return 0
