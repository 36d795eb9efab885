"""Distance of the lengths of lines, in words; definition in `eval/README.md`."""

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import POSITIVE, interval
from eval.core.score import Estimate, Score
from eval.text.words import WordReference, Words


def length_distance(samples: NDArray[np.int64], reference: NDArray[np.int64]) -> Estimate:
    """Return the 1-Wasserstein distance of the lengths of lines, with a jackknife interval over samples.

    W = sum over x of |F(x) - G(x)|, where F and G are the proportions of lines of at most x words: the area between two
    step functions (Vallender 1974).

    Args:
        samples: words per sample [S].
        reference: words per line of real text [R].
    """
    lengths, which, counts = np.unique(samples, return_inverse=True, return_counts=True)
    real, real_counts = np.unique(reference, return_counts=True)
    points = np.union1d(lengths, real)
    steps = np.diff(points)
    up_to = _up_to(points, lengths, counts)
    share = _up_to(points, real, real_counts) / reference.size

    def distance(at_most: NDArray[np.int64], lines: int) -> float:
        return float(steps @ np.abs(at_most / lines - share))

    value, others = distance(up_to, samples.size), samples.size - 1
    if not others:
        return interval(value, [], POSITIVE)
    without = np.array([distance(up_to - (length <= points[:-1]), others) for length in lengths])
    return interval(value, without[which], POSITIVE)


def _up_to(points: NDArray[np.int64], lengths: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of lines of at most this length, for each of the points but the last, which covers all."""
    each = np.zeros(points.size, np.int64)
    each[np.searchsorted(points, lengths)] = counts
    return np.cumsum(each)[:-1]


def score(samples: Words, reference: WordReference) -> list[Score]:
    """Return the distance of the lengths of samples and reference lines."""
    lines = samples.lengths.size
    values = {"length-distance": length_distance(samples.lengths, reference.text.lengths)}
    signature = reference.signature("length-distance", lines, {"ref-text": reference.text_sha256[:12]})
    return [Score("length-distance", values, "words", "lower", lines, reference.title, signature)]
