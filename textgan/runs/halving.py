"""Successive halving over the two learning rates (Jamieson & Talwalkar 2016, arXiv 1502.07943).

On a rung, all candidates (pairs of rates) train for the same number of iterations; the best third (1 /
--reduction-factor) continues on the next rung, to three times that number. Both rates are constant, as a linear
schedule needs its end from the start.
"""

import math
import sys
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.errors import InputError, require_at_least
from data.naming import as_flag, printable
from eval.core.tables import FormatFlags
from textgan.engine.run_folder import read_metrics, read_options
from textgan.engine.settings import GanSettings
from textgan.runs.aggregate import group_runs, load_run, summarize, window_count
from textgan.runs.executors import RunResult, run_all, run_one
from textgan.runs.options import ExecutorOptions
from textgan.runs.program import TrainingProgram
from textgan.runs.ray import ReportFn, tune_on_ray

_POINTS = 10

Rates = tuple[float, float]
"""Learning rates of critic and generator."""


@dataclass(frozen=True)
class SearchOptions(FormatFlags):
    """Flags of `python -m textgan.search`."""

    preset: str
    """Preset of the training command whose two rates are searched."""
    data: str
    """Training data, as in the training command. Default: the preset's data."""
    critic_lr: tuple[float, float]
    """Smallest and largest learning rate of the critic. Default: 1/10 and 10 times the preset's."""
    generator_lr: tuple[float, float]
    """Smallest and largest learning rate of the generator. Default: 1/10 and 10 times the preset's."""
    score: str | None = None
    """Score that decides which pairs of rates continue. Default: the first headline score."""
    execution: ExecutorOptions = field(default_factory=ExecutorOptions)
    """How runs are executed."""
    method: Literal["grid", "random"] = "grid"
    """Pairs of rates to try: a grid, or random pairs; both are uniform on a log scale."""
    grid_size: int = 4
    """Learning rates per player, for --method grid."""
    trials: int = 16
    """Number of pairs of rates, for --method random."""
    iterations: int = 1800
    """Generator iterations per run on the last rung, after pretraining and warm-up."""
    rungs: int = 3
    """Number of rungs; on each next rung fewer pairs of rates train for more iterations."""
    reduction_factor: int = 3
    """Factor between rungs: divides the number of pairs of rates, multiplies the iterations."""
    seeds: tuple[int, ...] = (100, 101)
    """Seeds of the runs with each pair of rates; report results on other seeds."""
    search_dir: Path = Path("searches/search")
    """Folder for the runs, search.json and search.png."""


@dataclass(frozen=True)
class Trial:
    """A candidate on a rung: rates, generator iterations, and the final score of each seed (None: the run failed)."""

    critic_lr: float
    generator_lr: float
    rung: int
    iterations: int
    scores: Sequence[float | None]

    @property
    def mean(self) -> float | None:
        """Mean score over seeds; None if one of the runs failed."""
        known = [score for score in self.scores if score is not None]
        return sum(known) / len(known) if len(known) == len(self.scores) else None

    def rank(self, sign: int) -> float:
        """Return the mean times the score's sign, infinity if a run failed: smaller is better."""
        return math.inf if self.mean is None else sign * self.mean


def candidates(command: SearchOptions) -> list[Rates]:
    """Return the pairs of rates to try, of critic and generator, rounded to three digits.

    Raises:
        InputError: a flag's value is impossible, for instance an empty range of rates.
    """
    for name, (low, high) in (("--critic-lr", command.critic_lr), ("--generator-lr", command.generator_lr)):
        if not 0 < low <= high < math.inf:
            raise InputError(f"{name} {low:g} {high:g}: must be a range of positive rates")
    for name in ("grid_size", "trials", "iterations", "rungs"):
        require_at_least(as_flag(name), getattr(command, name), 1)
    if command.rungs > 64:
        raise InputError(f"--rungs {command.rungs}: must be at most 64")
    if command.reduction_factor < 2 or not command.seeds:
        raise InputError("--reduction-factor must be at least 2, and --seeds at least one")
    if len({*command.seeds}) < len(command.seeds):
        raise InputError(f"--seeds {' '.join(map(str, command.seeds))}: a seed is given twice; leave one out")
    ranges = (command.critic_lr, command.generator_lr)
    if command.method == "grid":
        critic, generator = (np.geomspace(*ends, command.grid_size) for ends in ranges)
        pairs = [(b, a) for b in critic for a in generator]
    else:
        random = np.random.default_rng(0).random((command.trials, 2))
        lowest, highest = (np.log([ends[index] for ends in ranges]) for index in (0, 1))
        pairs = [(b, a) for b, a in np.exp(lowest + random * (highest - lowest))]
    return list(dict.fromkeys((float(f"{b:.3g}"), float(f"{a:.3g}")) for b, a in pairs))


def search(program: TrainingProgram[Any], command: SearchOptions, sign: int) -> list[Trial]:
    """Run the search and return all trials, sorted by rung and then from best to worst.

    Args:
        program: trains the runs.
        command: the search's flags, with a score.
        sign: 1 if a lower score is better, else -1.

    Raises:
        InputError: a flag's value is impossible, or runs were stopped.
    """
    settings: GanSettings = replace(program.presets[command.preset], data=command.data)
    run = _on_ray if command.execution.executor == "ray" else _rung_by_rung
    trials = run(program, command, settings, candidates(command), sign)
    return sorted(trials, key=lambda trial: (trial.rung, trial.rank(sign)))


