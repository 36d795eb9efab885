"""Density and coverage equal the formulas of their authors' program, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, ttest_1samp

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval.fid import score_images
from eval.images import pairs
from eval.images.density_coverage import density_coverage
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.features import extract

Features = NDArray[np.float64]


def distances(first: Features, second: Features) -> Features:
    return np.array([[np.sqrt(((x - y) ** 2).sum()) for y in second] for x in first])


def by_formula(samples: Features, reference: Features, edge: bool = False) -> tuple[float, float]:
    """As the package prdc: radii are the fifth smallest distances to other real images, inside is nearer than that."""
    radii = np.sort(distances(reference, reference), 1)[:, 5]
    apart = distances(reference, samples)
    inside = apart <= radii[:, None] if edge else apart < radii[:, None]
    return inside.sum(0).mean() / 5, float(inside.any(1).mean())


def values(samples: Features, reference: Features) -> tuple[float, float]:
    found = density_coverage(samples, reference)
    return found["density"].value, found["coverage"].value


@pytest.mark.fuzz
@given(st.integers(1, 12), st.integers(6, 14), st.integers(1, 3), st.booleans(), st.integers(0, 10**6))
def test_fuzz_equal_to_the_formulas(n: int, m: int, size: int, grid: bool, seed: int) -> None:
    """Points of a coarse grid coincide, and lie on the edges of balls."""
    random = np.random.default_rng(seed)
    samples, reference = (random.normal(seed % 9, 1.5, (count, size)) for count in (n, m))
    if grid:
        samples, reference = samples.round(), reference.round()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", 1 + seed % 7)
        assert values(samples, reference) == pytest.approx(by_formula(samples, reference), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.7, 3.0])
def test_values_are_those_of_the_formulas(shift: float) -> None:
    random = np.random.default_rng(0)
    samples, reference = random.normal(shift, 1, (60, 4)), random.normal(0, 1, (45, 4))
    found = values(samples, reference)
    assert found == pytest.approx(by_formula(samples, reference), abs=1e-12)
    assert found != pytest.approx(by_formula(reference, samples), abs=1e-3)  # balls of the wrong set


def test_equal_sets_have_the_value_1_and_their_edges_are_outside() -> None:
    features = np.random.default_rng(1).normal(5, 1, (700, 16))  # two blocks
    assert values(features, features) == (1, 1)
    assert by_formula(features[:50], features[:50], edge=True) == (6 / 5, 1)  # what balls with their edges would give


def test_points_on_a_line() -> None:
    # Balls of the real 0, 1, ..., 9 reach to the fifth neighbour: 5 from the ends, 4, 3, then 3 in the middle.
    reference = np.arange(10.0)[:, None]
    far, near = np.array([[100.0]]), np.array([[1.0]])
    assert values(far, reference) == (0, 0)
    assert values(near, reference) == (4 / 5, 4 / 10)  # inside the balls of 0 to 3, on the edge of the ball of 4
    assert values(np.concatenate([far, near]), reference) == (2 / 5, 4 / 10)


def test_an_outlier_among_the_samples_covers_nothing_that_is_far() -> None:
    random = np.random.default_rng(2)
    reference = random.normal(0, 1, (100, 3))
    samples = np.concatenate([reference[:1] + 1e-3 * random.normal(size=(30, 3)), [[50.0, 50.0, 50.0]]])
    density, coverage = values(samples, reference)
    assert coverage < 0.1  # though the ball of the outlier holds all real images
    assert density == pytest.approx(by_formula(samples, reference)[0])


def test_intervals_are_students_of_density_and_exact_of_coverage() -> None:
    random = np.random.default_rng(3)
    samples, reference = random.normal(0.4, 1, (80, 5)), random.normal(size=(70, 5))
    found = density_coverage(samples, reference)
    inside = distances(reference, samples) < np.sort(distances(reference, reference), 1)[:, 5:6]
    student = ttest_1samp(inside.sum(0) / 5, 0).confidence_interval(0.95)
    assert (found["density"].low, found["density"].high) == pytest.approx((student.low, student.high))
    exact = binomtest(int(inside.any(1).sum()), 70).proportion_ci(method="exact")
    assert (found["coverage"].low, found["coverage"].high) == pytest.approx((exact.low, exact.high))
    assert found["coverage"].error is None  # over samples; the interval is over real images


def test_the_command_scores_its_features() -> None:
    images = draw_shapes(0, 60)[0]
    (score,) = score_images(images[:25], images[25:], ["density-coverage"], features="random-conv")
    ours, real = (extract(part, random_conv_extractor()).astype(np.float64) for part in (images[:25], images[25:]))
    assert [score.values[name].value for name in ("density", "coverage")] == pytest.approx(by_formula(ours, real))
    assert score.better == "higher"
    assert "density-coverage|" in str(score.signature)
    assert "|k:5|" in str(score.signature)


def test_too_few_images_and_nan_are_refused() -> None:
    features = np.random.default_rng(4).normal(size=(9, 2))
    with pytest.raises(InputError, match="5 images in the reference do not have 5 neighbours each; give more"):
        density_coverage(features, features[:5])
    with pytest.raises(InputError, match="NaN, infinity or overflow"):
        density_coverage(np.where(features == features[4, 1], np.nan, features), features)
    images = draw_shapes(0, 9)[0]
    with pytest.raises(InputError, match=r"density-coverage of 5 image\(s\); give at least 6"):
        score_images(images, images[:5], ["density-coverage"], features="random-conv")
