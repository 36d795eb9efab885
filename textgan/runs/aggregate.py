"""Curves of many runs: groups of seeds, bands, best runs and best means, time to a level, significance. Pure functions.

Runs are compared by the means of their scores in equal windows of the x-axis. A single score is noisy, and the lowest
of many lies lower than the lowest of few, so the method that is scored more often would win by that alone. There are
at most as many windows as the run with the fewest evaluations has evaluations, see `window_count`.

Intervals over runs are Student's t: a percentile bootstrap of two or three runs covers the mean in half or three
quarters of all cases where it claims 95 %.
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
from eval.core.score import without_name
from textgan.engine.run_folder import read_metrics, read_options, score_range, without_group

Axis = Literal["minutes", "wall-minutes", "iterations", "critic-updates", "samples"]
Values = NDArray[np.float64]

_COLUMNS: dict[str, tuple[str, float]] = {
    "minutes": ("train_seconds", 60.0),
    "wall-minutes": ("wall_seconds", 60.0),
    "iterations": ("iteration", 1.0),
    "critic-updates": ("critic_updates", 1.0),
    "samples": ("samples_seen", 1.0),
}
# The hashes of data and weights are in the signature, wherever their files lie.
_NO_DIFFERENCE = {"seed", "run_dir", "data", "weights"}
_CONFIDENCE = 0.95
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
        without_group(name): np.array([math.nan if row.get(name) is None else row[name] for row in rows], float)
        for name in rows[-1]
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
        if without_name(run.signature) != without_name(runs[0].signature):
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
class MethodSummary:
    """What a group of runs achieved, by one score. Places are on the x-axis.

    `windows` are the runs' window means [runs, windows] at the windows' ends `x`; `ends` the runs' means over the last
    tenth of the axis, or the last window. `interval` is the 95 % Student's t interval of the mean of `ends` over runs,
    cut to the score's range; None for a single run. `reached` is the place on the x-axis at which each run's window
    mean is first at the level, infinity if it never is.
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


def window_count(groups: Sequence[Group], axis: Axis, most: int) -> tuple[int, Run]:
    """Return how many windows the evaluations carry, at most `most`, and the run with the fewest evaluations.

    Evaluations at the start, x = 0, and after the end of the shortest run do not count; one is there at least.
    """
    end = _common_end(groups, axis)[0]

    def evaluations(run: Run) -> int:
        x = run.x(axis)
        return max(1, int(np.count_nonzero((x > 0) & (x <= end))))

    rarest = min((run for group in groups for run in group.runs), key=evaluations)
    return min(most, evaluations(rarest)), rarest


def _common_end(groups: Sequence[Group], axis: Axis) -> tuple[float, str]:
    """Return where on the axis the shortest run ends, and its folder."""
    return min((float(run.x(axis)[-1]), str(run.folder)) for group in groups for run in group.runs)


