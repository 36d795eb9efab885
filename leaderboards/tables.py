"""Tables of records: a row per record, with the columns of the whole page or of a README."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.core.tables import markdown, markdown_code, markdown_text
from leaderboards.records import Record, Task
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


def board(task: Task, records: Sequence[Record]) -> TaskTable:
    """Return the table of a task: records from best to worst by the last shown score, then the floor.

    Empty columns are left out.
    """
    last = list(task.shown)[-1]
    sign = -1 if task.shown[last] == "higher" else 1
    ranked = sorted(records, key=lambda record: _rank(record.scores.get(last, {}), sign))
    rows = [_row(task, record) for record in ranked]
    if task.floor is not None:
        rows.append(_floor_row(task, task.floor))
    head = ["name", "kind", *_FACTS.values()]
    without_runs = all(record.kind == "samples" for record in records)
    for score, better in task.shown.items():
        direction = " (higher is better)" if better == "higher" else ""
        columns = [f" {column}" for column in _COLUMNS.values()] if not without_runs else [""] * len(_COLUMNS)
        head += [f"{score_title(score)}{column}{direction}" for column in columns]
    head.append("note")
    filled = [column for column in range(len(head)) if any(row.cells[column].text for row in rows)]
    return _columns_of(TaskTable(head, rows), filled)


def _columns_of(table: TaskTable, kept: Sequence[int]) -> TaskTable:
    rows = [TableRow(row.name, row.kind, [row.cells[column] for column in kept]) for row in table.rows]
    return TaskTable([table.head[column] for column in kept], rows)


_FACTS = {"runs": "runs", "critic_lr": "critic rate", "generator_lr": "generator rate", "critic_steps": "critic steps"}
_COLUMNS = {"best_run": "best run", "best_mean": "best mean", "end": "at the end"}


def _rank(score: Mapping[str, Any], sign: int) -> float:
    values = [sign * score[name] for name in ("best_mean", "end") if score.get(name) is not None]
    return min(values, default=math.inf)


def _row(task: Task, record: Record) -> TableRow:
    facts = {**record.facts, "runs": record.facts.get("runs") or len(record.facts.get("seeds", ())) or None}
    numbers = [facts.get(name) for name in _FACTS]
    cells = [TableCell(record.name), TableCell(record.kind)]
    cells += [TableCell("" if number is None else f"{number:g}", number) for number in numbers]
    for name in task.shown:
        score = record.scores.get(name, {})
        for column in _COLUMNS:
            value, deviation = score.get(column), score.get("sd")
            spread = "" if column != "end" or deviation is None else f" ± {deviation:.3f}"
            cells.append(TableCell("" if value is None else f"{value:.3f}{spread}", value))
    return TableRow(record.name, record.kind, [*cells, TableCell(facts.get("note", ""))])


def _floor_row(task: Task, floor: Mapping[str, float]) -> TableRow:
    name, source = ("real text", "held-out lines") if task.metrics else ("real images", "other real images")
    cells = [TableCell(name), TableCell(name), *(TableCell("") for _ in _FACTS)]
    for score in task.shown:
        value = floor.get(score)
        cells += [TableCell(""), TableCell(""), TableCell("" if value is None else f"{value:.3f}", value)]
    return TableRow(name, name, [*cells, TableCell(f"the floor: the same number of {source}")])


def as_markdown(task: Task, table: TaskTable) -> str:
    """Return the Markdown page of a task: title, signature, table and legend."""
    about = markdown_code(task.signature) if task.signature else "As published; not scored by this project."
    return f"# {markdown_text(task.title)}\n\n{about}\n\n{markdown_table(table)}\n\n{LEGEND}\n"


def markdown_table(table: TaskTable) -> str:
    """Return a table in Markdown."""
    return markdown([table.head, *([cell.text for cell in row.cells] for row in table.rows)])


LEGEND = (
    "Training is divided into windows of equal length. Best run: the lowest window mean of any single run. Best mean: "
    "the lowest window mean, averaged over runs. At the end: mean and standard deviation over runs in the last tenth "
    "of training; for samples without a run, the score. Lower is better unless a heading says otherwise."
)


def narrow(table: TaskTable) -> TaskTable:
    """Return the columns of a table that fit a README: method, runs, each score at the end, note."""
    left_out = ("kind", *(name for fact, name in _FACTS.items() if fact != "runs"))
    kept = [
        column
        for column, name in enumerate(table.head)
        if name not in left_out and not any(f" {_COLUMNS[best]}" in name for best in ("best_run", "best_mean"))
    ]
    return _columns_of(table, kept)
