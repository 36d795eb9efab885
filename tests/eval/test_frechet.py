import io
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import eigvalsh, sqrtm
from scipy.stats import ortho_group

from data.errors import InputError
from eval.images.frechet import FeatureStatistics, distance, frechet_distance, read_statistics

Array = NDArray[np.float64]


def rotated(diagonal: Array, seed: int = 0) -> Array:
    rotation: Array = ortho_group.rvs(diagonal.size, random_state=seed)
    product: Array = (rotation * diagonal) @ rotation.T
    return (product + product.T) / 2


def of_covariances(first: Array, second: Array) -> float:
    zero = np.zeros(len(first))
    return frechet_distance(zero, first, zero, second)


def general_root(mean1: Array, covariance1: Array, mean2: Array, covariance2: Array) -> float:
    """The obvious way, for covariances without zero eigenvalues."""
    root = np.asarray(sqrtm(covariance1 @ covariance2)).real
    return float(np.square(mean1 - mean2).sum() + np.trace(covariance1 + covariance2 - 2 * root))


def test_one_dimension() -> None:
    # N(1, 2^2) and N(4, 7^2): (1 - 4)^2 + (2 - 7)^2.
    found = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([4.0]), np.array([[49.0]]))
    assert found == pytest.approx(34, abs=1e-12)


def test_equal_to_a_printed_example_of_random_features() -> None:
    """J. Brownlee's "How to Implement the Frechet Inception Distance", 2019: 358.927.

    The features are uniform, 10 and 10 of [2048], without a seed. The distance varies by about 3 from draw to draw;
    without the root's trace it is about 376.
    """
    random = np.random.default_rng(0)
    draws = [[FeatureStatistics.of(random.random((10, 2048)), "x") for _ in range(2)] for _ in range(4)]
    found = [distance(first, second) for first, second in draws]
    spread = float(np.std(found, ddof=1))
    assert spread < 5
    assert abs(np.mean(found) - 358.927) < 3 * spread
    without_root = [
        np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) for a, b in draws
    ]
    assert abs(np.mean(without_root) - 358.927) > 3 * spread


@pytest.mark.parametrize("size", [2, 17, 200])
def test_covariances_that_commute(size: int) -> None:
    random = np.random.default_rng(size)
    a, b = np.exp(random.normal(0, 3, (2, size)))
    expected = float(np.square(np.sqrt(a) - np.sqrt(b)).sum())
    tolerance = 1e-8 * (a.sum() + b.sum())
    assert of_covariances(np.diag(a), np.diag(b)) == pytest.approx(expected, abs=tolerance)
    assert of_covariances(rotated(a), rotated(b)) == pytest.approx(expected, abs=tolerance)


def test_equal_ones_are_no_distance_apart() -> None:
    features = np.random.default_rng(0).normal(size=(300, 100)) * np.logspace(-3, 3, 100)
    for rows in (300, 40):  # fewer images than dimensions too
        whole = FeatureStatistics.of(features[:rows], "x")
        assert 0 <= distance(whole, whole) <= 1e-12 * np.trace(whole.covariance)


def test_covariances_without_full_rank() -> None:
    a, b = np.r_[np.arange(1.0, 11), np.zeros(30)], np.r_[np.zeros(5), np.arange(1.0, 21), np.zeros(15)]
    expected = float(np.square(np.sqrt(a) - np.sqrt(b)).sum())
    assert of_covariances(rotated(a), rotated(b)) == pytest.approx(expected, abs=1e-8 * (55 + 210))
    apart = of_covariances(rotated(np.r_[a[:10], np.zeros(30)]), rotated(np.r_[np.zeros(20), b[5:25]]))
    assert apart == pytest.approx(55 + 210, abs=1e-8 * (55 + 210))
    assert of_covariances(np.zeros((3, 3)), np.eye(3)) == pytest.approx(3, abs=1e-12)
    assert of_covariances(np.zeros((3, 3)), np.zeros((3, 3))) == 0


def test_one_large_direction_hides_no_small_ones() -> None:
    size = 400
    first, second = rotated(np.r_[1.0, np.full(size - 1, 1e-9)]), rotated(np.r_[1.0, np.zeros(size - 1)])
    assert of_covariances(first, second) == pytest.approx(399e-9, abs=1e-10)
    # With the one of full rank factored, 399 eigenvalues of 0 come out as rounding, and their roots add up.
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values)
    wrong = np.trace(first) + np.trace(second) - 2 * np.sqrt(eigvalsh(root.T @ second @ root).clip(0)).sum()
    assert abs(wrong - 399e-9) > 1e-7


