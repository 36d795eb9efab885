"""The matrix of all measured tasks: models by tasks, the main score per cell, and the scores of real data."""

import json
from collections.abc import Sequence

from data.renamed import current_settings
from leaderboards.records import Record, ScoreEntry, Task, naming_damage
from leaderboards.tables import TableCell, TableRow, TaskTable, note_if_higher, result_cell
from textgan.engine.run_folder import score_title

HOW_TO_READ = (
    "Each cell is the task's main score of the model's best record, at the end of training; an empty cell is not "
    "measured, or has no excess. Lower is better unless the heading says otherwise. Compare numbers within one column."
)


def matrix(tasks: Sequence[tuple[Task, Sequence[Record]]]) -> TaskTable:
    """Return the matrix: a row per model of runs, then per record of samples alone, then real data.

    The main score of a task is the last one in the task's table. Published numbers, and tasks that have no others, are
    left out.
    """
    by_model: dict[str, dict[str, list[Record]]] = {}
    for task, records in tasks:
        for record in records:
            if record.kind != "published":
                by_model.setdefault(model_of(record), {}).setdefault(task.name, []).append(record)
    measured = [task for task, _ in tasks if any(task.name in of_tasks for of_tasks in by_model.values())]
    trained = {name for name, of_tasks in by_model.items() if any(each[0].kind == "runs" for each in of_tasks.values())}
    rows = []
    for model in sorted(by_model, key=lambda name: (name not in trained, name)):
        cells = [_best_end(task, by_model[model].get(task.name, [])) for task in measured]
        rows.append(TableRow(model, "runs" if model in trained else "samples", [TableCell(model), *cells]))
    floors = [result_cell(ScoreEntry(end=(task.floor or {}).get(main_score(task))), "end") for task in measured]
    rows.append(TableRow("real data", "real text", [TableCell("real data"), *floors]))
    return TaskTable(["model", *map(_heading, measured)], rows)


def main_score(task: Task) -> str:
    """Return the name of a task's main score: the last one in the table, which sorts the records."""
    return list(task.shown)[-1]


def _heading(task: Task) -> str:
    score = main_score(task)
    return f"{task.name} {score_title(score)}{note_if_higher(task.shown[score])}"


def model_of(record: Record) -> str:
    """Return the model of a record of runs, as their options name it, or the name of the record.

    Raises:
        InputError: the options of a run are damaged.
    """
    if "model" in record.settings:
        return str(record.settings["model"])
    for path in sorted(record.folder.glob("options-seed*.json")):  # records of 0.1.0 have no settings
        with naming_damage(path):
            return str(current_settings(json.loads(path.read_text("utf-8"))["config"]).get("model", record.name))
    return record.name


def _best_end(task: Task, records: Sequence[Record]) -> TableCell:
    ends = [record.scores.get(main_score(task), ScoreEntry()).end for record in records]
    known = [end for end in ends if end is not None]
    best = min if task.shown[main_score(task)] == "lower" else max
    return result_cell(ScoreEntry(end=best(known, default=None)), "end")
