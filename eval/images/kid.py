"""Kernel Inception distance (Binkowski et al. 2018, arXiv 1801.01401): an unbiased distance of image features.

It is the squared maximum mean discrepancy with the kernel (x.y / D + 1)^3. The paper averages the unbiased estimator
over random subsets of 1,000 images; averaged over all subsets it equals the estimator over all pairs, computed here:
the same expectation, without the noise of drawing subsets. It is unbiased at any number of images, so it can be
negative.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import InputError
from eval.core.intervals import interval
from eval.core.score import Estimate
from eval.images.pairs import CPU, NOT_FINITE, PairStatistics, pair_statistics

Array = NDArray[np.float64]


def kid(samples: NDArray[np.floating], reference: NDArray[np.floating], device: torch.device = CPU) -> Estimate:
    """Return the squared discrepancy of features [N, D] and [M, D], computed on the device; see `kid_of_pairs`.

    Raises:
        InputError: fewer than two images in a set, or NaN, infinity or overflow.
    """
    return kid_of_pairs(pair_statistics(samples, reference, device=device))


def kid_of_pairs(pairs: PairStatistics) -> Estimate:
    """Return the squared discrepancy of two sets, with a 95 % jackknife interval.

    A twentieth of the samples and a twentieth of the reference are left out together, so the interval is for the
    discrepancy at infinite sample size on both sides. It is conservative: on Gaussians of 16 dimensions it covered that
    discrepancy in 98 to 100 % of 200 repetitions each. Three images per set are too few for an interval. The standard
    error, for differences of samples against one reference, leaves out samples alone.

    Raises:
        InputError: fewer than two images in a set, or overflow.
    """
    sizes = pairs.samples, pairs.reference
    if min(sizes) < 2:
        raise InputError(f"{min(sizes)} image in a set has no KID; give at least two, better thousands")
    all_sums = pairs.within_samples, pairs.within_reference, pairs.across
    groups = len(pairs.across)

    def discrepancy(sum1: Array, sum2: Array, sum12: Array, n: Array, m: Array) -> Array:
        return sum1 / (n * (n - 1)) + sum2 / (m * (m - 1)) - 2 * sum12 / (n * m)

    n, m = (np.array(size, np.float64) for size in sizes)
    with np.errstate(invalid="ignore"):
        within1, within2, across = (sums.sum() for sums in all_sums)
        value = float(discrepancy(within1, within2, across, n, m))
    if not np.isfinite(value):
        raise InputError(NOT_FINITE)
    count1, count2 = (np.bincount(np.arange(size) % groups).astype(np.float64) for size in sizes)
    if min(n - count1.max(), m - count2.max()) < 2:
        return Estimate(value)
    rest1, rest2, rest12 = (sums.sum() - sums.sum(0) - sums.sum(1) + sums.diagonal() for sums in all_sums)
    both = interval(value, discrepancy(rest1, rest2, rest12, n - count1, m - count2))
    alone = interval(value, discrepancy(rest1, within2, across - pairs.across.sum(1), n - count1, m))
    return replace(both, error=alone.error, freedom=alone.freedom)
