"""Entropy of words, per line and over all lines; definitions in `eval/README.md`."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from eval.core.intervals import POSITIVE, estimate_ratio
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import merge
from eval.text.left_out import estimates
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

    def left_out(chunks: Iterable[LineNgrams]) -> NDArray[np.float64]:
        results = []
        for words in chunks:
            totals, index = counted.total - words.sizes, words.index_in(counted)
            if not totals.all():
                return np.empty(0)  # one line holds every word
            others = counted.counts[index] - words.count
            change = np.bincount(words.line, xlogy(others, others) - terms[index], words.lines)
            results.append(_entropy(totals, terms.sum() + change))
        return np.concatenate(results)

    value = float(_entropy(counted.counts.sum(), terms.sum()))
    chunks = (part.ngrams(1) for part in samples.parts())
    (found,) = estimates([value], left_out, chunks, samples.lengths.size, POSITIVE)
    return found


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
