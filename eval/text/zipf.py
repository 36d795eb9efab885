"""Zipf's coefficient of the word counts; definition in `eval/README.md`."""

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import GROUPS, POSITIVE, group_of_line, interval
from eval.core.score import Estimate, Score, Signature
from eval.text.words import WordReference, Words

MOST_FREQUENT = 5000
"""Number of most frequent words in the regression, as in the code published with Holtzman et al. 2020."""


def zipf_coefficient(counts: NDArray[np.int64]) -> float:
    """Return s of the least-squares line log count = c - s log rank through the 5,000 largest counts [V].

    Words of count 0 are left out; s is 0 for fewer than two words.
    """
    frequent = np.sort(counts[counts > 0])[::-1][:MOST_FREQUENT]
    if frequent.size < 2:
        return 0.0
    rank = np.log(np.arange(1, frequent.size + 1))
    rank -= rank.mean()
    return -float(rank @ np.log(frequent) / (rank @ rank)) + 0.0  # not -0


def zipf(samples: Words) -> Estimate:
    """Return Zipf's coefficient of the words of all lines, with a jackknife interval over twenty groups of lines."""
    total = np.zeros(0, np.int64)
    for part in samples.parts():
        counts = np.bincount(part.row, minlength=total.size)
        counts[: total.size] += total
        total = counts
    place = np.cumsum(total > 0) - 1  # numbers of words that the samples have
    words = int(np.count_nonzero(total))
    group = group_of_line(samples.lengths.size)
    by_group = np.zeros(GROUPS * words, np.int64)
    first = 0
    for part in samples.parts():
        groups = np.repeat(group[first : first + part.lengths.size], part.lengths)
        by_group += np.bincount(groups * words + place[part.row], minlength=by_group.size)
        first += part.lengths.size
    counts = total[total > 0]
    left_out = [zipf_coefficient(counts - part) for part in by_group.reshape(GROUPS, words)[: group.max() + 1]]
    return interval(zipf_coefficient(counts), left_out, POSITIVE)


def score(samples: Words, _reference: WordReference) -> list[Score]:
    """Return Zipf's coefficient of samples."""
    lines = samples.lengths.size
    settings = {"top": MOST_FREQUENT, "sym": "word", "samples": lines, **samples.rule.settings}
    values = {"zipf": zipf(samples)}
    themselves = "the samples themselves"
    return [Score("zipf", values, "log count per log rank", "lower", lines, themselves, Signature("zipf", settings))]
