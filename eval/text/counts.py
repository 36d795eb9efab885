"""N-gram counts: the sufficient statistics of every n-gram score.

An n-gram of symbol ids is packed into one integer in base V, so counting is sorting and looking up is binary search.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from data.vocabulary import PADDING_ID

_CHUNK_LINES = 1 << 17
_RENUMBERED_KEYS = 1 << 22

Keys = NDArray[np.uint64] | NDArray[np.bytes_]
Symbols = NDArray[np.uint8 | np.uint16 | np.uint32]


@dataclass(frozen=True)
class NgramCounts:
    """The distinct n-grams of some lines: sorted keys [K] and their counts [K].

    Where V^n exceeds 64 bits a key is a 16-byte big-endian string, whose order is that of the n-grams all the same.
    """

    keys: Keys
    counts: NDArray[np.int64]

    @cached_property
    def total(self) -> int:
        """Number of n-grams counted."""
        return int(self.counts.sum())

    @cached_property
    def norm(self) -> float:
        """Euclidean norm of the counts."""
        return float(np.linalg.norm(self.counts.astype(np.float64)))

    @cached_property
    def up_to(self) -> NDArray[np.int64]:
        """The counts before each key, and at the end all of them [K + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def continuations(
        self, first: NDArray[np.uint64], vocabulary_size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the n-grams start and stop that differ from given ones, whose last symbol is 0, in that alone.

        They are neighbours among the keys, which must be numbers.
        """
        start = np.searchsorted(self.keys, first)
        return start, np.searchsorted(self.keys, first + np.uint64(vocabulary_size - 1), side="right")

    def lookup(self, keys: Keys) -> NDArray[np.int64]:
        """Return the counts [Q] of keys [Q], 0 for those that do not occur."""
        if not self.keys.size:
            return np.zeros(keys.size, np.int64)
        where = np.searchsorted(self.keys, keys)
        np.minimum(where, self.keys.size - 1, out=where)
        return np.where(self.keys[where] == keys, self.counts[where], 0)

    def minus(self, part: "NgramCounts") -> "NgramCounts":
        """Return the counts without those of some of the lines."""
        left = self.counts - part.lookup(self.keys)
        return NgramCounts(self.keys[left > 0], left[left > 0])


def count_ngrams(ids: Symbols, ngram: int, vocabulary_size: int, padding: bool = True) -> NgramCounts:
    """Count the n-grams inside each line of ids [lines, seq_len].

    Args:
        ids: symbol ids below `vocabulary_size`.
        ngram: n, from 1 to seq_len.
        vocabulary_size: V, the base of the keys.
        padding: whether n-grams that hold padding count (the TTUR paper counts them).
    """

    def count(chunk: Symbols) -> NgramCounts:
        return distinct(pack(chunk, ngram, vocabulary_size).ravel())

    # Threads take longer to start than a few lines take to count.
    counted = count(ids) if len(ids) <= _CHUNK_LINES else merge(_in_threads(count, _chunks(ids)))
    return counted if padding else _without_padding(counted, ngram, vocabulary_size)


def count_up_to(ids: Symbols, most: int, vocabulary_size: int, padding: bool = True) -> dict[int, NgramCounts]:
    """Count n-grams as `count_ngrams` does, for every n from 1 to `most`, at the cost of little more than one n.

    An n-gram is the beginning of an (n+1)-gram or the last of its line. The beginnings of sorted keys are sorted, so
    only the longest n-grams whose keys fit 64 bits, those longer still, and one n-gram a line have to be sorted.
    """
    longest = min(most, narrow(vocabulary_size))
    counted = {ngram: count_ngrams(ids, ngram, vocabulary_size) for ngram in range(longest, most + 1)}
    for ngram in range(longest - 1, 0, -1):
        longer = counted[ngram + 1]
        prefixes = _grouped(cast(NDArray[np.uint64], longer.keys) // np.uint64(vocabulary_size), longer.counts)
        counted[ngram] = merge([prefixes, count_ngrams(ids[:, ids.shape[1] - ngram :], ngram, vocabulary_size)])
    if padding:
        return dict(sorted(counted.items()))
    return {ngram: _without_padding(counted[ngram], ngram, vocabulary_size) for ngram in sorted(counted)}


def narrow(vocabulary_size: int) -> int:
    """Return the longest n whose keys fit 64 bits."""
    return max(n for n in range(1, 65) if vocabulary_size**n <= 1 << 64)


def merge(parts: Iterable[NgramCounts], total: np.ufunc = np.add) -> NgramCounts:
    """Add up counts of the same n and V (or take their `np.maximum`); their order is no matter.

    Neighbours of similar size are merged first, as in a merge sort, so the work grows near-linearly with the parts.
    """
    pending: list[NgramCounts] = []
    for part in parts:
        pending.append(part)
        while len(pending) > 1 and pending[-2].keys.size <= 2 * pending[-1].keys.size:
            pending.append(_merge_two(pending.pop(), pending.pop(), total))
    while len(pending) > 1:
        pending.append(_merge_two(pending.pop(), pending.pop(), total))
    return pending[0]


def pack(ids: Symbols, ngram: int, vocabulary_size: int) -> Keys:
    """Return the keys [lines, seq_len - n + 1] of the n-grams of ids [lines, seq_len]."""
    low = min(ngram, narrow(vocabulary_size))
    if low == ngram:
        return _words(ids, ngram, vocabulary_size)
    words = np.stack(
        [
            _words(ids[:, : ids.shape[1] - low], ngram - low, vocabulary_size),
            _words(ids[:, ngram - low :], low, vocabulary_size),
        ],
        axis=-1,
    )
    return words.astype(">u8").view("S16")[..., 0]


def unpack(keys: Keys, ngram: int, vocabulary_size: int) -> NDArray[np.uint32]:
    """Return the symbol ids [K, n] of keys [K]; the inverse of `pack`."""
    low = min(ngram, narrow(vocabulary_size))
    words = [keys] if low == ngram else list(np.ascontiguousarray(keys).view(">u8").reshape(-1, 2).T)
    ids = np.empty((keys.size, ngram), np.uint32)
    position = ngram
    for word in reversed(words):
        rest = word.astype(np.uint64)
        for _ in range(min(low, position)):
            position -= 1
            rest, ids[:, position] = np.divmod(rest, np.uint64(vocabulary_size))
    return ids


def renumber(
    counted: NgramCounts, ngram: int, vocabulary_size: int, numbers: NDArray[np.uint32], new_size: int
) -> NgramCounts:
    """Return counts under another vocabulary: symbol id i becomes `numbers[i]`, and several may become the same."""

    def part(start: int) -> NgramCounts:
        rows = slice(start, start + _RENUMBERED_KEYS)
        keys = pack(numbers[unpack(counted.keys[rows], ngram, vocabulary_size)], ngram, new_size).ravel()
        order = np.argsort(keys, kind="stable")
        return _grouped(keys[order], counted.counts[rows][order])

    return merge(map(part, range(0, max(counted.keys.size, 1), _RENUMBERED_KEYS)))


def distinct(keys: Keys) -> NgramCounts:
    """Count keys [M] in any order."""
    found, counts = np.unique(keys, return_counts=True)
    return NgramCounts(cast(Keys, found), counts.astype(np.int64))


def _words(ids: Symbols, ngram: int, vocabulary_size: int) -> NDArray[np.uint64]:
    """Return the n-grams of ids [lines, L] as base-V integers [lines, L - n + 1]."""
    windows = ids.shape[1] - ngram + 1
    words = ids[:, :windows].astype(np.uint64)
    for offset in range(1, ngram):
        words *= np.uint64(vocabulary_size)
        words += ids[:, offset : offset + windows]
    return words


def _chunks(ids: Symbols) -> Iterator[Symbols]:
    return (ids[start : start + _CHUNK_LINES] for start in range(0, len(ids), _CHUNK_LINES))


def _in_threads(count: Callable[[Symbols], NgramCounts], chunks: Iterable[Symbols]) -> Iterator[NgramCounts]:
    """Yield `count(chunk)` for each chunk, in order; sorting leaves Python's lock, so threads use all cores."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as executor:
        running: deque[Future[NgramCounts]] = deque()
        for chunk in chunks:
            running.append(executor.submit(count, chunk))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _without_padding(counted: NgramCounts, ngram: int, vocabulary_size: int) -> NgramCounts:
    whole = (unpack(counted.keys, ngram, vocabulary_size) != PADDING_ID).all(axis=1)
    return NgramCounts(counted.keys[whole], counted.counts[whole])


def _merge_two(a: NgramCounts, b: NgramCounts, total: np.ufunc) -> NgramCounts:
    keys = np.concatenate([a.keys, b.keys])
    order = np.argsort(keys, kind="stable")  # of two sorted runs: a merge
    return _grouped(keys[order], np.concatenate([a.counts, b.counts])[order], total)


def _grouped(keys: Keys, counts: NDArray[np.int64], total: np.ufunc = np.add) -> NgramCounts:
    """Return the counts of sorted keys that may be there several times."""
    if not keys.size:
        return NgramCounts(keys, counts)
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return NgramCounts(keys[first], total.reduceat(counts, first))


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
