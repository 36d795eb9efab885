"""Sources: where lines of text come from, read as a stream of lists of lines, strictly as UTF-8."""

import gzip
import logging
import re
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from data.errors import InputError

Lines = Iterator[list[str]]
InvalidUtf8 = Literal["refuse", "replace"]

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst", ".parquet")

_BLOCK_BYTES = 1 << 23
_ROWS = 1 << 16


@dataclass(frozen=True)
class Source:
    """Training lines and, where the source has its own, held-out lines.

    `identity` changes whenever the lines may have changed (JSON-serialisable; it names the cache entry).
    `train_lines` is how many training lines are used when the user does not say; None means all.
    """

    name: str
    identity: Any
    train: Callable[[], Lines]
    held_out: Callable[[], Lines] | None = None
    train_lines: int | None = None


def open_source(spec: str, invalid_utf8: InvalidUtf8 = "refuse") -> Source:
    """Return the source that a `--data` or `--reference` value names.

    `grammar`; `lm1b` or `lm1b:PATH`; `hub:NAME` or `hub:NAME:COLUMN`; else the path of a text file
    (plain, .gz, .zst), a parquet file, or a folder of these.
    """
    kind, _, rest = spec.partition(":")
    if kind == "grammar":
        from data import grammar

        if rest:
            raise InputError(f"{spec!r}: grammar takes no argument; give the number of lines with --lines")
        return Source(
            "grammar", grammar.VERSION, grammar.train_lines, grammar.held_out_lines, train_lines=grammar.TRAIN_LINES
        )
    if kind == "lm1b":
        from data import lm1b

        return lm1b.open_lm1b(Path(rest) if rest else None, invalid_utf8)
    if kind == "hub":
        return _hub_source(rest)
    return _file_source(Path(spec), invalid_utf8)


def absolute(spec: str, embedded: str = "grammar", published: Container[str] = ("lm1b",)) -> str:
    """Return a `--data` value that names the same source from any working folder.

    Args:
        spec: the value.
        embedded: the kind that needs no files.
        published: kinds that may be followed by a path.
    """
    kind, colon, rest = spec.partition(":")
    if kind == "hub":
        name, colon, column = rest.partition(":")
        return f"hub:{Path(name).resolve()}{colon}{column}" if Path(name).exists() else spec
    if kind == embedded or kind in published:
        return f"{kind}:{Path(rest).resolve()}" if kind != embedded and rest else spec
    return str(Path(spec).resolve())


def read_lines(path: Path, invalid_utf8: InvalidUtf8 = "refuse") -> Lines:
    """Yield the lines of a text file (plain, .gz or .zst) in order, without their line ends (LF or CR LF).

    Every line counts, empty ones too; a last line needs no line end. A byte order mark is dropped.

    Raises:
        InputError: bytes that are not UTF-8 (unless replaced), or a damaged compressed file.
    """
    lines_read, rest = 0, b""
    with _open_text(path) as file:
        while block := _read_block(file, path):
            complete, newline, tail = block.rpartition(b"\n")
            if not newline:
                rest += tail
                continue
            lines = _decode(rest + complete, path, lines_read, invalid_utf8)
            rest = tail
            yield lines
            lines_read += len(lines)
    if rest:
        yield _decode(rest, path, lines_read, invalid_utf8)