def _rung_by_rung(
    program: TrainingProgram[Any], command: SearchOptions, settings: GanSettings, pairs: Sequence[Rates], sign: int
) -> list[Trial]:
    """Train all candidates of a rung, then the best of them on the next rung."""
    done: list[Trial] = []
    for rung in range(command.rungs):
        configs = [config for pair in pairs for config in _configs(command, settings, pair, rung)]
        ended = run_all(program, [config for config in configs if not _already_reached(config)], command.execution)
        if any(result.state == "stopped" for result in ended):
            raise InputError("stopped; the same command continues")
        failed = _failed(ended)
        trials = [_trial(command, settings, pair, rung, failed) for pair in pairs]
        trials.sort(key=lambda trial: trial.rank(sign))
        done += trials
        if trials[0].mean is None:  # all failed, and would fail again
            break
        survivors = max(1, -(-len(trials) // command.reduction_factor))
        pairs = [(trial.critic_lr, trial.generator_lr) for trial in trials[:survivors]]
    return done


def _on_ray(
    program: TrainingProgram[Any], command: SearchOptions, settings: GanSettings, pairs: Sequence[Rates], sign: int
) -> list[Trial]:
    """Promote candidates by Ray's ASHA (Li et al. 2020, arXiv 1810.05934), without waiting for the rest of the rung.

    A candidate's seeds train sequentially in one worker.
    """
    by_name = {f"{critic_lr:g} {generator_lr:g}": (critic_lr, generator_lr) for critic_lr, generator_lr in pairs}
    # Workers have different working folders.
    settings, command = settings.with_absolute_paths(), replace(command, search_dir=command.search_dir.resolve())

    def run(name: str, report: ReportFn) -> None:
        for rung in range(command.rungs):
            configs = _configs(command, settings, by_name[name], rung)
            failed = _failed([run_one(config, program.train) for config in configs if not _already_reached(config)])
            trial = _trial(command, settings, by_name[name], rung, failed)
            # Ray ignores NaN in its comparisons.
            report({**asdict(trial), "rank": math.nan if failed else trial.rank(sign)})
            if failed:
                return

    reported = tune_on_ray(
        list(by_name),
        run,
        command.execution,
        command.search_dir / "ray",
        {
            "time_attr": "iterations", "metric": "rank", "mode": "min", "max_t": command.iterations,
            "grace_period": _iterations(command, 0), "reduction_factor": command.reduction_factor,
        },
    )  # fmt: skip
    trials = []
    for name, last in reported.items():
        if "rung" not in last:  # the worker was lost more than `retries` times
            trials.append(Trial(*by_name[name], 0, _iterations(command, 0), [None] * len(command.seeds)))
            continue
        trials += [_trial(command, settings, by_name[name], rung, set()) for rung in range(last["rung"])]
        trials.append(Trial(*by_name[name], last["rung"], last["iterations"], last["scores"]))
    return trials


def _failed(ended: Sequence[RunResult]) -> set[Path]:
    """Return the folders of failed runs, and print the reasons to stderr."""
    failed = [result for result in ended if result.state == "failed"]
    for result in failed:
        print(printable(f"{result.folder}: {result.message}"), file=sys.stderr)
    return {result.folder for result in failed}


def _iterations(command: SearchOptions, rung: int) -> int:
    divisor: int = command.reduction_factor ** (command.rungs - 1 - rung)
    return max(1, command.iterations // divisor)


def _configs(command: SearchOptions, settings: GanSettings, pair: Rates, rung: int) -> list[GanSettings]:
    """Return a candidate's runs on a rung, one per seed."""
    critic_lr, generator_lr = pair
    return [
        replace(
            settings, critic_lr=critic_lr, generator_lr=generator_lr, critic_schedule="constant",
            generator_schedule="constant", seed=seed, minutes=None,
            iterations=settings.iterations_before + _iterations(command, rung),
            eval_every=max(1, _iterations(command, 0) // _POINTS),
            run_dir=command.search_dir / f"critic{critic_lr:g}-generator{generator_lr:g}-seed{seed}",
        )
        for seed in command.seeds
    ]  # fmt: skip


def _trial(command: SearchOptions, settings: GanSettings, pair: Rates, rung: int, failed: Container[Path]) -> Trial:
    configs = _configs(command, settings, pair, rung)
    assert command.score is not None
    scores = [None if config.folder in failed else _score(config, command.score) for config in configs]
    return Trial(*pair, rung, _iterations(command, rung), scores)


def _already_reached(config: GanSettings) -> bool:
    """Whether the run has already trained for `config.iterations`: the search is resumed, perhaps from a later rung.

    Raises:
        InputError: the run has other settings; names the flag.
    """
    rows = read_metrics(config.folder)
    if not rows or config.iterations is None or rows[-1]["iteration"] < config.iterations:
        return False
    recorded = read_options(config.folder)["config"]
    for name, value in config.as_json().items():
        if name not in ("iterations", "run_dir") and recorded.get(name) != value:
            flag = "--iterations" if name == "eval_every" else as_flag(name)
            raise InputError(f"{flag}: the search in {config.folder.parent} has another; choose another --search-dir")
    return True


def _score(config: GanSettings, score: str) -> float:
    """Return a run's mean score over the last tenth of `config.iterations`; evaluations after them do not count."""
    run = load_run(config.folder)
    assert config.iterations is not None
    run = replace(run, metrics=run.metrics[run.metrics["iteration"] <= config.iterations])
    group = group_runs([run])
    points, _ = window_count(group, "iterations", _POINTS)
    return summarize(group, score, "iterations", points, None)[0].end
