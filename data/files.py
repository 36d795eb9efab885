"""Files on disk: atomic writes, locks, hashes.

Lustre, CIFS, FUSE and other file systems lack some operations that keep files whole. Writing goes on without them, with
one note; any other error names the file.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from data.errors import InputError, note

LOCK = ".lock"
"""Name of the lock file in a folder that one process at a time may write to."""

_LOCK_SECONDS = 0.3  # time to wait for a lock; `is_locked` holds it for far less
_PARTIAL = ".partial"  # suffix of files and folders that are not complete
_NAME_PART = 48  # characters of at most 4 bytes; file systems usually allow names of 255 bytes
_LACKING = {
    errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ENOLCK, errno.EXDEV, errno.EBUSY,
    errno.EEXIST,
}  # fmt: skip
_noted: set[str] = set()


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

    The bytes go to a temporary file in the same folder, which is synced and then renamed over `path`. A symbolic link
    stays, and its target is replaced. The new file has the mode and, if permitted, the owner of the old one. Other hard
    links keep the old content.

    Raises:
        OSError: the file cannot be written; it names `path`.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    with naming(path, _prefix(target)):
        before = _stat(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_prefix(target), suffix=_PARTIAL, dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                with best_effort(path):
                    os.fsync(file.fileno())
            _keep_owner_and_mode(temporary, path, before)
            _replace(temporary, target, path)
        except BaseException:
            _remove_if_possible(temporary)
            raise
        _sync_folder(target.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically. NaN is refused."""
    with atomic_write(path) as file:
        # Bytes of file names that are not UTF-8 are lone surrogates, which become JSON's own escapes.
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends without an error.

    If two processes build the same folder at the same time, the first to finish wins and the other copy is dropped.

    Raises:
        OSError: the folder cannot be written; it names `path`.
    """
    with naming(path, _prefix(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_folder(path)
        try:
            yield temporary
            for file in filter(Path.is_file, temporary.rglob("*")):
                with file.open("rb") as written, best_effort(path):
                    os.fsync(written.fileno())
            _sync_folder(temporary)
            with best_effort(path):
                temporary.chmod(0o777 & ~_umask())
            try:
                temporary.rename(path)
            except OSError as error:
                if not path.is_dir():
                    _note_lack(error, path)
                    shutil.copytree(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync_folder(path.parent)


@contextmanager
def locked_folder(folder: Path, message: str) -> Iterator[None]:
    """Make a folder and keep other processes out by a lock on the file `.lock` in it.

    The system releases the lock of a killed process. If the file system has no locks, a note is printed.

    Raises:
        InputError: another process has the lock and keeps it; the text is `message`.
    """
    import filelock  # most commands lock nothing

    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / LOCK, timeout=_LOCK_SECONDS, fallback_to_soft=False)
    with naming(folder), ExitStack() as held:
        try:
            held.enter_context(lock)
            # Removed while it is held: afterwards the file may be another process's lock.
            held.callback(_remove_if_possible, folder / LOCK)
        except filelock.Timeout:
            raise InputError(message) from None
        except OSError as error:
            _note_lack(error, folder, "has no locks", "make sure that no two processes write there")
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process has the lock of `locked_folder`.

    If no process has it, the test takes it for an instant, for which `locked_folder` waits. On a file system without
    locks, and without permission to test, a lock file counts as a lock.
    """
    import filelock

    if not (folder / LOCK).exists():
        return False
    try:
        with filelock.FileLock(folder / LOCK, blocking=False, fallback_to_soft=False):
            return False
    except (filelock.Timeout, OSError):
        return True


@contextmanager
def naming(path: Path, prefix: str = _PARTIAL) -> Iterator[None]:
    """Put `path` into any OSError of the block that names no file, or a temporary file with this prefix."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or f"{os.sep}{prefix}" in f"{os.sep}{error.filename}"):
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def best_effort(path: Path) -> Iterator[None]:
    """Skip an operation that the file system at `path` lacks, with one note per process.

    Raises:
        OSError: the operation failed for another reason.
    """
    try:
        yield
    except OSError as error:
        _note_lack(error, path)


def remove_partial(folder: Path, unchanged_for_seconds: float = 0.0) -> None:
    """Remove incomplete files and folders that killed processes left in `folder`, if unchanged for this time."""
    for path in folder.glob(f".*{_PARTIAL}"):
        with suppress(FileNotFoundError):  # finished by its process meanwhile
            if time.time() - path.lstat().st_mtime >= unchanged_for_seconds:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def temporary_folder(path: Path) -> Path:
    """Make and return an empty folder beside `path`, whose name marks it as incomplete."""
    return Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=_PARTIAL, dir=path.parent))


def _prefix(path: Path) -> str:
    return f".{path.name[:_NAME_PART]}."  # with all of a long name, the temporary name would be too long


def _remove_if_possible(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _keep_owner_and_mode(temporary: Path, path: Path, before: os.stat_result | None) -> None:
    """Give a new file the mode and, if permitted, the owner and group of the file it replaces."""
    if before is not None and hasattr(os, "chown"):
        for owner, group in ((before.st_uid, -1), (-1, before.st_gid)):
            with suppress(OSError):
                os.chown(temporary, owner, group)
    with best_effort(path):
        temporary.chmod(0o666 & ~_umask() if before is None else stat.S_IMODE(before.st_mode))


def _replace(temporary: Path, target: Path, path: Path) -> None:
    """Rename a file over another; copy it if renaming fails, as over a single file mounted into a container."""
    try:
        temporary.replace(target)
    except OSError as error:
        if not target.is_file() and target.exists():
            raise
        _note_lack(error, path)
        shutil.copyfile(temporary, target)
        temporary.unlink()


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    with best_effort(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _note_lack(
    error: OSError,
    path: Path,
    lack: str = "lacks an operation",
    advice: str = "file modes may be lost, and files if the system crashes",
) -> None:
    """Print a note, once per process and lack, that the file system at `path` lacks an operation.

    Raises:
        OSError: `error` itself, if it has another meaning.
    """
    if error.errno not in _LACKING:
        raise error
    if lack not in _noted:
        _noted.add(lack)
        note(f"{path}: its file system {lack} ({error.strerror}); going on: {advice}")
