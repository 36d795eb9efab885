"""Improved precision and recall of images (Kynkaanniemi et al. 2019, arXiv 1904.06991).

Each image has a ball around its features that reaches to the k-th nearest neighbour in the same set. Precision is the
proportion of samples inside a ball of the reference: the samples that look real. Recall is the proportion of reference
images inside a ball of the samples: the real images that can be drawn. Both depend on the number of images: compare
values only at equal counts; the paper takes 50,000 of each.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.errors import InputError
from eval.core.intervals import estimate_share
from eval.core.score import Estimate

Array = NDArray[np.float64]

NEIGHBOURS = 3

_BLOCK_CELLS = 1 << 24
_EQUAL = 1e-12  # relative squared distance below which two images are equal


def precision_recall(
    samples: NDArray[np.floating], reference: NDArray[np.floating], neighbours: int = NEIGHBOURS
) -> dict[str, Estimate]:
    """Return precision and recall of features [N, D] and [M, D], each with a 95 % interval.

    Precision's interval is exact for the expected precision against these reference images, recall's for the expected
    recall of new real images by these samples (Clopper & Pearson); both treat the other set's balls as fixed. Time
    grows with (N + M)^2 D, memory with N + M.

    Raises:
        InputError: a set has no more images than `neighbours`, or NaN or infinity among its features.
    """
    centre = reference.mean(0, dtype=np.float64)
    sets = [np.asarray(features, np.float64) - centre for features in (samples, reference)]
    for features in sets:
        if len(features) <= neighbours:
            raise InputError(f"{len(features)} images in a set do not have {neighbours} neighbours each; give more")
        if not np.isfinite(features).all():
            raise InputError("NaN or infinity in features; check the images and the weights")
    reach1, reach2 = (_reach(features, neighbours) for features in sets)
    precise, recalled = np.zeros(len(samples), bool), np.zeros(len(reference), bool)
    for rows, squared in _blocks(*sets):
        precise[rows] = (squared <= reach2).any(1)
        recalled |= (squared <= reach1[rows, None]).any(0)
    return {
        "precision": estimate_share(int(precise.sum()), len(precise)),
        "recall": estimate_share(int(recalled.sum()), len(recalled)),
    }


def _reach(features: Array, neighbours: int) -> Array:
    """Return each image's squared distance [N] to the k-th nearest of the other images."""
    reach = np.empty(len(features))
    for rows, squared in _blocks(features, features):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        reach[rows] = np.partition(squared, neighbours - 1, axis=1)[:, neighbours - 1]
    return reach


def _blocks(first: Array, second: Array) -> Iterator[tuple[slice, Array]]:
    """Yield slices of the first images with the squared distances [rows, M] to all second images.

    Distances are computed by matrix multiplication. Rounding errors between equal images are set to 0, since a ball may
    have radius 0.
    """
    lengths1, lengths2 = (np.einsum("nd,nd->n", features, features) for features in (first, second))
    step = max(1, _BLOCK_CELLS // len(second))
    for start in tqdm(range(0, len(first), step), "neighbours", disable=None, delay=1, leave=False):
        rows = slice(start, min(start + step, len(first)))
        total = lengths1[rows, None] + lengths2
        squared = total - 2 * (first[rows] @ second.T)
        squared[squared < _EQUAL * total] = 0
        yield rows, squared
