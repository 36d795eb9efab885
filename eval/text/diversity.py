"""distinct-n and duplicate lines; definitions in `eval.diversity`."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import SHARE, counted_once, estimate
from eval.core.score import Estimate, Score, Signature
from eval.text.left_out import PAIRS
from eval.text.occurrences import Occurrences, occurrences
from eval.text.words import WordReference, Words

_LONGEST = 4


def distinct(samples: Words, ngram: int) -> Estimate:
    """Return the number of distinct n-grams divided by the number of n-grams; 1 if there are none."""
    sizes = np.maximum(samples.lengths.astype(np.int64) - (ngram - 1), 0)
    return _distinct(occurrences(samples, ngram), sizes) if sizes.any() else Estimate(1.0)


def duplicates(samples: Words) -> Estimate:
    """Return the proportion of lines that equal an earlier line."""
    lines = samples.lengths.size
    found = _distinct([Occurrences.of(samples.hashes, np.arange(lines), lines)], np.ones(lines, np.int64))
    low, high = (None if end is None else 1 - end for end in (found.high, found.low))
    return replace(found, value=1 - found.value, low=low, high=high)


def _distinct(parts: Iterable[Occurrences], sizes: NDArray[np.int64]) -> Estimate:
    """Return the number of distinct n-grams divided by the number of n-grams.

    The jackknife leaves out each line; interactions of lines are counted once, by blocks of lines and pairs of blocks.

    Args:
        parts: the n-grams, each in one part with all of its lines.
        sizes: the number of n-grams in each line [lines].
    """
    lines, total, kinds = sizes.size, int(sizes.sum()), 0
    groups = [np.arange(lines, dtype=np.int32) % min(count, lines) for count in (lines, 2 * PAIRS, PAIRS)]
    of_groups = [np.bincount(group, sizes).astype(np.int64) for group in groups]
    alone = [np.zeros_like(each) for each in of_groups]
    for part in parts:
        kinds += part.first.size
        for counted, group in zip(alone, groups, strict=True):
            counted += _in_one_group(part, group)
    without, blocks, pairs = (
        # One line may hold every n-gram.
        (kinds - gone) / (total - size) if (size < total).all() else np.empty(0)
        for gone, size in zip(alone, of_groups, strict=True)
    )
    share = counted_once(blocks, pairs, 2 * PAIRS)
    return replace(estimate(kinds / total, without, SHARE, share), corrected=None)


def _in_one_group(found: Occurrences, group: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return, for each group of lines, the number of n-grams that stand in its lines alone.

    Args:
        found: the n-grams.
        group: the group of each line [lines], from 0.
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
