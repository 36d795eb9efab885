"""Random choices that are the same every time."""

import numpy as np
from numpy.typing import NDArray


def fixed_sample(lines: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the numbers [count] of some of so many lines, in order and always the same."""
    return np.sort(np.random.default_rng(seed).choice(lines, count, replace=False))
