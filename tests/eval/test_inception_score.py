import math

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from data.errors import InputError
from eval.core.score import Estimate
from eval.images.inception_score import inception_score

LOGITS = np.random.default_rng(0).normal(0, 2, (43, 7))


def slow_scores(logits: NDArray[np.float64], splits: int) -> list[float]:
    """Salimans et al. (2016), section 4, in loops."""
    scores = []
    for split in range(splits):
        part = logits[split * len(logits) // splits : (split + 1) * len(logits) // splits].tolist()
        probabilities = [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in part]
        marginal = [sum(column) / len(part) for column in zip(*probabilities, strict=True)]
        divergences = [
            sum(p * math.log(p / q) for p, q in zip(row, marginal, strict=True) if p) for row in probabilities
        ]
        scores.append(math.exp(sum(divergences) / len(part)))
    return scores


@pytest.mark.parametrize("splits", [1, 4, 10, 43])
def test_it_is_that_of_an_obvious_loop(splits: int) -> None:
    scores = slow_scores(LOGITS, splits)
    found = inception_score(LOGITS, splits)
    assert found.value == pytest.approx(sum(scores) / splits, rel=1e-12)
    if splits == 1:
        assert (found.low, found.high) == (None, None)
    else:
        spread = math.sqrt(sum((score - found.value) ** 2 for score in scores) / splits)
        half_width = scipy.stats.t.ppf(0.975, splits - 1) * spread / math.sqrt(splits - 1)
        assert found.high == pytest.approx(found.value + half_width, rel=1e-9)
        assert found.low == pytest.approx(max(1, found.value - half_width), rel=1e-9)
    # The mean of logarithms, or one divergence the other way round, is something else.
    if splits == 4:
        assert abs(found.value - math.exp(np.log(scores).mean())) > 1e-3
        assert inception_score(LOGITS.astype(np.float32), splits).value == pytest.approx(found.value, rel=1e-6)


def test_closed_forms() -> None:
    # Sure of as many classes as there are, equally often: their number, and as many of 1,008 where more never come.
    sure = np.zeros((60, 1008))
    sure[np.arange(60), np.arange(60) % 6] = 1000
    assert inception_score(sure).value == pytest.approx(6, rel=1e-12)
    assert inception_score(sure).high == pytest.approx(6, rel=1e-12)
    # The same for every image: 1, whatever it is.
    same = np.tile(LOGITS[0], (20, 1))
    assert inception_score(same).value == pytest.approx(1, abs=1e-12)
    # Two kinds of images, right with probability p: ln IS = ln 2 - H(p).
    p = 0.9
    two = np.tile(np.log([[p, 1 - p], [1 - p, p]]), (10, 1))
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert inception_score(two).value == pytest.approx(2 * math.exp(-entropy), rel=1e-12)
    assert inception_score(two, 20) == Estimate(1, 1, 1)  # a single image is never of two kinds


def test_a_constant_added_to_an_images_logits_changes_nothing() -> None:
    shifted = LOGITS + np.random.default_rng(1).normal(0, 1e3, (43, 1))
    assert inception_score(shifted).value == pytest.approx(inception_score(LOGITS).value, rel=1e-9)


def test_images_sorted_by_class_score_less() -> None:
    sure = 1000 * np.eye(10)[np.repeat(np.arange(10), 20)]
    assert inception_score(sure) == Estimate(1, 1, 1)
    assert inception_score(np.random.default_rng(0).permutation(sure)).value > 7


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="9 images in 10 splits"):
        inception_score(LOGITS[:9])
    for bad in (np.nan, np.inf):
        broken = LOGITS.copy()
        broken[3, 2] = bad
        with pytest.raises(InputError, match="NaN or infinity in logits"):
            inception_score(broken)
