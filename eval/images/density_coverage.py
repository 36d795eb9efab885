"""Density and coverage of images (Naeem et al. 2020, arXiv 2002.09797).

Each real image has a ball around its features that reaches to the fifth nearest other real image, without the edge.
Density is the number of balls that a sample lies in, divided by five, averaged over samples; coverage is the proportion
of balls that hold a sample. Balls are drawn around real images alone: an outlier among the samples, whose ball is wide,
cannot cover real images as it does in recall, and an outlier among the real images counts little in density.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import InputError
from eval.core.intervals import POSITIVE, estimate_ratio, estimate_share
from eval.core.score import Estimate
from eval.images.pairs import CPU, DENSITY_NEIGHBOURS, PairStatistics, pair_statistics


def density_coverage(
    samples: NDArray[np.floating], reference: NDArray[np.floating], device: torch.device = CPU
) -> dict[str, Estimate]:
    """Return density and coverage of features [N, D] and [M, D], computed on the device; see `density_of_pairs`.

    Raises:
        InputError: a reference of five images or fewer, or NaN, infinity or overflow.
    """
    return density_of_pairs(pair_statistics(samples, reference, device=device))


def density_of_pairs(pairs: PairStatistics) -> dict[str, Estimate]:
    """Return density and coverage of two sets, each with a 95 % interval.

    Both intervals take the balls as fixed: density's is the jackknife's over samples, coverage's the exact one of a
    proportion of real images (Clopper & Pearson), which has no standard error over samples. Samples equal to the
    reference have a density and a coverage of 1, if no two distances tie.

    Raises:
        InputError: the reference has no more images than a ball has neighbours.
    """
    if pairs.reference <= DENSITY_NEIGHBOURS:
        raise InputError(
            f"{pairs.reference} images in the reference do not have {DENSITY_NEIGHBOURS} neighbours each; give more"
        )
    sizes = np.full(pairs.samples, float(DENSITY_NEIGHBOURS))
    density = estimate_ratio(pairs.balls.astype(np.float64), sizes, POSITIVE)
    coverage = replace(estimate_share(pairs.covered, pairs.reference), error=None, freedom=0)
    return {"density": density, "coverage": coverage}
