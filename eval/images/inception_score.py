"""Inception Score of images (Salimans et al. 2016, arXiv 1606.03498): how sure a classifier is, and of how many.

It knows nothing of real images, and does not follow disturbances of them: `python -m eval.disturb` shows it.
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
    """Mean and standard deviation of the splits' scores, the latter as published: divided by their number, not less 1.

    A score is a number of classes, from 1 to that of the logits' columns.
    """

    mean: float
    deviation: float
    splits: int

    @property
    def estimate(self) -> Estimate:
        """The mean with its 95 % interval, Student's of the splits, at least 1; without one of a single split."""
        if self.splits < 2:
            return Estimate(self.mean)
        reach = student_reach(self.deviation / math.sqrt(self.splits - 1), self.splits)
        return Estimate(self.mean, max(1.0, self.mean - reach), self.mean + reach)


def inception_score(logits: NDArray[np.floating], splits: int = SPLITS) -> InceptionScore:
    """Return exp(mean over x of KL(p(y|x) || p(y))) of consecutive parts of the images, p(y) being the part's mean.

    That mean divergence is the entropy of p(y) less the mean entropy of p(y|x). It grows with the size of the parts:
    scores compare at equal numbers of images, 50,000 as a rule, and of splits.

    Args:
        logits: [N, classes], as `Extractor.logits` gives them. In random order: parts of one class each score 1.
        splits: into how many parts, whose sizes differ by one at most.

    Raises:
        InputError: fewer images than splits, or NaN or infinity.
    """
    if not 1 <= splits <= len(logits):
        raise InputError(f"{len(logits)} images in {splits} splits: each needs an image; give more images")
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
