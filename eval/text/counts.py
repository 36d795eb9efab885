"""N-gram counts of lines, in total and per line: the sufficient statistics of every n-gram score.

An n-gram of symbol ids is packed into one integer in base V (the key), so counting is sorting, and lookup is binary
search.
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

from data.line_ids import Ids, Lines
from data.tokenizers import PADDING_ID

_CHUNK_LINES = 1 << 17
_RENUMBERED_KEYS = 1 << 22

Keys = NDArray[np.uint64] | NDArray[np.bytes_]


@dataclass(frozen=True)
class NgramCounts:
    """The distinct n-grams of some lines: sorted keys [K] and their counts [K].

    If V^n exceeds 64 bits, keys are 16-byte big-endian strings, which sort in the same order as the n-grams.
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
        """Cumulative counts [K + 1]: the sum of the counts before each key, and the total at the end."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def continuations(
        self, first: NDArray[np.uint64], vocabulary_size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each n-gram in `first` (last symbol 0), return the range of keys that share its first n - 1 symbols.

        The ranges are given as start and stop indices, shaped as `first`. Keys must be integers.
        """
        start = np.searchsorted(self.keys, first)
        return start, np.searchsorted(self.keys, first + np.uint64(vocabulary_size - 1), side="right")

    def lookup(self, keys: Keys) -> NDArray[np.int64]:
        """Return the counts [Q] of keys [Q]; 0 for keys that do not occur."""
        if not self.keys.size:
            return np.zeros(keys.size, np.int64)
        index = np.searchsorted(self.keys, keys)
        np.minimum(index, self.keys.size - 1, out=index)
        return np.where(self.keys[index] == keys, self.counts[index], 0)

    def minus(self, part: "NgramCounts") -> "NgramCounts":
        """Return the counts of the lines that are left without `part`, the counts of some of the lines."""
        left = self.counts - part.lookup(self.keys)
        return NgramCounts(self.keys[left > 0], left[left > 0])


def count_ngrams(
    ids: Lines, ngram: int, vocabulary_size: int, padding: bool = True, last_only: bool = False
) -> NgramCounts:
    """Count the n-grams inside each line of ids [lines, seq_len].

    Args:
        ids: symbol ids below `vocabulary_size`.
        ngram: n, from 1 to seq_len.
        vocabulary_size: V, the base of the keys.
        padding: whether n-grams that contain padding are counted (the TTUR paper counts them).
        last_only: whether only the last n-gram per line is counted.
    """

    def count(start: int) -> NgramCounts:
        chunk = ids[start : start + _CHUNK_LINES]
        return distinct(pack(chunk[:, -ngram:] if last_only else chunk, ngram, vocabulary_size).ravel())

    # A single chunk is counted faster than threads start.
    counted = count(0) if len(ids) <= _CHUNK_LINES else merge(_in_threads(count, range(0, len(ids), _CHUNK_LINES)))
    return counted if padding else without_padding(counted, ngram, vocabulary_size)


def count_up_to(ids: Lines, most: int, vocabulary_size: int, padding: bool = True) -> dict[int, NgramCounts]:
    """Count n-grams for every n from 1 to `most` at little more than the cost of one n; see `count_ngrams`.

    Every n-gram is the prefix of an (n+1)-gram or the last n-gram of its line. Prefixes of sorted keys are sorted, so
    sorting is needed only for the longest n whose keys fit 64 bits, for longer n, and for one n-gram per line.
    """
    longest = min(most, narrow(vocabulary_size))
    counted = {ngram: count_ngrams(ids, ngram, vocabulary_size) for ngram in range(longest, most + 1)}
    for ngram in range(longest - 1, 0, -1):
        longer = counted[ngram + 1]
        prefixes = _grouped(cast(NDArray[np.uint64], longer.keys) // np.uint64(vocabulary_size), longer.counts)
        counted[ngram] = merge([prefixes, count_ngrams(ids, ngram, vocabulary_size, last_only=True)])
    if padding:
        return dict(sorted(counted.items()))
    return {ngram: without_padding(counted[ngram], ngram, vocabulary_size) for ngram in sorted(counted)}


def narrow(vocabulary_size: int) -> int:
    """Return the longest n whose keys fit 64 bits."""
    return max(n for n in range(1, 65) if vocabulary_size**n <= 1 << 64)


def merge(parts: Iterable[NgramCounts], total: np.ufunc = np.add) -> NgramCounts:
    """Add up counts of the same n and V (or take their `np.maximum`), in any order.

    Neighbours of similar size are merged first, as in a merge sort, so the time grows near-linearly with the parts.
    """
    pending: list[NgramCounts] = []
    for part in parts:
        pending.append(part)
        while len(pending) > 1 and pending[-2].keys.size <= 2 * pending[-1].keys.size:
            pending.append(_merge_two(pending.pop(), pending.pop(), total))
    while len(pending) > 1:
        pending.append(_merge_two(pending.pop(), pending.pop(), total))
    return pending[0]


def pack(ids: Ids, ngram: int, vocabulary_size: int) -> Keys:
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
    """Return counts under a vocabulary of `new_size` symbols: id i becomes `numbers[i]`, not necessarily one to one."""

    def part(start: int) -> NgramCounts:
        rows = slice(start, start + _RENUMBERED_KEYS)
        keys = pack(numbers[unpack(counted.keys[rows], ngram, vocabulary_size)], ngram, new_size).ravel()
        order = np.argsort(keys, kind="stable")
        return _grouped(keys[order], counted.counts[rows][order])

    return merge(map(part, range(0, max(counted.keys.size, 1), _RENUMBERED_KEYS)))


def distinct(keys: Keys) -> NgramCounts:
    """Count the distinct keys among unsorted keys [M]."""
    unique, counts = np.unique(keys, return_counts=True)
    return NgramCounts(cast(Keys, unique), counts.astype(np.int64))


def without_padding(counted: NgramCounts, ngram: int, vocabulary_size: int) -> NgramCounts:
    """Return the counts of the n-grams that contain no padding."""
    whole = (unpack(counted.keys, ngram, vocabulary_size) != PADDING_ID).all(axis=1)
    return NgramCounts(counted.keys[whole], counted.counts[whole])


def _words(ids: Ids, ngram: int, vocabulary_size: int) -> NDArray[np.uint64]:
    """Return the n-grams of ids [lines, L] as base-V integers [lines, L - n + 1]."""
    windows = ids.shape[1] - ngram + 1
    words = ids[:, :windows].astype(np.uint64)
    for offset in range(1, ngram):
        words *= np.uint64(vocabulary_size)
        words += ids[:, offset : offset + windows]
    return words


def _in_threads(count: Callable[[int], NgramCounts], starts: Iterable[int]) -> Iterator[NgramCounts]:
    """Yield `count(start)` for each start, in order; sorting releases the GIL, so threads use all cores."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as executor:
        running: deque[Future[NgramCounts]] = deque()
        for start in starts:
            running.append(executor.submit(count, start))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _merge_two(a: NgramCounts, b: NgramCounts, total: np.ufunc) -> NgramCounts:
    keys = np.concatenate([a.keys, b.keys])
    order = np.argsort(keys, kind="stable")  # merges the two sorted runs
    return _grouped(keys[order], np.concatenate([a.counts, b.counts])[order], total)


def _grouped(keys: Keys, counts: NDArray[np.int64], total: np.ufunc = np.add) -> NgramCounts:
    """Return the counts of distinct keys from sorted keys with repetitions."""
    if not keys.size:
        return NgramCounts(keys, counts)
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return NgramCounts(keys[first], total.reduceat(counts, first))
