"""A training step as most people write it in PyTorch: zero_grad, backward, clip, step, one player after the other."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from textgan.runs.pairs import Step

Loss = Callable[..., Tensor]
"""A player's loss as a function of generator, critic, real samples [B, ...] and settings."""


def step_of(networks: Sequence[nn.Module], losses: Sequence[Loss], settings: Any, device: torch.device) -> Step:
    """Return the training step of a game, which takes batches in the host's memory.

    Args:
        networks: generator, and critic if there is one.
        losses: the losses of the same players.
        settings: settings of the run, among them Adam's betas, the norm that gradients are clipped to, and the rate and
            the updates per iteration of each player.
        device: device of the networks.
    """
    names = ["generator", "critic"][: len(networks)]
    rates = [getattr(settings, f"{name}_lr") for name in names]
    updates = [getattr(settings, f"{name}_steps", 1) for name in names]
    optimisers = [
        torch.optim.Adam(network.parameters(), rate, (settings.beta1, settings.beta2))
        for network, rate in zip(networks, rates, strict=True)
    ]
    return partial(_train_step, networks, losses, optimisers, updates, settings, device)


def _train_step(
    networks: Sequence[nn.Module], losses: Sequence[Loss], optimisers: Sequence[torch.optim.Optimizer],
    updates: Sequence[int], settings: Any, device: torch.device, batches: Sequence[Tensor],
) -> None:  # fmt: skip
    generator, critic = networks[0], networks[1] if len(networks) > 1 else None
    for network, loss, optimiser, count in zip(networks, losses, optimisers, updates, strict=True):
        for each in networks:
            each.requires_grad_(each is network)
        for batch in batches[:count]:
            optimiser.zero_grad()
            value = loss(generator, critic, batch.to(device).contiguous(), settings)
            value.backward()  # type: ignore[no-untyped-call]
            if settings.max_gradient_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), settings.max_gradient_norm)
            optimiser.step()
