"""Entropy of words, per line and over all lines; definitions in `eval/README.md`."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from eval.core.intervals import POSITIVE, estimate_ratio
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import LineNgrams
from eval.text.left_out import estimates
from eval.text.words import WordReference, Words


def line_entropy(words: LineNgrams) -> Estimate:
    """Return the mean over lines of the entropy of the words in one line, in nats; 0 for a line without words."""
    terms = np.bincount(words.line, xlogy(words.count, words.count), words.lines).astype(np.float64)
    entropies = np.zeros(words.lines)
    spoken = words.sizes > 0
    entropies[spoken] = _entropy(words.sizes[spoken], terms[spoken])
    return estimate_ratio(entropies, np.ones(words.lines), POSITIVE)


def unigram_entropy(words: LineNgrams) -> Estimate:
    """Return the entropy of the words of all lines, in nats; 0 without words.

    The jackknife leaves out each line. The corrected value estimates the entropy at infinite sample size (Zahl 1977).
    """
    counts = words.total().counts
    total = counts.sum()
    if not total:
        return Estimate(0.0)
    terms = xlogy(counts, counts)

    def left_out(chunks: Iterable[LineNgrams]) -> NDArray[np.float64]:
        (lines,) = chunks
        others = counts[lines.index] - lines.count
        change = np.bincount(lines.line, xlogy(others, others) - terms[lines.index], lines.lines)
        totals = total - lines.sizes
        return _entropy(totals, terms.sum() + change) if totals.all() else np.empty(0)  # one line may hold every word

    (found,) = estimates([float(_entropy(total, terms.sum()))], left_out, [words], words.lines, POSITIVE)
    return found


def _entropy(total: NDArray[np.int64], terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of frequencies from their sum N and the sum of c log c over counts c: log N - sum / N."""
    entropy: NDArray[np.float64] = np.log(total) - terms / total
    return entropy


def score(samples: Words, _reference: WordReference) -> list[Score]:
    """Return both entropies of samples."""
    lines = samples.lengths.size
    words = samples.ngrams(1)
    values = {"line-entropy": line_entropy(words), "unigram-entropy": unigram_entropy(words)}
    signature = Signature("entropy", {"sym": "word", "samples": lines, **samples.rule.settings})
    return [Score("entropy", values, "nats", "higher", lines, "the samples themselves", signature)]
