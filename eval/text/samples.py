"""Samples to score: text files with one sample per line, read as a stream and encoded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data.cache import concatenate_on_disk
from data.errors import InputError
from data.readers import InvalidUtf8, Lines, read_lines
from data.vocabulary import PADDING_ID, UNKNOWN_ID, Ids
from eval.text.reference_counts import ReferenceCounts

_NOTABLE_UNKNOWN_SHARE = 0.01


@dataclass(frozen=True)
class Samples:
    """Lines to score, read as often as needed."""

    name: str
    read: Callable[[], Lines]


def open_samples(path: Path, invalid_utf8: InvalidUtf8) -> Samples:
    """Return the lines of a text or Parquet file, a pipe, or - for standard input; see `data.readers.read_lines`.

    Raises:
        InputError: it is missing, empty, a folder, or no text.
    """
    if not any(read_lines(path, invalid_utf8)):
        raise InputError(f"{path}: the file is empty; give one sample a line")
    return Samples(str(path), lambda: read_lines(path, invalid_utf8))


@dataclass(frozen=True)
class EncodedSamples:
    """Samples as ids [lines, seq_len], memory-mapped, and what was met on the way.

    `cut_lines` were longer than seq_len; `unknown_share` is the share of characters that the reference does not know;
    `lines_with_tabs` may be a table's rows.
    """

    ids: Ids
    cut_lines: int
    unknown_share: float
    lines_with_tabs: int


def encode_samples(samples: Samples, text: ReferenceCounts) -> EncodedSamples:
    """Encode samples with the vocabulary and the line length of a counted text."""
    cut = tabs = unknown = characters = 0

    def blocks() -> Iterator[Ids]:
        nonlocal cut, tabs, unknown, characters
        for lines in samples.read():
            ids = text.vocabulary.encode(lines, text.seq_len)
            cut += sum(len(line) > text.seq_len for line in lines)
            tabs += sum("\t" in line for line in lines)
            unknown += int((ids == UNKNOWN_ID).sum())
            characters += int((ids != PADDING_ID).sum())
            yield ids

    ids = concatenate_on_disk(blocks())
    return EncodedSamples(ids, cut, unknown / max(characters, 1), tabs)


def remarks(name: str, encoded: EncodedSamples, text: ReferenceCounts) -> list[str]:
    """Return what a user should know of samples before believing their scores."""
    found = []
    lines = len(encoded.ids)
    if encoded.cut_lines:
        found.append(f"{encoded.cut_lines:,} of {lines:,} lines are longer than --seq-len {text.seq_len} and were cut")
    if encoded.unknown_share >= _NOTABLE_UNKNOWN_SHARE:
        found.append(f"{encoded.unknown_share:.1%} of the characters do not occur in {text.name}: another script?")
    if encoded.lines_with_tabs and "\t" not in text.vocabulary.characters:
        found.append(f"{encoded.lines_with_tabs:,} of {lines:,} lines hold tabs: a table? give the text's column alone")
    return [f"{name}: {remark}" for remark in found]
