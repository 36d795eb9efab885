import math
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from eval.core.differences import Comparison, Difference, compare, difference, holm
from eval.core.intervals import GROUPS, SHARE, estimate, estimate_ratio, estimate_share
from eval.core.score import Estimate


def mean_of(values: NDArray[np.float64]) -> Estimate:
    """Return the mean with its jackknife interval, leaving out each value."""
    return estimate(float(values.mean()), (values.sum() - values) / (values.size - 1))


@pytest.mark.parametrize(("first", "second"), [(2, 2), (5, 40), (30, 30)])
def test_the_difference_of_two_means_has_welchs_test_and_interval(first: int, second: int) -> None:
    random = np.random.default_rng(first)
    a, b = random.normal(1, 2, first), random.normal(0, 0.5, second)
    found = difference(mean_of(a), mean_of(b))
    expected = stats.ttest_ind(a, b, equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-9)
    assert (found.value, found.p_value) == pytest.approx((a.mean() - b.mean(), expected.pvalue), rel=1e-9)
    paired = stats.ttest_rel(a[:2], b[:2])  # known to be wrong: lines of two files do not belong together
    assert found.p_value != pytest.approx(paired.pvalue, rel=1e-3)


def test_the_detectable_difference_is_told_with_a_probability_of_80_percent() -> None:
    lines = 200
    error = 0.3 / math.sqrt(lines)
    one = Estimate(0.5, error=error, freedom=lines - 1)
    found = difference(one, one)
    assert found.detectable is not None
    freedom, shift = 2 * (lines - 1), found.detectable / (math.sqrt(2) * error)
    power = stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, shift)
    assert power == pytest.approx(0.8, abs=0.002)
    assert found.high is not None
    reach = found.high / (math.sqrt(2) * error)  # known to be wrong: half-widths are told every other time
    assert stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, reach) == pytest.approx(0.5, abs=0.01)


def entropies(random: np.random.Generator, chances: list[float], trials: int, lines: int) -> list[Estimate]:
    """Return the jackknifed entropy in bits of `lines` symbols per trial: a biased score, as JSD."""
    counts = random.multinomial(lines, chances, trials)
    estimates = []
    for row in counts:
        left_out = [plug_in(row - np.eye(row.size, dtype=int)[symbol]) for symbol in range(row.size)]
        estimates.append(estimate(plug_in(row), np.repeat(left_out, row)))
    return estimates