def summarize(groups: Sequence[Group], score: str, axis: Axis, points: int, level: float | None) -> list[MethodSummary]:
    """Compare groups by a score up to where all runs have come.

    A run that has no evaluation in the last window has its first one after it there: of two runs with one budget in
    minutes, either ends a step later than the other.

    Args:
        groups: of runs.
        score: its name in the metrics; lower is better.
        axis: the x-axis.
        points: how many windows the axis is cut into.
        level: to be reached; by default the highest of the groups' means at the end.

    Raises:
        InputError: a run was scored at its start alone.
    """
    end, first_to_end = _common_end(groups, axis)
    if end <= 0:
        raise InputError(f"{first_to_end}: no {score} after the start; let the run train longer, or leave it out")
    edges = np.linspace(0.0, end, points + 1)
    found = []
    for group in groups:
        windows = np.stack([window_means(run, score, axis, edges) for run in group.runs])
        for run, means in zip(group.runs, windows, strict=True):
            after = run.x(axis) > edges[-2]
            first = int(after.argmax())
            if run.x(axis)[first] > end:
                means[-1] = run.columns[score][first]
        found.append((group, windows, np.nanmean(windows[:, -max(1, points // 10) :], axis=1)))
    level = max(float(last.mean()) for _, _, last in found) if level is None else level
    return [_standing(group, edges[1:], windows, last, level, score_range(score)) for group, windows, last in found]


def _standing(
    group: Group, x: Values, windows: Values, ends: Values, level: float, allowed: tuple[float, float]
) -> MethodSummary:
    means = windows.mean(axis=0)
    run = np.unravel_index(np.nanargmin(windows), windows.shape)
    mean = int(np.nanargmin(means)) if not np.isnan(means).all() else windows.shape[1] - 1
    there = windows <= level
    reached = np.where(there.any(axis=1), x[there.argmax(axis=1)], math.inf)
    interval = mean_interval(ends)
    if interval is not None:
        low, high = np.clip(interval, *allowed).tolist()
        interval = low, high
    best_run, best_mean = (float(windows[run]), float(x[run[1]])), (float(means[mean]), float(x[mean]))
    return MethodSummary(group, x, windows, best_run, best_mean, ends, interval, reached)


def mean_interval(values: Values) -> tuple[float, float] | None:
    """Return the 95 % Student's t interval of the mean of independent normal values; None for a single one."""
    if values.size < 2:
        return None
    return _student(float(values.mean()), float(values.var(ddof=1)) / values.size, values.size - 1)


def time_ratio(slow: MethodSummary, fast: MethodSummary) -> tuple[float, tuple[float, float] | None] | None:
    """Return how many times later `slow` reached the level than `fast`, and the 95 % interval of this ratio.

    The ratio is that of the geometric means over runs. Its logarithm is a difference of means, which has the interval
    of Welch (1947). The interval is None with a single run of a method; all is None if a run never reached the level.
    """
    if not (np.isfinite(slow.reached).all() and np.isfinite(fast.reached).all()):
        return None
    logs = [np.log(each.reached) for each in (slow, fast)]
    difference = float(logs[0].mean() - logs[1].mean())
    if min(each.size for each in logs) < 2:
        return math.exp(difference), None
    variances = [float(each.var(ddof=1)) / each.size for each in logs]
    of_each = sum(variance**2 / (each.size - 1) for variance, each in zip(variances, logs, strict=True))
    low, high = _student(difference, sum(variances), sum(variances) ** 2 / of_each if of_each else 1.0)
    return math.exp(difference), (math.exp(low), math.exp(high))


def _student(centre: float, variance: float, degrees_of_freedom: float) -> tuple[float, float]:
    """Return the 95 % Student's t interval about an estimate of this variance."""
    from scipy import stats  # half a second, and most of this module does without

    if not variance:
        return centre, centre
    low, high = stats.t.interval(_CONFIDENCE, degrees_of_freedom, centre, math.sqrt(variance))
    return float(low), float(high)


@dataclass(frozen=True)
class PermutationTest:
    """A two-sided permutation test of two groups' means: its p value, and the smallest that so few runs can give."""

    p: float
    min_p: float

    @property
    def statement(self) -> str:
        """What it says, at 5 %."""
        if self.min_p > 0.05:
            return f"too few runs to tell: p = {self.p:.2g}, and no outcome of so few gives less than {self.min_p:.2g}"
        verdict = "a difference" if self.p <= 0.05 else "no difference to be told"
        return f"{verdict} at 5 %: p = {self.p:.2g} (permutation test)"


@lru_cache(maxsize=4)  # every pair of methods with so many runs needs the same
def _splits(runs: int, chosen: int) -> NDArray[np.int64]:
    return np.array(list(combinations(range(runs), chosen)))


def permutation_test(a: Values, b: Values) -> PermutationTest:
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
        return PermutationTest(as_large / splits, (2 if a.size == b.size else 1) / splits)
    # The runs as they are count as one of the exchanges, so that p is never 0.
    return PermutationTest((as_large + 1) / (len(chosen) + 1), 1 / (len(chosen) + 1))
