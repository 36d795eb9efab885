"""Compare runs: seeds as bands, best runs and best means, time to a level, significance.

    python -m textgan.compare suites/suite
    python -m textgan.compare runs/ttur-small-* runs/orig-small-* --axis iterations --format markdown
    python -m textgan.compare suites/suite --output figure.svg --paper

Runs that differ in nothing but their seed are one method. Scores are compared as means in equal windows of the x-axis,
so that a method gains nothing from being scored more often.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.errors import InputError, require_at_least
from eval.core.figures import require_image_ending
from eval.core.tables import Block, Format, FormatFlags, fixed, render
from textgan.engine.run_folder import find_runs, headline, require_scores
from textgan.runs.aggregate import (
    Axis,
    Group,
    MethodSummary,
    group_runs,
    load_run,
    permutation_test,
    summarize,
    time_ratio,
    window_count,
)
from textgan.runs.plots import plot_bands


@dataclass(frozen=True)
class CompareCommand(FormatFlags):
    """Flags of `python -m textgan.compare`."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of runs, folders that hold runs, or globs."""
    scores: tuple[str, ...] | None = None
    """Scores to compare, by their names in the metrics; lower is better. Default: jsd_4 and jsd_6 of text, fid or fd_random of images."""
    axis: Axis = "minutes"
    """X-axis: minutes of training, minutes by the clock on the wall, generator iterations, critic updates, or real samples seen."""
    windows: int = 60
    """Windows that the x-axis is cut into, at most: no more than the run with the fewest evaluations has of them."""
    target: float | None = None
    """Level whose reaching is timed. Default: the worst method's mean at the end."""
    output: Path | None = None
    """Image file (.png, .svg, .pdf) for a figure: mean line and min-max band of each method, and what real text scores."""
    paper: bool = False
    """Draw the TTUR paper's curves too (minutes of another machine)."""


@dataclass(frozen=True)
class Compared:
    """One score's comparison: where the methods stand, and the score of real data.

    `note` says so if runs have too few evaluations for all windows that were asked for.
    """

    score: str
    axis: Axis
    level: float
    floor: float | None
    summarize: list[MethodSummary]
    note: str | None


def compare(command: CompareCommand) -> list[Compared]:
    """Return the comparison by each score.

    Raises:
        InputError: runs cannot be read or do not compare, or lack a score.
    """
    if not command.runs:
        raise InputError("no runs: name at least one folder")
    if command.scores == ():
        raise InputError("--scores: name at least one score")
    if command.target is not None and not math.isfinite(command.target):
        raise InputError(f"--target {command.target}: must be finite")
    require_at_least("--windows", command.windows, 2)
    groups = group_runs([load_run(folder) for folder in find_runs(command.runs)])
    runs = [run for group in groups for run in group.runs]
    points, note = _windows(groups, command)
    found = []
    for score in command.scores or headline(require_scores(runs[0].folder)):
        if lacking := [run for run in runs if score not in run.columns]:
            has = ", ".join(lacking[0].columns)
            raise InputError(f"--scores {score}: not in the metrics of {lacking[0].folder}, which has {has}")
        stand = summarize(groups, score, command.axis, points, command.target)
        level = max(each.end for each in stand) if command.target is None else command.target
        floor = None if runs[0].floor is None else runs[0].floor.get(score)
        found.append(Compared(score, command.axis, level, floor, stand, note))
    return found


def _windows(groups: Sequence[Group], command: CompareCommand) -> tuple[int, str | None]:
    """Return the number of windows, and a note if it is smaller than asked for."""
    points, rarest = window_count(groups, command.axis, command.windows)
    if points == command.windows:
        return points, None
    by_clock = "a larger --eval-seconds" if rarest.config.get("eval_seconds") else "--eval-seconds"
    remedy = f"; {by_clock} scores all methods at the same times" if "minutes" in command.axis else ""
    evaluations = "one evaluation" if points == 1 else f"{points} evaluations"
    return (
        points,
        f"note: {points} of {command.windows} windows: {rarest.folder} has {evaluations} after its start{remedy}",
    )


_HEAD = (
    "method",
    "runs",
    "best run",
    "at",
    "best mean",
    "at",
    "mean at the end",
    "sd",
    "95 % interval",
    "reached after",
)


def _row(standing: MethodSummary) -> list[str]:
    low_high = standing.interval
    reached = standing.reached[~(standing.reached == math.inf)]
    told = "never" if not reached.size else f"{reached.mean():,.4g}"
    if reached.size < standing.reached.size and reached.size:
        told += f" ({reached.size} of {standing.reached.size} runs)"
    return [
        standing.group.name,
        str(len(standing.group.runs)),
        f"{standing.best_run[0]:.3f}",
        f"{standing.best_run[1]:,.4g}",
        f"{standing.best_mean[0]:.3f}",
        f"{standing.best_mean[1]:,.4g}",
        f"{standing.end:.3f}",
        "-" if standing.deviation is None else f"{standing.deviation:.3f}",
        "-" if low_high is None else f"{low_high[0]:.3f} .. {low_high[1]:.3f}",
        told,
    ]


