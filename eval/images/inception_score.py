"""Inception Score (Salimans et al. 2016, arXiv 1606.03498): confidence and diversity of a classifier's predictions.

It uses no real images, and does not follow disturbances of images: `python -m eval.disturb` shows this.
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, log_softmax

from data.errors import InputError
from eval.core.intervals import student_reach
from eval.core.score import Estimate

SPLITS = 10


def inception_score(logits: NDArray[np.floating], splits: int = SPLITS) -> Estimate:
    """Return the mean over consecutive splits of exp(mean over x of KL(p(y|x) || p(y))), with p(y) the split's mean.

    The 95 % interval is Student's t over the splits, clipped at 1, the lowest score; a single split has none.

    The mean divergence is the entropy of p(y) minus the mean entropy of p(y|x). It grows with the size of the splits:
    compare scores only at equal numbers of images (usually 50,000) and of splits.

    Args:
        logits: [N, classes] from `Extractor.logits`, in random order: a split of a single class scores 1.
        splits: number of splits, whose sizes differ by one at most.

    Raises:
        InputError: fewer images than splits, or NaN or infinity.
    """
    if not 1 <= splits <= len(logits):
        raise InputError(f"{len(logits)} images in {splits} splits: each split needs an image; give more images")
    if not np.isfinite(logits).all():
        raise InputError("NaN or infinity in logits; check the images and the weights")
    ends = [split * len(logits) // splits for split in range(splits + 1)]
    scores = [_score(logits[start:end]) for start, end in pairwise(ends)]
    mean = float(np.mean(scores))
    if splits < 2:
        return Estimate(mean)
    half_width = student_reach(float(np.std(scores)) / math.sqrt(splits - 1), splits)
    return Estimate(mean, max(1.0, mean - half_width), mean + half_width)


def _score(logits: NDArray[np.floating]) -> float:
    log_probability = log_softmax(logits.astype(np.float64), axis=1)
    probability = np.exp(log_probability)
    mean_entropy = -(probability * log_probability).sum(1).mean()
    return float(np.exp(entr(probability.mean(0)).sum() - mean_entropy))
