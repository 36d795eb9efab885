"""Input files: what can be read once is copied once, folders are walked by one rule, content hashes are indexed.

Every reader opens files through `local_file`, so a path, a link, a pipe, `-` and `/dev/fd/63` behave alike.
"""

import atexit
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from data.errors import InputError, note
from data.files import atomic_write, cache_folder, remove_partial, sha256_of_file, sha256_of_json

STANDARD_INPUT = "-"

_SETTLED_NS = 1_000_000_000
_spooled: dict[tuple[int, int], tuple[int, Path]] = {}


def expand_user(path: str | Path) -> Path:
    """Return the path with a leading `~` or `~user` replaced by the home folder, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def read_once(path: str | Path) -> bool:
    """Whether a path is standard input, a pipe, a socket or a device, whose content is gone after one reading."""
    return _once(expand_user(path)) is not None


def require_different(*paths: str | Path | None) -> None:
    """Refuse to read two inputs from one pipe.

    Raises:
        InputError: two of the paths are the same input that can be read once.
    """
    seen: dict[tuple[int, int], str | Path] = {}
    for path in paths:
        if path is not None and (key := _once(expand_user(path))):
            if key in seen:
                raise InputError(f"{path}: the same input as {seen[key]}, which can be read once; save one to a file")
            seen[key] = path


def require_lasting(spec: str) -> None:
    """Refuse a source that cannot be read again later, where it is to be recorded.

    Raises:
        InputError: it is a pipe, or standard input.
    """
    if read_once(spec):
        raise InputError(f"{spec}: can be read once, but is recorded to be read again; save it to a file first")


def local_file(path: Path) -> Path:
    """Return the path of a file that can be opened any number of times and holds the content of `path`.

    Input that can be read once is copied to the cache folder the first time and removed when the process ends.

    Raises:
        InputError: there is no such file, or it is a folder, a terminal or a device.
    """
    path = expand_user(path)
    key = _once(path)
    if key is None:
        require_file(path)
        return path
    changed, copy = _spooled.get(key, (None, None))
    # A pipe's change time stands still once it is read to its end; a new pipe may have an old one's number.
    if copy is None or changed != _status(path).st_ctime_ns:
        copy = _spool(path)
        _spooled[key] = _status(path).st_ctime_ns, copy
    return copy


def require_file(path: Path) -> None:
    """Refuse a path that is no file that can be read.

    Raises:
        InputError: nothing is there, or a folder.
    """
    if str(path) == STANDARD_INPUT:
        raise InputError("-: standard input is closed; pipe a text into the command, or name a file")
    try:
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file or folder; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder where a file is needed") from None


@dataclass(frozen=True)
class Walk:
    """Files of a folder, sorted by path, and the number of entries left out by suffix."""

    files: list[Path]
    left_out: Counter[str]

    def note(self, folder: Path) -> None:
        """Tell the user which files are not read."""
        if self.left_out:
            told = ", ".join(f"{count:,} {name}" for name, count in sorted(self.left_out.items()))
            note(f"{folder}: left out {told}")


def walk(folder: Path, suffixes: tuple[str, ...]) -> Walk:
    """Return a folder's files with the given suffixes, in either case, from it and its subfolders.

    Hidden files and folders are left out. Links are followed; a file or folder that can be reached in several ways
    counts once, so a link to a folder above ends there, and the note counts it.
    """
    found: dict[Path, Path] = {}
    left_out: Counter[str] = Counter()
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        if (real := current.resolve()) in seen:
            left_out["repeated links"] += 1
            continue
        seen.add(real)
        for path in sorted(current.iterdir(), reverse=True):
            if path.name.startswith("."):
                left_out["hidden"] += 1
            elif path.is_dir():
                waiting.append(path)
            elif not path.exists():
                left_out["broken links"] += 1
            elif not path.is_file():
                left_out["pipes or devices"] += 1
            elif path.name.lower().endswith(suffixes):
                real = path.resolve()
                if real in found:
                    left_out["repeated links"] += 1
                found[real] = min(path, found.get(real, path))
            else:
                left_out[path.suffix.lower() or "without a suffix"] += 1
    return Walk(sorted(found.values()), left_out)


def file_identity(paths: Sequence[Path], root: Path) -> list[list[str]]:
    """Return names, relative to `root`, and SHA-256 of files: the same content has the same, wherever it lies.

    The cache folder keeps an index from size, inode, modification and change time to the hash, so that a file is read
    again only if one of these has changed. The name of `root` itself is its last part.
    """
    index = cache_folder() / "hashes" / f"{sha256_of_json(str(root.resolve()))[:20]}.json"
    known = _read_index(index)
    entries: dict[str, list[int | str]] = {}
    identity = []
    for path in tqdm(paths, f"hashing {root.name}", disable=None, delay=1, leave=False):
        name = str(path.relative_to(root)) if path != root else path.name
        if read_once(path):
            identity.append([name, sha256_of_file(local_file(path))])
            continue
        found = path.stat()
        facts: list[int | str] = [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
        before = known.get(name)
        digest = str(before[-1]) if before and before[:-1] == facts else sha256_of_file(path)
        # Whatever writes within the same tick of the clock may leave all times as they are.
        if time.time_ns() - found.st_ctime_ns > _SETTLED_NS:
            entries[name] = [*facts, digest]
        identity.append([name, digest])
    if entries != known and entries:
        with atomic_write(index) as file:
            file.write(json.dumps(entries).encode())
    return identity


def _read_index(path: Path) -> dict[str, list[int | str]]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _once(path: Path) -> tuple[int, int] | None:
    """Return device and inode of an open input that can be read once; None for files, folders and missing paths."""
    try:
        found = _status(path)
    except OSError:
        return None
    if str(path) != STANDARD_INPUT and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return None
    return found.st_dev, found.st_ino


def _status(path: Path) -> os.stat_result:
    number = _descriptor(path)
    return path.stat() if number is None else os.fstat(number)


def _descriptor(path: Path) -> int | None:
    """Return the open file that a path stands for: `-`, /dev/stdin, /dev/fd/N, /proc/self/fd/N."""
    if str(path) in (STANDARD_INPUT, "/dev/stdin"):
        return 0 if sys.stdin is not None else -1  # None where it is closed; 0 may be another file by now
    if str(path.parent) in ("/dev/fd", "/proc/self/fd") and path.name.isdecimal():
        return int(path.name)
    return None


def _spool(path: Path) -> Path:
    number, mode = _descriptor(path), _status(path).st_mode
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: a folder where a file is needed")
    with path.open("rb") if number is None else os.fdopen(os.dup(number), "rb") as source:
        if source.isatty():
            raise InputError(f"{path}: a terminal; pipe a text into the command, or name a file")
        if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and _status(path).st_rdev != Path(os.devnull).stat().st_rdev):
            raise InputError(f"{path}: a device; name a file or a pipe")
        folder = cache_folder() / "spool"
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder, unchanged_for_seconds=24 * 3600)
        with tempfile.NamedTemporaryFile(prefix=".", suffix=".partial", dir=folder, delete=False) as copy:
            atexit.register(Path(copy.name).unlink, missing_ok=True)
            shutil.copyfileobj(source, copy, 1 << 20)
    return Path(copy.name)
