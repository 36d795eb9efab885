"""Successive halving over the two learning rates (Jamieson & Talwalkar 2016, arXiv 1502.07943).

All candidates train for a short while; the best third goes on to three times as many iterations, and so on. On Ray its
ASHA decides, without waiting for all of a rung (Li et al. 2020, arXiv 1810.05934).
"""

import math
import sys
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from data.errors import InputError, require_at_least
from data.naming import printable
from eval.core.tables import FormatFlags
from textgan.engine.experiment import TrainingProgram
from textgan.engine.run_folder import read_metrics
from textgan.engine.settings import Settings
from textgan.runs.aggregate import group_runs, load_run, summarize, window_count
from textgan.runs.executors import RunResult, run_all, run_one
from textgan.runs.options import ExecutorOptions
from textgan.runs.ray import ReportFn, tune_on_ray

_POINTS = 10

Rates = tuple[float, float]
"""Of critic and generator."""


@dataclass(frozen=True)
class SearchOptions(FormatFlags):
    """Flags of `python -m textgan.search`."""

    preset: str
    """Settings that the rates are searched for: as --preset of the training command."""
    data: str
    """What to train on: as --data of the training command. Default: the preset's."""
    critic_lr: tuple[float, float]
    """Smallest and largest rate of the critic. Default: a tenth of the preset's, and ten times it."""
    generator_lr: tuple[float, float]
    """Smallest and largest rate of the generator. Default: a tenth of the preset's, and ten times it."""
    score: str
    """Score to make small, by its name in the metrics."""
    execution: tyro.conf.OmitArgPrefixes[ExecutorOptions] = field(default_factory=ExecutorOptions)
    """How runs are executed."""
    method: Literal["grid", "random"] = "grid"
    """Candidates: a grid of both rates, or random pairs; both evenly spread over logarithms."""
    grid_size: int = 4
    """Rates of each player, for a grid."""
    trials: int = 16
    """Pairs of rates, for random ones."""
    iterations: int = 1800
    """Generator iterations of those that come to the last rung."""
    rungs: int = 3
    """Rungs; each gives its survivors more iterations than the one before."""
    reduction_factor: int = 3
    """One candidate in so many survives a rung, for as many times the iterations."""
    seeds: tuple[int, ...] = (100, 101)
    """Seeds of each candidate; not to be used again for a report."""
    search_dir: Path = Path("searches/search")
    """Folder of the search's runs and of what came out."""


@dataclass(frozen=True)
class Trial:
    """A candidate on a rung: its rates, how long it trained, each seed's score at the end (None: the run failed)."""

    critic_lr: float
    generator_lr: float
    rung: int
    iterations: int
    scores: Sequence[float | None]

    @property
    def mean(self) -> float:
        """Mean score over seeds; infinity where one failed, which is worse than any score."""
        known = [score for score in self.scores if score is not None]
        return sum(known) / len(known) if len(known) == len(self.scores) else math.inf


def candidates(command: SearchOptions) -> list[Rates]:
    """Return pairs of critic's and generator's rate, to three digits.

    Raises:
        InputError: a range is empty, or a number of candidates not positive.
    """
    for name, (low, high) in (("--critic-lr", command.critic_lr), ("--generator-lr", command.generator_lr)):
        if not 0 < low <= high < math.inf:
            raise InputError(f"{name} {low:g} {high:g}: must be a range of positive rates")
    for name in ("grid_size", "trials", "iterations", "rungs"):
        require_at_least(f"--{name.replace('_', '-')}", getattr(command, name), 1)
    if command.rungs > 64:
        raise InputError(f"--rungs {command.rungs}: must be at most 64")
    if command.reduction_factor < 2 or not command.seeds:
        raise InputError("--reduction-factor must be at least 2, and --seeds at least one")
    ranges = (command.critic_lr, command.generator_lr)
    if command.method == "grid":
        critic, generator = (np.geomspace(*each, command.grid_size) for each in ranges)
        pairs = [(b, a) for b in critic for a in generator]
    else:
        random = np.random.default_rng(0).random((command.trials, 2))
        lowest, highest = (np.log([each[end] for each in ranges]) for end in (0, 1))
        pairs = [(b, a) for b, a in np.exp(lowest + random * (highest - lowest))]
    return list(dict.fromkeys((float(f"{b:.3g}"), float(f"{a:.3g}")) for b, a in pairs))


def search(program: TrainingProgram[Any], command: SearchOptions) -> list[Trial]:
    """Run the search and return every trial, rung by rung, the best of a rung first.

    Raises:
        InputError: a flag is impossible, or runs were stopped.
    """
    settings: Settings = replace(program.presets[command.preset], data=command.data)
    run = _on_ray if command.execution.executor == "ray" else _rung_by_rung
    trials = run(program, command, settings, candidates(command))
    return sorted(trials, key=lambda trial: (trial.rung, trial.mean))


