"""Input files: copies of pipes, the files of a folder, and an index of content hashes.

Every reader opens files through `local_file`, so links, pipes, `-` and `/dev/fd/63` behave like plain files.
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

from data.cache import ABANDONED_SECONDS, cache_folder
from data.errors import InputError, note
from data.files import atomic_write, remove_partial, sha256_of_file, sha256_of_json

STANDARD_INPUT = "-"

_SETTLED_NS = 1_000_000_000
_spooled: dict[tuple[int, int], tuple[int, Path]] = {}


def expand_user(path: str | Path) -> Path:
    """Return the path with a leading `~` or `~user` replaced by the home folder, if there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def read_once(path: str | Path) -> bool:
    """Return whether a path can be read only once: standard input, a pipe, a socket or a device."""
    return _once(expand_user(path)) is not None


def require_different(*paths: str | Path | None) -> None:
    """Refuse to read two inputs from one pipe.

    Raises:
        InputError: two paths are the same input, and it can be read only once.
    """
    seen: dict[tuple[int, int], str | Path] = {}
    for path in paths:
        if path is not None and (key := _once(expand_user(path))):
            if key in seen:
                raise InputError(
                    f"{path}: the same input as {seen[key]}, which can be read only once; save one to a file"
                )
            seen[key] = path


def require_lasting(spec: str) -> None:
    """Refuse a source that is to be recorded but cannot be read again.

    Raises:
        InputError: the source is a pipe, or standard input.
    """
    if read_once(spec):
        raise InputError(f"{spec}: can be read only once, but is recorded to be read again; save it to a file first")


def local_file(path: Path) -> Path:
    """Return a file with the content of `path` that can be opened any number of times.

    Input that can be read only once is copied to the cache folder; the copy is removed when the process ends.

    Raises:
        InputError: there is no such file, or it is a folder, a terminal or a device.
    """
    path = expand_user(path)
    key = _once(path)
    if key is None:
        require_file(path)
        return path
    changed, copy = _spooled.get(key, (None, None))
    # The change time of a pipe that was read to its end stays the same; a new pipe may have the inode of an old one.
    if copy is None or changed != _status(path).st_ctime_ns:
        copy = _spool(path)
        _spooled[key] = _status(path).st_ctime_ns, copy
    return copy


def require_file(path: Path) -> None:
    """Refuse a path that does not lead to a readable file.

    Raises:
        InputError: the path does not exist, is a folder, or is standard input, which is closed.
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
    """Files of a folder, sorted by path, and the number of entries left out, by suffix or reason."""

    files: list[Path]
    left_out: Counter[str]

    def note(self, folder: Path) -> None:
        """Print a note of the entries left out, if any."""
        if self.left_out:
            counts = ", ".join(f"{count:,} {name}" for name, count in sorted(self.left_out.items()))
            note(f"{folder}: left out {counts}")


def walk(folder: Path, suffixes: tuple[str, ...]) -> Walk:
    """Return the files with the given suffixes (upper or lower case) in a folder and its subfolders.

    Hidden files and folders are left out. Links are followed, but each file or folder is visited once, so a link to a
    parent folder is not followed again; later paths to the same file or folder are counted as repeated links.
    """
    files: dict[Path, Path] = {}
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
                if real in files:
                    left_out["repeated links"] += 1
                files[real] = min(path, files.get(real, path))
            else:
                left_out[path.suffix.lower() or "without a suffix"] += 1
    return Walk(sorted(files.values()), left_out)


def file_identity(paths: Sequence[Path], root: Path) -> list[list[str]]:
    """Return [name relative to `root`, SHA-256] of each file; the same files in another place give an equal list.

    The cache folder keeps an index from size, inode, modification and change time to the hash, so that a file is read
    again only if one of these has changed. If `root` is a file, the name is the last part of its path.
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
        status = path.stat()
        stamps: list[int | str] = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
        before = known.get(name)
        digest = str(before[-1]) if before and before[:-1] == stamps else sha256_of_file(path)
        # A second write within the same tick of the clock may leave all times as they are.
        if time.time_ns() - status.st_ctime_ns > _SETTLED_NS:
            entries[name] = [*stamps, digest]
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
    """Return device and inode of an input that can be read only once; None for files, folders and missing paths."""
    try:
        status = _status(path)
    except OSError:
        return None
    if str(path) != STANDARD_INPUT and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return None
    return status.st_dev, status.st_ino


def _status(path: Path) -> os.stat_result:
    number = _descriptor(path)
    return path.stat() if number is None else os.fstat(number)


def _descriptor(path: Path) -> int | None:
    """Return the file descriptor that a path stands for: `-`, /dev/stdin, /dev/fd/N, /proc/self/fd/N; else None."""
    if str(path) in (STANDARD_INPUT, "/dev/stdin"):
        return 0 if sys.stdin is not None else -1  # None if it is closed; 0 may be another file by now
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
        remove_partial(folder, unchanged_for_seconds=ABANDONED_SECONDS)
        with tempfile.NamedTemporaryFile(prefix=".", suffix=".partial", dir=folder, delete=False) as copy:
            atexit.register(Path(copy.name).unlink, missing_ok=True)
            shutil.copyfileobj(source, copy, 1 << 20)
    return Path(copy.name)
