"""Classifier two-sample test on counts of words and pairs of words; definition in `eval/README.md`."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit

from data.line_ids import Ragged, starts_of
from eval.core.intervals import estimate_share
from eval.core.score import Estimate, Score
from eval.text.ngram_hashes import ngram_hashes
from eval.text.words import WordReference, Words

MOST_LINES = 10_000
"""Maximum number of lines of each text, training and held-out ones together."""

_SEED = 0
_GRADIENT = 1e-6


def fit(features: csr_array, samples: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights [F + 1] of a logistic regression, the last one a constant's, which has no penalty.

    The weights w minimise the sum over lines of -log P(class of the line) + |w|^2 / 2, with P(sample) = expit(w . x).

    Args:
        features: counts [lines, F].
        samples: whether a line is a sample [lines].
    """
    signs = np.where(samples, -1.0, 1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (features @ weights[:-1] + weights[-1])
        slopes = signs * expit(margins)
        penalised = np.append(weights[:-1], 0.0)
        gradient = np.append(slopes @ features, slopes.sum()) + penalised
        return float(np.logaddexp(0, margins).sum() + penalised @ penalised / 2), gradient

    options = {"gtol": _GRADIENT, "ftol": 0.0, "maxiter": 1000}
    found = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B", options=options)
    weights: NDArray[np.float64] = found.x
    return weights


def told_apart(samples: Ragged, reference: Ragged) -> Estimate:
    """Return the accuracy of the classifier on held-out lines, with its exact interval given the classifier.

    The texts take part with equal numbers of lines, in random order: the smaller number, at most 10,000. The first half
    of each trains the classifier, and the rest is held out.
    """
    count = min(samples.lengths.size, reference.lengths.size, MOST_LINES)
    half = count // 2
    texts = [(text, np.random.default_rng(_SEED).permutation(text.lengths.size)) for text in (samples, reference)]
    train = [_hashes(text, order[:half]) for text, order in texts]
    held_out = [_hashes(text, order[half:count]) for text, order in texts]
    vocabulary = np.unique(np.concatenate([hashes for hashes, _ in train]))
    weights = fit(_counts(train, vocabulary, half), np.arange(2 * half) < half)
    rest = count - half
    called_samples = _counts(held_out, vocabulary, rest) @ weights[:-1] + weights[-1] > 0
    return estimate_share(int((called_samples == (np.arange(2 * rest) < rest)).sum()), 2 * rest)


def _hashes(text: Ragged, lines: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes of the words and of the pairs of words of some lines, and the number of the line of each."""
    starts, lengths = starts_of(text.lengths)[:-1][lines], text.lengths[lines]
    hashes, line = [], []
    for ngram in (1, 2):
        counts = np.maximum(lengths - ngram + 1, 0)
        places = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        hashes.append(ngram_hashes(text.row, places, ngram))
        line.append(np.repeat(np.arange(lines.size), counts))
    return np.concatenate(hashes), np.concatenate(line)


def _counts(
    texts: list[tuple[NDArray[np.uint64], NDArray[np.int64]]], vocabulary: NDArray[np.uint64], lines: int
) -> csr_array:
    """Return the counts [2 lines, F] of n-grams of the vocabulary [F] in both texts, one below the other."""
    hashes = np.concatenate([found for found, _ in texts])
    line = np.concatenate([number + lines * which for which, (_, number) in enumerate(texts)])
    column = np.searchsorted(vocabulary, hashes)
    known = np.append(vocabulary, np.uint64(0))[column] == hashes
    known &= column < vocabulary.size
    shape = (2 * lines, vocabulary.size)
    return csr_array((np.ones(int(known.sum())), (line[known], column[known])), shape=shape)


def score(samples: Words, reference: WordReference) -> list[Score]:
    """Return the accuracy of a classifier that tells samples from reference lines."""
    lines = samples.lengths.size
    values = {"c2st": told_apart(Ragged(samples.row, samples.lengths), reference.text)}
    signature = reference.signature(
        "c2st", lines, {"n": 2, "most": MOST_LINES, "seed": _SEED, "ref-text": reference.text_sha256[:12]}
    )
    return [Score("c2st", values, "share", "lower", lines, reference.title, signature)]
