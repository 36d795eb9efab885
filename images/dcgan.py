"""DCGAN (Radford et al. 2016, arXiv 1511.06434) as in the TTUR paper: 5x5 kernels, batch normalisation.

Layers are as in the widely used TensorFlow code, with `dim` channels next to the image and 8 dim channels at 1/16 of
the image's side. Because of batch normalisation, the critic must score real and fake images in separate batches.

A kernel of 5 overlaps unevenly at stride 2, which leaves a checkerboard in images; resizing before a convolution does
not (Odena et al. 2016, doi 10.23915/distill.00003).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eval.core.device import at_least_float32
from images.config import CriticNorm, Upsampling

_BN_MOMENTUM, _BN_EPSILON = 0.1, 1e-5  # momentum 0.1 in PyTorch is decay 0.9 in TensorFlow
_SLOPE = 0.2
_DEVIATION = 0.02


class Generator(nn.Module):
    """Map noise z [B, latent_dim] to images [B, 3, size, size] in (-1, 1)."""

    def __init__(self, size: int, dim: int, latent_dim: int, upsampling: Upsampling = "transposed") -> None:
        super().__init__()
        self.latent_dim, self.side = latent_dim, size // 16
        widths = [8 * dim, 4 * dim, 2 * dim, dim]
        self.project = nn.Linear(latent_dim, widths[0] * self.side**2)
        self.norms = nn.ModuleList(_batch_norm(width) for width in widths)
        self.doublings = nn.ModuleList(
            _doubling(width, after, upsampling) for width, after in zip(widths, [*widths[1:], 3], strict=True)
        )

    def sample_latent(self, count: int, random: torch.Generator) -> Tensor:
        """Draw noise [count, latent_dim], uniform in [-1, 1)."""
        return 2 * torch.rand(count, self.latent_dim, generator=random, device=random.device) - 1

    def forward(self, z: Tensor) -> Tensor:
        x = self.project(z).unflatten(1, (-1, self.side, self.side))
        for norm, double in zip(self.norms, self.doublings, strict=True):
            x = double(F.relu(norm(x)))
        return at_least_float32(x).tanh()


class Critic(nn.Module):
    """Map images [B, 3, size, size] to scores [B], the logits of a discriminator."""

    def __init__(self, size: int, dim: int, norm: CriticNorm = "batch") -> None:
        super().__init__()
        widths = [3, dim, 2 * dim, 4 * dim, 8 * dim]
        self.halvings = nn.ModuleList(
            nn.Conv2d(before, width, 5, stride=2, padding=2) for before, width in pairwise(widths)
        )
        later = [_batch_norm(width) if norm == "batch" else nn.Identity() for width in widths[2:]]
        self.norms = nn.ModuleList([nn.Identity(), *later])
        self.to_score = nn.Linear(widths[-1] * (size // 16) ** 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        for norm, halve in zip(self.norms, self.halvings, strict=True):
            x = F.leaky_relu(norm(halve(x)), _SLOPE)
        scores: Tensor = self.to_score(x.flatten(1)).squeeze(1)
        return at_least_float32(scores)


def _doubling(before: int, after: int, upsampling: Upsampling) -> nn.Module:
    """Return the layer that maps [B, before, S, S] to [B, after, 2 S, 2 S]."""
    if upsampling == "transposed":
        return nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(before, after, 3, padding=1))


def _batch_norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_BN_EPSILON, momentum=_BN_MOMENTUM)


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw weights from N(0, 0.02^2), scales of batch normalisation from N(1, 0.02^2); set biases to zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d):
            with torch.no_grad():
                mean = 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0
                layer.weight.normal_(mean, _DEVIATION, generator=random)
                assert layer.bias is not None
                layer.bias.zero_()
