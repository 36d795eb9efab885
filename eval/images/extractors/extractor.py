"""What a feature extractor is: a signed map of images to features."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Extractor:
    """A map of images uint8 [B, 3, H, W] on `device` to features [B, dims].

    `signature` names everything the features depend on: statistics with different signatures do not compare. `dims` is
    None if only the features of a first image can show it. `logits` maps features to class logits [B, classes] for the
    Inception Score; None if there are no classes.
    """

    signature: str
    dims: int | None
    device: torch.device
    features: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor] | None = None
