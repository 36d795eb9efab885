"""Tasks and records on disk: scores, the settings that led to them, and the samples that prove them.

`records/TASK/task.json` holds the title, the signature and the floor (the score of real data) of a task.
`records/TASK/NAME/` is a record: `record.json`, the options of each run, and the last samples of each run. Hidden
folders and folders without a `record.json` are ignored.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from data.errors import InputError
from data.readers import read_lines
from data.words import WHITE_SPACE, Splitting, WordRule
from eval.core.score import Score, upgraded

RECORDS = Path(__file__).parent / "records"
TASK, RECORD = "task.json", "record.json"

_LONGEST = 80  # characters in a folder's name; leaves room for a hash on every file system
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # device names on Windows, in any folder

Kind = Literal["runs", "samples", "published"]
Direction = Literal["lower", "higher"]
T = TypeVar("T", "Task", "Record")


@dataclass(frozen=True)
class Task:
    """The title, signature, floor and metrics shared by all records of a task.

    `metrics` score the samples; it is empty for images and published numbers. `shown` maps the scores in the tables to
    the direction that is better. `signature` is empty if the task has published numbers only.
    """

    name: str
    title: str
    signature: str
    floor: Mapping[str, float] | None
    metrics: Sequence[str]
    shown: Mapping[str, Direction]


@dataclass(frozen=True)
class Record:
    """A record: the scores, facts and samples of a method at a task.

    `scores[name]`, name as in "jsd_4", has the fields of the record's kind: runs - best_run, best_mean, end, sd,
    interval, runs, windows; samples - end, interval, corrected; published - best_run, best_mean, end, sd. Each entry of
    `samples` has `sha256` and `scores` of a sample file, and `file`, its name (None if the samples are not kept).
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
    """Read the task in a folder.

    Raises:
        InputError: the folder has no readable task.json.
    """
    return _read(Task, folder.name, folder / TASK)


def read_record(folder: Path) -> Record:
    """Read the record in a folder.

    Raises:
        InputError: the folder has no readable record.json.
    """
    return _read(Record, folder, folder / RECORD)


def _read(kind: type[T], first: Any, path: Path) -> T:
    """Return a `kind` with `first` as its first field and the other fields from a JSON file."""
    with naming_damage(path):
        content = json.loads(path.read_text("utf-8"))
        for name in ("title", "name", "signature"):
            if not isinstance(content.get(name, ""), str):
                raise TypeError(f"{name!r} is not a string")
        for entry in content.get("samples", ()):
            if entry["file"] is not None and Path(entry["file"]).name != entry["file"]:
                raise ValueError(f"{entry['file']!r} is not the name of a file in its folder")
            sorted(entry["scores"]), str(entry["sha256"])  # a KeyError if missing
        content["signature"] = upgraded(content["signature"])
        return kind(first, *(content[field.name] for field in fields(kind)[1:]))


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn errors caused by damaged content into an InputError that names the file `path`.

    Raises:
        InputError: the file is missing, or holds something that `leaderboards.submit` does not write.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; submit again") from error
    except KeyError as error:
        raise InputError(f"{path}: no {error}; submit again") from error
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); submit again") from error


def chosen_records(records: Path | None) -> Path:
    """Return the folder of all records: `records` if given, else the folder in the checkout.

    Raises:
        InputError: `records` is None, and the package does not run from a checkout.
    """
    if records is not None:
        return records
    if not (RECORDS.parents[1] / "pyproject.toml").is_file():
        raise InputError("--records: needed outside a checkout of textgan; name the folder of your records")
    return RECORDS


def all_tasks(records: Path, damaged: list[InputError] | None = None) -> list[tuple[Task, list[Record]]]:
    """Return every task with its records, in the order of the page.

    The One Billion Word tasks come first, then other tasks with records of this project, then tasks with published
    numbers only; within these groups, text comes before images. Damaged tasks are skipped, and their errors appended
    to `damaged`; if it is None, the first error is raised.

    Raises:
        InputError: a task is damaged, or the signatures of a record and its task differ, and `damaged` is None.
    """
    tasks = []
    for folder in sorted(path for path in records.glob("*/") if not path.name.startswith(".")):
        if (folder / TASK).exists() or record_folders(folder):
            try:
                tasks.append(_with_records(folder))
            except InputError as error:
                if damaged is None:
                    raise
                damaged.append(error)
    return sorted(tasks, key=lambda pair: _page_order(*pair))


