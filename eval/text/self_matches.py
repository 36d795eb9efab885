"""Clipped matches of each line against all other lines, for Self-BLEU, and without a jackknife group of lines."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import group_of_line
from eval.text.occurrences import Occurrences, occurrences
from eval.text.words import Words


@dataclass(frozen=True)
class Falls:
    """Clipped matches lost without a jackknife group of lines: `lost` [F] by `group` [F] and `line` [F]."""

    group: NDArray[np.uint8]
    line: NDArray[np.int32]
    lost: NDArray[np.int32]


@dataclass(frozen=True)
class SelfMatches:
    """The clipped matches of each line [lines] against all other lines, for one n, and how they fall."""

    matches: NDArray[np.int32]
    falls: Falls

    @classmethod
    def of(cls, samples: Words, ngram: int) -> "SelfMatches":
        """Count the matches of each line of samples."""
        groups = group_of_line(samples.lengths.size).astype(np.uint8)
        matches = np.zeros(groups.size, np.int32)
        falls = []
        for found in occurrences(samples, ngram):
            line, clipped, fall = _clipped(found, groups)
            matches += np.bincount(line, clipped, groups.size).astype(np.int32)
            falls.append(fall)
        columns = ([getattr(fall, name) for fall in falls] for name in ("group", "line", "lost"))
        return cls(matches, Falls(*map(np.concatenate, columns)))

    def without(self, group: int) -> NDArray[np.int32]:
        """Return the clipped matches [lines] against the other lines outside a jackknife group, for lines outside."""
        here = self.falls.group == group
        lost = np.bincount(self.falls.line[here], self.falls.lost[here], self.matches.size)
        return self.matches - lost.astype(np.int32)


def _clipped(found: Occurrences, groups: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32], Falls]:
    """Return line [E] and clipped count [E] of n-grams in lines, and by how much counts fall without a group.

    An n-gram's count in a line is clipped at the largest count among all other lines. It falls without the group of the
    line with this largest count, if no other line outside the group reaches the clipped count, and only then.

    Args:
        found: the n-grams with all lines that hold them.
        groups: the jackknife group of each line [lines].
    """
    most = int(found.count.max(initial=0))
    order = np.argsort(found.ngram * np.int64(most + 1) - found.count)  # falling counts within an n-gram
    ngram, first = found.ngram, found.first
    line, count = found.line[order], found.count[order]
    group = groups[line]
    second = np.minimum(first + 1, max(ngram.size - 1, 0))
    several = np.diff(first, append=ngram.size) > 1

    # The largest count among all other lines, and the group of the line that holds it.
    largest, largest_group = count[first][ngram], group[first][ngram]
    largest[first], largest_group[first] = count[second] * several, group[second]
    clipped = np.minimum(count, largest)

    # The largest count among the other lines outside this group.
    leading, best, next_best = _two_largest(ngram, count, group != group[first][ngram], first.size)
    rest = best[ngram]
    rest[leading] = next_best[ngram[leading]]
    others = group != group[second][ngram]
    others[first] = False
    rest[first] = _two_largest(ngram, count, others, first.size)[1]
    lost = clipped - np.minimum(count, rest)
    falls = np.flatnonzero((lost > 0) & (largest_group != group))
    return line, clipped, Falls(largest_group[falls], line[falls], lost[falls])


def _two_largest(
    ngram: NDArray[np.int32], count: NDArray[np.int32], chosen: NDArray[np.bool_], ngrams: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Return, among the chosen entries, the first of each n-gram that has one, and two counts [K]; 0 if there is none.

    The counts are the largest and the second largest, as entries are sorted by n-gram, then by falling count.
    """
    entries = np.flatnonzero(chosen)
    leading = np.flatnonzero(np.diff(ngram[entries], prepend=-1))
    following = leading[np.diff(leading, append=entries.size) > 1] + 1
    largest, second = np.zeros(ngrams, np.int32), np.zeros(ngrams, np.int32)
    largest[ngram[entries[leading]]] = count[entries[leading]]
    second[ngram[entries[following]]] = count[entries[following]]
    return entries[leading], largest, second
