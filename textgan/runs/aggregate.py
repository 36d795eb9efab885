"""Aggregate runs: groups of seeds, window means, best runs and best means, time to a target score.

Runs are compared by their mean scores in equal windows of the x-axis. A single score is noisy, and the best of many
scores is better than the best of few, so a method with more evaluations than another would seem better. The number of
windows is therefore at most the number of evaluations of the run with the fewest, see `window_count`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from data.errors import InputError
from eval.core.score import without_name
from textgan.engine.run_folder import NO_METHOD, DeclaredScore, declared_scores, read_metrics, read_options
from textgan.runs.significance import (
    PermutationTest,
    Values,
    mean_interval,
    paired_test,
    permutation_test,
    student_interval,
)

_TENTHS = 10
_COUNTS = ("threads", "processes", "replicas")

Axis = Literal["minutes", "wall-minutes", "iterations", "critic-updates", "gradients", "samples"]

_COLUMNS: dict[str, tuple[str, float]] = {
    "minutes": ("time/train_seconds", 60.0),
    "wall-minutes": ("time/wall_seconds", 60.0),
    "iterations": ("iteration", 1.0),
    "critic-updates": ("time/critic_updates", 1.0),
    "gradients": ("time/gradient_evaluations", 1.0),
    "samples": ("time/samples_seen", 1.0),
}


@dataclass(frozen=True)
class Run:
    """A run: settings, device name and hash of the data; scores and their floor; metrics with a row per evaluation.

    `start` is the hash of the weights that the run started from; None for random weights. `speed` names the numbers of
    threads, of processes, and of runs that trained together.
    """

    folder: Path
    config: Mapping[str, Any]
    scores: Mapping[str, DeclaredScore]
    floor: Mapping[str, float] | None
    metrics: pd.DataFrame
    start: str | None = None
    speed: str = ""

    def x(self, axis: Axis) -> Values:
        """Return the x-coordinate of each row."""
        name, unit = _COLUMNS[axis]
        x: Values = self.metrics[name].to_numpy() / unit
        return x


def load_run(folder: Path) -> Run:
    """Read a run from its folder.

    Raises:
        InputError: the folder holds no run, or a run without metrics or declared scores.
    """
    options, rows = read_options(folder), read_metrics(folder)
    if not rows:
        raise InputError(f"{folder}: no metrics yet; let it train for a while")
    metrics = pd.DataFrame(rows, columns=list(rows[-1]), dtype=float)
    # Minutes on one machine do not compare with minutes on another.
    devices = [{"replicas": len(options.get("replicas", [0])), **options["device"]}, *options.get("continued", [])]
    used = {name: list(dict.fromkeys(each[name] for each in devices if each.get(name))) for name in ("name", *_COUNTS)}
    config = {
        **options["config"],
        "device": ", then ".join(used["name"]),
        "data_sha256": options.get("data_sha256", "")[:12],
    }
    counts = [name for name in _COUNTS if used[name] and (name == "threads" or used[name] != [1])]
    start = options.get("start")
    if start is not None:  # the settings that led to the start, in place of its path
        config["start"] = start["settings"]
    return Run(
        folder, config, declared_scores(folder), options["floor"], metrics, start and start["sha256"],
        ", ".join(f"{name} {' and '.join(map(str, used[name]))}" for name in counts),
    )  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, and the group's name, which no other group has."""

    name: str
    runs: Sequence[Run]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Group runs by their settings; a group is named by its preset and by the settings that differ within the preset.

    Raises:
        InputError: two runs have the same settings and seed.
    """
    settings = pd.DataFrame(
        [{name: repr(value) for name, value in run.config.items() if name not in NO_METHOD} for run in runs]
    )
    groups = []
    for _, rows in settings.groupby(list(settings), sort=False, dropna=False):
        same = [runs[number] for number in rows.index]
        seeds = pd.Series([run.config["seed"] for run in same])
        repeated = seeds[seeds.duplicated(keep=False)]
        if repeated.size:
            folders = ", ".join(str(same[number].folder) for number in repeated.index)
            raise InputError(f"the same run twice, with seed {repeated.min()}: {folders}; leave one out")
        config = same[0].config
        of_preset = settings[settings["preset"] == repr(config["preset"])].fillna("None")
        differing = of_preset.columns[of_preset.nunique() > 1]
        groups.append(Group(", ".join([config["preset"], *(f"{name} {config.get(name)}" for name in differing)]), same))
    return groups


def shared_score(runs: Sequence[Run], name: str) -> DeclaredScore:
    """Return the declaration of a score that runs share.

    Raises:
        InputError: a run lacks the score, or the score depends on other settings there than in the first run.
    """
    for run in runs:
        if name not in run.scores:
            raise InputError(f"--scores {name}: {run.folder} is not scored by it, but by {', '.join(run.scores)}")
    first = runs[0].scores[name]
    for run in runs:
        score = run.scores[name]
        if (score.better, without_name(score.signature)) != (first.better, without_name(first.signature)):
            ours, theirs = ({f"{of.better} is better", *of.signature.split("|")} for of in (first, score))
            raise InputError(
                f"{name}: {run.folder} does not compare with {runs[0].folder}: {', '.join(sorted(theirs - ours))} "
                f"against {', '.join(sorted(ours - theirs))}"
            )
    return first


def window_means(run: Run, score: str, axis: Axis, edges: Values) -> Values:
    """Return the mean score per window (edges[i], edges[i + 1]]; an empty window has the mean of the previous window.

    Windows before the first score are NaN.
    """
    # 0: at or before the first edge; edges.size: after the last.
    window = np.searchsorted(edges, run.x(axis), side="left")
    sums, counts = (
        np.bincount(window, of_rows, edges.size + 1)[1:-1] for of_rows in (run.metrics[f"scores/{score}"], None)
    )
    full = np.flatnonzero(counts)
    means: Values = pd.Series(sums[full] / counts[full], full).reindex(range(counts.size), method="ffill").to_numpy()
    return means


@dataclass(frozen=True)
class MethodSummary:
    """Results of a group of runs by one score.

    `windows` are the window means of the runs [runs, windows], `x` the right edges of the windows. `best_run` and
    `best_mean` are the best window mean, of a run and of the mean over runs, and its x-coordinate. `ends` are the
    means of the runs over the last tenth of the axis, or over the last window; see `summarize`. `interval` is the 95 %
    Student's t confidence interval of the mean of `ends` over runs, cut to the score's range; None for a single run.
    `reached`: x at which the window mean of each run first reaches the target score, infinity if it never does.
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
        """Mean of `ends` over runs."""
        return float(self.ends.mean())

    @property
    def deviation(self) -> float | None:
        """Standard deviation of `ends` over runs; None for a single run."""
        return float(self.ends.std(ddof=1)) if self.ends.size > 1 else None


