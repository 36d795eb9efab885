"""Curves of many runs: groups of seeds, bands, best runs and best means, time to a level, significance. Pure functions.

Runs are compared by the means of their scores in equal windows of the x-axis. A single score is noisy, and the lowest
of many lies lower than the lowest of few, so the method that is scored more often would win by that alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from textgan.rundir import read_metrics, read_options

Axis = Literal["minutes", "wall-minutes", "iterations", "critic-updates", "samples"]
Values = NDArray[np.float64]

_COLUMNS: dict[str, tuple[str, float]] = {
    "minutes": ("train_seconds", 60.0),
    "wall-minutes": ("wall_seconds", 60.0),
    "iterations": ("iteration", 1.0),
    "critic-updates": ("critic_updates", 1.0),
    "samples": ("samples_seen", 1.0),
}
# The data are in the signature, wherever they lie.
_NO_DIFFERENCE = {"seed", "run_dir", "data"}
_RESAMPLES = 10_000
_EXACT = 200_000


@dataclass(frozen=True)
class Run:
    """A run: its settings, with the device's name, its signature and floor, and its metrics as columns by name."""

    folder: Path
    config: Mapping[str, Any]
    signature: str
    floor: Mapping[str, float] | None
    columns: Mapping[str, Values]

    def x(self, axis: Axis) -> Values:
        """Return where on the axis each row is."""
        name, unit = _COLUMNS[axis]
        return self.columns[name] / unit


def load_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        InputError: it holds no run, or one without metrics.
    """
    options, rows = read_options(folder), read_metrics(folder)
    if not rows:
        raise InputError(f"{folder}: no metrics yet; let it train for a while")
    columns = {
        name: np.array([math.nan if row.get(name) is None else row[name] for row in rows], float) for name in rows[-1]
    }
    # Minutes of one machine are not those of another.
    config = {**options["config"], "device": options["device"]["name"]}
    return Run(folder, config, options["signature"], options["floor"], columns)


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, under a name that tells them from the other groups."""

    name: str
    runs: Sequence[Run]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Group runs by their settings.

    Raises:
        InputError: two runs' scores do not compare, as their signatures differ, or two have the same settings and seed.
    """
    for run in runs:
        if run.signature != runs[0].signature:
            ours, theirs = (set(each.signature.split("|")) for each in (runs[0], run))
            raise InputError(
                f"{run.folder} does not compare with {runs[0].folder}: {', '.join(sorted(theirs - ours))} "
                f"against {', '.join(sorted(ours - theirs))}"
            )
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        kept = sorted((name, repr(value)) for name, value in run.config.items() if name not in _NO_DIFFERENCE)
        grouped.setdefault(repr(kept), []).append(run)
    for same in grouped.values():
        seeds = [run.config["seed"] for run in same]
        if twice := {seed for seed in seeds if seeds.count(seed) > 1}:
            told = ", ".join(str(run.folder) for run in same if run.config["seed"] in twice)
            raise InputError(f"the same run twice, with seed {min(twice)}: {told}; leave one out")
    groups = list(grouped.values())
    settings = dict.fromkeys(name for same in groups for name in same[0].config if name not in _NO_DIFFERENCE)
    differing = [name for name in settings if len({repr(same[0].config.get(name)) for same in groups}) > 1]
    return [Group(_name(same[0].config, differing, [other[0].config for other in groups]), same) for same in groups]


def _name(config: Mapping[str, Any], differing: Sequence[str], others: Sequence[Mapping[str, Any]]) -> str:
    """Return the preset and, where groups share it, the settings in which those differ."""
    alike = [other for other in others if other["preset"] == config["preset"]]
    told = [name for name in differing if len({repr(other.get(name)) for other in alike}) > 1]
    return ", ".join([config["preset"], *(f"{name} {config.get(name)}" for name in told)])


def window_means(run: Run, score: str, axis: Axis, edges: Values) -> Values:
    """Return the mean score in each window (edges[i], edges[i + 1]]; an empty one has the value of the one before.

    Before the first score it is NaN.
    """
    x, y = run.x(axis), run.columns[score]
    window = np.searchsorted(edges, x, side="left") - 1
    inside = (window >= 0) & (window < edges.size - 1)
    sums = np.bincount(window[inside], y[inside], edges.size - 1)
    counts = np.bincount(window[inside], minlength=edges.size - 1)
    means = np.divide(sums, counts, out=np.full(sums.size, math.nan), where=counts > 0)
    last = np.maximum.accumulate(np.where(counts > 0, np.arange(means.size), -1))
    return np.where(last >= 0, means[last], math.nan)


@dataclass(frozen=True)
class Standing:
    """What a group of runs achieved, by one score. Places are on the x-axis.

    `windows` are the runs' window means [runs, windows] at the windows' ends `x`; `ends` the runs' means over the last
    tenth of the axis. `interval` is a 95 % bootstrap interval of the mean of `ends` over runs, None for a single run.
    `reached` is where each run's window mean is first at the level, infinity where never.
    """

    group: Group
    x: Values
    windows: Values
    best_run: tuple[float, float]
    best_mean: tuple[float, float]
    ends: Values
    interval: tuple[float, float] | None
    reached: Values

    @property
    def end(self) -> float:
        """Mean of the runs at the end."""
        return float(self.ends.mean())

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the runs at the end; None for a single run."""
        return float(self.ends.std(ddof=1)) if self.ends.size > 1 else None


