"""Excess over maximum likelihood: losses of held-out lines compared at equal quality, for tasks on a synthetic oracle.

A temperature below 1 lowers nll_oracle and raises nll_test without training (Caccia et al. 2020, arXiv 1811.02549). The
rows that `python -m textgan.sweep RUNS --json` prints for runs of maximum likelihood, saved in a task's folder as
`likelihood.json`, are curves over temperatures. At each nll_oracle, the lowest nll_test of all curves is the baseline.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean

from data.errors import InputError
from leaderboards.records import Record, ScoreEntry, Task, deviation, naming_damage
from leaderboards.signatures import exact_parts
from leaderboards.typed import typed
from textgan.runs.sweeps import Curve, Point, excess

CURVES = "likelihood.json"

EXCESS = "excess"
"""Name of the score, which is computed from a record's losses and never recorded."""

EXCESS_LEGEND = (
    "Excess: nll_test minus the lowest nll_test of maximum likelihood at equal nll_oracle, over training lengths and "
    "temperatures, at the last evaluation; below 0 is a gain. A record without one has no density, or lies beyond the "
    "ends of the curves."
)

_QUALITY, _DIVERSITY = "nll_oracle", "nll_test"


@dataclass(frozen=True)
class _Row:
    """A row of a sweep: the scores of a run at a temperature, in nats per symbol, and their signature."""

    run: str
    temperature: float
    top_p: float
    distinct: float
    nll_oracle: float
    nll_test: float
    signature: str


def read_curves(folder: Path, signature: str) -> list[Curve]:
    """Return the curves of maximum likelihood in a task's folder, one per run; none if the folder has no such file.

    Raises:
        InputError: the file is damaged, or its scores have another signature than the task's.
    """
    path = folder / CURVES
    if not path.exists():
        return []
    with naming_damage(path, "write it by textgan.sweep --json, without --top-p"):
        rows: Sequence[_Row] = typed(Sequence[_Row], json.loads(path.read_text("utf-8")), "rows")
        points = [(row, Point(row.temperature, row.top_p, _scores(row), row.distinct)) for row in rows]
    places = [(row.run, row.temperature, row.top_p) for row in rows]
    for row, place in zip(rows, places, strict=True):
        if row.signature not in exact_parts(signature):
            raise InputError(
                f"{path}: {row.run} is scored as {row.signature}, which is not in the task's {signature}; sweep "
                "runs of the task's suite"
            )
        if places.count(place) > 1:
            raise InputError(f"{path}: {row.run} twice at temperature {row.temperature:g}; give runs different names")
    by_run = groupby(sorted(points, key=lambda pair: pair[0].run), key=lambda pair: pair[0].run)
    return [Curve(run, [point for _, point in pairs], {}, 0) for run, pairs in by_run]


def _scores(row: _Row) -> dict[str, float]:
    return {_QUALITY: row.nll_oracle, _DIVERSITY: row.nll_test}


def excess_over(losses: Mapping[str, float], curves: Sequence[Curve]) -> float | None:
    """Return nll_test minus the lowest nll_test of all curves at equal nll_oracle; None beyond the ends of all curves.

    Args:
        losses: nll_oracle and nll_test, in nats per symbol.
        curves: curves of maximum likelihood, linear between their temperatures.
    """
    point = Point(1.0, 1.0, losses, 1.0)
    found = [excess(point, curve, _QUALITY, _DIVERSITY) for curve in curves]
    return max((value for value in found if value is not None), default=None)


def with_excess(folder: Path, task: Task, records: Sequence[Record]) -> tuple[Task, Sequence[Record]]:
    """Return a task and its records with the excess as last shown score, if the task's folder has curves.

    The excess is of the last evaluation of each run. A record has none if it lacks a loss, or if one of its runs lies
    beyond the ends of all curves.

    Raises:
        InputError: the curves cannot be read, or have another signature than the task.
    """
    curves = read_curves(folder, task.signature)
    if not curves:
        return task, records
    shown = {**task.shown, EXCESS: "lower"}
    return replace(task, shown=shown), [_with_excess(record, curves) for record in records]


def _with_excess(record: Record, curves: Sequence[Curve]) -> Record:
    scores = {name: entry for name, entry in record.scores.items() if name != EXCESS}
    losses = [{name: entry.scores.get(name, math.nan) for name in (_QUALITY, _DIVERSITY)} for entry in record.samples]
    if not losses or any(math.isnan(value) for each in losses for value in each.values()):
        return replace(record, scores=scores)
    values = [excess_over(each, curves) for each in losses]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return replace(record, scores=scores)
    entry = ScoreEntry("lower", fmean(known), sd=deviation(known), runs=known)
    return replace(record, scores={**scores, EXCESS: entry})
