"""Fréchet distance of two image sets: the distance of two Gaussians with the means and covariances of their features.

Statistics are count, mean and covariance, merged as in Chan, Golub & LeVeque (1979). Sums of x and x x^T would simply
add up, but the covariance is then the difference of two numbers that agree in their first digits: with a mean of 1,000
standard deviations six of sixteen digits are lost. Merging means and covariances loses none.
"""

import errno
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh

from data.cache import DAMAGED_ARRAYS
from data.errors import InputError
from data.inputs import local_file
from data.outputs import write_output

Array = NDArray[np.float64]

UNKNOWN_EXTRACTOR = "unknown"
"""Extractor of a published file, which does not name one."""

_ROWS = 1 << 13
_SYMMETRIC = 1e-5
_NEGATIVE = 1e-3


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean [D] and unbiased covariance [D, D] of the features of `count` images, in float64.

    A single image has no covariance: zeros stand in for it, so that it can be merged. `count` is None if a published
    file does not give it. `extractor` is the extractor's signature: features of different extractors do not compare.
    `deviations` [D, N] satisfy `deviations @ deviations.T == covariance`; kept when N <= D, because they factor faster
    (the covariance then has rank N - 1).
    """

    count: int | None
    mean: Array
    covariance: Array
    extractor: str
    deviations: Array | None = None

    def __post_init__(self) -> None:
        size = self.mean.size
        if self.mean.shape != (size,) or self.covariance.shape != (size, size) or not size:
            raise InputError(f"statistics of shapes {self.mean.shape}, {self.covariance.shape}; need [D] and [D, D]")
        _require_finite(self.mean, self.extractor)
        _require_finite(self.covariance, self.extractor)

    @classmethod
    def of(cls, features: NDArray[np.floating], extractor: str) -> "FeatureStatistics":
        """Return the statistics of features [N, D].

        Raises:
            InputError: no features, or NaN or infinity among the features.
        """
        count = len(features)
        if not count:
            raise InputError("no features; give at least one image")
        mean = features.mean(0, dtype=np.float64)
        _require_finite(mean, extractor)
        if 1 < count <= mean.size:
            deviations = (features - mean).T / np.sqrt(count - 1)
            return cls(count, mean, deviations @ deviations.T, extractor, deviations)
        scatter = np.zeros((mean.size, mean.size))
        for start in range(0, count, _ROWS):
            centred = features[start : start + _ROWS] - mean
            scatter += centred.T @ centred
        return cls(count, mean, scatter / max(count - 1, 1), extractor)

    def merge(self, other: "FeatureStatistics") -> "FeatureStatistics":
        """Return the statistics of both sets of images together.

        Raises:
            InputError: the extractors differ, or a count is unknown.
        """
        count, others = self._countable(other)
        total, difference = count + others, other.mean - self.mean
        scatter = (count - 1) * self.covariance + (others - 1) * other.covariance
        scatter += np.outer(difference, difference * (count * others / total))
        mean = self.mean + difference * (others / total)
        return FeatureStatistics(total, mean, scatter / (total - 1), self.extractor)

    def without(self, part: "FeatureStatistics") -> "FeatureStatistics":
        """Return the statistics of the images that are not in `part`, a subset: the inverse of `merge`.

        Raises:
            InputError: the extractors differ, a count is unknown, or no image is left.
        """
        total, others = self._countable(part)
        if (count := total - others) < 1:
            raise InputError(f"{others} images taken out of {total} leave none")
        mean = self.mean + (self.mean - part.mean) * (others / count)
        difference = part.mean - mean
        scatter = (total - 1) * self.covariance - (others - 1) * part.covariance
        scatter -= np.outer(difference, difference * (count * others / total))
        return FeatureStatistics(count, mean, scatter / max(count - 1, 1), self.extractor)

    def save(self, path: Path) -> None:
        """Write an .npz file, atomically. Tools that expect only `mu` and `sigma` can read it."""
        if self.count is None:
            raise InputError(f"{path}: statistics of an unknown number of images are not written again")
        with write_output(path) as file:
            np.savez(file, count=self.count, mu=self.mean, sigma=self.covariance, extractor=self.extractor)

    @cached_property
    def factor(self) -> Array:
        """F [D, rank] with F F^T = C: the Cholesky factor if C is positive definite, else from the eigenvectors of C.

        Eigenvectors take ten times as long. Eigenvalues that are 0 up to rounding are left out: the covariance of N
        images has rank N - 1 at most. `deviations.T @ deviations` [N, N] has the same nonzero eigenvalues.

        Raises:
            InputError: the matrix is not a covariance.
        """
        covariance, deviations = self.covariance, self.deviations
        if deviations is not None:
            values, vectors = eigh(deviations.T @ deviations, driver="evd", check_finite=False)
            factor: Array = deviations @ vectors[:, _above_rounding(values)]
            return factor
        largest = np.abs(covariance).max()
        if np.abs(covariance - covariance.T).max() > _SYMMETRIC * largest:
            raise InputError("not a covariance: the matrix is not symmetric")
        try:
            factor = cholesky(covariance, lower=True, check_finite=False)
        except LinAlgError:
            values, vectors = eigh(covariance, driver="evd", check_finite=False)
            if values[0] < -_NEGATIVE * largest:
                raise InputError(f"not a covariance: the matrix has an eigenvalue of {values[0]:.3g}") from None
            kept = _above_rounding(values)
            factor = vectors[:, kept] * np.sqrt(values[kept])
        return factor

    def _countable(self, other: "FeatureStatistics") -> tuple[int, int]:
        require_comparable(self, other)
        if self.count is None or other.count is None:
            raise InputError("statistics of an unknown number of images cannot be merged; make them from the images")
        return self.count, other.count


def read_statistics(path: Path, published_extractor: str = UNKNOWN_EXTRACTOR) -> FeatureStatistics:
    """Return the statistics in an .npz file: one written by `save`, or a published one with only `mu` and `sigma`.

    Args:
        path: the file. The count is None if the file has none.
        published_extractor: the extractor if the file does not name one.

    Raises:
        InputError: no such file, or not a statistics file.
    """
    local = local_file(path)
    remedy = "make it again, or fetch it again"
    try:
        with local.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            entries: dict[str, NDArray[Any]] = dict(arrays)
        mean, covariance = (np.asarray(entries[name], np.float64) for name in ("mu", "sigma"))
        count = int(entries["count"]) if "count" in entries else None
        extractor = str(entries["extractor"]) if "extractor" in entries else published_extractor
        statistics = FeatureStatistics(count, mean, covariance, extractor)
    except InputError as error:
        raise InputError(f"{path}: {error}; {remedy}") from None
    except (KeyError, TypeError, AttributeError, *DAMAGED_ARRAYS) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: a seek before the start
            raise
        raise InputError(f"{path}: not a statistics file (.npz with mu and sigma); {remedy}") from error
    return statistics


def require_comparable(first: FeatureStatistics, second: FeatureStatistics) -> None:
    """Refuse statistics of different features.

    Raises:
        InputError: the extractors or the numbers of features differ.
    """
    if first.extractor != second.extractor:
        raise InputError(
            f"features of {first.extractor} and {second.extractor} do not compare; use one extractor for both"
        )
    if first.mean.size != second.mean.size:
        sizes = f"{first.mean.size:,} and {second.mean.size:,} features per image"
        raise InputError(f"{sizes} do not compare; use one extractor for both")


def distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Return the Fréchet distance of two image sets.

    Raises:
        InputError: different extractors, fewer than two images, or a matrix that is not a covariance.
    """
    require_comparable(first, second)
    for statistics in (first, second):
        if statistics.count is not None and statistics.count < 2:
            raise InputError(f"{statistics.count} image has no covariance; give at least two, better 50,000")
    return _distance(first, second)