def standings(groups: Sequence[Group], score: str, axis: Axis, points: int, level: float | None) -> list[Standing]:
    """Compare groups by a score up to where all runs have come.

    Args:
        groups: of runs.
        score: its name in the metrics; lower is better.
        axis: the x-axis.
        points: how many windows the axis is cut into.
        level: to be reached; by default the highest of the groups' means at the end.

    Raises:
        InputError: a run has no score yet where the shortest one ends.
    """
    end, first_to_end = min((float(run.x(axis)[-1]), str(run.folder)) for group in groups for run in group.runs)
    if end <= 0:
        raise InputError(f"{first_to_end}: no {score} after the start; let the run train longer, or leave it out")
    edges = np.linspace(0.0, end, points + 1)
    found = []
    for group in groups:
        windows = np.stack([window_means(run, score, axis, edges) for run in group.runs])
        last = windows[:, -max(1, points // 10) :].mean(axis=1)
        for run, value in zip(group.runs, last, strict=True):
            if math.isnan(value):
                raise InputError(
                    f"{run.folder}: no {score} up to {end:,.4g} {axis}; let the runs train longer, or leave it out"
                )
        found.append((group, windows, last))
    level = max(float(last.mean()) for _, _, last in found) if level is None else level
    return [_standing(group, edges[1:], windows, last, level) for group, windows, last in found]


def _standing(group: Group, x: Values, windows: Values, ends: Values, level: float) -> Standing:
    means = windows.mean(axis=0)
    run = np.unravel_index(np.nanargmin(windows), windows.shape)
    mean = int(np.nanargmin(means)) if not np.isnan(means).all() else windows.shape[1] - 1
    there = windows <= level
    reached = np.where(there.any(axis=1), x[there.argmax(axis=1)], math.inf)
    interval = None
    if ends.size > 1:
        random = np.random.default_rng(0)
        resampled = ends[random.integers(ends.size, size=(_RESAMPLES, ends.size))].mean(axis=1)
        low, high = np.quantile(resampled, [0.025, 0.975])
        interval = float(low), float(high)
    best_run, best_mean = (float(windows[run]), float(x[run[1]])), (float(means[mean]), float(x[mean]))
    return Standing(group, x, windows, best_run, best_mean, ends, interval, reached)


def reach_ratio(slow: Standing, fast: Standing) -> tuple[float, float, float] | None:
    """Return how many times later `slow` reached the level, in the mean over runs, with a 95 % bootstrap interval.

    None where a run never did.
    """
    if not (np.isfinite(slow.reached).all() and np.isfinite(fast.reached).all()):
        return None
    random = np.random.default_rng(0)
    above, below = (
        each.reached[random.integers(each.reached.size, size=(_RESAMPLES, each.reached.size))].mean(axis=1)
        for each in (slow, fast)
    )
    low, high = np.quantile(above / below, [0.025, 0.975])
    return float(slow.reached.mean() / fast.reached.mean()), float(low), float(high)


@dataclass(frozen=True)
class Significance:
    """A two-sided permutation test of two groups' means: its p value, and the smallest that so few runs can give."""

    p: float
    smallest: float

    @property
    def statement(self) -> str:
        """What it says, at 5 %."""
        if self.smallest > 0.05:
            return (
                f"too few runs to tell: p = {self.p:.2g}, and no outcome of so few gives less than {self.smallest:.2g}"
            )
        verdict = "a difference" if self.p <= 0.05 else "no difference to be told"
        return f"{verdict} at 5 %: p = {self.p:.2g} (permutation test)"


@lru_cache(maxsize=4)  # every pair of methods with so many runs needs the same
def _splits(runs: int, chosen: int) -> NDArray[np.int64]:
    return np.array(list(combinations(range(runs), chosen)))


def significance(a: Values, b: Values) -> Significance:
    """Test whether two groups of runs differ in their mean, by exchanging runs between them.

    All exchanges are tried where there are at most 200,000, else 100,000 random ones.
    """
    pooled = np.concatenate([a, b])
    splits = math.comb(pooled.size, a.size)
    difference = abs(float(a.mean() - b.mean()))
    if splits <= _EXACT:
        chosen = _splits(pooled.size, a.size)
    else:
        random = np.random.default_rng(0)
        chosen = np.argsort(random.random((_EXACT // 2, pooled.size)), axis=1)[:, : a.size]
    sums = pooled[chosen].sum(axis=1)
    differences = np.abs(sums / a.size - (pooled.sum() - sums) / b.size)
    as_large = int(np.count_nonzero(differences >= difference - 1e-12))
    if splits <= _EXACT:
        return Significance(as_large / splits, (2 if a.size == b.size else 1) / splits)
    # The runs as they are count as one of the exchanges, so that p is never 0.
    return Significance((as_large + 1) / (len(chosen) + 1), 1 / (len(chosen) + 1))
