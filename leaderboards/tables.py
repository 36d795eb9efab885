"""Tables of records: a row per record, with the columns of the whole page or of a README."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.core.score import Better
from eval.core.tables import markdown
from leaderboards.records import Record, ScoreEntry, Task
from textgan.engine.run_folder import score_title


@dataclass(frozen=True)
class TableCell:
    """A cell of a table: the text it shows, and the number it is sorted by (None: sorted by the text)."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class TableRow:
    """A row of a table: a record, or the floor."""

    name: str
    kind: str
    cells: Sequence[TableCell]


@dataclass(frozen=True)
class TaskTable:
    """The table of a task."""

    head: Sequence[str]
    rows: Sequence[TableRow]


_MOST_IN_FULL = 3  # scores shown with the best run and the best mean
_OF_ALL_MODELS = (
    *("model", "symbols", "iterations", "minutes", "pretraining", "dim", "batch_size"),
    *("generator_lr", "critic_lr", "generator_steps", "critic_steps"),
)
_TITLES = {"critic_lr": "critic rate", "generator_lr": "generator rate"}
_RESULTS = {"best_run": "best run", "best_mean": "best mean", "end": "at the end"}


def board(task: Task, records: Sequence[Record], narrow: bool = False) -> TaskTable:
    """Return the table of a task: records from best to worst by the last shown score, then the floor.

    It has a column per setting in which records differ. Empty columns are left out. If it shows more than three scores,
    each is the one at the end alone. A narrow table, for a README, has the name, the number of runs, each score at the
    end, and the note.
    """
    last = list(task.shown)[-1]
    sign = 1 if task.shown[last] == "lower" else -1
    settings = [] if narrow else differing_settings(records)
    results = ["end"] if narrow or len(task.shown) > _MOST_IN_FULL else list(_RESULTS)
    ranked = sorted(records, key=lambda record: _rank(record.scores.get(last, ScoreEntry()), sign, results))
    with_runs = any(record.kind != "samples" for record in records)
    head = [
        "name",
        *([] if narrow else ["kind"]),
        "runs",
        *(_TITLES.get(name, name.replace("_", " ")) for name in settings),
    ]
    for score, better in task.shown.items():
        ends = [f" {_RESULTS[result]}{note_if_higher(better)}" for result in results]
        head += [score_title(score) + (end if with_runs else note_if_higher(better)) for end in ends]
    head.append("note")
    rows = []
    for record in ranked:
        runs = record.facts.get("runs") or len(record.facts.get("seeds", ())) or None
        cells = [_number(runs), *(_setting(record.settings.get(name)) for name in settings)]
        for name in task.shown:
            cells += [result_cell(record.scores.get(name, ScoreEntry()), result) for result in results]
        rows.append(_row(record.name, record.kind, cells, record.facts.get("note", ""), narrow))
    if task.floor is not None:
        name, source = ("real text", "held-out lines") if task.metrics else ("real images", "other real images")
        cells = [TableCell("") for _ in ["runs", *settings]]
        for score in task.shown:
            end = ScoreEntry(end=task.floor.get(score))
            cells += [result_cell(end, result) for result in results]
        rows.append(_row(name, name, cells, f"the floor: the same number of {source}", narrow))
    filled = [column for column in range(len(head)) if any(row.cells[column].text for row in rows)]
    rows = [TableRow(row.name, row.kind, [row.cells[column] for column in filled]) for row in rows]
    return TaskTable([head[column] for column in filled], rows)


def differing_settings(records: Sequence[Record]) -> list[str]:
    """Return the settings in which records differ, in recorded order; a setting that a record lacks is no difference.

    The preset is left out: its other settings tell the records apart. Of different models, which have different
    settings, only the ones in `_OF_ALL_MODELS` are compared.
    """
    names = dict.fromkeys(name for record in records for name in record.settings if name != "preset")
    values = {name: {repr(each.settings[name]) for each in records if name in each.settings} for name in names}
    differing = [name for name in names if len(values[name]) > 1]
    return [name for name in differing if name in _OF_ALL_MODELS] if "model" in differing else differing


def _rank(score: ScoreEntry, sign: int, results: Sequence[str]) -> float:
    values = [score.end, score.best_mean] if "best_mean" in results else [score.end]
    return min((sign * value for value in values if value is not None), default=math.inf)


def _row(name: str, kind: str, cells: Sequence[TableCell], note: str, narrow: bool) -> TableRow:
    return TableRow(name, kind, [TableCell(name), *([] if narrow else [TableCell(kind)]), *cells, TableCell(note)])


def note_if_higher(better: Better) -> str:
    """Return the end of a heading that gives the direction of a score; lower is better without one."""
    return " (higher is better)" if better == "higher" else ""


def result_cell(score: ScoreEntry, name: str) -> TableCell:
    """Return the cell of one result of a score (`end`, `best_mean`, ...); empty if the score lacks it."""
    value = getattr(score, name)
    spread = "" if name != "end" or score.sd is None else f" ± {score.sd:.3f}"
    return TableCell("" if value is None else f"{value:.3f}{spread}", value)


def _number(value: float | None) -> TableCell:
    return TableCell("" if value is None else f"{value:g}", value)


def _setting(value: Any) -> TableCell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    return TableCell("" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value))


def markdown_table(table: TaskTable) -> str:
    """Return a table in Markdown."""
    return markdown([table.head, *([cell.text for cell in row.cells] for row in table.rows)])


LEGEND = (
    "Training is divided into windows of equal length. Best run: the best window mean of any single run. Best mean: "
    "the best window mean, averaged over runs. At the end: mean and standard deviation over runs in the last tenth "
    "of training, or at the last evaluation of fewer than ten; for samples without a run, the score. Lower is better "
    "unless a heading says otherwise."
)