@pytest.mark.fuzz
@given(st.integers(1, 12), st.integers(0, 10**6))
def test_equal_to_the_root_of_a_general_matrix(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    means = random.normal(size=(2, size))
    first, second = (np.atleast_2d(np.cov(random.normal(size=(3 * size + 2, size)), rowvar=False)) for _ in range(2))
    found = frechet_distance(means[0], first, means[1], second)
    assert found == pytest.approx(general_root(means[0], first, means[1], second), abs=1e-8)
    assert found == pytest.approx(frechet_distance(means[1], second, means[0], first), abs=1e-10)


def test_the_bias_of_few_images() -> None:
    # Two sets of N from the same 64-d Gaussian: to first order 2 D / N from the means and D (D + 1) / (2 N) from the
    # covariances, 2208 / N, known as about 2240 / N. One pair's figure has a standard deviation of 3.3 %, the mean of
    # ten 1 %, of four 1.7 %: 6 % is more than three of these.
    random = np.random.default_rng(0)
    for count in (250, 1000, 4000):
        repeats = 10 if count < 4000 else 4
        found = [
            distance(*(FeatureStatistics.of(random.normal(size=(count, 64)), "x") for _ in range(2)))
            for _ in range(repeats)
        ]
        assert np.mean(found) * count == pytest.approx(2208, rel=0.06)


def test_statistics_are_mean_and_unbiased_covariance() -> None:
    features = np.random.default_rng(0).normal(3, 2, (50, 7)).astype(np.float32)
    found = FeatureStatistics.of(features, "x")
    assert found.count == 50
    np.testing.assert_allclose(found.mean, features.astype(np.float64).mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-12)
    assert not np.allclose(found.covariance, np.cov(features, rowvar=False, bias=True), rtol=1e-3)


def test_parts_joined_equal_the_whole_where_sums_of_squares_do_not() -> None:
    features = 1e6 + np.random.default_rng(0).normal(size=(1000, 5))
    expected = np.cov(features, rowvar=False)
    joined, *parts = (FeatureStatistics.of(part, "x") for part in np.split(features, [1, 10, 400, 999]))
    for part in parts:
        joined = joined.merge(part)
    assert joined.count == 1000
    np.testing.assert_allclose(joined.mean, features.mean(0), rtol=1e-14)
    np.testing.assert_allclose(joined.covariance, expected, atol=1e-9)
    mean = features.mean(0)
    wrong = (features.T @ features - 1000 * np.outer(mean, mean)) / 999
    assert np.abs(wrong - expected).max() > 1e-5
    whole = FeatureStatistics.of(features, "x")
    others = whole.without(FeatureStatistics.of(features[:300], "x"))
    assert others.count == 700
    np.testing.assert_allclose(others.mean, features[300:].mean(0), rtol=1e-14)
    np.testing.assert_allclose(others.covariance, np.cov(features[300:], rowvar=False), atol=1e-9)
    with pytest.raises(InputError, match="leave none"):
        whole.without(whole)


@pytest.mark.parametrize("distinct", [7, 2])
def test_few_images_are_factored_from_their_deviations_to_the_same_distance(distinct: int) -> None:
    random = np.random.default_rng(distinct)
    spread = np.exp(-np.arange(12) / 2)
    # Some images come twice, so that the rank is below their number.
    few = (random.normal(size=(distinct, 12)) * spread)[np.arange(8) % distinct]
    for others in (few[::-1] + 0.1, random.normal(size=(5, 12)) * spread, random.normal(size=(90, 12)) * spread):
        ours, theirs = FeatureStatistics.of(few, "x"), FeatureStatistics.of(others, "x")
        np.testing.assert_allclose(ours.covariance, np.cov(few, rowvar=False), atol=1e-15)
        assert ours.deviations is not None and (theirs.deviations is None) == (len(others) > 12)
        # As Dowson & Landau have it, by the root of a general matrix.
        slow = np.square(ours.mean - theirs.mean).sum() + np.trace(ours.covariance + theirs.covariance)
        slow -= 2 * np.sqrt(np.linalg.eigvals(ours.covariance @ theirs.covariance).astype(complex)).real.sum()
        assert distance(ours, theirs) == pytest.approx(slow, abs=1e-6)
        for found in (
            distance(theirs, ours),
            distance(replace(ours, deviations=None), replace(theirs, deviations=None)),
        ):
            assert distance(ours, theirs) == pytest.approx(found, abs=1e-9)


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    saved = FeatureStatistics.of(np.random.default_rng(0).normal(size=(9, 4)), "inception@1/tensorflow1")
    saved.save(tmp_path / "s.npz")
    found = read_statistics(tmp_path / "s.npz")
    assert (found.count, found.extractor) == (9, "inception@1/tensorflow1")
    np.testing.assert_array_equal(found.mean, saved.mean)
    np.testing.assert_array_equal(found.covariance, saved.covariance)
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]


