"""All lines that hold an n-gram, for any number of lines: n-grams come in parts that share none."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.line_ids import ngram_places
from eval.text.ngram_hashes import ngram_hashes
from eval.text.words import Words

_PART_NGRAMS = 1 << 22


@dataclass(frozen=True)
class Occurrences:
    """Some n-grams with all lines that hold them: one entry [E] per n-gram and line, sorted by n-gram, then by line.

    `ngram` numbers the n-grams from 0, `line` is the number of the line, `count` the n-gram's count in the line.
    """

    ngram: NDArray[np.int32]
    line: NDArray[np.int32]
    count: NDArray[np.int32]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64], line: NDArray[np.integer], lines: int) -> "Occurrences":
        """Group n-grams, given as hashes [M] with the line of each [M]; `lines` is the number of all lines."""
        order = np.argsort(hashes)
        hashes = hashes[order]
        entries = np.cumsum(np.concatenate([[False], hashes[1:] != hashes[:-1]]))[: hashes.size]
        entries *= lines
        entries += line[order]
        entries.sort()
        first = np.flatnonzero(np.diff(entries, prepend=-1))
        columns = (*np.divmod(entries[first], lines), np.diff(first, append=entries.size))
        return cls(*(column.astype(np.int32) for column in columns))

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Index of the first entry of each n-gram [K]."""
        return np.flatnonzero(np.diff(self.ngram, prepend=-1))


def occurrences(samples: Words, ngram: int) -> Iterator[Occurrences]:
    """Yield the occurrences of word n-grams in parts: each n-gram is in one part, with all of its lines.

    N-grams are compared by 64-bit hashes, and the hash chooses the part. The lines are read again for each part.
    """
    total = int(np.maximum(samples.lengths - (ngram - 1), 0).sum())
    parts = 1 << (total // _PART_NGRAMS).bit_length()
    return (Occurrences.of(*_hashed(samples, ngram, part, parts), samples.lengths.size) for part in range(parts))


def _hashed(samples: Words, ngram: int, part: int, parts: int) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Return the hashes [M] of the n-grams in one of the parts, and the line of each [M]."""
    hashes, lines = [], []
    before = 0
    for block in samples.parts():
        places, line = ngram_places(block.lengths, ngram)
        found = ngram_hashes(block.row, places, ngram)
        here = found % np.uint64(parts) == part
        hashes.append(found[here])
        lines.append((line[here] + before).astype(np.int32))
        before += block.lengths.size
    return np.concatenate(hashes), np.concatenate(lines)
