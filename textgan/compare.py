"""Compare methods by their runs: best runs and best means, time to a target score, permutation tests.

    python -m textgan.compare suites/suite
    python -m textgan.compare runs/ttur-small-* runs/orig-small-* --axis iterations --format markdown
    python -m textgan.compare suites/suite --output figure.svg --paper
    python -m textgan.compare suites/controls --target 0.6 --ratio-figure ratios.svg

Runs that differ only in their seed are one method. Scores are averaged over equal windows of the x-axis, so that a
method gains nothing from being scored more often.
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
from eval.core.score import without_name
from eval.core.tables import Block, Format, FormatFlags, fixed, render
from eval.text.metrics import EXACT_SCORES
from textgan.engine.run_folder import DeclaredScore, find_runs, headline
from textgan.runs.aggregate import (
    Axis,
    MethodSummary,
    Run,
    end_test,
    group_runs,
    load_run,
    shared_score,
    summarize,
    time_ratio,
)
from textgan.runs.notes import note_on_speeds, windows_and_note
from textgan.runs.plots import plot_bands, plot_ratios
from textgan.runs.ratios import rate_ratio, require_rates_alone

_HEAD = [
    "method", "runs", "best run", "at", "best mean", "at", "mean at the end", "sd", "95 % interval", "reached after",
]  # fmt: skip


@dataclass(frozen=True)
class CompareCommand(FormatFlags):
    """Flags of `python -m textgan.compare`."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of runs, folders that hold runs, or globs."""
    scores: tuple[str, ...] | None = None
    """Scores to compare. Default: the headline scores (jsd_4 and jsd_6 of text, fid or fd_random of images)."""
    axis: Axis = "minutes"
    """X-axis: minutes of training, wall-clock minutes, generator iterations, critic updates, gradient evaluations of
    both players, or real samples."""
    windows: int = 60
    """Number of windows of the x-axis; at most the number of evaluations of the run with the fewest."""
    target: float | None = None
    """Target score, for the time at which each method reaches it. Default: worst method's mean at the end."""
    output: Path | None = None
    """Figure (.png, .svg, .pdf): mean line and min-max band per method, and the score of real data."""
    ratio_figure: Path | None = None
    """Figure of the time to the target score against the ratio of critic's to generator's learning rate, of runs that
    differ in these rates alone."""
    paper: bool = False
    """Draw the TTUR paper's curves too, against minutes on the paper's machine."""


@dataclass(frozen=True)
class Compared:
    """The comparison of methods by one score. `level` is the target score, `floor` the score of real data.

    `note`: the run that has too few evaluations for the requested number of windows, and speeds that differ, if any.
    """

    score: str
    declared: DeclaredScore
    axis: Axis
    level: float
    floor: float | None
    methods: list[MethodSummary]
    note: str | None


