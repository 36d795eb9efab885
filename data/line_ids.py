"""Lines of symbol ids, stored one after the other and read as arrays [lines, seq_len]."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint8 | np.uint16 | np.uint32]
Index = slice | NDArray[np.integer]


@dataclass(frozen=True)
class Ragged:
    """Lines of different lengths: the symbols of all lines in one row [symbols], and the length of each line [lines].

    A symbol is an id, or before ids are known another number: a code point, the rank of a word's first occurrence.
    """

    row: Ids
    lengths: NDArray[np.int64]

    def padded(self, seq_len: int) -> Ids:
        """Return ids [lines, seq_len], of lines cut or padded with 0 to `seq_len`."""
        return LineIds(self.row, starts_of(self.lengths), seq_len)[:]

    def only(self, kept: NDArray[np.bool_]) -> "Ragged":
        """Return the lines for which `kept` [lines] is true."""
        return Ragged(self.row[np.repeat(kept, self.lengths)], self.lengths[kept])


@dataclass(frozen=True)
class LineIds:
    """Lines of ids, indexed like an array [lines, seq_len] by slices and by arrays of line numbers.

    `row` holds the ids of all lines, `starts` [lines + 1] the index of each line's first id in it, and the end of the
    last line. Both may be memory-mapped; only the lines that are asked for are read.
    """

    row: Ids
    starts: NDArray[np.int64]
    seq_len: int

    def __len__(self) -> int:
        return self.starts.size - 1

    @property
    def shape(self) -> tuple[int, int]:
        """Number of lines, and symbols per line, padding included."""
        return len(self), self.seq_len

    def __getitem__(self, lines: Index) -> Ids:
        """Return the ids [..., seq_len] of some lines [...], cut or padded with 0."""
        position = self.starts[:-1][lines][..., None] + np.arange(self.seq_len)
        inside = position < self.starts[1:][lines][..., None]
        ids = np.zeros(position.shape, self.row.dtype)
        ids[inside] = self.row[position[inside]]
        return ids


Lines = Ids | LineIds
"""Ids [lines, seq_len] in memory or on disk."""


def blocks(lines: Lines, most: int) -> Iterator[Ids]:
    """Yield the ids [n, seq_len] of at most `most` consecutive lines at a time."""
    return (lines[start : start + most] for start in range(0, len(lines), most))


def starts_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the first symbol of each line and the end of the last [lines + 1], given their lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def ngram_places(lengths: NDArray[np.int64], ngram: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the index of the first symbol of each n-gram inside a line [N], and the number of its line [N].

    Args:
        lengths: symbols per line [lines], of lines stored one after the other.
        ngram: n.
    """
    counts = np.maximum(lengths - (ngram - 1), 0)
    before = starts_of(lengths)[:-1] - starts_of(counts)[:-1]
    return np.arange(counts.sum()) + np.repeat(before, counts), np.repeat(np.arange(lengths.size), counts)
