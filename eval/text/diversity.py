"""Variety of samples: distinct-n by words, and lines that repeat another.

distinct-n is the number of different n-grams divided by the number of n-grams (Li et al. 2016, arXiv 1510.03055). Both
depend on the sample count by nature, so only equal counts compare.
"""

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import GROUPS, SHARE, group_of_line, interval
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import LineNgrams
from eval.text.words import WordReference, Words

_LONGEST = 4


def distinct(ngrams: LineNgrams) -> Estimate:
    """Return the share of different n-grams among all; 1 where there are none."""
    total = ngrams.total()
    if not total.total:
        return Estimate(1.0)
    groups = group_of_line(ngrams.lines)[ngrams.line]
    left_out = []
    for group in range(min(GROUPS, ngrams.lines)):
        here = groups == group
        left = total.counts - np.bincount(ngrams.index[here], ngrams.count[here], total.counts.size)
        if not left.any():
            return Estimate(total.counts.size / total.total)  # one group holds everything
        left_out.append(np.count_nonzero(left) / left.sum())
    return interval(total.counts.size / total.total, left_out, SHARE)


def duplicates(samples: Words) -> Estimate:
    """Return the share of lines that equal an earlier line."""

    def repeated(hashes: NDArray[np.uint64]) -> float:
        return 1 - np.unique(hashes).size / hashes.size

    hashes = samples.hashes
    groups = group_of_line(hashes.size)
    left_out = [repeated(hashes[groups != group]) for group in range(groups.max() + 1)] if hashes.size > 1 else []
    return interval(repeated(hashes), left_out, SHARE)


def score(samples: Words, _reference: WordReference) -> list[Score]:
    """Return distinct-1 .. distinct-4 and the share of duplicates."""
    lines = samples.lengths.size
    values = {f"distinct-{n}": distinct(samples.ngrams(n)) for n in range(1, _LONGEST + 1)}
    settings = {"sym": "word", "samples": lines, **samples.rule.settings}
    signature = Signature("distinct", {"n": _LONGEST, **settings})
    repeats = Signature("duplicates", settings)
    themselves = "the samples themselves"
    return [
        Score("distinct", values, "share", "higher", lines, themselves, signature),
        Score("duplicates", {"duplicates": duplicates(samples)}, "share", "lower", lines, themselves, repeats),
    ]
