import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eval.core.intervals import (
    GROUPS,
    POSITIVE,
    SHARE,
    Range,
    estimate,
    estimate_ratio,
    estimate_share,
    group_of_line,
    interval,
    median_interval,
)
from eval.core.score import Estimate
from tests.helpers.oracles import pseudo_value_interval


def plug_in_variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / len(values)


def without_each(values: Sequence[float]) -> list[list[float]]:
    return [[*values[:i], *values[i + 1 :]] for i in range(len(values))]


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


NUMBERS = st.integers(-1000, 1000).map(lambda number: number / 8)


@pytest.mark.fuzz
@given(st.lists(NUMBERS, min_size=2, max_size=12))
def test_the_bias_of_the_plug_in_variance_is_removed_exactly(values: list[float]) -> None:
    value = plug_in_variance(values)  # of expectation (1 - 1 / n) sigma^2
    left_out = [plug_in_variance(others) for others in without_each(values)]
    found = estimate(value, np.array(left_out))
    assert found.value == value
    assert found.corrected == pytest.approx(statistics.variance(values), rel=1e-9, abs=1e-7)
    assert ends(found) == pytest.approx(pseudo_value_interval(value, left_out), rel=1e-7, abs=1e-6)


@pytest.mark.fuzz
@given(st.lists(st.tuples(NUMBERS, st.integers(0, 9)), min_size=1, max_size=12).filter(lambda a: any(b for _, b in a)))
def test_a_ratio_equals_recomputation_with_lines_left_out(lines: list[tuple[float, int]]) -> None:
    def ratio(parts: Sequence[tuple[float, int]]) -> float:
        return math.fsum(part for part, _ in parts) / sum(size for _, size in parts)

    parts, sizes = (np.array(column, np.float64) for column in zip(*lines, strict=True))
    found = estimate_ratio(parts, sizes)
    assert found.value == pytest.approx(ratio(lines), rel=1e-12, abs=1e-12)
    others = [lines[:i] + lines[i + 1 :] for i in range(len(lines))]
    if all(any(size for _, size in rest) for rest in others):
        left_out = [ratio(rest) for rest in others]
        assert ends(found) == pytest.approx(pseudo_value_interval(ratio(lines), left_out), rel=1e-7, abs=1e-6)
    else:
        assert (found.low, found.high) == (None, None)  # nothing is left without the line that holds everything
    assert found.corrected is None


@pytest.mark.parametrize("lines", [2, 3, 40])
def test_the_interval_of_a_mean_is_students(lines: int) -> None:
    values = np.random.default_rng(lines).normal(3, 2, lines)
    found = estimate(float(values.mean()), (values.sum() - values) / (lines - 1))
    expected = stats.t.interval(0.95, lines - 1, loc=values.mean(), scale=stats.sem(values))
    assert ends(found) == pytest.approx(expected, rel=1e-10)
    assert found.corrected == pytest.approx(values.mean(), rel=1e-12)  # a mean has no bias
    normal = stats.norm.interval(0.95, loc=values.mean(), scale=stats.sem(values))
    assert ends(found) != pytest.approx(normal, rel=1e-3)


def test_a_bias_in_one_over_the_lines_is_removed() -> None:
    lines, limit, slope = 25, 0.7, 3.0
    value = limit + slope / lines
    left_out = np.full(lines, limit + slope / (lines - 1))
    assert estimate(value, left_out).corrected == pytest.approx(limit, abs=1e-12)
    assert 2 * value - left_out.mean() != pytest.approx(limit, abs=1e-2)  # one step of the bias alone


@pytest.mark.parametrize("left_out", [[], [0.25]])
def test_fewer_than_two_left_out_say_nothing(left_out: list[float]) -> None:
    assert estimate(0.5, np.array(left_out)) == Estimate(0.5, None, None, None, None)


def test_one_line_has_a_ratio_without_interval() -> None:
    assert estimate_ratio(np.array([6.0]), np.array([4.0])) == Estimate(1.5)


def covering(lines: int, repeats: int, normal: bool) -> int:
    """How many intervals hold the mean of the normals they are made of."""
    hits = 0
    for values in np.random.default_rng(lines).normal(1, 2, (repeats, lines)):
        mean = float(values.mean())
        low, high = ends(estimate(mean, (values.sum() - values) / (lines - 1)))
        if normal:
            shrink = 1.96 / float(stats.t.ppf(0.975, lines - 1))
            low, high = mean - (mean - low) * shrink, mean + (high - mean) * shrink
        hits += low <= 1 <= high
    return hits


@pytest.mark.parametrize("lines", [4, 20])
def test_intervals_cover_as_often_as_they_say(lines: int) -> None:
    least, most = stats.binom.interval(0.999, 3000, 0.95)
    assert least <= covering(lines, 3000, normal=False) <= most
    if lines == 4:
        assert covering(lines, 3000, normal=True) < least  # the normal's 1.96 is too short for few lines