def test_a_published_file_has_no_count(tmp_path: Path) -> None:
    np.savez(tmp_path / "published.npz", mu=np.ones(2, np.float32), sigma=np.diag([1.0, 4.0]))
    found = read_statistics(tmp_path / "published.npz", "x")
    assert found.count is None
    ours = FeatureStatistics(10, np.zeros(2), np.eye(2), "x")
    assert distance(ours, found) == pytest.approx(2 + 1, abs=1e-12)
    with pytest.raises(InputError, match="unknown number"):
        ours.merge(found)
    with pytest.raises(InputError, match="unknown number"):
        found.save(tmp_path / "again.npz")
    with pytest.raises(InputError, match="features of x and unknown do not compare"):
        distance(ours, read_statistics(tmp_path / "published.npz"))


def test_wrong_files_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with pytest.raises(InputError, match=r"s\.npz: no such file"):
        read_statistics(path)
    FeatureStatistics.of(np.random.default_rng(0).normal(size=(40, 30)), "x").save(path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no zip file", b"", whole[:500] + b"\x55" * 8 + whole[508:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"s\.npz: not a statistics file .* fetch it again"):
            read_statistics(path)
    np.savez_compressed(path, mu=np.zeros(4), sigma=np.eye(4))
    compressed, random = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(0)
    for _ in range(300):
        wrong = compressed.copy()
        wrong[random.integers(len(wrong), size=3)] = random.integers(256, size=3)
        path.write_bytes(wrong.tobytes())
        with suppress(InputError):  # nothing else; some bytes do not count
            assert distance(read_statistics(path), FeatureStatistics(2, np.ones(4), np.eye(4), "unknown")) == 4
    array = io.BytesIO()
    np.save(array, np.zeros(4))
    header = array.getvalue().replace(b"}", b"(")
    with ZipFile(path, "w") as archive:
        archive.writestr("mu.npy", header)
        archive.writestr("sigma.npy", header)
    with pytest.raises(InputError, match=r"s\.npz: not a statistics file"):
        read_statistics(path)
    for arrays, message in (
        ({"mu": np.ones(2)}, "not a statistics file"),
        ({"mu": np.ones(2), "sigma": np.ones((3, 3))}, r"shapes \(2,\), \(3, 3\)"),
        ({"mu": np.array([1.0, np.nan]), "sigma": np.eye(2)}, "NaN or infinity"),
        ({"mu": np.array([object()]), "sigma": np.eye(1)}, "not a statistics file"),  # would be unpickled
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=message):
            read_statistics(path)


def test_what_does_not_compare_is_refused() -> None:
    features = np.random.default_rng(0).normal(size=(5, 2))
    ours, other, single = (
        FeatureStatistics.of(*given) for given in ((features, "a"), (features, "b"), (features[:1], "a"))
    )
    for call in (ours.merge, ours.without):
        with pytest.raises(InputError, match="a and b do not compare"):
            call(other)
    with pytest.raises(InputError, match="a and b do not compare"):
        distance(ours, other)
    with pytest.raises(InputError, match="1 image has no covariance"):
        distance(ours, single)
    with pytest.raises(InputError, match="no features"):
        FeatureStatistics.of(features[:0], "a")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_never_a_number(bad: float) -> None:
    features = np.ones((4, 2))
    features[1, 1] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        FeatureStatistics.of(features, "x")
    matrix = np.eye(2)
    matrix[0, 1] = matrix[1, 0] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        of_covariances(np.eye(2), matrix)
    with pytest.raises(InputError, match="NaN or infinity"):
        frechet_distance(np.array([bad, 0]), np.eye(2), np.zeros(2), np.eye(2))
    with pytest.raises(InputError, match="overflow"):
        frechet_distance(np.full(2, 1e200), np.eye(2), np.zeros(2), np.eye(2))


def test_matrices_that_are_no_covariances_are_refused() -> None:
    with pytest.raises(InputError, match="not symmetric"):
        of_covariances(np.array([[1, 0.5], [0, 1]]), np.eye(2))
    with pytest.raises(InputError, match="an eigenvalue of -1"):
        of_covariances(np.array([[1.0, 2], [2, 1]]), np.eye(2))
    # Rounding to float32 leaves eigenvalues a little below 0: no error.
    spectrum = np.r_[np.arange(1.0, 11), np.zeros(30)]
    rounded = rotated(spectrum).astype(np.float32).astype(np.float64)
    assert of_covariances(rounded, rotated(spectrum)) == pytest.approx(0, abs=1e-4)
