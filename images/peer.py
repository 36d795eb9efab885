"""DCGAN and the residual WGAN-GP as most people write them in PyTorch, to compare the speed of training with.

Written from the papers (Radford et al. 2016, arXiv 1511.06434; Gulrajani et al. 2017, arXiv 1704.00028, appendix), in
eager mode: sequential layers in PyTorch's default memory layout, a pass each for real, generated and interpolated
images, and penalties by double backward. Losses and gradients equal the package's own.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from images.config import ImageConfig
from textgan.engine.game import Networks
from textgan.runs.pairs import Step
from textgan.runs.peers.step import step_of


def dcgan_generator(config: ImageConfig) -> nn.Sequential:
    """Return a network that maps noise [B, latent_dim] to images [B, 3, size, size]."""
    dim, side = config.dim, config.size // 16
    layers: list[nn.Module] = [nn.Linear(config.latent_dim, 8 * dim * side**2), nn.Unflatten(1, (8 * dim, side, side))]
    for before, after in pairwise([8 * dim, 4 * dim, 2 * dim, dim, 3]):
        layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
        if config.upsampling == "transposed":
            layers.append(nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1))
        else:
            layers += [nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(before, after, 3, padding=1)]
    return nn.Sequential(*layers, nn.Tanh())


def dcgan_critic(config: ImageConfig) -> nn.Sequential:
    """Return a network that maps images [B, 3, size, size] to scores [B, 1]."""
    dim = config.dim
    layers: list[nn.Module] = []
    for before, after in pairwise([3, dim, 2 * dim, 4 * dim, 8 * dim]):
        layers.append(nn.Conv2d(before, after, 5, stride=2, padding=2))
        if after > dim and config.critic_norm == "batch":
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * dim * (config.size // 16) ** 2, 1))


class Residual(nn.Module):
    """The sum of layers and a shortcut; x is [B, C, S, S]."""

    def __init__(self, layers: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.layers, self.shortcut = layers, shortcut

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.layers(x) + self.shortcut(x)
        return total


def up_block(before: int, after: int) -> Residual:
    """Return the block that doubles the side of images."""
    layers = nn.Sequential(
        nn.BatchNorm2d(before), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1),
        nn.BatchNorm2d(after), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1),
    )  # fmt: skip
    return Residual(layers, nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 1)))


def down_block(before: int, after: int, side: int) -> Residual:
    """Return the block that halves the side of images."""
    layers = nn.Sequential(
        nn.LayerNorm([before, side, side]), nn.ReLU(), nn.Conv2d(before, before, 3, padding=1),
        nn.LayerNorm([before, side, side]), nn.ReLU(), nn.Conv2d(before, after, 3, padding=1), nn.AvgPool2d(2),
    )  # fmt: skip
    return Residual(layers, nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1)))


def residual_generator(config: ImageConfig) -> nn.Sequential:
    """Return a network that maps noise [B, latent_dim] to images [B, 3, size, size]."""
    dim, side = config.dim, config.size // 16
    return nn.Sequential(
        nn.Linear(config.latent_dim, 8 * dim * side**2), nn.Unflatten(1, (8 * dim, side, side)),
        *(up_block(before, after) for before, after in pairwise([8 * dim, 8 * dim, 4 * dim, 2 * dim, dim])),
        nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, 3, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


def residual_critic(config: ImageConfig) -> nn.Sequential:
    """Return a network that maps images [B, 3, size, size] to scores [B, 1]."""
    dim, size = config.dim, config.size
    widths = pairwise([dim, 2 * dim, 4 * dim, 8 * dim, 8 * dim])
    blocks = [down_block(before, after, size >> number) for number, (before, after) in enumerate(widths)]
    to_score = nn.Linear(8 * dim * (size // 16) ** 2, 1)
    return nn.Sequential(nn.Conv2d(3, dim, 3, padding=1), *blocks, nn.Flatten(), to_score)


def draw(generator: nn.Module, real: Tensor, config: ImageConfig) -> Tensor:
    """Return generated images, one per real one: noise is uniform for DCGAN, normal for WGAN-GP."""
    size, device = (len(real), config.latent_dim), real.device
    noise = 2 * torch.rand(size, device=device) - 1 if config.model == "dcgan" else torch.randn(size, device=device)
    images: Tensor = generator(noise)
    return images


def dcgan_loss(generator: nn.Module, critic: nn.Module, real: Tensor, config: ImageConfig) -> Tensor:
    """Return -E[log D(fake)] (Goodfellow et al. 2014, section 3)."""
    scores = critic(draw(generator, real, config))
    return F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))


def dcgan_critic_loss(generator: nn.Module, critic: nn.Module, real: Tensor, config: ImageConfig) -> Tensor:
    """Return -E[log D(real)] - E[log(1 - D(fake))], plus R1 if it has a weight (Mescheder et al. 2018, eq. 9)."""
    with torch.no_grad():
        fake = draw(generator, real, config)
    real = real.detach().requires_grad_(config.penalty_weight > 0)
    of_real, of_fake = critic(real), critic(fake)
    loss = F.binary_cross_entropy_with_logits(of_real, torch.ones_like(of_real))
    loss = loss + F.binary_cross_entropy_with_logits(of_fake, torch.zeros_like(of_fake))
    if config.penalty_weight:
        (gradient,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
        loss = loss + config.penalty_weight / 2 * gradient.flatten(1).square().sum(dim=1).mean()
    return loss


def wgan_gp_loss(generator: nn.Module, critic: nn.Module, real: Tensor, config: ImageConfig) -> Tensor:
    """Return -E[D(fake)]."""
    return -critic(draw(generator, real, config)).mean()  # type: ignore[no-any-return]


def wgan_gp_critic_loss(generator: nn.Module, critic: nn.Module, real: Tensor, config: ImageConfig) -> Tensor:
    """Return E[D(fake)] - E[D(real)] plus the weighted gradient penalty (Gulrajani et al. 2017, equation 3)."""
    with torch.no_grad():
        fake = draw(generator, real, config)
    between = (real + torch.rand(len(real), 1, 1, 1, device=real.device) * (fake - real)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    loss: Tensor = critic(fake).mean() - critic(real).mean() + config.penalty_weight * penalty
    return loss


def peer_step(config: ImageConfig, _networks: Networks, device: torch.device) -> Step:
    """Return the training step of a preset's peer, which takes batches of images [B, 3, H, W] in the host's memory."""
    if config.model == "dcgan":
        networks, losses = [dcgan_generator(config), dcgan_critic(config)], [dcgan_loss, dcgan_critic_loss]
    else:
        networks, losses = [residual_generator(config), residual_critic(config)], [wgan_gp_loss, wgan_gp_critic_loss]
    return step_of([network.to(device) for network in networks], losses, config, device)
