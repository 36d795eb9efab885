"""Records: what was achieved at a task, by which settings, with the samples that prove it.

`records/TASK/task.json` says what all records of a task share: title, signature, and what real text scores.
`records/TASK/NAME/` is a record: `record.json`, the options of its runs, and their last samples. Hidden folders, and
folders without a `record.json`, are none.
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

_LONGEST = 80  # characters of a folder's name: room for what is added to it, on every file system
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows opens these in any folder

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
    metrics: Sequence[str]
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
    with naming_damage(path):
        content = json.loads(path.read_text("utf-8"))
        for name in ("title", "name", "signature"):
            if not isinstance(content.get(name, ""), str):
                raise TypeError(f"{name!r} is no text")
        for entry in content.get("samples", ()):
            if entry["file"] is not None and Path(entry["file"]).name != entry["file"]:
                raise ValueError(f"{entry['file']!r} is no file beside it")
            sorted(entry["scores"]), str(entry["sha256"])  # are there
        content["signature"] = upgraded(content["signature"])
        return kind(first, *(content[field.name] for field in fields(kind)[1:]))


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn every error that comes of other content than `leaderboards.submit` writes into one that names the file.

    Raises:
        InputError: naming it.
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
    """Return the folder of all records: the one given, else the checkout's.

    Raises:
        InputError: none is given, and the package is not run from a checkout.
    """
    if records is not None:
        return records
    if not (RECORDS.parents[1] / "pyproject.toml").is_file():
        raise InputError("--records: needed outside a checkout of textgan; name the folder of your records")
    return RECORDS


def all_tasks(records: Path, damaged: list[InputError] | None = None) -> list[tuple[Task, list[Record]]]:
    """Return every task with its records.

    The order is the page's: One Billion Word, then the other tasks that have records of this project, last those of
    published numbers alone; text before images.

    Args:
        records: folder of all records.
        damaged: takes what is wrong with a task, which is left out then.

    Raises:
        InputError: a task is damaged, or a record's signature is not its task's, and `damaged` is not given.
    """
    found = []
    for folder in sorted(path for path in records.glob("*/") if not path.name.startswith(".")):
        if (folder / TASK).exists() or record_folders(folder):
            try:
                found.append(_with_records(folder))
            except InputError as error:
                if damaged is None:
                    raise
                damaged.append(error)
    return sorted(found, key=lambda pair: _place(*pair))


def record_folders(task_folder: Path) -> list[Path]:
    """Return the folders of a task's records."""
    return sorted(path.parent for path in task_folder.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))


def _with_records(folder: Path) -> tuple[Task, list[Record]]:
    task = read_task(folder)
    records = [read_record(path) for path in record_folders(folder)]
    for record in records:
        if record.kind != "published" and record.signature != task.signature:
            raise InputError(f"{record.folder}: {record.signature} is not the task's {task.signature}")
    return task, records


def _place(task: Task, records: Sequence[Record]) -> tuple[bool, bool, bool, str]:
    only_published = all(record.kind == "published" for record in records)
    return not task.name.startswith("lm1b"), only_published, not task.metrics, task.title


def task_folder(records: Path, name: str) -> Path:
    """Return a task's folder.

    Raises:
        InputError: the name would lead out of `records`, or be no name of a folder on some file system.
    """
    folder, others = records / name, {path.name for path in records.iterdir()} if records.is_dir() else set()
    possible = re.fullmatch(rf"[A-Za-z0-9][\w.=-]{{0,{_LONGEST - 1}}}", name, re.ASCII) and not name.endswith(".")
    if not possible and name not in others:
        raise InputError(
            f"--task {name!r}: name it by at most {_LONGEST} of a-z, A-Z, 0-9 and _.=- as lm1b-char32; --title is free"
        )
    if _DEVICES.fullmatch(name) or name.casefold() == "index":
        raise InputError(f"--task {name}: this name means something else; choose another")
    for other in others:
        if other != name and other.casefold() == name.casefold():
            raise InputError(f"--task {name}: there is {other}, the same on file systems that ignore case; say that")
    if name in others and not (folder / TASK).exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"--task {name}: {folder} is there without a {TASK}; move it away, or name another task")
    return folder


def folder_name(name: str, taken: Iterable[str]) -> str:
    """Return a name for a record's folder that is possible on every file system, and that no other record has.

    It is the record's name with "-" in place of spaces and signs. A hash of the name is added if letters are lost, if
    nothing is left, or if the rest is too long or taken.

    Args:
        name: of the record.
        taken: names in the task's folder; case does not tell them apart.
    """
    plain = re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).strip("-.")
    others = {TASK, "", *(each.casefold() for each in taken)}
    if name.isascii() and len(plain) <= _LONGEST and plain.casefold() not in others and not _DEVICES.fullmatch(plain):
        return plain
    return f"{plain[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}".lstrip("-")


def kept_text(path: Path) -> bytes:
    """Return the samples of any file as a record keeps them: UTF-8, a line feed after each.

    Raises:
        InputError: it holds no samples, or something else than text.
    """
    text = "".join(f"{line}\n" for lines in read_lines(path) for line in lines)
    if not text:
        raise InputError(f"{path}: the file is empty; give one sample per line")
    # Readers take one byte order mark off: a first line that begins with the character gets another.
    return ("\ufeff" + text if text.startswith("\ufeff") else text).encode()


def read_text(path: Path) -> bytes:
    """Return the content of a file of a record, unpacked if it is text.

    Raises:
        InputError: it is damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from error


def joint_signature(scores: Sequence[Score]) -> str:
    """Return what all of several scores depend on."""
    return "; ".join(str(score.signature) for score in scores)


def word_rule(signature: str) -> WordRule:
    """Return the word rule of a signature, as `eval.core.score.upgraded` writes it."""
    found = re.search(rf"\|words:({'|'.join(get_args(Splitting))})\|case:(as-is|lower)\|", signature)
    return WHITE_SPACE if found is None else WordRule(cast(Splitting, found[1]), found[2] == "lower")


def values_by_name(scores: Sequence[Score]) -> dict[str, float]:
    """Return the values of scores under the names they have in records: "jsd_4"."""
    return {record_name(name): each.value for score in scores for name, each in score.values.items()}


def record_name(name: str) -> str:
    """Return a score's name as in a run's metrics."""
    return name.replace("-", "_")
