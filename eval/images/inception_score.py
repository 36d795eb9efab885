"""Inception Score (Salimans et al. 2016, arXiv 1606.03498): confidence and diversity of a classifier's predictions.

It uses no real images, and does not follow disturbances of images: `python -m eval.disturb` shows this.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, log_softmax

from data.errors import InputError
from eval.core.intervals import student_reach
from eval.core.score import Estimate

SPLITS = 10


@dataclass(frozen=True)
class InceptionScore:
    """Mean and standard deviation of the scores of the splits; as published, the variance is divided by `splits`.

    A score is a number of classes, from 1 to the number of columns of the logits.
    """

    mean: float
    deviation: float
    splits: int

    @property
    def estimate(self) -> Estimate:
        """The mean with a 95 % Student t interval over the splits, clipped at 1; no interval for a single split."""
        if self.splits < 2:
            return Estimate(self.mean)
        half_width = student_reach(self.deviation / math.sqrt(self.splits - 1), self.splits)
        return Estimate(self.mean, max(1.0, self.mean - half_width), self.mean + half_width)


def inception_score(logits: NDArray[np.floating], splits: int = SPLITS) -> InceptionScore:
    """Return exp(mean over x of KL(p(y|x) || p(y))) of consecutive splits of the images, with p(y) the split's mean.

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
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), splits)


def _score(logits: NDArray[np.floating]) -> float:
    log_probability = log_softmax(logits.astype(np.float64), axis=1)
    probability = np.exp(log_probability)
    mean_entropy = -(probability * log_probability).sum(1).mean()
    return float(np.exp(entr(probability.mean(0)).sum() - mean_entropy))