def conclusions(compared: Compared) -> list[str]:
    """Return what can be said of each pair of methods: whether they differ, how much later one reached the level."""
    said = []
    for a, b in combinations(compared.summarize, 2):
        better, worse = sorted((a, b), key=lambda each: each.end)
        told = permutation_test(a.ends, b.ends).statement
        said.append(
            f"{better.group.name} against {worse.group.name} at the end: {fixed(better.end - worse.end, 3, '+')}; {told}"
        )
        first, last = sorted((a, b), key=lambda each: float(each.reached.mean()))
        ratio = time_ratio(last, first)
        if ratio is None:
            reached = " and ".join(_reached(each) for each in (first, last))
            said.append(f"no ratio of times to {compared.level:.3f}, which {reached} reached")
            continue
        interval = (
            "a single run: no interval" if ratio[1] is None else "95 % interval {:.2f} .. {:.2f}".format(*ratio[1])
        )
        took = f"{ratio[0]:.2f} times as long as {first.group.name} to {compared.level:.3f}"
        said.append(f"{last.group.name} took {took} ({interval})")
    return said


def _reached(standing: MethodSummary) -> str:
    """Return how many runs of a method reached the level."""
    return f"{np.isfinite(standing.reached).sum()} of {standing.reached.size} runs of {standing.group.name}"


def _table(compared: Compared) -> list[list[str]]:
    return [list(_HEAD), *(_row(each) for each in compared.summarize)]


def _title(compared: Compared) -> str:
    end = compared.summarize[0].x[-1]
    windows = compared.summarize[0].x.size
    floor = "" if compared.floor is None else f", real data {compared.floor:.3f}"
    return (
        f"{compared.score} against {compared.axis}, means in {windows} window{'' if windows == 1 else 's'} up to {end:,.4g}, "
        f"level {compared.level:.3f}{floor}"
    )


def rendered(found: Sequence[Compared], output_format: Format) -> str:
    """Return the comparison in a format: tables with statements, all numbers, or a line for each score and method."""
    blocks = [Block(_title(compared), _table(compared), conclusions(compared)) for compared in found]
    notes = [*blocks[-1].notes, *([] if found[0].note is None else [found[0].note])]
    blocks[-1] = replace(blocks[-1], notes=notes, signatures=[found[0].summarize[0].group.runs[0].signature])
    return render(output_format, blocks, _records(found), _whole(found))


def _whole(found: Sequence[Compared]) -> list[dict[str, Any]]:
    """Return everything as JSON-serialisable objects, one for each score; what is unknown or never was is None."""

    def known(values: Any) -> list[float | None]:
        return [float(value) if math.isfinite(value) else None for value in values]

    def standing(each: MethodSummary) -> dict[str, Any]:
        return {
            "method": each.group.name,
            "runs": [str(run.folder) for run in each.group.runs],
            "best_run": {"value": each.best_run[0], "at": each.best_run[1]},
            "best_mean": {"value": each.best_mean[0], "at": each.best_mean[1]},
            "end": {"mean": each.end, "sd": each.deviation, "interval": each.interval, "runs": known(each.ends)},
            "reached": known(each.reached),
            "x": known(each.x),
            "windows": [known(run) for run in each.windows],
        }

    return [
        {
            "score": compared.score,
            "axis": compared.axis,
            "level": compared.level,
            "floor": compared.floor,
            "signature": compared.summarize[0].group.runs[0].signature,
            "methods": [standing(each) for each in compared.summarize],
            "statements": conclusions(compared),
            "note": compared.note,
        }
        for compared in found
    ]


def _records(found: Sequence[Compared]) -> list[dict[str, Any]]:
    """Return the rows of the CSV file. `reached` is the mean over the `reached_runs` runs that came to the level."""
    records = []
    for compared in found:
        for each in compared.summarize:
            reached = each.reached[each.reached < math.inf]
            low, high = each.interval or (None, None)
            records.append(
                {
                    "score": compared.score,
                    "axis": compared.axis,
                    "level": compared.level,
                    "floor": compared.floor,
                    "method": each.group.name,
                    "runs": len(each.group.runs),
                    "best_run": each.best_run[0],
                    "best_run_at": each.best_run[1],
                    "best_mean": each.best_mean[0],
                    "best_mean_at": each.best_mean[1],
                    "end": each.end,
                    "sd": each.deviation,
                    "low": low,
                    "high": high,
                    "reached": float(reached.mean()) if reached.size else None,
                    "reached_runs": reached.size,
                }
            )
    return records


def main(arguments: list[str]) -> int:
    """Print the comparison, and draw it where asked."""
    command = parse_command(CompareCommand, arguments, "textgan.compare", __doc__)
    if command.output is not None:
        require_image_ending(command.output, "--output")
    found = compare(command)
    if command.output is not None:
        plot_bands(
            command.output, [(each.score, each.axis, each.floor, each.summarize) for each in found], command.paper
        )
    print(rendered(found, command.output_format))
    return 0


if __name__ == "__main__":
    run_command(main)