def plug_in(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def test_intervals_of_differences_cover_as_often_as_they_say() -> None:
    random, lines, trials = np.random.default_rng(0), 60, 2000
    kinds = ([0.4, 0.3, 0.1, 0.1, 0.06, 0.04], [0.7, 0.1, 0.1, 0.1])
    first, second = (entropies(random, kind, trials, lines) for kind in kinds)
    # The expected entropies at this sample count, by enumeration of the binomial count of each symbol.
    expected = [expected_entropy(kind, lines) for kind in kinds]
    truth = expected[0] - expected[1]
    hits = {"difference": 0, "sum of half-widths": 0}
    for a, b in zip(first, second, strict=True):
        found = difference(a, b)
        assert None not in (found.low, found.high, a.high, b.high)
        hits["difference"] += found.low <= truth <= found.high  # type: ignore[operator]
        reach = (a.high - a.value) + (b.high - b.value)  # type: ignore[operator]
        hits["sum of half-widths"] += abs(found.value - truth) <= reach
    assert 0.93 <= hits["difference"] / trials <= 0.97
    assert hits["sum of half-widths"] / trials > 0.98  # known to be wrong: whether two intervals overlap


def expected_entropy(chances: list[float], lines: int) -> float:
    counts = np.arange(1, lines + 1)
    terms = -counts / lines * np.log2(counts / lines)
    return math.fsum(float(stats.binom.pmf(counts, lines, chance) @ terms) for chance in chances)


@pytest.mark.parametrize("shares", [(0.0, 0.02), (0.03, 0.1), (0.5, 0.5), (0.9, 0.98)])
def test_intervals_of_differences_of_shares_cover_as_often_as_they_say(shares: tuple[float, float]) -> None:
    whole = 40
    chances = [stats.binom.pmf(np.arange(whole + 1), whole, share) for share in shares]
    covered = wald = 0.0
    for i, j in np.ndindex(whole + 1, whole + 1):
        chance = chances[0][i] * chances[1][j]
        if chance < 1e-12:
            continue
        found = difference(estimate_share(i, whole), estimate_share(j, whole))
        assert found.low is not None
        assert found.high is not None
        covered += chance * (found.low <= shares[0] - shares[1] <= found.high)
        squares = [k / whole * (1 - k / whole) / whole for k in (i, j)]
        wald += chance * (abs(found.value - shares[0] + shares[1]) <= 1.96 * math.sqrt(sum(squares)))
    assert covered >= 0.93
    if shares == (0.0, 0.02):
        assert wald < 0.6  # known to be wrong: no spread at 0


@pytest.mark.parametrize("means", [(0.5, 2.0), (1.0, 1.0), (1.0, 4.0), (5.0, 10.0)])
def test_intervals_of_differences_of_rare_events_are_not_too_narrow(means: tuple[float, float]) -> None:
    lines, most = 200, 40
    chances = [stats.binom.pmf(np.arange(most), lines, mean / lines) for mean in means]
    found = [
        estimate_ratio((np.arange(lines) < events).astype(np.float64), np.ones(lines), SHARE) for events in range(most)
    ]
    covered = uncorrected = known = 0.0
    for i, j in np.ndindex(most, most):
        chance, pair = chances[0][i] * chances[1][j], difference(found[i], found[j])
        if pair.low is None or pair.high is None:
            assert i == j == 0
            continue
        truth, known = (means[0] - means[1]) / lines, known + chance
        covered += chance * (pair.low <= truth <= pair.high)
        squares = [events / lines * (1 - events / lines) / (lines - 1) for events in (i, j)]
        uncorrected += chance * (abs(pair.value - truth) <= 1.96 * math.sqrt(sum(squares)))
    assert covered / known >= 0.95
    assert uncorrected < covered
    if means[0] < 1:
        assert uncorrected / known < 0.94  # known to be wrong: the jackknife as it is


@pytest.mark.parametrize("events", [1, 2, 30])
def test_one_event_more_is_counted(events: int) -> None:
    lines = 200
    found = estimate_ratio((np.arange(lines) < events).astype(np.float64), np.ones(lines), SHARE)
    share = events / lines
    assert found.error is not None
    # Of (events + 1) / lines^2 for rare events; the jackknife's own is events / lines^2.
    assert found.error**2 == pytest.approx((events + 1) / lines**2 * (1 - share), rel=0.03 + 3 * share)


def test_a_spread_that_is_unknown_is_no_spread() -> None:
    known, unknown = Estimate(0.25, error=0.1, freedom=9), Estimate(0.5)
    assert difference(unknown, known) == difference(unknown, unknown.__class__(0.25)) == Difference(0.25)
    constant = estimate(0.5, np.full(20, 0.5))
    assert constant.error == 0
    assert difference(constant, Estimate(0.25, error=0.0, freedom=19)) == Difference(0.25)
    assert difference(constant, known).p_value is not None
    assert not Difference(0.25).told
    same = difference(known, known)
    assert (same.value, same.told) == (0, False)
    assert same.p_value == pytest.approx(1)


def step_down(p_values: list[float], level: float) -> set[int]:
    """Return which hypotheses Holm's procedure rejects, step by step."""
    rejected: set[int] = set()
    for index in sorted(range(len(p_values)), key=lambda index: p_values[index]):
        if p_values[index] > level / (len(p_values) - len(rejected)):
            break
        rejected.add(index)
    return rejected


def test_adjusted_p_values_reject_as_holms_procedure_does() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm 1979, by hand
    assert holm([]) == []
    random = np.random.default_rng(0)
    for _ in range(200):
        p_values = (random.random(random.integers(1, 8)) ** 3).round(3).tolist()
        for level in (0.01, 0.05, 0.3):
            assert {i for i, p in enumerate(holm(p_values)) if p <= level + 1e-12} == step_down(p_values, level + 1e-12)


def test_equal_files_are_told_apart_in_at_most_5_percent_of_reports() -> None:
    random, reports, alone, adjusted = np.random.default_rng(0), 400, 0, 0
    for values in random.normal(0, 1, (reports, 5, 30)):
        files = [mean_of(row) for row in values]
        adjusted += any(found.told for found in compare(files, "lower").differences.values())
        alone += any(difference(files[i], files[j]).told for i, j in combinations(range(5), 2))
    assert adjusted <= stats.binom.ppf(0.999, reports, 0.05)
    assert alone > 0.15 * reports  # known to be wrong: one test per pair without Holm


def at(value: float, error: float = 0.01) -> Estimate:
    return Estimate(value, error=error, freedom=GROUPS - 1)


def test_ranks_are_those_that_the_tests_allow() -> None:
    estimates = [at(0.50), at(0.505), at(0.9), at(0.1), Estimate(0.3)]
    # Only 0.5 and 0.505 are near each other; the file without an interval may have any rank.
    assert compare(estimates, "higher").ranks == [(2, 4), (2, 4), (1, 2), (4, 5), (1, 5)]
    assert compare(estimates, "lower").ranks == [(2, 4), (2, 4), (4, 5), (1, 2), (1, 5)]
    assert compare(estimates[:4], "lower").ranks == [(2, 3), (2, 3), (4, 4), (1, 1)]
    assert compare(estimates[:4], "lower").best == 3
    assert compare(estimates[:2], "lower").best is None  # known to be wrong: the lowest value
    assert compare(estimates[:1], "lower") == Comparison({}, [(1, 1)])
    assert compare(estimates[:1], "lower").best is None


def test_a_pair_is_the_same_in_both_orders() -> None:
    found = compare([at(0.5), at(0.4), at(0.44)], "lower").differences
    for (i, j), forth in found.items():
        back = found[j, i]
        assert (forth.value, forth.low, forth.high) == (-back.value, -(back.high or 0), -(back.low or 0))
        assert (forth.p_value, forth.detectable) == (back.p_value, back.detectable)
    p_values = {pair: difference(at(a), at(b)).p_value or 0 for pair, (a, b) in
                {(0, 1): (0.5, 0.4), (0, 2): (0.5, 0.44), (1, 2): (0.4, 0.44)}.items()}  # fmt: skip
    expected = holm(list(p_values.values()))
    assert [found[pair].p_value for pair in p_values] == pytest.approx(expected)
    assert found[0, 1].p_value != p_values[0, 1]
