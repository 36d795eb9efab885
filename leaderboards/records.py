"""Records: what was achieved at a task, by which settings, with the samples that prove it.

`records/TASK/task.json` says what all records of a task share: title, signature, and what real text scores.
`records/TASK/NAME/` is a record: `record.json`, the options of its runs, and their last samples.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from data.errors import InputError
from eval.score import upgraded
from leaderboards.scoring import Metric

RECORDS = Path(__file__).parent / "records"
TASK, RECORD = "task.json", "record.json"

Kind = Literal["runs", "samples", "published"]
Direction = Literal["lower", "higher"]
T = TypeVar("T", "Task", "Record")


@dataclass(frozen=True)
class Task:
    """What the records of a task share.

    `metrics` are what samples are scored by, `shown` the scores that tables show, with the direction of better ones.
    Where only published numbers are known, `signature` and `metrics` are empty.
    """

    name: str
    title: str
    signature: str
    floor: Mapping[str, float] | None
    metrics: Sequence[Metric]
    shown: Mapping[str, Direction]


@dataclass(frozen=True)
class Record:
    """A record. `scores` holds by name ("jsd_4") what its kind knows, see `leaderboards.submit`.

    Each of `samples` has the hash of its text, its scores, and its file, which is None where they are not kept.
    """

    folder: Path
    name: str
    kind: Kind
    signature: str
    facts: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, Any]]
    samples: Sequence[Mapping[str, Any]]
    curve: Mapping[str, Any] | None


def read_task(folder: Path) -> Task:
    """Return a task by its folder.

    Raises:
        InputError: it is no task.
    """
    return _read(Task, folder.name, folder / TASK)


def read_record(folder: Path) -> Record:
    """Return a record by its folder.

    Raises:
        InputError: it is no record.
    """
    return _read(Record, folder, folder / RECORD)


def _read(kind: type[T], first: Any, path: Path) -> T:
    """Return a dataclass of the first field's value and a JSON file's entries of the other fields' names."""
    try:
        content = json.loads(path.read_text("utf-8"))
        return kind(first, *(content[field.name] for field in fields(kind)[1:]))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; submit again") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); submit again") from error
    except KeyError as error:
        raise InputError(f"{path}: no {error}; submit again") from error


def all_tasks(records: Path) -> list[tuple[Task, list[Record]]]:
    """Return every task with its records, by name.

    Raises:
        InputError: a record's signature is not its task's.
    """
    found = []
    for path in sorted(records.glob(f"*/{TASK}")):
        task = read_task(path.parent)
        of_task = [read_record(record.parent) for record in sorted(path.parent.glob(f"*/{RECORD}"))]
        for record in of_task:
            if record.kind != "published" and upgraded(record.signature) != upgraded(task.signature):
                raise InputError(f"{record.folder}: {record.signature} is not the task's {task.signature}")
        found.append((task, of_task))
    return found
