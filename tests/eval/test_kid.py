from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.errors import InputError
from eval.core.intervals import estimate
from eval.images import pairs
from eval.images.kid import kid

Features = NDArray[np.floating[Any]]


def kernel(x: Features, y: Features) -> float:
    return (sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3


def obvious(samples: Features, reference: Features) -> float:
    """The unbiased estimator, pair by pair."""
    n, m = len(samples), len(reference)
    total = -2 * sum(kernel(x, y) for x in samples for y in reference) / (n * m)
    for features, size in ((samples, n), (reference, m)):
        pairs = sum(kernel(features[i], features[j]) for i in range(size) for j in range(size) if i != j)
        total += pairs / (size * (size - 1))
    return total


def draw(random: np.random.Generator, count: int, scale: float = 1.0, size: int = 4) -> Features:
    return scale * random.normal(size=(count, size))


def test_closed_form() -> None:
    # x = 0, 1 and y = 1, 2 in one dimension: k(0, 1) = 1, k(1, 2) = 27, across 1 + 1 + 8 + 27 = 37.
    found = kid(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]]))
    assert found.value == pytest.approx(1 + 27 - 2 * 37 / 4, abs=1e-14)
    assert (found.low, found.high) == (None, None)


@pytest.mark.fuzz
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 5), st.integers(0, 10**6))
def test_equal_to_every_pair_in_turn(n: int, m: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    samples, reference = draw(random, n, 1.5, size), draw(random, m, 1, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", 1 + seed % 7)
        found = kid(samples, reference)
    assert found.value == pytest.approx(obvious(samples, reference), abs=1e-10)


def test_it_is_the_mean_over_all_of_the_papers_subsets() -> None:
    random = np.random.default_rng(0)
    samples, reference = draw(random, 6), draw(random, 5, 1.3)
    subsets = [
        obvious(samples[list(some)], reference[list(other)])
        for some in combinations(range(6), 3)
        for other in combinations(range(5), 3)
    ]
    assert kid(samples, reference).value == pytest.approx(float(np.mean(subsets)), abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(7, 30), (50, 41)])
def test_leaving_out_equals_scoring_the_others(n: int, m: int) -> None:
    random = np.random.default_rng(1)
    samples, reference = draw(random, n), draw(random, m, 1.2)
    groups = min(20, n, m)
    left_out = [
        obvious(np.delete(samples, np.s_[g::groups], 0), np.delete(reference, np.s_[g::groups], 0))
        for g in range(groups)
    ]
    expected = estimate(obvious(samples, reference), np.array(left_out))
    found = kid(samples, reference)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-11)
    # Files that share a reference differ by their samples alone.
    of_samples = [obvious(np.delete(samples, np.s_[g::groups], 0), reference) for g in range(groups)]
    assert found.error == pytest.approx(estimate(found.value, np.array(of_samples)).error, abs=1e-11)
    assert found.error != pytest.approx(expected.error, rel=0.01)


def test_it_is_unbiased_where_the_plain_one_is_not_and_its_interval_covers() -> None:
    random, repeats = np.random.default_rng(2), 300
    pairs = [(draw(random, 40), draw(random, 60)) for _ in range(repeats)]
    found = [kid(*pair) for pair in pairs]
    values = np.array([each.value for each in found])
    error = values.std(ddof=1) / np.sqrt(repeats)
    assert abs(values.mean()) < 3 * error

    def mean_kernel(x: Features, y: Features) -> float:
        return float(np.mean((x @ y.T / 4 + 1) ** 3))

    plain = [mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y) for x, y in pairs]
    assert np.mean(plain) > 10 * error  # an image with itself counted in
    covered = np.mean([each.low is not None and each.high is not None and each.low < 0 < each.high for each in found])
    assert covered >= 0.93


def test_single_precision_is_precise_enough() -> None:
    random = np.random.default_rng(3)
    samples, reference = (np.abs(draw(random, 200, 0.5, 512)).astype(np.float32) for _ in range(2))
    exact = kid(samples.astype(np.float64), reference.astype(np.float64)).value
    assert kid(samples, reference).value == pytest.approx(exact, abs=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_nan_infinity_and_overflow_are_refused(bad: float) -> None:
    features = np.ones((3, 2))
    features[0, 0] = bad
    for pair in ((features, np.ones((3, 2))), (np.ones((3, 2)), features)):
        with pytest.raises(InputError, match="NaN, infinity or overflow"):
            kid(*pair)


def test_a_single_image_is_refused() -> None:
    with pytest.raises(InputError, match="1 image in a set has no KID"):
        kid(np.ones((5, 2)), np.ones((1, 2)))
