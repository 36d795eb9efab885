"""The longest n-gram of a sample that stands in the reference; definition in `eval/README.md`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.line_ids import Ids, Ragged, starts_of
from eval.core.intervals import estimate_ratio
from eval.core.score import Estimate, Score
from eval.text.ngram_hashes import ngram_hashes
from eval.text.words import WordReference, Words

LONGEST_COPY = 20
"""Longest n-gram that is looked up."""

_SAMPLE_WORDS = 1 << 20
_REFERENCE_WORDS = 1 << 24
_COUNTED_LINES = 1 << 17


@dataclass(frozen=True)
class _Places:
    """The words of a text, and at each word [words] two numbers up to 20.

    `left` are the words from this one to the end of the line, `common` the words of the longest n-gram from here on
    that is known to stand in the other text, too.
    """

    row: Ids
    left: NDArray[np.uint8]
    common: NDArray[np.uint8]

    @classmethod
    def of(cls, row: Ids, lengths: NDArray[np.int64]) -> "_Places":
        parts = [np.zeros(0, np.uint8)]
        for first in range(0, lengths.size, _COUNTED_LINES):
            part = lengths[first : first + _COUNTED_LINES]
            left = np.repeat(np.cumsum(part), part) - np.arange(part.sum())
            parts.append(np.minimum(left, LONGEST_COPY).astype(np.uint8))
        return cls(row, np.concatenate(parts), np.zeros(row.size, np.uint8))

    def candidates(self, ngram: int, words: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
        """Yield places and hashes of the n-grams whose first n - 1 words stand in the other text, by blocks of words.

        An n-gram in both texts begins with an (n - 1)-gram in both, so no other can be common.
        """
        for first in range(0, self.row.size, words):
            block = slice(first, first + words)
            fits = (self.left[block] >= ngram) & (self.common[block] >= ngram - 1)
            places = first + np.flatnonzero(fits)
            yield places, ngram_hashes(self.row, places, ngram)


def longest_copies(samples: Words, reference: Ragged) -> NDArray[np.int64]:
    """Return the number of words [S] of the longest n-gram of each sample that stands in a reference line, up to 20.

    N-grams are compared by 64-bit hashes, n = 1 first, in blocks: memory grows by two bytes per word of both texts.
    """
    ours = _Places.of(samples.row, samples.lengths)
    theirs = _Places.of(reference.row, reference.lengths)
    for ngram in range(1, LONGEST_COPY + 1):
        if not _find_common(ours, theirs, ngram):
            break
    longest = np.zeros(samples.lengths.size, np.int64)
    spoken = samples.lengths > 0
    if spoken.any():
        longest[spoken] = np.maximum.reduceat(ours.common, starts_of(samples.lengths)[:-1][spoken])
    return longest


def _find_common(ours: _Places, theirs: _Places, ngram: int) -> bool:
    """Set `common` at the n-grams that stand in both texts to n; return whether there are any."""
    anywhere = False
    for places, hashes in theirs.candidates(ngram, _REFERENCE_WORDS):
        keys = np.unique(hashes)
        if not keys.size:
            continue
        used = np.zeros(keys.size, bool)
        for our_places, our_hashes in ours.candidates(ngram, _SAMPLE_WORDS):
            index = np.minimum(np.searchsorted(keys, our_hashes), keys.size - 1)
            found = keys[index] == our_hashes
            used[index[found]] = True
            ours.common[our_places[found]] = ngram
        theirs.common[places[used[np.searchsorted(keys, hashes)]]] = ngram
        anywhere = anywhere or bool(used.any())
    return anywhere


def score(samples: Words, reference: WordReference) -> list[Score]:
    """Return mean and maximum over samples of the longest copied n-gram."""
    lines = samples.lengths.size
    longest = longest_copies(samples, reference.text)
    mean = estimate_ratio(longest.astype(np.float64), np.ones(lines), (0.0, float(LONGEST_COPY)))
    values = {"copied-ngram-mean": mean, "copied-ngram-max": Estimate(float(longest.max()))}
    signature = reference.signature("copied-ngrams", lines, {"n": LONGEST_COPY})
    return [Score("copied-ngrams", values, "words", "lower", lines, reference.title, signature)]
