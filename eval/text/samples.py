"""Read and encode samples: text files with one sample per line, read as a stream."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.cache import concatenate_on_disk
from data.errors import InputError
from data.json_lines import is_json_lines, is_named_json_lines, read_field, require_no_json
from data.line_ids import Ids
from data.readers import InvalidUtf8, Lines, read_lines
from data.tokenizers import PADDING_ID, UNKNOWN_ID
from eval.text.reference_counts import ReferenceCounts

_NOTABLE_UNKNOWN_SHARE = 0.01


@dataclass(frozen=True)
class SampleLines:
    """Lines to score; `read` starts a new pass over them."""

    name: str
    read: Callable[[], Lines]


def open_samples(path: Path, invalid_utf8: InvalidUtf8, field: str | None = None) -> SampleLines:
    """Open a text, Parquet or JSON Lines file, a pipe, or - for standard input as samples.

    Args:
        path: the file; see `data.readers.read_lines`.
        invalid_utf8: whether bytes that are not UTF-8 are refused or replaced.
        field: the field with the text if the file is JSON Lines; see `data.json_lines.read_field`.

    Raises:
        InputError: the file is missing, empty, a folder, not text, or JSON Lines without the field.
    """
    if field is None:
        require_no_json(path)
    by_field = field is not None and is_json_lines(path)
    if field is not None and not by_field and is_named_json_lines(path):
        raise InputError(f"{path}: line 1: not a JSON object; write one object per line, or rename the file")

    def read() -> Lines:
        return read_field(path, field, invalid_utf8) if field and by_field else read_lines(path, invalid_utf8)

    if not any(read()):
        raise InputError(f"{path}: the file is empty; give one sample per line")
    return SampleLines(str(path), read)


@dataclass(frozen=True)
class EncodedSamples:
    """Samples as memory-mapped ids [lines, seq_len], and statistics of the lines.

    `cut_lines` is the number of lines longer than seq_len, `unknown_share` the proportion of characters outside the
    symbols of the reference, `lines_with_tabs` the number of lines with tabs, which may be rows of a table.
    """

    ids: Ids
    cut_lines: int
    unknown_share: float
    lines_with_tabs: int


def encode_samples(samples: SampleLines, text: ReferenceCounts) -> EncodedSamples:
    """Encode samples with the tokenizer and line length of a reference text."""
    cut = tabs = unknown = characters = 0

    def blocks() -> Iterator[Ids]:
        nonlocal cut, tabs, unknown, characters
        for lines in samples.read():
            encoded = text.tokenizer.encode(lines)
            ids = encoded.padded(text.seq_len)
            cut += int((encoded.lengths > text.seq_len).sum())
            tabs += sum("\t" in line for line in lines)
            unknown += int((ids == UNKNOWN_ID).sum())
            characters += int((ids != PADDING_ID).sum())
            yield ids

    ids = concatenate_on_disk(blocks())
    return EncodedSamples(ids, cut, unknown / max(characters, 1), tabs)


def remarks(name: str, encoded: EncodedSamples, text: ReferenceCounts) -> list[str]:
    """Return warnings about samples that may have the wrong line length, script or file format."""
    warnings = []
    lines = len(encoded.ids)
    if encoded.cut_lines:
        warnings.append(
            f"{encoded.cut_lines:,} of {lines:,} lines are longer than --seq-len {text.seq_len} and were cut"
        )
    if encoded.unknown_share >= _NOTABLE_UNKNOWN_SHARE:
        unlike = f"do not occur in {text.name}: another script?"
        if (text.counts[1].keys == UNKNOWN_ID).any():
            known = text.tokenizer.size - 2
            unlike = f"are not among the {known:,} that are counted of {text.name}, and count as one symbol"
        warnings.append(f"{encoded.unknown_share:.1%} of the characters {unlike}")
    if encoded.lines_with_tabs and UNKNOWN_ID in text.tokenizer.encode(["\t"]).row:
        warnings.append(
            f"{encoded.lines_with_tabs:,} of {lines:,} lines contain tabs: a table? give only the text column"
        )
    return [f"{name}: {warning}" for warning in warnings] + empty_lines(name, encoded.ids[:, 0] == PADDING_ID)


def empty_lines(name: str, empty: NDArray[np.bool_]) -> list[str]:
    """Return a warning if some lines are empty; `empty` [lines] says which."""
    count = int(empty.sum())
    return [f"{name}: {count:,} of {empty.size:,} lines are empty, and count as samples"] if count else []