def compare(command: CompareCommand) -> list[Compared]:
    """Return one comparison of the methods per score.

    Raises:
        InputError: runs cannot be read, are not comparable, or lack a score.
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
    points, few = windows_and_note(groups, command.axis, command.windows)
    note = "\n".join(filter(None, [few, note_on_speeds(runs, command.axis)])) or None
    comparisons = []
    for score in command.scores or _common_headlines(runs):
        declared = shared_score(runs, score)
        methods = summarize(groups, score, command.axis, points, command.target)
        worst = declared.sign * max(declared.sign * method.end for method in methods)
        level = worst if command.target is None else command.target
        floor = None if runs[0].floor is None else runs[0].floor.get(score)
        comparisons.append(Compared(score, declared, command.axis, level, floor, methods, note))
    return comparisons


def _common_headlines(runs: Sequence[Run]) -> list[str]:
    """Return the headline scores of the first run that all runs have; if there are none, all scores that they share.

    Exact scores are left out if the runs have other symbols or held-out lines; scores of samples may still compare.
    """
    common = [name for name in runs[0].scores if all(name in run.scores for run in runs)]
    signatures = {name: {without_name(run.scores[name].signature) for run in runs} for name in common}
    common = [name for name in common if name not in EXACT_SCORES or len(signatures[name]) == 1]
    return [name for name in headline(runs[0].scores) if name in common] or common or headline(runs[0].scores)


def conclusions(compared: Compared) -> list[str]:
    """Return two sentences per pair of methods: whether they differ, and the ratio of their times to the target."""
    sentences = []
    for a, b in combinations(compared.methods, 2):
        better, worse = sorted((a, b), key=lambda method: compared.declared.sign * method.end)
        difference = fixed(better.end - worse.end, 3, "+")
        verdict = end_test(a, b).statement
        sentences.append(f"{better.group.name} against {worse.group.name} at the end: {difference}; {verdict}")
        first, last = sorted((a, b), key=lambda method: float(method.reached.mean()))
        ratio = time_ratio(last, first)
        if ratio is None:
            reached = " and ".join(_reached(method) for method in (first, last))
            sentences.append(f"no ratio of times to {compared.level:.3f}, which {reached} reached")
            continue
        times = f"{ratio[0]:.2f} times as long as {first.group.name} to {compared.level:.3f}"
        none = "a single run: no interval"
        interval = none if ratio[1] is None else "95 % interval {:.2f} .. {:.2f}".format(*ratio[1])
        sentences.append(f"{last.group.name} took {times} ({interval})")
    return sentences


def _reached(method: MethodSummary) -> str:
    """Return how many runs of a method reached the target score."""
    return f"{np.isfinite(method.reached).sum()} of {method.reached.size} runs of {method.group.name}"


def rendered(comparisons: Sequence[Compared], output_format: Format) -> str:
    """Return tables with conclusions; as CSV, a row per score and method; as JSON, all numbers."""
    sentences = [conclusions(compared) for compared in comparisons]
    records = [[_record(compared, method) for method in compared.methods] for compared in comparisons]
    blocks = [
        Block(_title(compared), [_HEAD, *map(_row, rows)], lines)
        for compared, rows, lines in zip(comparisons, records, sentences, strict=True)
    ]
    notes = [*sentences[-1], *([] if comparisons[0].note is None else [comparisons[0].note])]
    signatures = list(dict.fromkeys(compared.declared.signature for compared in comparisons))
    blocks[-1] = replace(blocks[-1], notes=notes, signatures=signatures)
    whole = [_whole(compared, lines) for compared, lines in zip(comparisons, sentences, strict=True)]
    return render(output_format, blocks, [record for rows in records for record in rows], whole)


def _title(compared: Compared) -> str:
    x = compared.methods[0].x
    windows = "1 window" if x.size == 1 else f"{x.size} windows"
    floor = "" if compared.floor is None else f", real data {compared.floor:.3f}"
    score = compared.score if compared.declared.better == "lower" else f"{compared.score} (higher is better)"
    means = f"means in {windows} up to {x[-1]:,.4g}"
    return f"{score} against {compared.axis}, {means}, level {compared.level:.3f}{floor}"


def _facts(compared: Compared) -> dict[str, Any]:
    return {name: getattr(compared, name) for name in ("score", "axis", "level", "floor")}


def _record(compared: Compared, method: MethodSummary) -> dict[str, Any]:
    """Return a row of the CSV file.

    `reached` is the mean over the `reached_runs` runs that reached the target, `ratio` critic's over generator's rate.
    """
    reached = method.reached[method.reached < math.inf]
    low, high = method.interval or (None, None)
    return {
        **_facts(compared),
        "method": method.group.name,
        "runs": len(method.group.runs),
        "best_run": method.best_run[0],
        "best_run_at": method.best_run[1],
        "best_mean": method.best_mean[0],
        "best_mean_at": method.best_mean[1],
        "end": method.end,
        "sd": method.deviation,
        "low": low,
        "high": high,
        "reached": float(reached.mean()) if reached.size else None,
        "reached_runs": reached.size,
        "ratio": rate_ratio(method.group),
    }


def _row(record: dict[str, Any]) -> list[str]:
    """Return a row of the CSV file as a row of the table, rounded."""
    reached = "never" if record["reached"] is None else f"{record['reached']:,.4g}"
    if 0 < record["reached_runs"] < record["runs"]:
        reached += f" ({record['reached_runs']} of {record['runs']} runs)"
    return [
        record["method"],
        str(record["runs"]),
        f"{record['best_run']:.3f}",
        f"{record['best_run_at']:,.4g}",
        f"{record['best_mean']:.3f}",
        f"{record['best_mean_at']:,.4g}",
        f"{record['end']:.3f}",
        "-" if record["sd"] is None else f"{record['sd']:.3f}",
        "-" if record["low"] is None else f"{record['low']:.3f} .. {record['high']:.3f}",
        reached,
    ]


def _whole(compared: Compared, sentences: Sequence[str]) -> dict[str, Any]:
    """Return a comparison and its conclusions as a JSON object; NaN and infinity become None."""

    def finite(values: Any) -> list[float | None]:
        return [float(value) if math.isfinite(value) else None for value in values]

    methods = [
        {
            "method": method.group.name,
            "runs": [str(run.folder) for run in method.group.runs],
            "best_run": {"value": method.best_run[0], "at": method.best_run[1]},
            "best_mean": {"value": method.best_mean[0], "at": method.best_mean[1]},
            "end": {
                "mean": method.end, "sd": method.deviation, "interval": method.interval, "runs": finite(method.ends)
            },
            "reached": finite(method.reached),
            "ratio": rate_ratio(method.group),
            "x": finite(method.x),
            "windows": [finite(run) for run in method.windows],
        }
        for method in compared.methods
    ]  # fmt: skip
    return {
        **_facts(compared),
        "better": compared.declared.better,
        "signature": compared.declared.signature,
        "methods": methods,
        "statements": sentences,
        "note": compared.note,
    }


def main(arguments: list[str]) -> int:
    """Print the comparisons, and draw the figures."""
    command = parse_command(CompareCommand, arguments, "textgan.compare", __doc__)
    if command.paper and command.output is None:
        raise InputError("--paper: draws into a figure; name one with --output")
    for flag, path in (("--output", command.output), ("--ratio-figure", command.ratio_figure)):
        if path is not None:
            require_image_ending(path, flag)
    comparisons = compare(command)
    if command.ratio_figure is not None:
        require_rates_alone([method.group for method in comparisons[0].methods])
        by_ratio = [(compared.score, compared.axis, compared.level, compared.methods) for compared in comparisons]
        plot_ratios(command.ratio_figure, by_ratio)
    if command.output is not None:
        panels = [(compared.score, compared.axis, compared.floor, compared.methods) for compared in comparisons]
        plot_bands(command.output, panels, command.paper)
    print(rendered(comparisons, command.output_format))
    return 0


if __name__ == "__main__":
    run_command(main)
