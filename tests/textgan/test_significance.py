import math
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, product
from random import Random

import numpy as np
import pytest
from scipy import stats

from textgan.runs.significance import paired_test, permutation_test


def test_the_p_value_is_scipys_where_groups_are_of_one_size() -> None:
    random = np.random.default_rng(0)
    for runs, shift in ((3, 1.0), (4, 0.0), (4, 2.0), (5, 1.0), (6, 0.5), (8, 0.7)):
        a, b = random.normal(size=runs), random.normal(shift, 2.0, size=runs)
        exact = stats.permutation_test(
            (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True, n_resamples=np.inf
        )
        found = permutation_test(a, b)
        assert found.p == pytest.approx(exact.pvalue, abs=1e-12)
        assert found == permutation_test(b, a)
        assert found.min_p == pytest.approx(2 / math.comb(2 * runs, runs))
        # Known to be wrong: one side alone.
        one_sided = stats.permutation_test(
            (a, b),
            lambda x, y, axis: x.mean(axis) - y.mean(axis),
            vectorized=True,
            alternative="less" if a.mean() < b.mean() else "greater",
            n_resamples=np.inf,
        )
        assert found.p == pytest.approx(2 * one_sided.pvalue, abs=1e-12)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 4), (2, 5), (5, 3), (3, 3)])
def test_the_p_value_is_the_share_of_all_exchanges(sizes: tuple[int, int]) -> None:
    random = Random(sum(sizes))
    for _ in range(5):
        pooled = [random.choice((0.25, 0.5, 0.75, 1.0, 2.0)) for _ in range(sum(sizes))]  # ties among them

        def difference(chosen: Sequence[int], values: Sequence[float]) -> float:
            ours = [values[number] for number in chosen]
            theirs = [value for number, value in enumerate(values) if number not in chosen]
            return abs(statistics.fmean(ours) - statistics.fmean(theirs))

        observed = difference(range(sizes[0]), pooled)
        every = [difference(chosen, pooled) for chosen in combinations(range(len(pooled)), sizes[0])]
        expected = sum(each >= observed - 1e-12 for each in every) / len(every)
        found = permutation_test(np.array(pooled[: sizes[0]]), np.array(pooled[sizes[0] :]))
        assert found.p == pytest.approx(expected, abs=1e-12)


def test_ties_of_small_differences_count() -> None:
    a, b = np.array([0.5 + 0.1 / 3, 0.6]), np.array([0.5 + 0.1 / 3, 0.5 + 0.2 / 3, 0.6])
    assert permutation_test(a, b).p == 1
    # Known to be wrong: SciPy's own tolerance, which is relative to the difference.
    plain = stats.permutation_test((a, b), lambda x, y, axis: abs(x.mean(axis) - y.mean(axis)), alternative="greater")
    assert plain.pvalue == pytest.approx(0.8)


def test_the_smallest_p_value_is_that_of_groups_far_apart() -> None:
    for sizes in ((1, 1), (1, 3), (2, 2), (2, 3), (3, 3), (4, 4), (3, 5), (5, 5)):
        low, high = np.arange(sizes[0]) / 100, 9 + np.arange(sizes[1]) ** 2 / 100
        found = permutation_test(low, high)
        assert found.p == pytest.approx(found.min_p)
    assert permutation_test(np.arange(3.0), 9 + np.arange(3.0)).p == pytest.approx(0.1)
    assert permutation_test(np.arange(4.0), 9 + np.arange(4.0)).p == pytest.approx(2 / 70)


def test_too_few_runs_are_said_to_be_too_few() -> None:
    low, high = np.array([0.1, 0.11, 0.12, 0.13]), np.array([0.9, 0.91, 0.92, 0.93])
    assert permutation_test(low[:3], high[:3]).statement == (
        "too few runs to tell: p = 0.1, and the smallest possible p is 0.1"
    )
    assert permutation_test(low[:1], high[:1]).statement == (
        "too few runs to tell: p = 1, and the smallest possible p is 1"
    )
    # Known to be wrong: Welch's test of three and three is sure of it.
    assert stats.ttest_ind(low[:3], high[:3], equal_var=False).pvalue < 1e-5
    assert permutation_test(low, high).statement == "a significant difference at 5 %: p = 0.029 (permutation test)"
    mixed = np.array([0.1, 0.91, 0.12, 0.93]), np.array([0.9, 0.11, 0.92, 0.13])
    p = permutation_test(*mixed).p
    assert p > 0.5
    assert permutation_test(*mixed).statement == f"no significant difference at 5 %: p = {p:.2g} (permutation test)"
    # Three against four can tell: 1 / 35.
    assert permutation_test(low[:3], high).statement == "a significant difference at 5 %: p = 0.029 (permutation test)"


def exact_p(a: Sequence[int], b: Sequence[int]) -> float:
    """Of whole numbers: how many choices have which sum, without listing the choices."""
    ways: list[Counter[int]] = [Counter({0: 1}), *(Counter() for _ in a)]
    for value in (*a, *b):
        for chosen in range(len(a), 0, -1):
            for total, count in ways[chosen - 1].items():
                ways[chosen][total + value] += count
    whole, observed = sum(a) + sum(b), abs(sum(a) * len(b) - sum(b) * len(a))
    far = sum(count for s, count in ways[-1].items() if abs(s * len(b) - (whole - s) * len(a)) >= observed)
    return far / ways[-1].total()


@pytest.mark.parametrize(("sizes", "shift"), [((12, 12), 12), ((10, 15), 8), ((30, 30), 5), ((5, 5), 20)])
def test_p_values_of_many_runs(sizes: tuple[int, int], shift: int) -> None:
    random = Random(1)
    a, b = [random.randrange(60) for _ in range(sizes[0])], [shift + random.randrange(60) for _ in range(sizes[1])]
    found = permutation_test(np.array(a, float), np.array(b, float))
    expected = exact_p(a, b)
    assert 0.005 < expected < 0.95
    assert found.p == pytest.approx(expected, abs=5 * math.sqrt(0.25 / 100_000) if sizes[0] > 5 else 1e-12)
    if sizes[0] > 5:
        assert found.p == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.02)


def test_p_is_never_less_than_can_be() -> None:
    # As Phipson and Smyth 2010 show, random exchanges give p = 0 unless the observed outcome counts among them.
    found = permutation_test(np.arange(30) / 1000, 1 + np.arange(30) / 1000)
    assert found.p >= found.min_p
    assert found.p > 0


def test_the_paired_p_value_is_the_proportion_of_sign_flips() -> None:
    random = np.random.default_rng(1)
    for pairs, shift in ((1, 1.0), (3, 0.5), (4, 0.3), (6, 1.0)):
        common = random.normal(scale=5, size=pairs)  # of the start, the same for both methods
        a, b = common + random.normal(scale=0.1, size=pairs), common + shift
        differences = (a - b).tolist()
        observed = abs(statistics.fmean(differences)) - 1e-12
        flips = list(product((1, -1), repeat=pairs))
        means = [abs(statistics.fmean(s * d for s, d in zip(flip, differences, strict=True))) for flip in flips]
        found = paired_test(a, b)
        assert found.p == pytest.approx(sum(mean >= observed for mean in means) / len(flips))
        assert found.min_p == 2 / 2**pairs
        if pairs == 6:
            assert found.p == found.min_p < 0.05
            # Known to be wrong here: without the pairs, the spread of the starts hides the difference.
            assert permutation_test(a, b).p > 0.2
