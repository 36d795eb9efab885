"""Readers: lines of text files, Parquet files and hub data sets as a stream of lists, strictly UTF-8."""

import gzip
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from data import content
from data.errors import InputError, note
from data.inputs import local_file

Lines = Iterator[list[str]]
InvalidUtf8 = Literal["refuse", "replace"]

_BLOCK_BYTES = 1 << 23
_ROWS = 1 << 16
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Source:
    """A source of training lines and, if it has its own, held-out lines.

    `identity` changes whenever the lines may have changed (JSON-serialisable; it names the cache entry).
    `train_lines` is the default number of training lines; None means all. `words` are the words of a source that draws
    lines from a known distribution over them: a tokenizer of words has exactly these, and held-out lines may equal
    training lines, since they are independent draws.
    """

    name: str
    identity: Any
    train: Callable[[], Lines]
    held_out: Callable[[], Lines] | None = None
    train_lines: int | None = None
    words: tuple[str, ...] | None = None


def read_lines(path: Path, invalid_utf8: InvalidUtf8 = "refuse", carriage_returns: bool = True) -> Lines:
    """Yield the lines of a text file or the rows of a Parquet file in order, without their line ends.

    The format (gzip, zstd, Parquet or plain text) is recognised by the bytes, not by the name. LF, CR LF and a CR alone
    each end a line, as in Python's text files. Empty lines count; the last line needs no line end. A byte order mark is
    dropped. Standard input and pipes are read like files.

    Args:
        path: a file, a pipe, or - for standard input.
        invalid_utf8: whether bytes that are not UTF-8 are refused or replaced.
        carriage_returns: whether a CR alone ends a line.

    Raises:
        InputError: not text, bytes that are not UTF-8 (unless replaced), or a damaged compressed file.
    """
    if is_parquet(path):
        yield from read_parquet(path)
        return
    remarked = False
    for lines in text_lines(path, invalid_utf8, carriage_returns):
        if not remarked:
            _remark(path, lines)
        remarked = True
        yield lines


def text_lines(path: Path, invalid_utf8: InvalidUtf8 = "refuse", carriage_returns: bool = True) -> Lines:
    """Yield the lines of a text file as `read_lines` does, without remarks about lines that look like no samples.

    Raises:
        InputError: not text, bytes that are not UTF-8 (unless replaced), or a damaged compressed file.
    """
    lines_read, rest = 0, b""
    with open_text(path) as file:
        for block in _line_fed(file, path) if carriage_returns else _blocks(file, path):
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


@contextmanager
def open_text(path: Path) -> Iterator[IO[bytes]]:
    """Open a text file, decompressed, after its byte order mark.

    Raises:
        InputError: the file cannot be read, is damaged, or is not text; names the format.
    """
    local = local_file(path)
    codecs: list[content.Compression] = []
    while True:
        with _unpacked(local, codecs) as file:
            head = _read(file, path, content.HEAD_BYTES)
        if (codec := content.compression(head)) is None:
            break
        codecs.append(codec)
    if refused := content.no_text(head):
        name, remedy = refused
        if name == "a tar archive":
            remedy += f", or for the One Billion Word Benchmark say lm1b:{path}"
        packed = f" in {codecs[-1]}" if codecs else ""
        raise InputError(f"{path}: {name}{packed}, not UTF-8 text; {remedy}")
    with _unpacked(local, codecs) as file:
        if head.startswith(BOM_UTF8):
            file.read(len(BOM_UTF8))
        yield file


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet, by its first bytes or by its name."""
    if path.suffix.lower() == ".parquet":
        return True
    with local_file(path).open("rb") as file:
        return content.is_parquet(file.read(content.HEAD_BYTES))


def read_parquet(path: Path) -> Lines:
    """Yield the strings of a Parquet file's text column: `text`, or the only column that holds strings.

    Raises:
        InputError: the file is damaged, has no text column or several, or the column holds lists or bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with local_file(path).open("rb") as opened:
            file = pq.ParquetFile(opened)
            column = _text_column(path, {field.name: field.type for field in file.schema_arrow})
            before = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=[column]):
                rows = batch.column(0).to_pylist()
                if with_nul := [number for number, row in enumerate(rows, start=before + 1) if row and "\0" in row]:
                    raise InputError(f"{path}: row {with_nul[0]}: holds a NUL character; remove it")
                before += len(rows)
                yield rows_as_lines(rows)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputError(f"{path}: not a readable parquet file ({first_line(error)})") from error


