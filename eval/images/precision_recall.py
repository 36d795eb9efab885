"""Improved precision and recall of images (Kynkaanniemi et al. 2019, arXiv 1904.06991).

Each image has a ball around its features that reaches to the k-th nearest neighbour in the same set. Precision is the
proportion of samples inside a ball of the reference: the samples that look real. Recall is the proportion of reference
images inside a ball of the samples: the real images that can be drawn. Both depend on the number of images: compare
values only at equal counts; the paper takes 50,000 of each.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import InputError
from eval.core.intervals import estimate_share
from eval.core.score import Estimate
from eval.images.pairs import CPU, NEIGHBOURS, PairStatistics, pair_statistics


def precision_recall(
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    neighbours: int = NEIGHBOURS,
    device: torch.device = CPU,
) -> dict[str, Estimate]:
    """Return precision and recall of features [N, D] and [M, D], computed on the device; see `shares_of_pairs`.

    Raises:
        InputError: a set has no more images than `neighbours`, or NaN, infinity or overflow.
    """
    return shares_of_pairs(pair_statistics(samples, reference, neighbours, device))


def shares_of_pairs(pairs: PairStatistics) -> dict[str, Estimate]:
    """Return precision and recall of two sets, each with a 95 % interval.

    Precision's interval is exact for the expected precision against these reference images, recall's for the expected
    recall of new real images by these samples (Clopper & Pearson); both treat the other set's balls as fixed. So recall
    has no standard error over samples, and differences of it are not tested.

    Raises:
        InputError: a set has no more images than the statistics have neighbours.
    """
    least = min(pairs.samples, pairs.reference)
    if least <= pairs.neighbours:
        raise InputError(f"{least} images in a set do not have {pairs.neighbours} neighbours each; give more")
    return {
        "precision": estimate_share(pairs.precise, pairs.samples),
        "recall": replace(estimate_share(pairs.recalled, pairs.reference), error=None, freedom=0),
    }
