"""Folders of tasks and records: where they are, and names that are valid on every file system."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from data.errors import InputError

RECORDS = Path(__file__).parent / "records"
TASK, RECORD = "task.json", "record.json"

_LONGEST = 80  # characters in a folder's name; leaves room for a hash on every file system
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # device names on Windows, in any folder


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


def record_folders(task_folder: Path) -> list[Path]:
    """Return the folders of the records in a task's folder."""
    return sorted(path.parent for path in task_folder.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))


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
