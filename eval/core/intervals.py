"""Confidence intervals: the jackknife over lines or groups of lines, exact intervals of a proportion and of a median.

Why not the bootstrap: resampled lines repeat n-grams, so resampled text looks less varied than the samples and scores
worse. For the JSD of 640 lines, percentile bootstrap intervals lie above the expected score. Leaving lines out adds no
repetition. The jackknife corrects the bias (Quenouille 1956) and estimates the standard error (Tukey 1958); Zahl (1977)
applied it to entropies, the terms of a JSD. Its variance estimate counts interactions of k lines k times (Efron & Stein
1981); `counted_once` estimates the excess.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from eval.core.score import Estimate

GROUPS = 20
"""Number of jackknife groups, for scores that are too slow to compute without each single line."""

Range = tuple[float, float]
SHARE: Range = (0.0, 1.0)
"""Range of proportions and of JSD."""
POSITIVE: Range = (0.0, math.inf)
"""Range of distances and cross-entropies."""

_CONFIDENCE = 0.95
_ANY: Range = (-math.inf, math.inf)


def estimate(value: float, left_out: NDArray[np.float64], within: Range = _ANY, share: float = 1.0) -> Estimate:
    """Return a score with its 95 % confidence interval and bias-corrected value.

    The interval is value +- t s with Student's t for G - 1 degrees of freedom and s^2 = share * (G - 1) / G * sum of
    squared deviations. The corrected value is G value - (G - 1) mean(left_out), free of bias proportional to 1 / lines.
    The standard error of differences of proportions is larger if few lines make them vary; see `one_more`.

    Args:
        value: the score of all lines.
        left_out: the scores [G] without line (or group) 1, ..., G; groups of near-equal size. With fewer than two, the
            interval and the corrected value are unknown.
        within: the range of the score; results are clipped to it, which loses no possible expected score.
        share: the proportion of the jackknife variance that counts interactions of lines once; see `counted_once`.
    """

    def cut(number: float) -> float:
        return min(max(number, within[0]), within[1])  # NaN stays

    groups = left_out.size
    if groups < 2:
        return Estimate(cut(value))
    mean = float(left_out.mean())
    squares = np.square(left_out - mean)
    error = math.sqrt(share * (groups - 1) / groups * float(squares.sum()))
    reach = student_reach(error, groups)
    corrected = groups * value - (groups - 1) * mean
    of_differences = error * math.sqrt(one_more(squares)) if within == SHARE else error
    return Estimate(
        cut(value), cut(value - reach), cut(value + reach), cut(corrected), error=of_differences, freedom=groups - 1
    )


def one_more(squares: NDArray[np.float64]) -> float:
    """Return the factor of a variance that counts one more of the lines that make a proportion vary, if they are few.

    If K of G lines do, all by the same amount, the variance is proportional to K, and the factor is 1 + 1 / K - 3 / G.
    It counts one more event, as Agresti & Caffo (2000) count one more success and one more failure; without it
    intervals of differences are too narrow where events are rare. In general the factor is 1 + k / G with the excess
    kurtosis k of the deviations; it is 1 if k is below 0.

    Args:
        squares: squared deviations [G] of the scores without line (or group) 1, ..., G from their mean.
    """
    total = float(squares.sum())
    if not total:
        return 1.0
    return 1 + max(float(np.square(squares / total).sum()) - 3 / squares.size, 0.0)


def counted_once(blocks: NDArray[np.float64], pairs: NDArray[np.float64], parts: float) -> float:
    """Return the proportion of the jackknife variance that is left if interactions of lines are counted once.

    A score is a sum of uncorrelated terms of 1, 2, ... lines, of variances A_1, A_2, ... (Efron & Stein 1981, Annals of
    Statistics 9). The variance is the sum of A_k; the jackknife estimates J, the sum of k A_k. The sum P of
    k (k - 1) / 2 A_k is the variance of interactions of two blocks: the residuals, in a linear regression, of the
    scores without both blocks on the sum of the scores without each. With a = 2 P / J the proportion is
    (1 - exp(-a)) / a. It is exact if A_k is proportional to a^k / k!, as for the number of n-grams with a count above 0
    if counts are Poisson with one mean a, and 1 for means over lines.

    Args:
        blocks: the scores [2 m] without block 1, ..., 2 m of lines, of near-equal size.
        pairs: the scores [m] without blocks i and m + i.
        parts: number of blocks of this size in all lines; more than 2 m if only some lines are in blocks.
    """
    most = pairs.size
    if most < 3 or blocks.size != 2 * most or not (spread := float(blocks.var(ddof=1))):
        return 1.0
    sums = blocks[:most] + blocks[most:]
    sums, pairs = sums - sums.mean(), pairs - pairs.mean()
    squares = float(sums @ sums)
    residuals = pairs - sums * (float(sums @ pairs) / squares if squares else 0.0)
    excess = parts**2 / (parts - 1) * float(residuals @ residuals) / (most - 2) / spread
    return -math.expm1(-excess) / excess if excess else 1.0


def student_reach(error: float, groups: int) -> float:
    """Return the half-width of a 95 % Student t interval with `groups - 1` degrees of freedom."""
    from scipy.special import stdtrit  # slow to import, and help and refusals need no interval

    return float(stdtrit(groups - 1, (1 + _CONFIDENCE) / 2)) * error


def interval(value: float, left_out: NDArray[np.float64] | Sequence[float], within: Range = _ANY) -> Estimate:
    """Return a score with its interval as `estimate` does, but without a corrected value."""
    return replace(estimate(value, np.asarray(left_out, np.float64), within), corrected=None)


def estimate_ratio(parts: NDArray[np.float64], sizes: NDArray[np.float64], within: Range = _ANY) -> Estimate:
    """Return the ratio sum(parts) / sum(sizes) over lines [S] with its interval, leaving out each line in turn.

    There is no corrected value, as the bias of this ratio is negligible.
    """
    total, size = parts.sum(), sizes.sum()
    whole = float(total / size)
    others = size - sizes
    if not others.all():  # one line holds everything
        return interval(whole, [], within)
    return interval(whole, (total - parts) / others, within)


def estimate_share(part: int, whole: int) -> Estimate:
    """Return the proportion part / whole with its exact interval (Clopper & Pearson 1934), nonempty even at 0 and 1.

    The standard error, for differences, counts one more of each kind (Agresti & Caffo 2000), so that it is never 0.
    """
    from scipy.special import betaincinv

    tail = (1 - _CONFIDENCE) / 2
    low = float(betaincinv(part, whole - part + 1, tail)) if part else 0.0
    high = float(betaincinv(part + 1, whole - part, 1 - tail)) if part < whole else 1.0
    widened = (part + 1) / (whole + 2)
    error = math.sqrt(widened * (1 - widened) / (whole + 2))
    return Estimate(part / whole, low, high, error=error, freedom=whole)


def median_interval(values: Sequence[float]) -> Estimate:
    """Return the median of independent values [n] with its 95 % interval; the interval is unknown for n below 6.

    The interval runs from the k-th smallest to the k-th largest value. It misses the median of any continuous
    distribution with probability 2 P(X < k), X binomial with n trials and probability 1/2 (David & Nagaraja 2003, Order
    Statistics, section 7.1). The largest k of at least 95 % is taken: 4 for n = 15, which gives 96.5 %.
    """
    from scipy.special import bdtr

    n, ordered = len(values), sorted(values)
    ranks = [k for k in range(1, n // 2 + 1) if 2 * bdtr(k - 1, n, 0.5) <= 1 - _CONFIDENCE]
    if not ranks:
        return Estimate(median(ordered))
    return Estimate(median(ordered), ordered[ranks[-1] - 1], ordered[-ranks[-1]])


def group_of_line(lines: int) -> NDArray[np.int64]:
    """Return the jackknife group of each line [lines]: line i is in group i modulo 20."""
    return np.arange(lines) % min(GROUPS, lines)