def window_count(groups: Sequence[Group], axis: Axis, most: int) -> tuple[int, Run]:
    """Return the number of windows, at most `most`, and the run with the fewest evaluations, which limits it.

    Evaluations at the start, x = 0, and after the end of the shortest run do not count; the least number is 1.
    """
    end = common_end(groups, axis)[0]

    def evaluations(run: Run) -> int:
        x = run.x(axis)
        return max(1, int(np.count_nonzero((x > 0) & (x <= end))))

    rarest = min((run for group in groups for run in group.runs), key=evaluations)
    return min(most, evaluations(rarest)), rarest


def common_end(groups: Sequence[Group], axis: Axis) -> tuple[float, str]:
    """Return the x-coordinate at which the shortest run ends, and the folder of this run."""
    return min((float(run.x(axis)[-1]), str(run.folder)) for group in groups for run in group.runs)


def summarize(
    groups: Sequence[Group], score: str, axis: Axis, points: int, level: float | None, at_last: bool = False
) -> list[MethodSummary]:
    """Summarize each group by a score, up to the end of the shortest run.

    If a run has no evaluation in the last window, its first evaluation after this window counts there: of two runs with
    the same budget in minutes, one ends an iteration later than the other.

    Args:
        groups: groups of runs.
        score: name of the score.
        axis: the x-axis.
        points: number of windows.
        level: target score. Default: the worst of the groups' means at the end.
        at_last: whether `ends` are the scores of the last evaluations if there are fewer than ten windows.

    Raises:
        InputError: a run was evaluated only at its start, lacks the score, or was scored with other settings.
    """
    declared = shared_score([run for group in groups for run in group.runs], score)
    sign = declared.sign
    end, shortest = common_end(groups, axis)
    if end <= 0:
        raise InputError(f"{shortest}: no {score} after the start; let the run train longer, or leave it out")
    edges = np.linspace(0.0, end, points + 1)
    scored = []
    for group in groups:
        windows = np.stack([window_means(run, score, axis, edges) for run in group.runs])
        for run, means in zip(group.runs, windows, strict=True):
            x = run.x(axis)
            first = int((x > edges[-2]).argmax())
            if x[first] > end:
                means[-1] = run.metrics[f"scores/{score}"].iloc[first]
        if at_last and points < _TENTHS:  # a window is longer than the last tenth
            ends = np.array([run.metrics[f"scores/{score}"].iloc[-1] for run in group.runs])
        else:
            ends = np.nanmean(windows[:, -max(1, points // _TENTHS) :], axis=1)
        scored.append((group, windows, ends))
    level = sign * max(sign * float(ends.mean()) for _, _, ends in scored) if level is None else level
    x, summaries = edges[1:], []
    for group, windows, ends in scored:
        means = windows.mean(axis=0)
        best = np.unravel_index(np.nanargmin(sign * windows), windows.shape)
        mean = int(np.nanargmin(sign * means)) if not np.isnan(means).all() else points - 1
        at_level = sign * windows <= sign * level
        reached = np.where(at_level.any(axis=1), x[at_level.argmax(axis=1)], math.inf)
        interval = mean_interval(ends)
        if interval is not None:
            low, high = np.clip(interval, declared.least, declared.most).tolist()
            interval = low, high
        best_run, best_mean = (float(windows[best]), float(x[best[1]])), (float(means[mean]), float(x[mean]))
        summaries.append(MethodSummary(group, x, windows, best_run, best_mean, ends, interval, reached))
    return summaries


def time_ratio(slow: MethodSummary, fast: MethodSummary) -> tuple[float, tuple[float, float] | None] | None:
    """Return the ratio of the times that `slow` and `fast` took to the target score, and its 95 % confidence interval.

    The times are geometric means over runs. The logarithm of their ratio is a difference of means, with the interval of
    Welch (1947). The interval is None for a single run of a method; all is None if a run never reached the target.
    """
    if not (np.isfinite(slow.reached).all() and np.isfinite(fast.reached).all()):
        return None
    logs = [np.log(summary.reached) for summary in (slow, fast)]
    difference = float(logs[0].mean() - logs[1].mean())
    degrees = np.array([log.size - 1 for log in logs])
    if not degrees.all():
        return math.exp(difference), None
    variances = np.array([log.var(ddof=1) / log.size for log in logs])
    total = float(variances.sum())
    low, high = student_interval(difference, total, total**2 / (variances**2 / degrees).sum() if total else 1.0)
    return math.exp(difference), (math.exp(low), math.exp(high))


def end_test(a: MethodSummary, b: MethodSummary) -> PermutationTest:
    """Test whether two methods differ at the end: paired if each run has a partner with the same start and seed."""
    ends = [
        {(run.start, run.config["seed"]): end for run, end in zip(method.group.runs, method.ends, strict=True)}
        for method in (a, b)
    ]
    if ends[0].keys() != ends[1].keys() or any(start is None for start, _ in ends[0]):
        return permutation_test(a.ends, b.ends)
    return paired_test(a.ends, np.array([ends[1][pair] for pair in ends[0]]))
