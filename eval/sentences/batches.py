"""Sentence features in batches of lines of near-equal length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from data.errors import InputError

_BATCH = 64


@dataclass(frozen=True)
class Encoder:
    """A function from lines to features [N, D], with the signature of everything that the features depend on."""

    signature: str
    encode: Callable[[Sequence[str]], NDArray[np.float32]]


def padded(rows: Sequence[Sequence[int]], padding: int) -> Tensor:
    """Return rows of ids as a tensor [rows, longest], padded at the end."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])


@torch.inference_mode()
def by_length(rows: Sequence[list[int]], batch: Callable[[list[list[int]]], Tensor]) -> NDArray[np.float32]:
    """Return the features [N, D] of rows of ids, computed in batches of similar length, since padding costs time.

    Args:
        rows: ids per line.
        batch: function of up to 64 rows to features [B, D].

    Raises:
        InputError: NaN or infinity among the features.
    """
    order = np.argsort([len(row) for row in rows], kind="stable")
    starts = tqdm(range(0, len(rows), _BATCH), "sentence features", disable=None, delay=1, leave=False)
    parts = [batch([rows[i] for i in order[start : start + _BATCH]]).cpu().numpy() for start in starts]
    found = np.concatenate(parts)
    features = np.empty_like(found)
    features[order] = found
    if not np.isfinite(features).all():
        raise InputError("NaN or infinity among sentence features; check the model's weights")
    return features
