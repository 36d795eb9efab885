"""Spectral normalisation of a critic (Miyato et al. 2018, arXiv 1802.05957)."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def normalise_spectrally(critic: nn.Module, random: torch.Generator) -> None:
    """Divide the weight of each convolution and linear layer by its largest singular value, from now on.

    One step of power iteration per forward pass in training follows the singular vectors; the first vectors come from
    `random` and 15 steps. The vectors are buffers of the critic, beside the weights as drawn.
    """
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    # PyTorch draws the vectors from its global generator on the CPU.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=random)))
        for layer in layers:
            spectral_norm(layer)
