"""List the cache of derived data, or remove entries of it; the next command that needs them builds them again.

    python -m data.cache
    python -m data.cache --remove all --older-than 30

The cache folder is TEXTGAN_CACHE, else `textgan` in the user's cache folder. An entry is damaged if its manifest or a
file in the manifest is missing or the manifest is not as it was written, and incomplete while a process writes it.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data.cache import ABANDONED_SECONDS, cache_folder, read_description, remove_entry
from data.command import parse_command
from data.errors import InputError, require_at_least
from data.naming import printable

KINDS: Mapping[str, str | None] = {
    "corpora": "corpus.json",
    "features": "features.json",
    "hashes": None,
    "language-models": "model.json",
    "lm1b": None,
    "ngrams": "ngrams.json",
    "oracles": "oracle.json",
    "pictures": "pictures.json",
    "sentence-features": "features.json",
    "spool": None,
    "weights": None,
    "words": "description.json",
}
"""Folders of the cache, and the manifest in each entry; None: entries without one."""

# Other files are not the cache's: TEXTGAN_CACHE may name a folder that holds more.
_ENTRY = re.compile(r"[0-9a-f]{20}(\.json)?|pt_inception-.*\.pth|\..*\.partial")
_DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Entry:
    """An entry of the cache.

    `key` is KIND/NAME, `data` the name of the data ("" if unknown), `bytes` the size, and `used` the time, in seconds
    since 1970, at which its files were last read or written. File systems mounted without access times know only the
    second.
    """

    key: str
    data: str
    bytes: int
    used: float
    state: Literal["whole", "damaged", "incomplete"]


@dataclass(frozen=True)
class CacheCommand:
    """Flags of `python -m data.cache`."""

    remove: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY...")] = ()
    """Entries to remove: keys, a kind (corpora, ngrams, ...), or all; the last two leave entries being written."""
    older_than: Annotated[float | None, tyro.conf.arg(metavar="DAYS")] = None
    """List or remove only entries last used at least this number of days ago."""
    json: bool = False
    """Print JSON."""


def entries(folder: Path) -> list[Entry]:
    """Return the entries of a cache folder, sorted by key."""
    return [
        entry
        for kind, manifest in KINDS.items()
        for path in sorted((folder / kind).glob("*"))
        if _ENTRY.fullmatch(path.name) and (entry := _entry(path, manifest))
    ]


def _entry(path: Path, manifest: str | None) -> Entry | None:
    """Describe the entry at a path; None if another process has removed it."""
    size, used = 0, 0.0
    for file in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            status = file.stat()
            if file.is_file():
                size += status.st_size
                # This command reads manifests, so the access times of manifests do not count.
                used = max(used, status.st_mtime, 0.0 if file.name == manifest else status.st_atime)
            elif file == path:
                used = status.st_mtime
    if not used:
        return None
    key = f"{path.parent.name}/{path.name}"
    if path.name.startswith("."):
        return Entry(key, "", size, used, "incomplete")
    if manifest is None:
        return Entry(key, "", size, used, "whole")
    try:
        described = read_description(path / manifest)
        whole = all((path / name).is_file() for name in described["sha256"])
    except (OSError, ValueError, KeyError):
        return Entry(key, "", size, used, "damaged")
    name = described.get("name", described.get("images", ""))
    return Entry(key, str(name), size, used, "whole" if whole else "damaged")


def chosen(found: Sequence[Entry], words: Sequence[str], now: float) -> Iterator[Entry]:
    """Yield the entries that --remove names; kinds and `all` leave incomplete entries of the last day.

    Raises:
        InputError: a word names no entry.
    """
    for word in words:
        if word not in ("all", *KINDS, *(entry.key for entry in found)):
            raise InputError(f"--remove {word}: no such entry; list the keys: python -m data.cache")
    for entry in found:
        being_written = entry.state == "incomplete" and now - entry.used < ABANDONED_SECONDS
        if entry.key in words or ({"all", entry.key.partition("/")[0]} & set(words) and not being_written):
            yield entry


def run(arguments: Sequence[str]) -> int:
    """List entries, or remove them and list what was removed.

    Raises:
        InputError: a flag is wrong, or --remove matches nothing.
    """
    command = parse_command(CacheCommand, arguments, "data.cache", __doc__)
    require_at_least("--older-than", command.older_than, 0)
    folder, now = cache_folder(), time.time()
    oldest = now if command.older_than is None else now - command.older_than * _DAY_SECONDS
    found = entries(folder)
    if command.remove:
        found = list(chosen(found, command.remove, now))
        if not found:
            raise InputError(f"--remove {' '.join(command.remove)}: no entry in {folder}; list them without --remove")
    found = [entry for entry in found if command.older_than is None or entry.used <= oldest]
    for entry in found if command.remove else ():
        remove_entry(folder / entry.key)
    total, removed = sum(entry.bytes for entry in found), bool(command.remove)
    if command.json:
        rows = [{**asdict(entry), "used": _date(entry.used).isoformat(timespec="seconds")} for entry in found]
        print(json.dumps({"folder": str(folder), "removed": removed, "bytes": total, "entries": rows}))
        return 0
    print(_table(found))
    print(printable(f"{'removed ' if removed else ''}{len(found)} entries, {_size(total)}, in {folder}"))
    return 0


def _table(found: Sequence[Entry]) -> str:
    rows = [("key", "data", "size", "last used", "")]
    for entry in found:
        state = "" if entry.state == "whole" else entry.state
        rows.append((entry.key, printable(entry.data), _size(entry.bytes), f"{_date(entry.used):%Y-%m-%d}", state))
    key, data, size, used, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = (f"{row[0]:{key}}  {row[1]:{data}}  {row[2]:>{size}}  {row[3]:{used}}  {row[4]}" for row in rows)
    return "\n".join(map(str.rstrip, lines))


def _size(count: float) -> str:
    """Return a number of bytes to three digits: 12 B, 3.4 MB, 120 GB."""
    unit = 0
    while count >= 999.5 and unit < 4:
        count, unit = count / 1000, unit + 1
    return f"{count:.{0 if unit == 0 or count >= 99.5 else 1}f} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