def frechet_distance(mean1: Array, covariance1: Array, mean2: Array, covariance2: Array) -> float:
    """Return ||m1 - m2||^2 + Tr(C1) + Tr(C2) - 2 Tr((C1 C2)^(1/2)), the squared distance d^2 of two Gaussians.

    Dowson & Landau (1982); as FID, Heusel et al. (2017, arXiv 1706.08500), eq. 6. The unit is the features' squared.
    With C1 = F F^T, F of full column rank, the trace of the root is the sum of the roots of the eigenvalues of
    F^T C2 F. The matrix of lower rank is factored: eigenvalues that should be 0 come out as rounding errors, 1e-16 of
    the largest, and their roots of 1e-8 would add up. They still do, to less than 1e-8 of the traces, if two matrices
    without full rank share some directions but not all. (Singular values of F1^T F2 would avoid this, at twice the
    time.) The result is never below 0: rounding, about 1e-16 of the traces per dimension, is cut off there.

    Args:
        mean1: [D].
        covariance1: [D, D], symmetric, no eigenvalue below 0; eigenvalues of 0 are allowed.
        mean2: [D].
        covariance2: [D, D], likewise.

    Raises:
        InputError: NaN, infinity or overflow, or a matrix that is not a covariance.
    """
    return _distance(
        FeatureStatistics(None, mean1, covariance1, UNKNOWN_EXTRACTOR),
        FeatureStatistics(None, mean2, covariance2, UNKNOWN_EXTRACTOR),
    )


def _distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    low, other = sorted((first, second), key=lambda statistics: statistics.factor.shape[1])
    factor = low.factor
    roots = (
        np.sqrt(eigvalsh(factor.T @ other.covariance @ factor, check_finite=False).clip(0))
        if factor.size
        else np.zeros(0)
    )
    with np.errstate(over="ignore"):
        between = float(np.square(first.mean - second.mean).sum())
    squared = between + float(np.trace(first.covariance) + np.trace(second.covariance)) - 2 * float(roots.sum())
    if not np.isfinite(squared):
        raise InputError("the Fréchet distance overflows; check the features")
    return max(squared, 0.0)


def _require_finite(numbers: Array, extractor: str) -> None:
    if not np.isfinite(numbers).all():
        raise InputError(f"NaN or infinity in features of {extractor}; check the inputs and the weights")


def _above_rounding(values: Array) -> NDArray[np.bool_]:
    above: NDArray[np.bool_] = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return above
