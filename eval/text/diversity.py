"""distinct-n and duplicate lines; definitions in `eval.diversity`."""

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import GROUPS, SHARE, group_of_line, interval
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import LineNgrams
from eval.text.words import WordReference, Words

_LONGEST = 4


def distinct(ngrams: LineNgrams) -> Estimate:
    """Return the number of distinct n-grams divided by the number of n-grams; 1 if there are none."""
    total = ngrams.total()
    if not total.total:
        return Estimate(1.0)
    groups = group_of_line(ngrams.lines)[ngrams.line]
    left_out = []
    for group in range(min(GROUPS, ngrams.lines)):
        in_group = groups == group
        counts = total.counts - np.bincount(ngrams.index[in_group], ngrams.count[in_group], total.counts.size)
        if not counts.any():
            return Estimate(total.counts.size / total.total)  # one group holds every n-gram
        left_out.append(np.count_nonzero(counts) / counts.sum())
    return interval(total.counts.size / total.total, left_out, SHARE)


def duplicates(samples: Words) -> Estimate:
    """Return the proportion of lines that equal an earlier line."""

    def repeated(hashes: NDArray[np.uint64]) -> float:
        return 1 - np.unique(hashes).size / hashes.size

    hashes = samples.hashes
    groups = group_of_line(hashes.size)
    left_out = [repeated(hashes[groups != group]) for group in range(groups.max() + 1)] if hashes.size > 1 else []
    return interval(repeated(hashes), left_out, SHARE)


def score(samples: Words, _reference: WordReference) -> list[Score]:
    """Return distinct-1 .. distinct-4 and the proportion of duplicates."""
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