def read_parquet(path: Path) -> Lines:
    """Yield the strings of a parquet file's text column: `text`, or its only string column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        strings = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        strings += [field.name for field in file.schema_arrow if pa.types.is_large_string(field.type)]
        if "text" not in strings and len(strings) != 1:
            raise InputError(
                f"{path}: no column `text`, and its string columns are {strings}; name one: hub:FOLDER:COLUMN"
            )
        column = "text" if "text" in strings else strings[0]
        for batch in file.iter_batches(batch_size=_ROWS, columns=[column]):
            yield rows_as_lines(batch.column(0).to_pylist())
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable parquet file ({_first_line(error)})") from error


def rows_as_lines(rows: list[str | None]) -> list[str]:
    """Return one line per row: line breaks inside a row become spaces, a missing value an empty line."""
    return [re.sub(r"\r\n|\r|\n", " ", row) if row else "" for row in rows]


def file_identity(paths: list[Path]) -> list[list[Any]]:
    """Return what tells unchanged files from changed ones: absolute path, size in bytes, modification time in ns."""
    return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def _file_source(path: Path, invalid_utf8: InvalidUtf8) -> Source:
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        raise InputError(f"{path}: an archive; for the One Billion Word Benchmark say lm1b:{path}, else unpack it")
    if path.is_dir():
        paths = sorted(file for file in path.iterdir() if file.name.endswith(TEXT_SUFFIXES))
        if not paths:
            raise InputError(f"{path}: no {', '.join(TEXT_SUFFIXES)} file in this folder")
    else:
        require_file(path)
        paths = [path]

    def train() -> Lines:
        for file in paths:
            yield from read_parquet(file) if file.suffix == ".parquet" else read_lines(file, invalid_utf8)

    return Source(path.resolve().name, ["files", file_identity(paths), invalid_utf8], train)


def _hub_source(rest: str) -> Source:
    hub = read_hub_spec(rest)
    return Source(hub.title, hub.identity, lambda: hub_lines(hub.name, "train", hub.column or "text"))


@dataclass(frozen=True)
class HubSpec:
    """What follows "hub:": a data set's name or local folder, and its column ("" for the usual one).

    `title` names both without a folder's place; `identity` changes whenever a local folder may have changed.
    """

    name: str
    column: str
    title: str
    identity: Any


def read_hub_spec(rest: str) -> HubSpec:
    """Take a NAME[:COLUMN] apart.

    Raises:
        InputError: it names nothing.
    """
    name, _, column = rest.partition(":")
    if not name:
        raise InputError("hub: names no data set; say hub:NAME or hub:NAME:COLUMN")
    identity: list[Any] = ["hub", rest]
    if (folder := Path(name)).exists():
        identity = ["hub", column, file_identity(sorted(filter(Path.is_file, folder.rglob("*"))))]
    return HubSpec(name, column, f"hub:{folder.name}:{column}".rstrip(":"), identity)


def hub_lines(name: str, split: str, column: str) -> Lines:
    """Yield a column of a Hugging Face data set (a hub name, or a local folder in the hub's layout), streaming.

    Raises:
        InputError: the data set, split or column does not exist, or the hub cannot be reached.
    """
    import datasets

    with hub_access(name):
        rows = datasets.load_dataset(name, split=split, streaming=True)
        for batch in rows.iter(batch_size=_ROWS):
            if column not in batch:
                raise InputError(f"hub:{name}: no column {column!r}; it has {sorted(batch)}: say hub:{name}:COLUMN")
            if not all(isinstance(row, str | None) for row in batch[column]):
                raise InputError(f"hub:{name}: column {column!r} is not text; say hub:{name}:COLUMN")
            yield rows_as_lines(cast(list[str | None], batch[column]))


@contextmanager
def hub_access(name: str, folder: str = "its folder") -> Iterator[None]:
    """Turn what goes wrong while a hub's data set is read into one line; `folder` is what to give instead of its name.

    Raises:
        InputError: the data set or split does not exist, or the hub cannot be reached.
    """
    # Its warnings report every retry; the error below says it once.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"hub:{name}: cannot be loaded ({type(error).__name__}: {_first_line(error)}); "
            f"check the name and the connection, or download it and give {folder}"
        ) from error


def require_file(path: Path) -> None:
    """Raise an error that says so where a path is no file that can be read."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    if path.is_dir():
        raise InputError(f"{path}: a folder where a file is needed")
    with path.open("rb"):
        pass


def _open_text(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path))
    if path.suffix == ".zst":
        import pyarrow as pa

        return cast(IO[bytes], pa.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _read_block(file: IO[bytes], path: Path) -> bytes:
    try:
        return file.read(_BLOCK_BYTES)
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputError(f"{path}: damaged compressed file ({_first_line(error)}); fetch it again") from error


def _decode(block: bytes, path: Path, lines_before: int, invalid_utf8: InvalidUtf8) -> list[str]:
    try:
        text = block.decode("utf-8", "replace" if invalid_utf8 == "replace" else "strict")
    except UnicodeDecodeError as error:
        line = lines_before + block.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: not UTF-8 (byte 0x{block[error.start]:02x}); "
            "repair the line or pass --invalid-utf8 replace"
        ) from None
    if lines_before == 0:
        text = text.removeprefix("\ufeff")
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
