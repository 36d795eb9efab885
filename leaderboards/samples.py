"""A record's samples: the text that is kept, the reference that it is scored against, and the signature."""

import gzip
import zlib
from dataclasses import replace
from pathlib import Path

from data.errors import InputError
from data.json_lines import require_no_json
from data.readers import read_lines
from eval.text.reference import ReferenceOptions
from leaderboards.places import RECORD
from leaderboards.records import Record, naming_damage


def kept_text(path: Path) -> bytes:
    """Return the samples in a file of any text format as a record stores them: UTF-8, one line feed after each.

    Raises:
        InputError: the file is empty, is not text, or is JSON Lines.
    """
    require_no_json(path, "write the text of one of these fields to a file, one sample per line")
    text = "".join(f"{line}\n" for lines in read_lines(path) for line in lines)
    if not text:
        raise InputError(f"{path}: the file is empty; give one sample per line")
    # Readers remove one byte order mark, so a first line that begins with this character gets a second one.
    return ("\ufeff" + text if text.startswith("\ufeff") else text).encode()


def read_text(path: Path) -> bytes:
    """Return the content of a file in a record's folder, decompressed if its name ends in .gz.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from error


def reference_of(record: Record, data: str | None) -> ReferenceOptions:
    """Return the reference of a record of text; `data`, if given, is the source in place of the recorded one.

    Raises:
        InputError: the record names no reference.
    """
    with naming_damage(record.folder / RECORD):
        options = ReferenceOptions.recorded(record.facts["reference"])
    return options if data is None else replace(options, corpus=replace(options.corpus, data=data))
