import numpy as np
import pytest

from data.errors import InputError
from eval.images.fid_infinity import extrapolated
from eval.images.frechet import FeatureStatistics, distance

SIZE = 16
ENDLESS = FeatureStatistics(None, np.zeros(SIZE), np.diag(np.exp(-np.arange(SIZE) / 3)), "x")


def draw(
    count: int, random: np.random.Generator, scale: float = 1.0
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return scale * random.normal(size=(count, SIZE)) * np.sqrt(np.diag(ENDLESS.covariance))


@pytest.mark.parametrize(("count", "size"), [(400, SIZE), (40, 50)])  # and fewer images than features
def test_it_is_a_line_in_one_over_n(count: int, size: int) -> None:
    features = np.random.default_rng(0).normal(size=(count, size))
    endless = FeatureStatistics(None, np.zeros(size), np.diag(np.exp(-np.arange(size) / 3)), "x")
    found = extrapolated(features, endless)
    whole = distance(FeatureStatistics.of(features, "x"), endless)
    kept = [np.delete(features, np.arange(group, count, 20), axis=0) for group in range(20)]
    parts = [FeatureStatistics(len(part), part.mean(0), np.cov(part, rowvar=False), "x") for part in kept]
    fewer = np.mean([distance(part, endless) for part in parts])
    _, intercept = np.polyfit([1 / count, 20 / 19 / count], [whole, float(fewer)], 1)
    assert found.value == pytest.approx(whole, abs=1e-12)
    assert found.corrected == pytest.approx(intercept, abs=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_it_takes_the_bias_away_and_its_interval_covers(scale: float) -> None:
    random, repeats, count = np.random.default_rng(1), 60, 300
    expected = (scale - 1) ** 2 * float(np.trace(ENDLESS.covariance))
    found = [extrapolated(draw(count, random, scale), ENDLESS) for _ in range(repeats)]
    corrected = np.array([estimate.corrected for estimate in found], np.float64)
    plain = np.array([estimate.value for estimate in found])
    error = corrected.std(ddof=1) / np.sqrt(repeats)
    assert abs(corrected.mean() - expected) < 3 * error
    assert plain.mean() - expected > 3 * error  # without it the distance is too large
    reach = np.array([0.0 if estimate.high is None else estimate.high - estimate.value for estimate in found])
    assert np.mean(np.abs(corrected - expected) < reach) >= 0.85


def test_few_images_are_refused() -> None:
    with pytest.raises(InputError, match="39 images are too few"):
        extrapolated(draw(39, np.random.default_rng(0)), ENDLESS)
