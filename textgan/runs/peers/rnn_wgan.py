"""The recurrent WGAN-GP as a reader of Press et al. 2017 (arXiv 1706.01399) writes it in PyTorch.

Lines are cut to a random length, and the generator adds the last row to a real line (teacher helping); a pass each for
real, generated and interpolated lines, and a penalty by double backward.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.runs.peers.lines import copied


class Generator(nn.Module):
    """Maps noise [B, dim] and lines [B, L] to the probabilities [B, L, V] of each symbol after the ones before it."""

    def __init__(self, symbols: int, dim: int) -> None:
        super().__init__()
        self.symbols, self.dim = symbols, dim
        self.embedding = nn.Embedding(symbols + 1, dim)  # the last row is the start symbol's
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.to_symbols = nn.Linear(dim, symbols)

    def forward(self, noise: Tensor, ids: Tensor) -> Tensor:
        start = ids.new_full((len(ids), 1), self.symbols)
        features, _ = self.gru(self.embedding(torch.cat([start, ids[:, :-1]], dim=1)), noise.unsqueeze(0))
        return F.softmax(self.to_symbols(features), dim=2)


class Critic(nn.Module):
    """Maps rows [B, L, V] and lengths [B] to scores [B], from the state after the last row of each line."""

    def __init__(self, symbols: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.to_score = nn.Linear(dim, 1)

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN's GRU has no second derivatives
            states, _ = self.gru(rows @ self.embedding.weight)
        last = states[torch.arange(len(rows), device=rows.device), lengths - 1]
        scores: Tensor = self.to_score(last).squeeze(1)
        return scores


def generator_like(network: nn.Module) -> Generator:
    """Return a generator with sizes and weights of the package's own."""
    weights = network.state_dict()
    return copied(Generator(*weights["to_symbols.weight"].shape), network)


def critic_like(network: nn.Module) -> Critic:
    """Return a critic with sizes and weights of the package's own."""
    return copied(Critic(*network.state_dict()["embedding.weight"].shape), network)


def lines_of(generator: Generator, real: Tensor, deviation: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows [B, L, V] of real lines, of the same lines with a generated last row, and lengths [B] of both."""
    weight = generator.to_symbols.weight
    lengths = torch.randint(1, real.shape[1] + 1, (len(real),), device=real.device)
    noise = deviation * torch.randn(len(real), generator.dim, device=real.device, dtype=weight.dtype)
    rows = F.one_hot(real, generator.symbols).to(weight)
    last = torch.arange(real.shape[1], device=real.device) == lengths.unsqueeze(1) - 1
    return rows, torch.where(last.unsqueeze(2), generator(noise, real), rows), lengths


def generator_loss(generator: Generator, critic: Critic, real: Tensor, settings: Any) -> Tensor:
    """Return -E[D(fake)]."""
    _, fake, lengths = lines_of(generator, real, settings.noise_deviation)
    return -critic(fake, lengths).mean()  # type: ignore[no-any-return]


def critic_loss(generator: Generator, critic: Critic, real: Tensor, settings: Any) -> Tensor:
    """Return E[D(fake)] - E[D(real)] plus the weighted gradient penalty."""
    with torch.no_grad():
        rows, fake, lengths = lines_of(generator, real, settings.noise_deviation)
    alpha = torch.rand(len(real), 1, 1, device=real.device, dtype=rows.dtype)
    between = (rows + alpha * (fake - rows)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between, lengths).sum(), between, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    loss: Tensor = critic(fake, lengths).mean() - critic(rows, lengths).mean() + settings.penalty_weight * penalty
    return loss