def record_folders(task_folder: Path) -> list[Path]:
    """Return the folders of the records in a task's folder."""
    return sorted(path.parent for path in task_folder.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))


def _with_records(folder: Path) -> tuple[Task, list[Record]]:
    task = read_task(folder)
    records = [read_record(path) for path in record_folders(folder)]
    for record in records:
        if record.kind != "published" and record.signature != task.signature:
            raise InputError(f"{record.folder}: {record.signature} is not the task's {task.signature}")
    return task, records


def _page_order(task: Task, records: Sequence[Record]) -> tuple[bool, bool, bool, str]:
    only_published = all(record.kind == "published" for record in records)
    return not task.name.startswith("lm1b"), only_published, not task.metrics, task.title


def task_folder(records: Path, name: str) -> Path:
    """Return the folder of the task `name`, which need not exist.

    Raises:
        InputError: the name leads out of `records`, is invalid on some file system, or is taken by a folder or
            file that is not a task.
    """
    folder, others = records / name, {path.name for path in records.iterdir()} if records.is_dir() else set()
    possible = re.fullmatch(rf"[A-Za-z0-9][\w.=-]{{0,{_LONGEST - 1}}}", name, re.ASCII) and not name.endswith(".")
    if not possible and name not in others:
        raise InputError(
            f"--task {name!r}: use at most {_LONGEST} characters of a-z, A-Z, 0-9 and _.=-, as in lm1b-char32; "
            "put any other text in --title"
        )
    if _DEVICES.fullmatch(name) or name.casefold() in ("index", "readme"):
        raise InputError(f"--task {name}: a reserved name; choose another")
    for other in others:
        if other != name and other.casefold() == name.casefold():
            raise InputError(f"--task {name}: differs only in case from {other}, which exists; use {other}")
    if name in others and not (folder / TASK).exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"--task {name}: {folder} is there without a {TASK}; move it away, or name another task")
    return folder


def folder_name(name: str, taken: Iterable[str]) -> str:
    """Return a folder name for the record `name` that is valid on every file system and not in `taken`, ignoring case.

    Each run of characters other than ASCII letters, digits and _.=- becomes "-". A hash of the record's name is added
    if the name is not ASCII, or if the result is empty, too long, reserved or taken.
    """
    plain = re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).strip("-.")
    others = {TASK, "", *(each.casefold() for each in taken)}
    if name.isascii() and len(plain) <= _LONGEST and plain.casefold() not in others and not _DEVICES.fullmatch(plain):
        return plain
    return f"{plain[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}".lstrip("-")


def kept_text(path: Path) -> bytes:
    """Return the samples in a file of any text format as a record stores them: UTF-8, one line feed after each.

    Raises:
        InputError: the file is empty or is not text.
    """
    text = "".join(f"{line}\n" for lines in read_lines(path) for line in lines)
    if not text:
        raise InputError(f"{path}: the file is empty; give one sample per line")
    # Readers remove one byte order mark, so a first line that begins with this character gets a second one.
    return ("\ufeff" + text if text.startswith("\ufeff") else text).encode()


def read_text(path: Path) -> bytes:
    """Return the content of a file in a record's folder, decompressed if its name ends in .gz.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from error


def joint_signature(scores: Sequence[Score]) -> str:
    """Return the joined signature of several scores: everything that they depend on."""
    return "; ".join(str(score.signature) for score in scores)


def word_rule(signature: str) -> WordRule:
    """Return the word rule in a signature that `eval.core.score.upgraded` returned; white space if it names none."""
    match = re.search(rf"\|words:({'|'.join(get_args(Splitting))})\|case:(as-is|lower)\|", signature)
    return WHITE_SPACE if match is None else WordRule(cast(Splitting, match[1]), match[2] == "lower")


def values_by_name(scores: Sequence[Score]) -> dict[str, float]:
    """Return the values of scores, by name in the form of records ("jsd_4")."""
    return {record_name(name): estimate.value for score in scores for name, estimate in score.values.items()}


def record_name(name: str) -> str:
    """Return the name that a score ("jsd-4") has in records and in metrics.jsonl ("jsd_4")."""
    return name.replace("-", "_")
