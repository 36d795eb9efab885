"""Formats of files, recognised by the first bytes and not by name: compression, Parquet, anything but UTF-8 text."""

import csv
import json
import re
from collections.abc import Sequence
from typing import Literal

HEAD_BYTES = 512

Compression = Literal["gzip", "zstd"]

_UNPACK = "unpack it"
_AS_TEXT = "give a text file, one sample per line"
_NO_TEXT = (
    (rb".{257}ustar[\x00 ]", "a tar archive", _UNPACK),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive (.zip, .npz, .docx)", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "bzip2 data", _UNPACK),
    (rb"\xfd7zXZ\x00", "xz data", _UNPACK),
    (rb"\x5d\x00\x00.\x00", "lzma data", _UNPACK),
    (rb"LZIP\x01", "lzip data", _UNPACK),
    (rb"\x04\x22\x4d\x18", "lz4 data", _UNPACK),
    (rb"\x1f\x9d", "compress data (.Z)", _UNPACK),
    (rb"\xff\x06\x00\x00sNaPpY", "snappy data", _UNPACK),
    (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "UTF-32", "convert it: iconv -f UTF-32 -t UTF-8"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
    (rb"%PDF-", "a PDF document", _AS_TEXT),
    (rb"\{\\rtf", "an RTF document", _AS_TEXT),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a Microsoft Office document", _AS_TEXT),
    (rb"\x93NUMPY", "a NumPy array (.npy)", _AS_TEXT),
    (rb"SQLite format 3\x00", "an SQLite database", _AS_TEXT),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", _AS_TEXT),
    (rb"ARROW1\x00\x00|\xff\xff\xff\xff", "Arrow data", "write it as Parquet or text"),
    (rb"Obj\x01", "an Avro file", "write it as Parquet or text"),
    (rb"PAR1\x15", "a Parquet file", _UNPACK),  # can be read as a plain file, but not inside gzip
    (rb"\x89PNG\r\n\x1a\n", "a PNG image", _AS_TEXT),
    (rb"\xff\xd8\xff", "a JPEG image", _AS_TEXT),
    (rb"GIF8[79]a", "a GIF image", _AS_TEXT),
    (rb"RIFF.{4}WEBP", "a WebP image", _AS_TEXT),
    (rb".{4}ftyp(avif|avis|heic|heix|mif1)", "an AVIF or HEIC image", _AS_TEXT),
    (rb"II\*\x00|MM\x00\*", "a TIFF image", _AS_TEXT),
    (rb"\x7fELF", "a program", _AS_TEXT),
)
_UNMARKED = ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE")
_CUT = "\ufffd"
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
_TABLE_LINES = 50
_LEAST_LINES = 5
_LONGEST = 1 << 16  # the csv module refuses longer fields


def compression(head: bytes) -> Compression | None:
    """Return the compression of a file with these first bytes; None if it is neither gzip nor zstd."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    # Some programs begin with a skippable frame, whose magic number is any of 0x184D2A50 to 0x184D2A5F.
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd"
    return None


def is_parquet(head: bytes) -> bool:
    """Return whether a file begins like Parquet: the magic, then the first field of a page header or a footer."""
    return head.startswith(b"PAR1\x15")


def no_text(head: bytes) -> tuple[str, str] | None:
    """Return the name and remedy of a format that is not UTF-8 text; None if the first bytes may be text."""
    for pattern, name, remedy in _NO_TEXT:
        if re.match(pattern, head, re.DOTALL):
            return name, remedy
    if b"\x00" not in head:
        return None
    for encoding in _UNMARKED:
        text = head.decode(encoding, "replace").rstrip(_CUT)  # the head may end inside a character
        if text and _CUT not in text and all(character.isprintable() or character.isspace() for character in text):
            return encoding, f"convert it: iconv -f {encoding} -t UTF-8"
    return "binary data (it holds NUL bytes)", _AS_TEXT


def is_binary(block: bytes) -> bool:
    """Return whether bytes are binary, not text in another encoding: at least 2 % control characters."""
    controls = len(block) - len(block.translate(None, _CONTROLS))
    return 50 * controls >= len(block)


def oddities(lines: Sequence[str]) -> list[str]:
    """Return warnings if a file's first lines may not be one sample each: doubled line ends, JSON or a table."""
    warnings = []
    filled = [sum(map(bool, lines[parity::2])) for parity in (0, 1)]
    if len(lines) >= 4 and not min(filled) and 4 * max(filled) > len(lines):
        warnings.append("every second line is empty: doubled line ends? remove the empty lines")
    rows = [line for line in lines[:_TABLE_LINES] if line]
    if len(rows) >= 2 and all(map(_is_object, rows)):
        warnings.append("the lines are JSON objects: give the text alone, or one field of them")
    elif len(rows) >= _LEAST_LINES and len(columns := set(map(_columns, rows))) == 1 and max(columns) > 1:
        warnings.append(f"every line has {max(columns)} columns between commas: a table? give the text's column alone")
    return warnings


def _is_object(line: str) -> bool:
    try:
        return line.lstrip().startswith("{") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _columns(line: str) -> int:
    return len(next(csv.reader([line[:_LONGEST]]), ()))
