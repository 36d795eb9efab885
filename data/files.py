"""Files on disk: the cache folder, atomic writes, hashes."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

T = TypeVar("T")


def cache_folder() -> Path:
    """Return the folder for derived data: `TEXTGAN_CACHE`, else `textgan` in the user's cache folder."""
    if chosen := os.environ.get("TEXTGAN_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "textgan"


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a JSON-serialisable value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that appears at `path` complete, or not at all.

    The bytes go to a temporary file in the same folder, which is synced and then renamed over `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    _sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically. NaN is refused."""
    with atomic_write(path) as file:
        file.write(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False).encode() + b"\n")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends without an error.

    When two processes build the same folder at once, the first one to finish wins and the other's copy is dropped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        for file in filter(Path.is_file, temporary.rglob("*")):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        _sync_folder(temporary)
        temporary.chmod(0o777 & ~_umask())
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(path.parent)


def open_cached(folder: Path, load: Callable[[Path], T], build: Callable[[Path], None]) -> T:
    """Return `load(folder)`; where the folder is absent, or `load` finds damage (ValueError), `build` it first.

    `build` fills a temporary folder that is then renamed, so a reader never sees half an entry.
    """
    if folder.is_dir():
        try:
            return load(folder)
        except (ValueError, KeyError, FileNotFoundError) as error:
            print(f"warning: {folder}: damaged cache entry ({error}); rebuilding it", file=sys.stderr)
            shutil.rmtree(folder)
    with atomic_folder(folder) as temporary:
        build(temporary)
    return load(folder)


def load_verified(folder: Path, description: str) -> dict[str, Any]:
    """Return the JSON object in `folder/description` after checking the files it lists under `sha256`.

    Raises:
        ValueError: the description is not JSON, or a file is not as it was written.
    """
    recorded: dict[str, Any] = json.loads((folder / description).read_text("utf-8"))
    for name, expected in recorded["sha256"].items():
        if sha256_of_file(folder / name) != expected:
            raise ValueError(f"{name} is not as it was written")
    return recorded


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
