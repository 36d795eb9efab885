"""Each sample's influence on the Fréchet distance: the distance of all samples minus the distance without this one.

Leaving out one of N samples x with mean m and covariance C changes the mean by -(x - m) / (N - 1) and the covariance by
dC = (C - N / (N - 1) z z^T) / (N - 2), z = x - m. The change of the mean enters exactly. The change of the covariance
enters to first order: with the reference's covariance F F^T and S = F^T C F, d tr S^(1/2) = 1/2 tr(S^(-1/2) dS), so one
eigendecomposition serves all samples. The error is of the order of 1 / N^2.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from data.errors import InputError
from eval.images.frechet import FeatureStatistics, require_comparable

_ROWS = 1 << 13
_LEAST = 2  # samples per feature: with fewer, one sample changes the smallest eigenvalues too much for a first order


def influences(features: NDArray[np.floating], reference: FeatureStatistics) -> NDArray[np.float64]:
    """Return the influence [N] of each sample on the Fréchet distance of features [N, D] to the reference.

    The unit is the distance's. A sample of positive influence raises the distance: without it the distance would be
    lower. The first order leaves out that the distance's bias grows as samples become fewer; compare samples with each
    other.

    Raises:
        InputError: fewer than two samples per feature, or fewer than three, or NaN or infinity among the features.
    """
    count, dims = features.shape
    if count < (least := max(3, _LEAST * dims)):
        raise InputError(f"--influence: {count:,} images for {dims:,} features; give at least {least:,}")
    ours = FeatureStatistics.of(features, reference.extractor)
    require_comparable(ours, reference)
    values, vectors = eigh(reference.factor.T @ ours.covariance @ reference.factor, check_finite=False)
    # Constant features have no root to change.
    kept = values > values.max(initial=0.0) * len(values) * np.finfo(np.float64).eps
    values, vectors = values[kept], vectors[:, kept]
    projection = reference.factor @ vectors * values**-0.25  # z^T T z = |projection^T z|^2, T of optimal transport
    transported = float(np.sqrt(values).sum())  # tr S^(1/2), and also tr(T C)
    difference, spread = ours.mean - reference.mean, float(np.trace(ours.covariance)) - transported
    changes = np.empty(count)
    for start in range(0, count, _ROWS):
        rows = slice(start, start + _ROWS)
        deviations = features[rows] - ours.mean
        shift = deviations / (count - 1)
        squares = np.square(deviations).sum(1) - np.square(deviations @ projection).sum(1)
        changes[rows] = np.square(difference - shift).sum(1) - np.square(difference).sum()
        changes[rows] += (spread - count / (count - 1) * squares) / (count - 2)
    return -changes
