"""The residual networks of WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028, appendix), as in the TTUR paper.

At 32 pixels the published critic reshapes its 2x2 feature maps as if they were 4x4, so every four images share one
score. `fold` repeats this; without `fold` each image has its own score.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eval.core.device import at_least_float32
from textgan.models.common import initialise as initialise_he

_EPSILON = 1e-5
_FOLDED_SIDE = 4


class UpBlock(nn.Module):
    """Map [B, before, S, S] to [B, width, 2 S, 2 S]: twice batch norm, ReLU, 3x3 convolution; the shortcut is 1x1."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = (nn.BatchNorm2d(channels, eps=_EPSILON) for channels in (before, width))
        self.first = nn.Conv2d(before, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(before, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(_double(F.relu(self.first_norm(x))))
        y = self.second(F.relu(self.second_norm(y)))
        total: Tensor = y + self.shortcut(_double(x))
        return total


class DownBlock(nn.Module):
    """Map [B, before, S, S] to [B, width, S / 2, S / 2], with layer normalisation over channels and pixels."""

    def __init__(self, before: int, width: int, side: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = (nn.LayerNorm([before, side, side], eps=_EPSILON) for _ in range(2))
        self.first = nn.Conv2d(before, before, 3, padding=1)
        self.second = nn.Conv2d(before, width, 3, padding=1)
        self.shortcut = nn.Conv2d(before, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(F.relu(self.first_norm(x)))
        y = F.avg_pool2d(self.second(F.relu(self.second_norm(y))), 2)
        total: Tensor = y + self.shortcut(F.avg_pool2d(x, 2))
        return total


class Generator(nn.Module):
    """Map noise z [B, latent_dim] to images [B, 3, size, size] in (-1, 1)."""

    def __init__(self, size: int, dim: int, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim, self.side = latent_dim, size // 16
        widths = [8 * dim, 8 * dim, 4 * dim, 2 * dim, dim]
        self.project = nn.Linear(latent_dim, widths[0] * self.side**2)
        self.blocks = nn.Sequential(*(UpBlock(before, width) for before, width in pairwise(widths)))
        self.norm = nn.BatchNorm2d(dim, eps=_EPSILON)
        self.to_image = nn.Conv2d(dim, 3, 3, padding=1)

    def sample_latent(self, count: int, random: torch.Generator) -> Tensor:
        """Draw standard normal noise [count, latent_dim]."""
        return torch.randn(count, self.latent_dim, generator=random, device=random.device)

    def forward(self, z: Tensor) -> Tensor:
        x = self.blocks(self.project(z).unflatten(1, (-1, self.side, self.side)))
        images: Tensor = self.to_image(F.relu(self.norm(x)))
        return at_least_float32(images).tanh()


class Critic(nn.Module):
    """Map images [B, 3, size, size] to scores [B]; with `fold` and 32 pixels, to [B / 4]."""

    def __init__(self, size: int, dim: int, fold: bool = False) -> None:
        super().__init__()
        widths = [dim, 2 * dim, 4 * dim, 8 * dim, 8 * dim]
        self.from_image = nn.Conv2d(3, dim, 3, padding=1)
        self.blocks = nn.Sequential(
            *(DownBlock(before, width, size >> number) for number, (before, width) in enumerate(pairwise(widths)))
        )
        side = _FOLDED_SIDE if fold else size // 16
        self.to_score = nn.Linear(widths[-1] * side**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.from_image(x)).flatten()
        scores: Tensor = self.to_score(features.unflatten(0, (-1, self.to_score.in_features)))
        return at_least_float32(scores).squeeze(1)


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw the initial weights as in the published code: as `textgan.models.common.initialise`, with one exception.

    The critic's first convolution and the shortcuts, which no ReLU follows, are Glorot uniform, with standard deviation
    sqrt(2 / (fan_in + fan_out)).
    """
    initialise_he(network, random)
    for name, layer in network.named_modules():
        if name.endswith(("shortcut", "from_image")):
            assert isinstance(layer, nn.Conv2d)
            with torch.no_grad():
                layer.weight.mul_(math.sqrt(0.5))


def _double(x: Tensor) -> Tensor:
    """Return images of twice the side, with each pixel repeated as 2x2."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
