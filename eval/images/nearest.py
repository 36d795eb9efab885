"""The nearest real image of each sample, in the space of the features: copies of training images show at a glance."""

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from data.images.dataset import GRID_COLUMNS
from eval.images.pairs import NOT_FINITE

SHOWN = 4 * GRID_COLUMNS
"""Samples in a figure, the first ones."""

_ROWS = 1 << 12


def nearest_rows(samples: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the index [n] of the row of the reference [M, D] nearest to each sample [n, D], by Euclidean distance.

    The first of equally near rows is taken.

    Raises:
        InputError: NaN, infinity or overflow.
    """
    rows = np.asarray(samples, np.float64)
    closest, indices = np.full(len(rows), np.inf), np.zeros(len(rows), np.int64)
    for start in range(0, len(reference), _ROWS):
        block = np.asarray(reference[start : start + _ROWS], np.float64)
        for i, row in enumerate(rows):  # differences, not inner products: equal images are at distance 0
            squared = np.square(block - row).sum(1)
            if not np.isfinite(squared).all():
                raise InputError(NOT_FINITE)
            best = int(squared.argmin())
            if squared[best] < closest[i]:
                closest[i], indices[i] = squared[best], start + best
    return indices


def paired_images(
    samples: NDArray[np.uint8], reference: NDArray[np.uint8], nearest: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return images uint8 [K, 3, H, W] for a grid of eight per row: a row of samples above their nearest real images.

    If the samples do not fill their last row, white images do.
    """
    white = np.full((GRID_COLUMNS, *samples.shape[1:]), 255, np.uint8)
    rows = [
        row
        for start in range(0, len(samples), GRID_COLUMNS)
        for images in (samples[start : start + GRID_COLUMNS], reference[nearest[start : start + GRID_COLUMNS]])
        for row in (images, white[len(images) :])
    ]
    return np.concatenate(rows)
