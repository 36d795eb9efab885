"""A record's samples: the text that is kept, the reference that it is scored against, and the signature."""

import gzip
import re
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

from data.errors import InputError
from data.readers import read_lines
from data.words import WHITE_SPACE, Splitting, WordRule
from eval.text.metrics import EXACT
from eval.text.reference import ReferenceOptions
from leaderboards.places import RECORD
from leaderboards.records import Record, naming_damage


def kept_text(path: Path) -> bytes:
    """Return the samples in a file of any text format as a record stores them: UTF-8, one line feed after each.

    Raises:
        InputError: the file is empty or is not text.
    """
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


def joint_signature(signatures: Iterable[object]) -> str:
    """Return the joined signature of several scores: everything that they depend on."""
    return "; ".join(dict.fromkeys(map(str, signatures)))


def exact_parts(signature: str) -> list[str]:
    """Return the parts of a joint signature for exact scores, which no samples give."""
    return [part for part in signature.split("; ") if part.startswith(f"{EXACT}|")]


def word_rule(signature: str) -> WordRule:
    """Return the word rule in a signature that `eval.core.score.upgraded` returned; white space if it names none."""
    match = re.search(rf"\|words:({'|'.join(get_args(Splitting))})\|case:(as-is|lower)\|", signature)
    return WHITE_SPACE if match is None else WordRule(cast(Splitting, match[1]), match[2] == "lower")
