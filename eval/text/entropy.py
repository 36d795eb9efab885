"""Entropy of words, per line and over all lines; definitions in `eval/README.md`."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from eval.core.intervals import POSITIVE, estimate, estimate_ratio
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import NgramCounts, merge
from eval.text.line_ngrams import LineNgrams
from eval.text.words import WordReference, Words


def line_entropy(samples: Words) -> Estimate:
    """Return the mean over lines of the entropy of the words in one line, in nats; 0 for a line without words."""
    entropies = np.concatenate([_entropies(part.ngrams(1)) for part in samples.parts()])
    return estimate_ratio(entropies, np.ones(entropies.size), POSITIVE)


def _entropies(words: LineNgrams) -> NDArray[np.float64]:
    """Return the entropy of the words in each line [lines]."""
    terms = np.bincount(words.line, xlogy(words.count, words.count), words.lines).astype(np.float64)
    entropies = np.zeros(words.lines)
    spoken = words.sizes > 0
    entropies[spoken] = _entropy(words.sizes[spoken], terms[spoken])
    return entropies


def unigram_entropy(samples: Words) -> Estimate:
    """Return the entropy of the words of all lines, in nats; 0 without words.

    The jackknife leaves out each line. The corrected value estimates the entropy at infinite sample size (Zahl 1977).
    """
    counted = merge(part.ngrams(1).total() for part in samples.parts())
    if not counted.total:
        return Estimate(0.0)
    terms = xlogy(counted.counts, counted.counts)
    change = np.concatenate([_changes(part.ngrams(1), counted, terms) for part in samples.parts()])
    totals = counted.total - samples.lengths
    left_out = _entropy(totals, terms.sum() + change) if totals.all() else np.empty(0)  # one line may hold every word
    return estimate(float(_entropy(counted.counts.sum(), terms.sum())), left_out, POSITIVE)


def _changes(words: LineNgrams, counted: NgramCounts, terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the change of the sum of the terms c log c of all words if one line [lines] is left out."""
    index = words.index_in(counted)
    others = counted.counts[index] - words.count
    return np.bincount(words.line, xlogy(others, others) - terms[index], words.lines).astype(np.float64)


def _entropy(total: NDArray[np.int64], terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of frequencies from their sum N and the sum of c log c over counts c: log N - sum / N."""
    entropy: NDArray[np.float64] = np.log(total) - terms / total
    return entropy


def score(samples: Words, _reference: WordReference) -> list[Score]:
    """Return both entropies of samples."""
    lines = samples.lengths.size
    values = {"line-entropy": line_entropy(samples), "unigram-entropy": unigram_entropy(samples)}
    signature = Signature("entropy", {"sym": "word", "samples": lines, **samples.rule.settings})
    return [Score("entropy", values, "nats", "higher", lines, "the samples themselves", signature)]
