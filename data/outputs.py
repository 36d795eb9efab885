"""Output of commands: checked before the work, then written as a shell's `>` would write it, but complete or absent.

`-` is standard output. Devices, pipes and `/dev/fd/N` are written to and never replaced. A file named .gz or .zst is
compressed; the same content gives the same bytes.
"""

import gzip
import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import IO, Literal, TextIO, cast

from data.errors import InputError
from data.files import LOCK, atomic_write, naming

Kind = Literal["run", "exported generator", "counts", "records"]

STANDARD_OUTPUT = Path("-")

_STREAM = re.compile(r"/dev/(?:fd/(?P<number>\d+)|(?P<name>stdin|stdout|stderr))|/proc/self/fd/(?P<of_process>\d+)")
_STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}
_MOST_LINKS = 40  # Linux follows at most 40

_ARRAYS = (".npz", ".npy")  # not read from folders

# Suffixes that readers of text, `data.readers` included, take for other formats.
_NOT_TEXT = (
    *(".bz2", ".xz", ".lzma", ".lz", ".lz4", ".br", ".z", ".zip", ".7z", ".rar", ".tar", ".tgz", ".tbz2", ".txz"),
    *(".parquet", ".arrow", ".feather", ".npy", ".npz", ".pt", ".pth", ".safetensors", ".docx", ".xlsx"),
    *(".png", ".svg", ".pdf", ".jpg", ".jpeg", ".tar.gz", ".tar.zst", ".npz.gz", ".svgz"),
)


@dataclass(frozen=True)
class _Owner:
    """A kind of folder that commands make: files that identify the kind, and reserved names in the folder.

    A folder is of this kind if it has at least one file of each group in `marks`.
    """

    kind: Kind
    title: str
    marks: Sequence[Sequence[str]]
    names: Sequence[str]


_OWNERS = (
    _Owner(
        "run", "a run", (("options.json",), ("metrics.jsonl", "samples", "checkpoints")),
        ("options.json", "metrics.jsonl", "summary.json", "samples", "checkpoints", "events.out.*", LOCK),
    ),
    _Owner(
        "exported generator", "an exported generator", (("config.json",), ("model.safetensors",)),
        ("config.json", "model.safetensors"),
    ),
    _Owner("counts", "n-gram counts", (("ngrams.json",),), ("ngrams.json", "*.npy")),
    _Owner("records", "a leaderboard's records", (("task.json",),), ("*",)),
)  # fmt: skip


def require_output(
    flag: str, path: Path | None, endings: Sequence[str] = (), inputs: Iterable[str | Path] = ()
) -> None:
    """Refuse an output file that could not be written, or would be misread, before the work begins.

    Args:
        flag: the flag that names the file.
        path: the file, or None if the user named none.
        endings: allowed suffixes. Default: any suffix of text, plain or compressed.
        inputs: files, folders and sources that the command reads, which the output must not change.

    Raises:
        InputError: the file is refused; names the flag, the file and the remedy.
    """
    if path is None:
        return
    there = _exists(flag, path)
    if (number := _stream(path)) is not None:
        try:
            os.fstat(number)
        except OSError as error:
            raise InputError(f"{flag} {path}: is closed; give a file") from error
        return
    if path.is_dir():
        raise InputError(f"{flag} {path}: a folder; give a file in it")
    if not is_special(path):
        _require_ending(flag, path, endings)
        for read in _files(inputs):
            if there and path.samefile(read):
                raise InputError(f"{flag} {path}: is read by the command; choose another {flag}")
            if read.is_dir() and _real(path).parent == _real(read) and path.suffix not in _ARRAYS:
                raise InputError(f"{flag} {path}: would be read as a part of {read}; choose a file outside it")
        _require_free(flag, path)
    _require_writable(flag, path, there)


def require_output_folder(flag: str, folder: Path, kind: Kind | Literal["runs"]) -> None:
    """Refuse an output folder that could not be written to, or that holds output of another kind than `kind`.

    Raises:
        InputError: the folder is refused; names the flag, the folder and the remedy.
    """
    there = _exists(flag, folder)
    if str(folder) == "-" or (there and not folder.is_dir()):
        raise InputError(f"{flag} {folder}: not a folder; choose another {flag}")
    owner = _owner(folder)
    if owner is not None and owner.kind != kind:
        raise InputError(f"{flag} {folder}: holds {owner.title}; choose another {flag}")
    _require_free(flag, folder)
    if kind in ("run", "runs") and re.search("[\ud800-\udfff]", str(_real(folder))):  # TensorBoard needs UTF-8
        raise InputError(f"{flag} {folder}: a name that is not UTF-8; choose another {flag}")
    if kind in ("run", "runs") and any(map(_is_run, _real(folder).parents)):
        raise InputError(f"{flag} {folder}: inside a run's folder; choose another {flag}")
    if kind in ("run", "exported generator") and there and owner is None and any(map(_is_run, folder.iterdir())):
        raise InputError(f"{flag} {folder}: holds runs; choose another {flag}, such as {folder / 'NAME'}")
    _require_writable(flag, folder, there)


