"""distinct-n and duplicate lines; definitions in `eval.diversity`."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import SHARE
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import LineNgrams, line_ngrams
from eval.text.left_out import estimates
from eval.text.words import WordReference, Words

_LONGEST = 4


def distinct(ngrams: LineNgrams) -> Estimate:
    """Return the number of distinct n-grams divided by the number of n-grams; 1 if there are none."""
    counts = ngrams.total().counts
    total = int(counts.sum())
    if not total:
        return Estimate(1.0)

    def left_out(chunks: Iterable[LineNgrams]) -> NDArray[np.float64]:
        (lines,) = chunks
        others = total - lines.sizes
        gone = np.bincount(lines.line, lines.count == counts[lines.index], lines.lines)
        return (counts.size - gone) / others if others.all() else np.empty(0)  # one line may hold every n-gram

    (found,) = estimates([counts.size / total], left_out, [ngrams], ngrams.lines, SHARE)
    return replace(found, corrected=None)


def duplicates(samples: Words) -> Estimate:
    """Return the proportion of lines that equal an earlier line."""
    lines = samples.lengths.size
    found = distinct(line_ngrams(samples.hashes, np.arange(lines), lines))
    low, high = (None if end is None else 1 - end for end in (found.high, found.low))
    return replace(found, value=1 - found.value, low=low, high=high)


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
