"""Differences of scores: confidence intervals, tests of all pairs of files, ranks that the tests allow.

The two files of a pair are independent draws, and the reference is fixed, so the variance of a difference is the sum of
the jackknife variances of both scores. The interval covers the spread over sample lines alone: it is for the expected
difference at this sample count against this reference. For matched lines (equal prompts) it is too wide.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from eval.core.score import Better, Estimate

LEVEL = 0.05
"""Probability that a test tells files of equal expected score apart; the intervals hold at 1 - LEVEL."""
POWER = 0.8
"""Probability that the smallest detectable difference is told."""

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Difference:
    """A score's difference between two files, with its 95 % confidence interval; None if the spread is unknown.

    `p_value` is two-sided. `detectable` is the smallest expected difference that a test of one pair tells with a
    probability of 80 % at these sample counts.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    detectable: float | None = None

    @property
    def told(self) -> bool:
        """Whether the test tells the files apart."""
        return self.p_value is not None and self.p_value <= LEVEL


def difference(first: Estimate, second: Estimate) -> Difference:
    """Return `first` minus `second` with the interval and test of Welch (1947, Biometrika 34).

    The spread is unknown if one score's is, or if leaving out lines changes neither score.
    """
    from scipy.special import stdtr, stdtrit  # slow to import, and help and refusals need no interval

    value = first.value - second.value
    if first.error is None or second.error is None:
        return Difference(value)
    squares = [estimate.error**2 for estimate in (first, second) if estimate.error is not None]
    error = math.sqrt(sum(squares))
    if error <= _ROUNDING * max(abs(first.value), abs(second.value), 1.0):
        return Difference(value)
    parts = zip(squares, (first.freedom, second.freedom), strict=True)
    freedom = error**4 / sum(square**2 / own for square, own in parts)
    reach = float(stdtrit(freedom, 1 - LEVEL / 2)) * error
    p_value = 2 * float(stdtr(freedom, -abs(value) / error))
    detectable = reach + float(stdtrit(freedom, POWER)) * error
    return Difference(value, value - reach, value + reach, p_value, detectable)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values [m] adjusted for m tests (Holm 1979): the i-th smallest is multiplied by m + 1 - i.

    An adjusted p-value is at least the adjusted smaller ones, and at most 1. At most 5 % of families of true null
    hypotheses hold an adjusted p-value of .05 or less, whether or not the tests are independent.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True)
class Comparison:
    """All pairs of k files by one score.

    `differences[i, j]` is the score of file i minus the score of file j, with the p-value adjusted by `holm` for all
    pairs of files; the interval is for the one pair. `ranks` are the best and the worst rank of each file that the
    tests allow: 1 plus the number of files that are told to be better, and k minus those told to be worse.
    """

    differences: Mapping[tuple[int, int], Difference]
    ranks: Sequence[tuple[int, int]]

    @property
    def best(self) -> int | None:
        """The file that is told to be better than all others, if there is one."""
        return next((file for file, (_, worst) in enumerate(self.ranks) if worst == 1 < len(self.ranks)), None)

    @property
    def detectable(self) -> float | None:
        """Smallest detectable difference of the least certain pair; None if no pair has one."""
        known = [found.detectable for found in self.differences.values() if found.detectable is not None]
        return max(known, default=None)


def compare(estimates: Sequence[Estimate], better: Better) -> Comparison:
    """Compare the scores of k files in pairs."""
    pairs = {(i, j): difference(estimates[i], estimates[j]) for i, j in combinations(range(len(estimates)), 2)}
    p_values = {pair: found.p_value for pair, found in pairs.items() if found.p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    pairs = {pair: replace(found, p_value=adjusted.get(pair)) for pair, found in pairs.items()}
    both = pairs | {(j, i): _reversed(found) for (i, j), found in pairs.items()}
    sign = -1 if better == "lower" else 1
    above, below = [0] * len(estimates), [0] * len(estimates)
    for (i, j), found in both.items():
        above[j] += found.told and sign * found.value > 0
        below[i] += found.told and sign * found.value > 0
    ranks = [(1 + more, len(estimates) - less) for more, less in zip(above, below, strict=True)]
    return Comparison(both, ranks)


def _reversed(found: Difference) -> Difference:
    """Return the difference of the second file from the first."""
    low = None if found.high is None else -found.high
    high = None if found.low is None else -found.low
    return replace(found, value=0.0 - found.value, low=low, high=high)
