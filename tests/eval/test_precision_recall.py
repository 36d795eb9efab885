from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from data.errors import InputError
from eval.images import pairs
from eval.images.precision_recall import precision_recall

Features = NDArray[np.floating[Any]]


def shares(samples: Features, reference: Features, neighbours: int = 3) -> tuple[float, float]:
    found = precision_recall(samples, reference, neighbours)
    return found["precision"].value, found["recall"].value


def covered(images: Features, by: Features, neighbours: int) -> float:
    """The obvious way: an image is covered if it lies in the ball of any other set's image."""

    def apart(x: Features, y: Features) -> float:
        return float(np.sqrt(np.square(x - y).sum()))

    reach = [sorted(apart(x, y) for j, y in enumerate(by) if i != j)[neighbours - 1] for i, x in enumerate(by)]
    return float(np.mean([any(apart(x, y) <= r for y, r in zip(by, reach, strict=True)) for x in images]))


@pytest.mark.fuzz
@given(st.integers(4, 14), st.integers(4, 14), st.integers(1, 3), st.integers(0, 10**6))
def test_equal_to_the_obvious_way(n: int, m: int, neighbours: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    samples, reference = random.normal(0.5, 1, (n, 3)), random.normal(size=(m, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", 1 + seed % 7)
        found = shares(samples, reference, neighbours)
    assert found == (covered(samples, reference, neighbours), covered(reference, samples, neighbours))


def test_equal_sets_cover_each_other_and_distant_ones_do_not() -> None:
    features = np.random.default_rng(0).normal(1000, 1, (50, 20)).astype(np.float32)
    assert shares(features, features[::-1]) == (1, 1)
    assert shares(features, features + 100) == (0, 0)


def test_a_line_of_points() -> None:
    # 0, 1, ..., 9 and k = 3: the balls of inner points reach 2 far, those of 0 and 9 reach 3, so -3 .. 12 is covered.
    reference = np.arange(10.0)[:, None]
    samples = np.array([[-3.1], [-3.0], [12.0], [12.1], [4.5], [4.5]])
    # Samples' third neighbours: of -3.1 and -3 4.5 at 7.6 and 7.5, of 4.5 -3 and 12 at 7.5 both: all ten are covered.
    assert shares(samples, reference) == (4 / 6, 1)
    # With k = 2 the ends reach 2 far.
    assert shares(samples, reference, 2) == (2 / 6, covered(reference, samples, 2))
    assert shares(np.array([[2.0]] * 4 + [[50.0]]), reference)[0] == 4 / 5


def test_copies_of_one_image_are_precise_and_recall_only_that() -> None:
    reference = np.random.default_rng(1).normal(5, 3, (40, 64))
    copies = np.repeat(reference[:1], 6, axis=0)
    assert shares(copies, reference) == (1, 1 / 40)  # balls without extent hold their centre, in spite of rounding
    assert shares(copies + 1e-3, reference) == (1, 0)


def test_the_intervals_are_exact_ones_of_shares() -> None:
    random = np.random.default_rng(2)
    found = precision_recall(random.normal(size=(80, 8)), random.normal(0.3, 1, (120, 8)))
    for share, count in ((found["precision"], 80), (found["recall"], 120)):
        exact = binomtest(round(share.value * count), count).proportion_ci(method="exact")
        assert (share.low, share.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
        assert 0 < share.value < 1
    # The proportion of real images varies with the samples in another way than a binomial one does.
    assert found["precision"].error is not None
    assert found["recall"].error is None


def test_too_few_images_and_nan_are_refused() -> None:
    features = np.random.default_rng(3).normal(size=(9, 2))
    with pytest.raises(InputError, match="3 images in a set do not have 3 neighbours each"):
        precision_recall(features, features[:3])
    with pytest.raises(InputError, match="NaN, infinity or overflow"):
        precision_recall(np.where(features == features[4, 1], np.nan, features), features)
