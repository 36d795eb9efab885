"""Published numbers of a task in tables of their own: nothing in them was measured by this project."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files

from leaderboards.records import Record, Task
from leaderboards.tables import TableCell, TableRow, TaskTable, board

AS_PUBLISHED = "As published, not measured here"
WHY_APART = (
    "Data, sample counts and implementations of scores differ between the sources and from this task, so these numbers "
    "compare with no measured one."
)


def published_tables(task: Task, records: Sequence[Record]) -> list[TaskTable]:
    """Return the tables of a task's published records and of its file of published numbers.

    A task that has published records alone has none: the records fill the table of the task.
    """
    published = [record for record in records if record.kind == "published"]
    tables = [board(task, published)] if 0 < len(published) < len(records) else []
    path = files("textgan.runs") / "published" / f"{task.name}.csv"
    if not path.is_file():
        return tables
    head, *rows = csv.reader(path.read_text("utf-8").splitlines())
    return [*tables, TaskTable(head, [TableRow(row[0], "published", [_cell(text) for text in row]) for row in rows])]


def _cell(text: str) -> TableCell:
    """Return a cell sorted by its number, which a standard deviation may follow; a cell of words by its text."""
    with suppress(ValueError):
        return TableCell(text, float(text.partition(" ± ")[0]))
    return TableCell(text)
