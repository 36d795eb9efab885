"""Confidence intervals over runs, and permutation tests of two methods.

Intervals are Student's t: a 95 % percentile bootstrap interval of two or three runs contains the mean in only half or
three quarters of all cases.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]

_CONFIDENCE = 0.95
_EXACT = 50_000
_RANDOM = 100_000


def mean_interval(values: Values) -> tuple[float, float] | None:
    """Return the 95 % Student's t interval of the mean of independent normal values; None for a single value."""
    if values.size < 2:
        return None
    return student_interval(float(values.mean()), float(values.var(ddof=1)) / values.size, values.size - 1)


def student_interval(centre: float, variance: float, degrees_of_freedom: float) -> tuple[float, float]:
    """Return the 95 % Student's t interval of an estimate of this variance."""
    if not variance:
        return centre, centre
    low, high = stats.t.interval(_CONFIDENCE, degrees_of_freedom, centre, math.sqrt(variance))
    return float(low), float(high)


@dataclass(frozen=True)
class PermutationTest:
    """Result of a two-sided permutation test of two means: the p-value, and the smallest one that is possible."""

    p: float
    min_p: float
    name: str = "permutation test"

    @property
    def statement(self) -> str:
        """The conclusion at 5 %."""
        if self.min_p > 0.05:
            return f"too few runs to tell: p = {self.p:.2g}, and the smallest possible p is {self.min_p:.2g}"
        verdict = "a significant difference" if self.p <= 0.05 else "no significant difference"
        return f"{verdict} at 5 %: p = {self.p:.2g} ({self.name})"


def permutation_test(a: Values, b: Values) -> PermutationTest:
    """Test whether two groups of runs differ in their means, by exchanging runs between the groups.

    The p-value is the proportion of exchanges whose means differ by at least the observed difference. Up to 50,000
    exchanges are all tried, else 100,000 random ones; the observed groups then count as one exchange more, so that p is
    never 0 (Phipson & Smyth 2010).
    """
    # SciPy's tolerance is relative to the difference, and misses ties between small differences of large values. The
    # statistic is therefore 1 if a difference is at least the observed difference, up to rounding, and 0 if not.
    least = abs(a.mean() - b.mean()) - 1e-12

    def as_large(x: Values, y: Values, axis: int) -> Values:
        return np.where(np.abs(x.mean(axis) - y.mean(axis)) >= least, 1.0, 0.0)

    splits = math.comb(a.size + b.size, a.size)
    min_p = (2 if a.size == b.size else 1) / splits
    if min(a.size, b.size) == 1:  # SciPy refuses a single run: here each run in turn is compared with all others
        pooled = np.concatenate([a, b])
        others = np.array([np.delete(pooled, number) for number in range(pooled.size)])
        return PermutationTest(float(as_large(pooled[:, None], others, 1).mean()), min_p)
    return _tested((a, b), as_large, "independent", splits, min_p, "permutation test")


def paired_test(a: Values, b: Values) -> PermutationTest:
    """Test whether the differences of paired runs have mean 0, by exchanging the runs of a pair.

    The p-value is the proportion of exchanges whose mean difference is at least the observed one, as in
    `permutation_test`.
    """
    name = "paired permutation test, by start and seed"
    differences = a - b
    if differences.size == 1:  # SciPy refuses a single pair: both exchanges have the same absolute difference
        return PermutationTest(1.0, 1.0, name)
    least = abs(differences.mean()) - 1e-12

    def as_large(x: Values, axis: int) -> Values:
        return np.where(np.abs(x.mean(axis)) >= least, 1.0, 0.0)

    signs = 2**differences.size
    return _tested((differences,), as_large, "samples", signs, 2 / signs, name)


def _tested(
    data: tuple[Values, ...], as_large: Callable[..., Values], kind: str, exchanges: int, min_p: float, name: str
) -> PermutationTest:
    """Return SciPy's permutation test of this kind: exact, with `min_p`, if there are few exchanges, else random."""
    exact = exchanges <= _EXACT
    test = stats.permutation_test(
        data, as_large, permutation_type=kind, alternative="greater", n_resamples=math.inf if exact else _RANDOM, rng=0
    )
    return PermutationTest(float(test.pvalue), min_p if exact else 1 / (_RANDOM + 1), name)
