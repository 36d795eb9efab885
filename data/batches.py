"""Which lines make up a batch: drawn with replacement, or every line at most once per epoch.

Both orders are functions of seeds and numbers alone: a run that continues draws the same batches as one without a stop.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Order = Literal["replacement", "epochs"]
EpochOrder = Callable[[int], NDArray[np.int64]]
"""Returns the permutation of line numbers of an epoch, given its number."""


def with_replacement(lines: int, batch_size: int, batches: int, seed: int) -> NDArray[np.int64]:
    """Return line numbers [batches, batch_size] below `lines`, each drawn uniformly and independently."""
    return np.random.default_rng(seed).integers(lines, size=(batches, batch_size))


def epoch_order(lines: int, seed_of_epoch: Callable[[int], int]) -> EpochOrder:
    """Return the function from the number of an epoch to its permutation of line numbers; it keeps the last one."""

    @lru_cache(maxsize=1)
    def order(epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng(seed_of_epoch(epoch)).permutation(lines)

    return order


def by_epochs(lines: int, batch_size: int, batches: range, order: EpochOrder) -> NDArray[np.int64]:
    """Return line numbers [batches, batch_size] of consecutive batches, numbered from 0.

    In each epoch the lines are permuted anew and split into floor(lines / batch_size) batches; the rest is left out.

    Args:
        lines: number of lines, at least `batch_size`.
        batch_size: lines per batch.
        batches: numbers of the batches.
        order: returns the permutation of an epoch, see `epoch_order`.
    """
    per_epoch = lines // batch_size
    chosen = []
    for batch in batches:
        epoch, start = batch // per_epoch, batch % per_epoch * batch_size
        chosen.append(order(epoch)[start : start + batch_size])
    return np.stack(chosen)