def _text_column(path: Path, types: dict[str, Any]) -> str:
    import pyarrow as pa

    def is_text(dtype: Any) -> bool:
        dtype = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
        return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))

    # Lists of strings and bytes count too: if they may be the text, no other column is taken for it.
    candidates = {name: dtype for name, dtype in types.items() if "string" in str(dtype) or "binary" in str(dtype)}
    chosen = "text" if "text" in types else next(iter(candidates), None)
    if chosen is None or ("text" not in types and len(candidates) > 1):
        raise InputError(
            f"{path}: no column `text`, and its string columns are {list(candidates)}; name one: "
            "hub:FOLDER:COLUMN; a file of samples needs a single one"
        )
    if not is_text(types[chosen]):
        raise InputError(
            f"{path}: column {chosen!r} is {types[chosen]}, not strings; write it as strings, "
            "or name another column: hub:FOLDER:COLUMN"
        )
    if chosen != "text" and len(types) > 1:
        note(f"{path}: no column `text`; column {chosen!r}, the only column of strings, is read")
    return chosen


def rows_as_lines(rows: Sequence[str | None]) -> list[str]:
    """Return one line per row: line breaks inside a row become spaces; a missing value becomes an empty line."""
    return [re.sub(r"\r\n|\r|\n", " ", row) if row else "" for row in rows]


@contextmanager
def _unpacked(path: Path, codecs: Sequence[content.Compression]) -> Iterator[IO[bytes]]:
    """Open a file through decompressors, the outermost first."""
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        for codec in codecs:
            opened = gzip.GzipFile(fileobj=file, mode="rb") if codec == "gzip" else _zstd(file)
            file = cast(IO[bytes], stack.enter_context(opened))
        yield file


def _zstd(file: IO[bytes]) -> IO[bytes]:
    import pyarrow as pa

    return cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))


def _blocks(file: IO[bytes], path: Path) -> Iterator[bytes]:
    return iter(lambda: _read(file, path, _BLOCK_BYTES), b"")


def _line_fed(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """Yield a file's blocks with an LF for each line end."""
    held = b""
    for block in _blocks(file, path):
        block = held + block
        held = block[-1:] if block.endswith(b"\r") else b""  # an LF may follow
        block = block.removesuffix(held)
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
            if b"\r" in block and b"\n" in block:
                note(f"{path}: some lines end in a carriage return alone, others in a line feed")
            block = block.replace(b"\r", b"\n")
        yield block
    if held:
        yield b"\n"


def _read(file: IO[bytes], path: Path, size: int) -> bytes:
    try:
        return file.read(size)
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputError(f"{path}: damaged compressed file ({first_line(error)}); fetch it again") from error


def _decode(block: bytes, path: Path, lines_before: int, invalid_utf8: InvalidUtf8) -> list[str]:
    if b"\x00" in block:
        line = lines_before + block.count(b"\n", 0, block.index(b"\x00")) + 1
        raise InputError(f"{path}:{line}: a NUL byte, which text does not hold; remove it, or give a text file")
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        binary = content.is_binary(block)
        if binary or invalid_utf8 == "refuse":
            line = lines_before + block.count(b"\n", 0, error.start) + 1
            remedy = "binary data? give a text file" if binary else "repair the line or pass --invalid-utf8 replace"
            raise InputError(f"{path}:{line}: not UTF-8 (byte 0x{block[error.start]:02x}); {remedy}") from None
        text = block.decode("utf-8", "replace")
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def _remark(path: Path, lines: Sequence[str]) -> None:
    warnings = content.oddities(lines)
    if not warnings and (named := ending(path)) in _TABLES:
        warnings = [f"read as text, one sample per line, although the name ends in {named}"]
    for warning in warnings:
        note(f"{path}: {warning}")


def ending(path: Path) -> str | None:
    """Return the last suffix of a file's name, before .gz and .zst, in small letters; None if there is none."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst")]
    return suffixes[-1] if suffixes else None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
