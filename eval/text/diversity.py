"""distinct-n and duplicate lines; definitions in `eval.diversity`."""

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import SHARE, group_of_line, interval
from eval.core.score import Estimate, Score, Signature
from eval.text.occurrences import Occurrences, occurrences
from eval.text.words import WordReference, Words

_LONGEST = 4


def distinct(samples: Words, ngram: int) -> Estimate:
    """Return the number of distinct n-grams divided by the number of n-grams; 1 if there are none."""
    group = group_of_line(samples.lengths.size)
    sizes = np.bincount(group, np.maximum(samples.lengths - (ngram - 1), 0)).astype(np.int64)
    total = int(sizes.sum())
    if not total:
        return Estimate(1.0)
    kinds, alone = 0, np.zeros(sizes.size, np.int64)
    for found in occurrences(samples, ngram):
        kinds += found.first.size
        alone += _in_one_group(found, group)
    others = total - sizes
    if not others.all():
        return Estimate(kinds / total)  # one group holds every n-gram
    return interval(kinds / total, (kinds - alone) / others, SHARE)


def duplicates(samples: Words) -> Estimate:
    """Return the proportion of lines that equal an earlier line."""
    lines = samples.lengths.size
    group = group_of_line(lines)
    found = Occurrences.of(samples.hashes, np.arange(lines), lines)
    kinds = found.first.size
    if lines < 2:
        return Estimate(1 - kinds / lines)
    left_out = 1 - (kinds - _in_one_group(found, group)) / (lines - np.bincount(group))
    return interval(1 - kinds / lines, left_out, SHARE)


def _in_one_group(found: Occurrences, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each jackknife group, the number of n-grams that stand in its lines alone.

    Args:
        found: the n-grams.
        group: the group of each line [lines].
    """
    groups, of_entry = int(group.max()) + 1, group[found.line]
    if not of_entry.size:
        return np.zeros(groups, np.int64)
    least, most = np.minimum.reduceat(of_entry, found.first), np.maximum.reduceat(of_entry, found.first)
    return np.bincount(least[least == most], minlength=groups)


def score(samples: Words, _reference: WordReference) -> list[Score]:
    """Return distinct-1 .. distinct-4 and the proportion of duplicates."""
    lines = samples.lengths.size
    values = {f"distinct-{n}": distinct(samples, n) for n in range(1, _LONGEST + 1)}
    settings = {"sym": "word", "samples": lines, **samples.rule.settings}
    signature = Signature("distinct", {"n": _LONGEST, **settings})
    repeats = Signature("duplicates", settings)
    themselves = "the samples themselves"
    return [
        Score("distinct", values, "share", "higher", lines, themselves, signature),
        Score("duplicates", {"duplicates": duplicates(samples)}, "share", "lower", lines, themselves, repeats),
    ]
