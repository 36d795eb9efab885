"""The language WGAN-GP as most people write it in PyTorch, to compare the speed of training with.

Written from the papers (Gulrajani et al. 2017, arXiv 1704.00028; Heusel et al. 2017, arXiv 1706.08500, appendix), in
eager mode: one-dimensional convolutions, one-hot lines made on the host, a pass each for real, generated and
interpolated lines, and a penalty by double backward. Losses and gradients equal those of the package's own model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """x + 0.3 f(x) with f = ReLU, convolution, ReLU, convolution; x is [B, dim, L]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),  # not in place: x is needed once more
            nn.Conv1d(dim, dim, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv1d(dim, dim, 5, padding=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + 0.3 * y


class Generator(nn.Module):
    """Maps noise [B, latent_dim] to symbol probabilities [B, V, L]."""

    def __init__(self, symbols: int, length: int, dim: int, latent_dim: int) -> None:
        super().__init__()
        self.dim, self.length, self.latent_dim = dim, length, latent_dim
        self.project = nn.Linear(latent_dim, dim * length)
        self.blocks = nn.Sequential(*[Block(dim) for _ in range(5)])
        self.to_symbols = nn.Conv1d(dim, symbols, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.project(z).view(-1, self.dim, self.length)
        logits: Tensor = self.to_symbols(self.blocks(x))
        return logits.softmax(dim=1)


class Critic(nn.Module):
    """Maps symbol probabilities [B, V, L] to scores [B, 1]."""

    def __init__(self, symbols: int, length: int, dim: int) -> None:
        super().__init__()
        self.from_symbols = nn.Conv1d(symbols, dim, 1)
        self.blocks = nn.Sequential(*[Block(dim) for _ in range(5)])
        self.to_score = nn.Linear(dim * length, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.to_score(self.blocks(self.from_symbols(x)).flatten(1))
        return scores


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """E[(||grad_x D(x)||_2 - 1)^2] between real and fake lines [B, V, L], with alpha [B, 1, 1] from U(0, 1)."""
    x = (real + alpha * (fake - real)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    norm: Tensor = gradient.flatten(1).norm(dim=1)  # [B]
    return (norm - 1).square().mean()


def critic_loss(critic: nn.Module, real: Tensor, fake: Tensor, alpha: Tensor, weight: float) -> Tensor:
    """E[D(fake)] - E[D(real)] plus the weighted penalty."""
    loss: Tensor = critic(fake).mean() - critic(real).mean() + weight * gradient_penalty(critic, real, fake, alpha)
    return loss


def train_step(
    generator: Generator, critic: Critic, optimisers: Sequence[torch.optim.Optimizer], batches: Sequence[Tensor],
    weight: float,
) -> None:  # fmt: skip
    """Update the generator once, and the critic once per batch of ids [B, L] on the host.

    `optimisers` are the generator's and the critic's.
    """
    size, device, kind = len(batches[0]), generator.project.weight.device, generator.project.weight.dtype
    of_generator, of_critic = optimisers
    critic.requires_grad_(False)
    of_generator.zero_grad()
    (-critic(generator(torch.randn(size, generator.latent_dim, device=device))).mean()).backward()
    of_generator.step()
    critic.requires_grad_(True)
    for ids in batches:
        real = F.one_hot(ids, generator.to_symbols.out_channels).to(kind).to(device).transpose(1, 2)
        with torch.no_grad():
            fake = generator(torch.randn(size, generator.latent_dim, device=device))
        of_critic.zero_grad()
        alpha = torch.rand(size, 1, 1, device=device)
        critic_loss(critic, real, fake, alpha, weight).backward()  # type: ignore[no-untyped-call]
        of_critic.step()