def test_intervals_of_left_out_groups_cover_too() -> None:
    lines, repeats, hits = 100, 1000, 0
    group = group_of_line(lines)
    for values in np.random.default_rng(0).normal(1, 2, (repeats, lines)):
        left_out = np.array([values[group != one].mean() for one in range(GROUPS)])
        low, high = ends(estimate(float(values.mean()), left_out))
        hits += low <= 1 <= high
    least, most = stats.binom.interval(0.999, repeats, 0.95)
    assert least <= hits <= most


@pytest.mark.parametrize("whole", [1, 2, 7, 40, 640])
def test_a_share_has_the_exact_interval(whole: int) -> None:
    for part in {0, 1, whole // 3, whole - 1, whole}:
        found = estimate_share(part, whole)
        assert found.value == part / whole
        expected = stats.binomtest(part, whole).proportion_ci(0.95, method="exact")
        assert ends(found) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert ends(estimate_share(0, whole)) == pytest.approx((0, 1 - 0.025 ** (1 / whole)), rel=1e-9)
    assert ends(estimate_share(whole, whole)) == pytest.approx((0.025 ** (1 / whole), 1), rel=1e-9)


@pytest.mark.parametrize("share", [0.001, 0.03, 0.3, 0.5, 0.97])
def test_the_interval_of_a_share_covers_at_least_as_often_as_it_says(share: float) -> None:
    whole = 30
    chances = stats.binom.pmf(np.arange(whole + 1), whole, share)
    intervals = [ends(estimate_share(part, whole)) for part in range(whole + 1)]
    covered = math.fsum(p for p, (low, high) in zip(chances, intervals, strict=True) if low <= share <= high)
    assert 0.95 <= covered <= 1 + 1e-12
    if share == 0.03:  # where the normal approximation, empty at 0, fails
        error = [1.96 * math.sqrt(k / whole * (1 - k / whole) / whole) for k in range(whole + 1)]
        wald = [abs(k / whole - share) <= reach for k, reach in enumerate(error)]
        assert math.fsum(p for p, covers in zip(chances, wald, strict=True) if covers) < 0.7


@pytest.mark.parametrize(("n", "k"), [(6, 1), (8, 1), (9, 2), (15, 4)])
def test_the_interval_of_a_median_is_of_order_statistics(n: int, k: int) -> None:
    values = [math.exp(number * 7 % n) for number in range(n)]  # n numbers in disorder
    ordered = sorted(values)
    found = median_interval(values)
    assert found == Estimate(statistics.median(values), ordered[k - 1], ordered[n - k])

    # Each value is below the median with probability 1/2; every outcome is enumerated.
    def coverage(rank: int) -> float:
        below = [outcome.bit_count() for outcome in range(2**n)]
        inside = [rank <= number <= n - rank for number in below]
        return statistics.fmean(inside)

    assert coverage(k) >= 0.95 > coverage(k + 1)


def test_five_values_have_a_median_without_interval() -> None:
    assert median_interval([3.0, 1.0, 2.0, 5.0, 4.0]) == Estimate(3.0)


@pytest.mark.parametrize(("lines", "sizes"), [(1, [1]), (3, [1] * 3), (20, [1] * 20), (47, [3] * 7 + [2] * 13)])
def test_groups_are_of_near_equal_size_and_spread_over_the_lines(lines: int, sizes: list[int]) -> None:
    groups = group_of_line(lines).tolist()
    assert [groups.count(group) for group in range(len(sizes))] == sizes
    assert len(groups) == lines
    assert all(groups[i] == groups[i + 20] for i in range(lines - 20))


@pytest.mark.parametrize("within", [SHARE, POSITIVE])
def test_an_interval_ends_where_its_score_does(within: Range) -> None:
    least, most = within
    value, left_out = 0.75, np.array([0.5, 1.0])  # two lines: 0.75 +- 3.18
    low, high = ends(estimate(value, left_out))
    assert low < 0
    assert high > 1
    for found in (estimate(value, left_out, within), interval(value, left_out, within)):
        assert ends(found) == (max(low, least), min(high, most))
    assert ends(estimate_ratio(np.array([2.0, 1.0]), np.array([2.0, 2.0]), within)) == (
        max(low, least),
        min(high, most),
    )
    assert estimate(0.9, np.array([0.1, 0.2]), SHARE).corrected == 1.0
    assert estimate(1 + 1e-15, np.array([]), SHARE).value == 1.0
    assert math.isnan(estimate(math.nan, np.array([0.1, 0.2]), within).value)  # an error to be seen, not 0


def test_an_interval_that_is_cut_off_covers_no_less() -> None:
    hits, repeats, share = [0, 0], 2000, 0.9
    for values in np.random.default_rng(0).random((repeats, 5)) < share:
        left_out = (values.sum() - values) / 4
        for number, within in enumerate(((-math.inf, math.inf), SHARE)):
            low, high = ends(estimate(float(values.mean()), left_out, within))
            hits[number] += low <= share <= high
    assert hits[0] == hits[1]
