"""Which n-grams stand in which line: what scores of single lines, and of all lines but some, are computed from."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from data.vocabulary import PADDING_ID
from eval.counts import Keys, NgramCounts, Symbols, pack


@dataclass(frozen=True)
class LineNgrams:
    """Sorted distinct keys [K], and for each line and n-gram in it one entry [P] of `line`, `index` and `count`.

    Entries are sorted by line; `index` is the n-gram's place in `keys`, `count` how often it stands in the line.
    """

    lines: int
    keys: Keys
    line: NDArray[np.int64]
    index: NDArray[np.int64]
    count: NDArray[np.int64]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of n-grams of each line [lines]."""
        return np.bincount(self.line, self.count, self.lines).astype(np.int64)

    def total(self) -> NgramCounts:
        """Return the counts over all lines."""
        return NgramCounts(self.keys, np.bincount(self.index, self.count, self.keys.size).astype(np.int64))

    def largest(self) -> NgramCounts:
        """Return the largest count in a single line."""
        counts = np.zeros(self.keys.size, np.int64)
        np.maximum.at(counts, self.index, self.count)
        return NgramCounts(self.keys, counts)


def line_ngrams(keys: Keys, line: NDArray[np.int64], lines: int) -> LineNgrams:
    """Sort out n-grams given by their keys [M] and the lines [M] they stand in."""
    found, index = np.unique(keys, return_inverse=True)
    entries, count = np.unique(line * max(found.size, 1) + index, return_counts=True)
    of_line, of_key = np.divmod(entries, max(found.size, 1))
    return LineNgrams(lines, cast(Keys, found), of_line, of_key, count.astype(np.int64))


def character_ngrams(ids: Symbols, ngram: int, vocabulary_size: int, padding: bool) -> LineNgrams:
    """Return the n-grams of ids [lines, seq_len], with or without those that hold padding."""
    keys = pack(ids, ngram, vocabulary_size)
    line = np.broadcast_to(np.arange(len(ids))[:, None], keys.shape)
    if padding:
        return line_ngrams(keys.ravel(), line.ravel(), len(ids))
    whole = np.lib.stride_tricks.sliding_window_view(ids != PADDING_ID, ngram, axis=1).all(axis=-1)
    return line_ngrams(keys[whole], line[whole], len(ids))