def is_special(path: Path) -> bool:
    """Return whether a path is anything but a plain file, such as standard output, a device or a pipe."""
    try:
        return _stream(path) is not None or not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def told_on(path: Path) -> TextIO:
    """Return the stream for a command's messages: standard error if the output goes to standard output."""
    return sys.stderr if _stream(path) == _STREAMS["stdout"] else sys.stdout


@contextmanager
def write_output(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file whose content is written to the user's output if the block ends without an error.

    A plain file is replaced by `atomic_write`, or written in place if the file may be changed but not its folder.

    Raises:
        OSError: the output cannot be written; it names `path`.
    """
    file = io.BytesIO()
    yield file
    content = _compressed(path, file.getvalue())
    with naming(path):
        if (number := _stream(path)) is not None:
            _write_to_stream(number, content)
        elif is_special(path) or (path.exists() and not os.access(_real(path).parent, os.W_OK)):
            with path.open("wb") as in_place:
                in_place.write(content)
        else:
            with atomic_write(path) as whole:
                whole.write(content)


def _compressed(path: Path, content: bytes) -> bytes:
    ending = path.suffix.lower()
    if ending == ".gz":
        return gzip.compress(content, mtime=0)
    if ending == ".zst":
        import pyarrow as pa

        return cast(bytes, pa.compress(content, codec="zstd", asbytes=True))
    return content


def _write_to_stream(number: int, content: bytes) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # earlier prints come first
    if number == _STREAMS["stdout"] and sys.stdout is not None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    with os.fdopen(os.dup(number), "wb") as file:
        file.write(content)


def _stream(path: Path) -> int | None:
    """Return the file descriptor that a path stands for: 1 for `-` and /dev/stdout; None for other paths.

    Opening /dev/stdout would cut off a file that standard output is appended to.
    """
    if path == STANDARD_OUTPUT:
        return _STREAMS["stdout"]
    for _ in range(_MOST_LINKS):
        if match := _STREAM.fullmatch(os.path.normpath(path)):
            return _STREAMS[match["name"]] if match["name"] else int(match["number"] or match["of_process"])
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _exists(flag: str, path: Path) -> bool:
    """Return whether a path exists, following links.

    Raises:
        InputError: the path is impossible: a loop of links, too long, below a file, or not accessible to the user.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise InputError(f"{flag} {path}: {getattr(error, 'strerror', error)}; choose another {flag}") from error
    return True


def _files(inputs: Iterable[str | Path]) -> Iterator[Path]:
    """Yield the existing paths among inputs; an input may be a source: cifar10:PATH, jsonl:PATH:FIELD, pool:LIST."""
    for value in map(str, inputs):
        kind, _, rest = value.partition(":")
        if kind == "pool":
            with suppress(ValueError):
                yield from _files(json.loads(rest))
        for name in (value, rest, rest.rpartition(":")[0]):
            if name and Path(name).exists():
                yield Path(name)


def _require_ending(flag: str, path: Path, endings: Sequence[str]) -> None:
    if endings and path.suffix.lower() not in endings:
        raise InputError(f"{flag} {path}: must end in {', '.join(endings)}")
    if not endings and path.name.lower().endswith(_NOT_TEXT):
        raise InputError(f"{flag} {path}: would hold text, not {path.suffix}; end it in .txt, .txt.gz or .txt.zst")


def _require_free(flag: str, path: Path) -> None:
    """Refuse a reserved name in the output folder of another command, or a path below it."""
    real = _real(path)
    for inner, folder in pairwise([real, *real.parents]):
        if (owner := _owner(folder)) is not None and any(fnmatchcase(inner.name, name) for name in owner.names):
            raise InputError(
                f"{flag} {path}: {folder} holds {owner.title}, and {inner.name} is part of it; choose another {flag}"
            )


def _require_writable(flag: str, path: Path, there: bool) -> None:
    nearest = path if there else next(folder for folder in _real(path).parents if folder.exists())
    if not there and not nearest.is_dir():
        raise InputError(f"{flag} {path}: {nearest} is not a folder; choose another {flag}")
    if not os.access(nearest, os.W_OK | os.X_OK if nearest.is_dir() else os.W_OK):
        raise InputError(
            f"{flag} {path}: {nearest} cannot be written to; change its permissions, or choose another {flag}"
        )


def _owner(folder: Path) -> _Owner | None:
    for owner in _OWNERS:
        if all(any((folder / name).exists() for name in group) for group in owner.marks):
            return owner
    return None


def _is_run(folder: Path) -> bool:
    return (owner := _owner(folder)) is not None and owner.kind == "run"


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