def _rung_by_rung(
    program: TrainingProgram[Any], command: SearchOptions, settings: Settings, left: Sequence[Rates]
) -> list[Trial]:
    """Let all candidates of a rung end, then choose among them."""
    done: list[Trial] = []
    for rung in range(command.rungs):
        configs = [config for pair in left for config in _configs(command, settings, pair, rung)]
        ended = run_all(program, [config for config in configs if not _already_reached(config)], command.execution)
        if any(result.state == "stopped" for result in ended):
            raise InputError("stopped; the same command continues")
        failed = _failed(ended)
        trials = [_trial(command, settings, pair, rung, failed) for pair in left]
        trials.sort(key=lambda trial: trial.mean)
        done += trials
        if math.isinf(trials[0].mean):  # all failed, and would again
            break
        survivors = max(1, -(-len(trials) // command.reduction_factor))
        left = [(trial.critic_lr, trial.generator_lr) for trial in trials[:survivors]]
    return done


def _on_ray(
    program: TrainingProgram[Any], command: SearchOptions, settings: Settings, pairs: Sequence[Rates]
) -> list[Trial]:
    """Let Ray's ASHA choose (Li et al. 2020, arXiv 1810.05934): a candidate goes on as soon as it may, none waits.

    A candidate's seeds train one after the other in its worker.
    """
    by_name = {f"{critic_lr:g} {generator_lr:g}": (critic_lr, generator_lr) for critic_lr, generator_lr in pairs}
    # Workers have working folders of their own.
    settings, command = settings.with_absolute_paths(), replace(command, search_dir=command.search_dir.resolve())

    def run(name: str, tell: ReportFn) -> None:
        for rung in range(command.rungs):
            configs = [
                config for config in _configs(command, settings, by_name[name], rung) if not _already_reached(config)
            ]
            failed = _failed([run_one(config, program.train) for config in configs])
            trial = _trial(command, settings, by_name[name], rung, failed)
            # Ray leaves NaN out of its comparisons.
            tell({**asdict(trial), "mean": math.nan if failed else trial.mean})
            if failed:
                return

    told = tune_on_ray(
        list(by_name),
        run,
        command.execution,
        command.search_dir / "ray",
        {
            "time_attr": "iterations", "metric": "mean", "mode": "min", "max_t": command.iterations,
            "grace_period": _iterations(command, 0), "reduction_factor": command.reduction_factor,
        },
    )  # fmt: skip
    trials = []
    for name, last in told.items():
        if "rung" not in last:  # its worker was lost too often
            trials.append(Trial(*by_name[name], 0, _iterations(command, 0), [None] * len(command.seeds)))
            continue
        trials += [_trial(command, settings, by_name[name], rung, set()) for rung in range(last["rung"])]
        trials.append(Trial(*by_name[name], last["rung"], last["iterations"], last["scores"]))
    return trials


def _failed(ended: Sequence[RunResult]) -> set[Path]:
    """Return the folders of runs that failed, and say why they did."""
    failed = [result for result in ended if result.state == "failed"]
    for result in failed:
        print(printable(f"{result.folder}: {result.message}"), file=sys.stderr)
    return {result.folder for result in failed}


def _iterations(command: SearchOptions, rung: int) -> int:
    divisor: int = command.reduction_factor ** (command.rungs - 1 - rung)
    return max(1, command.iterations // divisor)


def _configs(command: SearchOptions, settings: Settings, pair: Rates, rung: int) -> list[Settings]:
    """Return a candidate's runs on a rung, a seed each."""
    return [_config(command, settings, pair, seed, _iterations(command, rung)) for seed in command.seeds]


def _trial(command: SearchOptions, settings: Settings, pair: Rates, rung: int, failed: Container[Path]) -> Trial:
    configs = _configs(command, settings, pair, rung)
    scores = [None if config.folder in failed else _score(config, command.score) for config in configs]
    return Trial(*pair, rung, _iterations(command, rung), scores)


def _config(command: SearchOptions, settings: Settings, pair: Rates, seed: int, iterations: int) -> Settings:
    critic_lr, generator_lr = pair
    return replace(
        settings,
        critic_lr=critic_lr,
        generator_lr=generator_lr,
        seed=seed,
        iterations=iterations,
        minutes=None,
        eval_every=max(1, _iterations(command, 0) // _POINTS),
        run_dir=command.search_dir / f"critic{critic_lr:g}-generator{generator_lr:g}-seed{seed}",
    )


def _already_reached(config: Settings) -> bool:
    """Whether the run is so far already, on a later rung of a search that is continued."""
    rows = read_metrics(config.folder)
    return bool(rows) and config.iterations is not None and rows[-1]["iteration"] >= config.iterations


def _score(config: Settings, score: str) -> float:
    """Return a run's mean score over the last tenth of these iterations, whatever came later."""
    run = load_run(config.folder)
    assert config.iterations is not None
    run = replace(run, metrics=run.metrics[run.metrics["iteration"] <= config.iterations])
    group = group_runs([run])
    points, _ = window_count(group, "iterations", _POINTS)
    return summarize(group, score, "iterations", points, None)[0].end
