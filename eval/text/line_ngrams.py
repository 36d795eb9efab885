"""N-gram counts per line: which n-grams are in which line, and how often."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from data.line_ids import Ids
from data.tokenizers import PADDING_ID
from eval.text.counts import Keys, NgramCounts, pack


@dataclass(frozen=True)
class LineNgrams:
    """N-gram counts per line: sorted distinct keys [K], and one entry [P] for each line and n-gram in the line.

    Entries are sorted by `line`; `index` is the position of the n-gram in `keys`, `count` its count in the line.
    """

    lines: int
    keys: Keys
    line: NDArray[np.int64]
    index: NDArray[np.int64]
    count: NDArray[np.int64]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of n-grams in each line [lines]."""
        return np.bincount(self.line, self.count, self.lines).astype(np.int64)

    def total(self) -> NgramCounts:
        """Return the counts over all lines."""
        return NgramCounts(self.keys, np.bincount(self.index, self.count, self.keys.size).astype(np.int64))

    def largest(self) -> NgramCounts:
        """Return, for each n-gram, the largest count in a single line."""
        counts = np.zeros(self.keys.size, np.int64)
        np.maximum.at(counts, self.index, self.count)
        return NgramCounts(self.keys, counts)

    def index_in(self, counted: NgramCounts) -> NDArray[np.int64]:
        """Return the index of each entry's n-gram among counts that hold them all [P]."""
        return np.searchsorted(counted.keys, self.keys)[self.index]

    def known_to(self, reference: NgramCounts) -> "LineNgrams":
        """Return the same entries with one n-gram, of key 0, in place of all that are not in the reference.

        Scores against the reference depend on the number of these n-grams alone, and memory is limited by the
        reference. Key 0 is no n-gram of words, which are numbered from 1.
        """
        known = reference.lookup(self.keys) > 0
        if known.all():
            return self
        keys = np.concatenate([np.zeros(1, self.keys.dtype), self.keys[known]])
        return LineNgrams(
            self.lines, cast(Keys, keys), self.line, np.where(known, np.cumsum(known), 0)[self.index], self.count
        )


def line_ngrams(keys: Keys, line: NDArray[np.int64], lines: int) -> LineNgrams:
    """Count n-grams per line, given their keys [M] and the index of the line of each [M]."""
    unique, key_index = _distinct_and_index(keys)
    entries, count = np.unique(line * max(unique.size, 1) + key_index, return_counts=True)
    entry_line, entry_index = np.divmod(entries, max(unique.size, 1))
    return LineNgrams(lines, unique, entry_line, entry_index, count.astype(np.int64))


def _distinct_and_index(keys: Keys) -> tuple[Keys, NDArray[np.int64]]:
    """Return the sorted distinct keys, and the position among them of each key [M].

    Strings sort several times slower than integers. Their second half is therefore replaced by its rank, which leaves
    one integer in the same order, unless more than 64 bits remain.
    """
    if keys.dtype.kind == "S" and keys.size:
        first, second = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2).astype(np.uint64).T
        halves, rank = np.unique(second, return_inverse=True)
        bits = np.uint64(halves.size.bit_length())
        if int(first.max()) >> (64 - int(bits)) == 0:
            short, index = np.unique(first << bits | rank.astype(np.uint64), return_inverse=True)
            seconds = halves[short & ((np.uint64(1) << bits) - np.uint64(1))]
            return np.stack([short >> bits, seconds], axis=-1).astype(">u8").view("S16")[:, 0], index
    unique, index = np.unique(keys, return_inverse=True)
    return cast(Keys, unique), index


def character_ngrams(ids: Ids, ngram: int, vocabulary_size: int, padding: bool) -> LineNgrams:
    """Count the n-grams of ids [lines, seq_len] per line, with or without n-grams that contain padding."""
    keys = pack(ids, ngram, vocabulary_size)
    line = np.broadcast_to(np.arange(len(ids))[:, None], keys.shape)
    if padding:
        return line_ngrams(keys.ravel(), line.ravel(), len(ids))
    whole = np.lib.stride_tricks.sliding_window_view(ids != PADDING_ID, ngram, axis=1).all(axis=-1)
    return line_ngrams(keys[whole], line[whole], len(ids))
