"""N-gram counts: the sufficient statistics of every n-gram score.

An n-gram of symbol ids is packed into one integer in base V, so counting is sorting and looking up is binary search.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from data.corpus import Corpus
from data.errors import InputError
from data.files import cache_folder, open_cached, read_described, sha256_of_json, write_array, write_described
from data.vocabulary import PADDING_ID, Ids

FORMAT = 1

_CHUNK_LINES = 1 << 17
_DESCRIPTION = "ngrams.json"

Keys = NDArray[np.uint64] | NDArray[np.bytes_]


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

    def lookup(self, keys: Keys) -> NDArray[np.int64]:
        """Return the counts [Q] of keys [Q], 0 for those that do not occur."""
        if not self.keys.size:
            return np.zeros(keys.size, np.int64)
        where = np.searchsorted(self.keys, keys)
        where[where == self.keys.size] = 0
        return np.where(self.keys[where] == keys, self.counts[where], 0)


def count_ngrams(ids: Ids, ngram: int, vocabulary_size: int, padding: bool = True) -> NgramCounts:
    """Count the n-grams inside each line of ids [lines, seq_len].

    Args:
        ids: symbol ids below `vocabulary_size`.
        ngram: n, from 1 to seq_len.
        vocabulary_size: V, the base of the keys.
        padding: whether n-grams that hold padding count (the TTUR paper counts them).
    """
    chunks = (ids[start : start + _CHUNK_LINES] for start in range(0, len(ids), _CHUNK_LINES))
    return merge(_distinct(_pack(chunk, ngram, vocabulary_size, padding)) for chunk in chunks)


def merge(parts: Iterable[NgramCounts]) -> NgramCounts:
    """Add up counts of the same n and V; their order is no matter.

    Neighbours of similar size are merged first, as in a merge sort, so the work grows near-linearly with the parts.
    """
    pending: list[NgramCounts] = []
    for part in parts:
        pending.append(part)
        while len(pending) > 1 and pending[-2].keys.size <= 2 * pending[-1].keys.size:
            pending.append(_merge_two(pending.pop(), pending.pop()))
    while len(pending) > 1:
        pending.append(_merge_two(pending.pop(), pending.pop()))
    return pending[0]


def reference_counts(corpus: Corpus, most: int, padding: bool) -> dict[int, NgramCounts]:
    """Return the counts of a corpus's training lines for n = 1 .. `most`, cached on disk.

    Raises:
        InputError: n-grams of this length do not exist in the corpus, or do not fit a key.
    """
    largest = min(corpus.seq_len, max(n for n in range(1, 65) if corpus.vocabulary.size**n <= 1 << 64) * 2)
    if not 1 <= most <= largest:
        raise InputError(f"--ngram {most}: {corpus.name} in lines of {corpus.seq_len} allows n from 1 to {largest}")
    if not has_ngrams(corpus.train, most):
        raise InputError(f"{corpus.name}: every line is shorter than n = {most}; lower --ngram or give longer lines")
    return {ngram: _cached_counts(corpus, ngram, padding) for ngram in range(1, most + 1)}


def has_ngrams(ids: Ids, ngram: int) -> bool:
    """Whether at least one line of ids [lines, seq_len] is n symbols long, padding not counted."""
    return bool((ids[:, ngram - 1 :] != PADDING_ID).any())


def _pack(ids: Ids, ngram: int, vocabulary_size: int, padding: bool) -> Keys:
    """Return the keys of all n-grams of ids [lines, seq_len], in no particular order."""
    if vocabulary_size**ngram <= 1 << 64:
        keys: Keys = _words(ids, ngram, vocabulary_size)
    else:
        low = max(n for n in range(1, ngram) if vocabulary_size**n <= 1 << 64)
        words = np.stack(
            [
                _words(ids[:, : ids.shape[1] - low], ngram - low, vocabulary_size),
                _words(ids[:, ngram - low :], low, vocabulary_size),
            ],
            axis=-1,
        )
        keys = words.astype(">u8").view("S16")[..., 0]
    if padding:
        return keys.ravel()
    windows = keys.shape[1]
    complete = np.ones(keys.shape, bool)
    for offset in range(ngram):
        complete &= ids[:, offset : offset + windows] != PADDING_ID
    return keys[complete]


def _words(ids: Ids, ngram: int, vocabulary_size: int) -> NDArray[np.uint64]:
    """Return the n-grams of ids [lines, L] as base-V integers [lines, L - n + 1]."""
    windows = ids.shape[1] - ngram + 1
    words = ids[:, :windows].astype(np.uint64)
    for offset in range(1, ngram):
        words *= np.uint64(vocabulary_size)
        words += ids[:, offset : offset + windows]
    return words


def _distinct(keys: Keys) -> NgramCounts:
    distinct, counts = np.unique(keys, return_counts=True)
    return NgramCounts(cast(Keys, distinct), counts.astype(np.int64))


def _merge_two(a: NgramCounts, b: NgramCounts) -> NgramCounts:
    keys = np.concatenate([a.keys, b.keys])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return NgramCounts(keys[first], np.add.reduceat(np.concatenate([a.counts, b.counts])[order], first))


def _cached_counts(corpus: Corpus, ngram: int, padding: bool) -> NgramCounts:
    key = sha256_of_json([FORMAT, corpus.sha256, ngram, padding])[:20]
    return open_cached(cache_folder() / "ngrams" / key, _load, lambda folder: _build(corpus, ngram, padding, folder))


def _load(folder: Path) -> NgramCounts:
    read_described(folder, _DESCRIPTION)
    keys, counts = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("keys", "counts"))
    return NgramCounts(keys, counts)


def _build(corpus: Corpus, ngram: int, padding: bool, folder: Path) -> None:
    counted = count_ngrams(corpus.train, ngram, corpus.vocabulary.size, padding)
    for name, array in (("keys.npy", counted.keys), ("counts.npy", counted.counts)):
        write_array(folder / name, array.dtype, array.shape, [array])
    description = {
        "corpus": corpus.name,
        "corpus_sha256": corpus.sha256,
        "ngram": ngram,
        "padding": padding,
        "total": counted.total,
    }
    write_described(folder, _DESCRIPTION, description)
