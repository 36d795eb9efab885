"""The jackknife: errors and biases of scores from the scores without a line, or without a group of lines.

Why not the bootstrap: resampled lines repeat each other, and so do their n-grams, which makes samples look less varied
than they are: the resampled scores lie beside the score (a JSD of 640 lines above all its own percentiles' middle).
Leaving out adds no repetition. Quenouille (1956) corrected the bias this way, Tukey (1958) estimated the error; Zahl
(1977) did it for entropies, of which a JSD is made; Efron & Stein (1981) showed the variance to be on the safe side.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

from eval.core.score import Estimate

GROUPS = 20
"""In how many groups lines are left out where a score without each single line would take too long."""

Range = tuple[float, float]
SHARE: Range = (0.0, 1.0)
"""Least and greatest value of shares and of JSD."""
POSITIVE: Range = (0.0, math.inf)
"""Least and greatest value of distances and cross-entropies."""

_CONFIDENCE = 0.95
_ANY: Range = (-math.inf, math.inf)


def estimate(value: float, left_out: NDArray[np.float64], within: Range = _ANY) -> Estimate:
    """Return a score with its interval and its bias-corrected value.

    Args:
        value: the score of all lines.
        left_out: the scores [G] without line (or group) 1, ..., G, groups being of near-equal size. Fewer than two
            say nothing.
        within: the score's least and greatest value. What lies beyond is cut off there: no expected score is lost.

    The interval is value +- t s with Student's t of G - 1 degrees of freedom and s^2 = (G - 1) / G * sum of squared
    deviations. The corrected value is G value - (G - 1) mean(left_out), free of a bias proportional to 1 / lines.
    """

    def cut(number: float) -> float:
        return min(max(number, within[0]), within[1])  # NaN stays

    groups = left_out.size
    if groups < 2:
        return Estimate(cut(value))
    mean = float(left_out.mean())
    error = math.sqrt((groups - 1) / groups * float(np.square(left_out - mean).sum()))
    reach = student_reach(error, groups)
    corrected = groups * value - (groups - 1) * mean
    return Estimate(cut(value), cut(value - reach), cut(value + reach), cut(corrected))


def student_reach(error: float, groups: int) -> float:
    """Return how far a 95 % interval reaches to either side: Student's, of an error that so many groups tell."""
    return float(stdtrit(groups - 1, (1 + _CONFIDENCE) / 2)) * error


def interval(value: float, left_out: NDArray[np.float64] | Sequence[float], within: Range = _ANY) -> Estimate:
    """Return a score with its interval as `estimate` does, for scores that have no use of a corrected value."""
    found = estimate(value, np.asarray(left_out, np.float64), within)
    return Estimate(found.value, found.low, found.high)


def estimate_ratio(parts: NDArray[np.float64], sizes: NDArray[np.float64], within: Range = _ANY) -> Estimate:
    """Return sum(parts) / sum(sizes) over lines [S] with its interval, each line left out in turn.

    Such a ratio has next to no bias, so it has no corrected value.
    """
    total, size = parts.sum(), sizes.sum()
    whole = float(total / size)
    others = size - sizes
    if not others.all():  # one line holds everything
        return interval(whole, [], within)
    return interval(whole, (total - parts) / others, within)


def estimate_share(part: int, whole: int) -> Estimate:
    """Return part / whole with Clopper & Pearson's (1934) exact interval, which is not empty at 0 and 1 either."""
    tail = (1 - _CONFIDENCE) / 2
    low = float(betaincinv(part, whole - part + 1, tail)) if part else 0.0
    high = float(betaincinv(part + 1, whole - part, 1 - tail)) if part < whole else 1.0
    return Estimate(part / whole, low, high)


def group_of_line(lines: int) -> NDArray[np.int64]:
    """Return the group [lines] that each line is left out with: every twentieth line is in the same one."""
    return np.arange(lines) % min(GROUPS, lines)
