"""Build the networks of a run on images, and draw images from its generator."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from images import dcgan, residual
from images.config import ImageConfig
from textgan.engine.spectral_norm import normalise_spectrally

_BATCH = 64

ImageGenerator = dcgan.Generator | residual.Generator


def make_networks(config: ImageConfig, random: torch.Generator) -> tuple[ImageGenerator, nn.Module]:
    """Return generator and critic, with weights drawn on the CPU, in channels-last memory layout."""
    generator: ImageGenerator
    critic: nn.Module
    if config.model == "dcgan":
        generator = dcgan.Generator(config.size, config.dim, config.latent_dim, config.upsampling)
        critic = dcgan.Critic(config.size, config.dim, config.critic_norm)
        initialise = dcgan.initialise
    else:
        generator = residual.Generator(config.size, config.dim, config.latent_dim)
        critic = residual.Critic(config.size, config.dim, config.folds)
        initialise = residual.initialise
    for network in (generator, critic):
        initialise(network, random)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.spectral_norm == "on":
        normalise_spectrally(critic, random)
    return generator, critic


@torch.no_grad()
def sample_images(network: nn.Module, count: int, random: torch.Generator) -> NDArray[np.uint8]:
    """Draw images [count, 3, H, W] from a generator, in one copy from its device.

    Batch normalisation uses its running statistics.

    Raises:
        ValueError: a pixel is infinite or NaN.
    """
    assert isinstance(network, ImageGenerator)
    was_training = network.training
    network.eval()
    images, finite = [], []
    try:
        for start in range(0, count, _BATCH):
            drawn = network(network.sample_latent(min(_BATCH, count - start), random))
            finite.append(drawn.isfinite().all())
            images.append(as_levels(drawn))
    finally:
        network.train(was_training)
    if not torch.stack(finite).all():
        raise ValueError("an image with infinite or NaN pixels")
    copied: NDArray[np.uint8] = torch.cat(images).contiguous().cpu().numpy()
    return copied


def as_levels(images: Tensor) -> Tensor:
    """Return images as uint8, on their device; equal to `data.images.dataset.to_uint8` of finite pixels."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
