"""Reproducible random samples of lines or images."""

import numpy as np
from numpy.typing import NDArray


def fixed_sample(lines: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the sorted indices [count] of a random sample of `lines` lines, the same for the same seed."""
    return np.sort(np.random.default_rng(seed).choice(lines, count, replace=False))
