"""Losses and gradients in float32, on every device there is, against float64 on the CPU."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from eval.features import arithmetic
from images.config import ImageConfig
from images.networks import make_networks
from textgan import losses, nets

BATCH = 8
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
Networks = tuple[nn.Module, nn.Module]


def text(random: torch.Generator) -> Networks:
    generator, critic = nets.Generator(20, 16, 12, 10), nets.Critic(20, 16, 12)
    for network in (generator, critic):
        nets.initialise(network, random)
    return generator, critic


def images(config: ImageConfig) -> Callable[[torch.Generator], Networks]:
    return lambda random: make_networks(config, random)


GAMES = {
    "text": (text, losses.WASSERSTEIN, 10.0),
    "dcgan": (images(ImageConfig(size=32, dim=4, latent_dim=10)), losses.NON_SATURATING, 0.0),
    "wgan-gp": (images(ImageConfig(size=32, dim=4, latent_dim=10, model="wgan-gp")), losses.WASSERSTEIN, 10.0),
}


def measured(networks: Networks, loss: losses.Loss, weight: float, z: Tensor, alpha: Tensor) -> list[Tensor]:
    """Return both losses, then every gradient of the critic and of the generator."""
    generator, critic = networks
    fake = generator(z)
    generator_loss = loss.generator(critic(fake))
    # Another shape than the fake samples', so that nothing cancels.
    real, fake = fake.detach().flip(0).square(), fake.detach()
    critic_loss = loss.critic(critic(real), critic(fake))
    if weight:
        critic_loss = critic_loss + weight * losses.gradient_penalty(critic, real, fake, alpha)
    gradients = torch.autograd.grad(critic_loss, list(critic.parameters()))
    gradients += torch.autograd.grad(generator_loss, list(generator.parameters()))
    return [each.detach().double().cpu() for each in (critic_loss, generator_loss, *gradients)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("game", GAMES)
def test_losses_and_gradients_are_those_of_float64(game: str, device: str) -> None:
    make, loss, weight = GAMES[game]
    random = torch.Generator().manual_seed(3)
    generator, critic = make(random)
    z, alpha = torch.rand(BATCH, 10, generator=random), torch.rand(BATCH, generator=random)
    exact = measured(
        (copy.deepcopy(generator).double(), copy.deepcopy(critic).double()), loss, weight, z.double(), alpha.double()
    )
    with arithmetic("float32", torch.device(device)):
        found = measured((generator.to(device), critic.to(device)), loss, weight, z.to(device), alpha.to(device))
    scale = max(float(each.norm()) for each in exact[2:])
    for index, (ours, theirs) in enumerate(zip(found, exact, strict=True)):
        # A gradient of zero, of a bias before a normalisation, is rounding of the largest ones.
        size = float(theirs.norm()) if float(theirs.norm()) > 1e-9 * scale else scale
        assert float((ours - theirs).norm()) < 1e-4 * size, index
