"""Influences are close to leaving out each sample, in float64, and exact to first order."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.features import extract
from eval.images.frechet import FeatureStatistics
from eval.images.influence import influences
from tests.helpers.commands import run

Features = NDArray[np.float64]


def distance(samples: Features, reference: Features) -> float:
    """The obvious way, by the eigenvalues of a product that is not symmetric."""
    first, second = np.cov(samples, rowvar=False), np.cov(reference, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()
    return float(np.square(samples.mean(0) - reference.mean(0)).sum() + np.trace(first + second) - 2 * roots)


def left_out(samples: Features, reference: Features) -> Features:
    whole = distance(samples, reference)
    return np.array([whole - distance(np.delete(samples, i, 0), reference) for i in range(len(samples))])


def draw(count: int, seed: int) -> Features:
    mixing = np.array([[2.0, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 0.3, 0.1], [0, 0, 0, 1]])
    rows: Features = np.random.default_rng([seed, count]).normal(size=(count, 4)) @ mixing
    return rows


def error(count: int) -> float:
    samples, reference = draw(count, 0) + 0.3, draw(300, 1)
    found = influences(samples, FeatureStatistics.of(reference, "x"))
    return float(np.abs(found - left_out(samples, reference)).mean())


def test_influences_are_near_leaving_out_each_sample() -> None:
    samples, reference = draw(150, 0) * np.array([1.5, 0.7, 2.0, 1.0]), draw(300, 1)
    found, expected = influences(samples, FeatureStatistics.of(reference, "x")), left_out(samples, reference)

    def mean_error(guess: Features) -> float:
        return float(np.abs(guess - expected).mean() / expected.std())

    assert np.corrcoef(found, expected)[0, 1] > 0.999
    assert mean_error(found) < 0.03
    # Known to be wrong: the means alone, and the derivative of the root without its 1/2.
    shift = (samples - samples.mean(0)) / 149
    difference = samples.mean(0) - reference.mean(0)
    means = np.square(difference).sum() - np.square(difference - shift).sum(1)
    assert mean_error(means) > 0.5
    assert mean_error(means + 2 * (found - means)) > 0.5


def test_an_outlier_raises_the_distance_most() -> None:
    samples, reference = draw(150, 0), draw(300, 1)
    samples[7] = 6
    assert influences(samples, FeatureStatistics.of(reference, "x")).argmax() == 7


def test_the_error_is_of_second_order() -> None:
    # Four times as many samples: an error of second order is 16 times smaller, one of first order 4 times.
    assert error(60) / error(240) > 10


def test_a_reference_of_few_images_has_a_covariance_without_full_rank() -> None:
    samples, reference = draw(200, 0), draw(4, 1)
    found = influences(samples, FeatureStatistics.of(reference, "x"))
    tiny = 1e-9 * np.eye(4)
    first, second = np.cov(samples, rowvar=False), np.cov(reference, rowvar=False) + tiny
    root = np.asarray(sqrtm(second)).real
    moved = root @ np.linalg.inv(np.asarray(sqrtm(root @ first @ root)).real) @ root  # the optimal transport
    z = samples - samples.mean(0)
    change = first - 200 / 199 * z[:, :, None] * z[:, None]
    change /= 198
    traces = np.trace(change, axis1=1, axis2=2) - np.einsum("ij,nji->n", moved, change)
    shift = samples.mean(0) - reference.mean(0)
    expected = np.square(shift).sum() - np.square(shift - z / 199).sum(1) - traces
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_constant_features_and_copies_of_features_change_nothing() -> None:
    samples, reference = draw(300, 0) * np.array([1.5, 0.7, 2.0, 1.0]), draw(400, 1)
    samples[:, 2] = 1
    samples = np.concatenate([samples, samples[:, :1]], axis=1)
    reference = np.concatenate([reference, draw(400, 2)[:, :1]], axis=1)
    found, expected = influences(samples, FeatureStatistics.of(reference, "x")), left_out(samples, reference)
    assert np.abs(found - expected).mean() < 0.03 * expected.std()


def test_a_reference_of_equal_images_has_no_spread_to_match() -> None:
    samples, reference = draw(300, 0), np.ones((5, 4))
    found, expected = influences(samples, FeatureStatistics.of(reference, "x")), left_out(samples, reference)
    # The distance is |mean - 1|^2 + tr C, without a root: its first order is exact but for terms of 1 / N^2.
    assert np.abs(found - expected).max() < 0.01 * expected.std()


def test_too_few_samples_and_nan_are_refused() -> None:
    statistics = FeatureStatistics.of(draw(30, 1), "x")
    with pytest.raises(InputError, match="--influence: 7 images for 4 features; give at least 8"):
        influences(draw(7, 0), statistics)
    with pytest.raises(InputError, match="--influence: 2 images for 1 features; give at least 3"):
        influences(draw(2, 0)[:, :1], FeatureStatistics.of(draw(30, 1)[:, :1], "x"))
    with pytest.raises(InputError, match="NaN or infinity in features of x"):
        influences(np.where(draw(30, 0) > 2, np.nan, draw(30, 0)), statistics)
    with pytest.raises(InputError, match="3 and 4 features per image do not compare"):
        influences(draw(30, 0)[:, :3], statistics)


def test_the_command_writes_a_row_per_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images = draw_shapes(0, 640)[0]
    np.save("samples.npy", images[:430])
    np.save("real.npy", images[430:])
    flags = ("--features", "random-conv", "--influence", "influence.csv", "--json")
    status, out, err = run(capfd, "eval.fid", "samples.npy", "real.npy", *flags)
    assert status == 0, err
    assert json.loads(out)[0]["metric"] == "fd-random"
    header, *rows = Path("influence.csv").read_text("utf-8").splitlines()
    assert header == "image,influence"
    assert [int(row.split(",")[0]) for row in rows] == list(range(430))
    ours, real = (extract(part, random_conv_extractor()) for part in (images[:430], images[430:]))
    expected = influences(ours, FeatureStatistics.of(real, ""))
    np.testing.assert_allclose([float(row.split(",")[1]) for row in rows], expected, rtol=1e-5, atol=1e-9)
