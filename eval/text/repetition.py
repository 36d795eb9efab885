"""Repetition within a line; definition in `eval/README.md`."""

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import SHARE, estimate_ratio
from eval.core.score import Estimate, Score, Signature
from eval.text.line_ngrams import LineNgrams
from eval.text.words import WordReference, Words

_LONGEST = 4


def repetition(samples: Words, ngram: int) -> Estimate:
    """Return the mean over lines of 1 - distinct n-grams / n-grams of a line; a line without n-grams counts as 0.

    For n = 4 this is seq-rep-4 (Welleck et al. 2020, arXiv 1908.04319).
    """
    shares = np.concatenate([_repeated(part.ngrams(ngram)) for part in samples.parts()])
    return estimate_ratio(shares, np.ones(shares.size), SHARE)


def _repeated(ngrams: LineNgrams) -> NDArray[np.float64]:
    """Return the proportion of n-grams [lines] that equal an earlier one of their line."""
    distinct = np.bincount(ngrams.line, minlength=ngrams.lines)
    return (ngrams.sizes - distinct) / np.maximum(ngrams.sizes, 1)


def score(samples: Words, _reference: WordReference) -> list[Score]:
    """Return seq-rep-1 .. seq-rep-4 of samples."""
    lines = samples.lengths.size
    values = {f"seq-rep-{n}": repetition(samples, n) for n in range(1, _LONGEST + 1)}
    signature = Signature("repetition", {"n": _LONGEST, "sym": "word", "samples": lines, **samples.rule.settings})
    return [Score("repetition", values, "share", "lower", lines, "the samples themselves", signature)]
