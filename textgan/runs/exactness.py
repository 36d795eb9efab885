"""Errors of a WGAN-GP step on a device, in each precision, against the same step in float64 on the CPU."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from eval.core.device import Precision, arithmetic
from textgan.engine.game import Networks
from textgan.engine.losses import WASSERSTEIN, gradient_penalty
from textgan.engine.players import Player
from textgan.engine.settings import AdversarialSettings


@dataclass(frozen=True)
class Draw:
    """What a step takes besides the weights: real samples [B, ...], noise [B, latent_dim], alpha [B] of the penalty."""

    real: Tensor
    z: Tensor
    alpha: Tensor


@dataclass(frozen=True)
class StepErrors:
    """Relative errors |x - exact| / |exact| of a step in a precision; |.| is the Euclidean norm of a tensor.

    `losses` is the larger error of both players' losses; `gradient_median` and `gradient_most` are over the weight
    tensors of both players; `update` is the larger error of Adam's first update of a player by the exact gradients.
    """

    precision: Precision
    losses: float
    gradient_median: float
    gradient_most: float
    update: float


def step_errors(
    config: AdversarialSettings, networks: Networks, draw: Draw, device: torch.device, precisions: Sequence[Precision]
) -> list[StepErrors]:
    """Return the errors of losses, gradients and updates of WGAN-GP on a device, one entry per precision.

    Args:
        config: learning rates, Adam's betas and the weight of the penalty.
        networks: generator and critic in float32 on the CPU; they stay as they are.
        draw: in float32 on the CPU.
        device: device that is compared with the CPU.
        precisions: precisions of the device's matrix products and convolutions.
    """
    cpu = torch.device("cpu")
    doubled = _moved(networks, cpu, torch.float64)
    exact_losses, exact_gradients = _losses_and_gradients(config, doubled, draw)
    exact_updates = _updates(config, doubled, exact_gradients, cpu)
    # A gradient that is zero, as of a bias that cancels, comes out as rounding of the largest one.
    least = max(float(each.norm()) for each in exact_gradients)
    errors = []
    for precision in precisions:
        ours = _moved(networks, device, torch.float32)
        with arithmetic(precision, device):
            losses, gradients = _losses_and_gradients(config, ours, draw)
            updates = _updates(config, ours, exact_gradients, device)
        of_gradients = _relative(gradients, exact_gradients, 1e-9 * least, least)
        errors.append(
            StepErrors(
                precision,
                max(_relative(losses, exact_losses)),
                median(of_gradients),
                max(of_gradients),
                max(_relative(updates, exact_updates)),
            )
        )
    return errors


def _moved(networks: Networks, device: torch.device, dtype: torch.dtype) -> Networks:
    generator, critic = (copy.deepcopy(each) for each in (networks.generator, networks.require_critic()))
    return Networks(generator.to(device, dtype), critic.to(device, dtype))


def _losses_and_gradients(
    config: AdversarialSettings, networks: Networks, draw: Draw
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the losses of critic and generator, and the gradients of each by the player's own weights."""
    generator, critic = networks.generator, networks.require_critic()
    weight = next(generator.parameters())
    real, z, alpha = (each.to(weight.device, weight.dtype) for each in (draw.real, draw.z, draw.alpha))
    fake = generator(z)
    of_generator = WASSERSTEIN.generator(critic(fake))
    fake = fake.detach()
    of_critic = WASSERSTEIN.critic(critic(real), critic(fake))
    of_critic = of_critic + config.penalty_weight * gradient_penalty(critic, real, fake, alpha)
    gradients = torch.autograd.grad(of_critic, list(critic.parameters()))
    gradients += torch.autograd.grad(of_generator, list(generator.parameters()))
    return [of_critic.detach(), of_generator.detach()], list(gradients)


def _updates(
    config: AdversarialSettings, networks: Networks, gradients: Sequence[Tensor], device: torch.device
) -> list[Tensor]:
    """Return Adam's first update of critic and of generator as one tensor each; moves the networks."""
    updates, left = [], list(gradients)
    for network, rate in ((networks.require_critic(), config.critic_lr), (networks.generator, config.generator_lr)):
        weights = list(network.parameters())
        before = [weight.detach().clone() for weight in weights]
        given, left = left[: len(weights)], left[len(weights) :]
        Player(network, config, device).apply([gradient.to(weights[0]) for gradient in given], rate)
        steps = [weight.detach() - old for weight, old in zip(weights, before, strict=True)]
        updates.append(torch.cat([step.flatten() for step in steps]))
    return updates


def _relative(
    found: Sequence[Tensor], exact: Sequence[Tensor], smallest: float = 0.0, instead: float = 1.0
) -> list[float]:
    """Return the relative error of each tensor; `instead` is the divisor where the exact norm is at most `smallest`."""
    errors = []
    for ours, theirs in zip(found, exact, strict=True):
        size = float(theirs.norm())
        errors.append(float((ours.double().cpu() - theirs).norm()) / (size if size > smallest else instead))
    return errors
