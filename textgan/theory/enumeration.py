"""Line models with a table of logits, and exact expectations over every line that they can draw."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from data.tokenizers import PADDING_ID
from textgan.models.bodies import State
from textgan.models.lines import LineModel, in_line

_NEVER = -1e4
"""Logit of a symbol of probability 0; it is finite, since 0 log 0 must be 0."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of a batch: of the generator's log-probabilities [B, L, V] along lines, and the numbers [B] of the lines."""


class _Prefixes(nn.Module):
    """Body of a line model whose features are one-hot rows of the symbols so far, so that its logits are a table.

    For rows of probabilities in place of symbols, a feature is the product of the probabilities of a prefix.
    """

    def __init__(self, vocabulary_size: int, rows: int) -> None:
        super().__init__()
        self.vocabulary_size, self.rows = vocabulary_size, rows

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        weights, features = None if state is None else state[0], []
        for symbol in x.unbind(dim=1):  # [N, V + 1]; the last entry is the start symbol
            if weights is None:
                weights = symbol[:, -1:]
            else:
                weights = (weights.unsqueeze(-1) * symbol[:, None, :-1]).flatten(1)  # [N, V^t]
            shorter = (weights.shape[1] - 1) // (self.vocabulary_size - 1)
            features.append(F.pad(weights, (shorter, self.rows - shorter - weights.shape[1])))
        assert weights is not None
        return torch.stack(features, dim=1), (weights,)


class LineTable(LineModel):
    """A line model in double precision whose logits are a table [V, prefixes], the weights of `to_symbols`."""

    def __init__(self, table: Tensor, seq_len: int) -> None:
        size = len(table)
        super().__init__(size, seq_len, dim=1)
        self.embedding = nn.Embedding(size + 1, size + 1)
        self.body = _Prefixes(size, table.shape[1])
        self.to_symbols = nn.Linear(table.shape[1], size, bias=False)
        self.double()
        with torch.no_grad():
            self.embedding.weight.copy_(torch.eye(size + 1))
            self.to_symbols.weight.copy_(table)

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.to_symbols(features)
        return logits


@dataclass(frozen=True)
class Enumeration:
    """A generator and a distribution of data, with every line that they can draw.

    Attributes:
        generator: the generator.
        data: the data's distribution.
        lines: ids [K, L].
    """

    generator: LineTable
    data: LineTable
    lines: Tensor

    @property
    def probabilities(self) -> Tensor:
        """The generator's probabilities [K] of the lines."""
        return log_prefixes(self.generator, self.lines)[:, -1].exp()


def enumeration(seq_len: int, ends: bool = False, seed: int = 0) -> Enumeration:
    """Return two random tables with normal logits, and their lines.

    Args:
        seq_len: L, symbols per line.
        ends: whether the first of the three symbols ends a line; else all lines have L symbols.
        seed: seed of the logits.
    """
    size = 3 if ends else 4  # without ends, padding has an id and is never drawn
    random = torch.Generator().manual_seed(seed)
    prefixes = sum(size**length for length in range(seq_len))
    tables = torch.randn(2, size, prefixes, generator=random, dtype=torch.float64)
    if not ends:
        tables[:, PADDING_ID] = _NEVER
    lines = torch.tensor(list(product(range(0 if ends else 1, size), repeat=seq_len)))
    lines = lines[(in_line(lines) | (lines == PADDING_ID)).all(dim=1)]
    return Enumeration(LineTable(tables[0], seq_len), LineTable(tables[1], seq_len), lines)


@torch.no_grad()
def log_prefixes(model: LineModel, lines: Tensor) -> Tensor:
    """Return the log-probability [K, L] of the first 1 .. L symbols of lines [K, L]."""
    return model.log_probs(lines).cumsum(dim=1)


def best_critic(game: Enumeration) -> Tensor:
    """Return the best critic's logits [K, L], log d/g, of the first 1 .. L symbols of each line."""
    return log_prefixes(game.data, game.lines) - log_prefixes(game.generator, game.lines)


@torch.no_grad()
def best_mediator(game: Enumeration) -> Tensor:
    """Return the log-probabilities [K, L, V] of each symbol under m = (g + d) / 2, given the symbols before it."""
    before, after = [], []
    for model in (game.generator, game.data):
        before.append(F.pad(log_prefixes(model, game.lines), (1, 0))[:, :-1].unsqueeze(-1))
        after.append(before[-1] + model(game.lines).log_softmax(dim=-1))
    return torch.logaddexp(*after) - torch.logaddexp(*before)


def completions(game: Enumeration, rewards: Tensor) -> Tensor:
    """Return the expected reward [K, L] of the generator's completions of the first 1 .. L symbols of each line.

    Args:
        game: generator and lines.
        rewards: rewards [K] of whole lines.
    """
    means = []
    for length in range(1, game.lines.shape[1] + 1):
        shared = (game.lines[:, None, :length] == game.lines[None, :, :length]).all(dim=-1)  # [K, K]
        weights = shared * game.probabilities
        means.append(weights @ rewards / weights.sum(dim=1))
    return torch.stack(means, dim=1)


def drawn_log_probs(log_probs: Tensor, lines: Tensor) -> Tensor:
    """Return the log-probabilities [B, L] of the symbols of lines [B, L] from [B, L, V]; 0 after the end of a line."""
    return log_probs.gather(-1, lines.unsqueeze(-1)).squeeze(-1) * in_line(lines)


def gradients(game: Enumeration, loss: Loss, batches: Tensor) -> Tensor:
    """Return the gradient [n, P] of a loss by the generator's table on each batch of lines, numbers [n, B]."""

    def value(table: Tensor, numbers: Tensor) -> Tensor:
        logits = functional_call(game.generator, {"to_symbols.weight": table}, (game.lines[numbers],))
        return loss(logits.log_softmax(dim=-1), numbers)

    # One table per batch, and autograd of the sum: torch.func.grad takes seconds to import its compiler.
    tables = game.generator.to_symbols.weight.detach().repeat(len(batches), 1, 1).requires_grad_()
    (found,) = torch.autograd.grad(vmap(value)(tables, batches).sum(), tables)
    return found.flatten(1)


def scores(game: Enumeration) -> Tensor:
    """Return the gradient [K, L, P] by the generator's table of the log-probability of each symbol of each line."""
    numbers = torch.arange(len(game.lines)).unsqueeze(1)
    found = [
        gradients(game, lambda p, n, t=t: drawn_log_probs(p, game.lines[n])[0, t], numbers)  # type: ignore[misc]
        for t in range(game.lines.shape[1])
    ]
    return torch.stack(found, dim=1)


def divergence_gradient(game: Enumeration, divergence: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the gradient [P] by the generator's table of a divergence of the densities [K] of generator and data."""
    data = log_prefixes(game.data, game.lines)[:, -1].exp()

    def loss(log_probs: Tensor, numbers: Tensor) -> Tensor:
        return divergence(drawn_log_probs(log_probs, game.lines[numbers]).sum(dim=1).exp(), data)

    return gradients(game, loss, torch.arange(len(game.lines)).unsqueeze(0))[0]


def kl(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p || q) of two densities [K], in nats."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum()


def prefix_probabilities(lines: Tensor, density: Tensor) -> Tensor:
    """Return the probability of every prefix of lines [K, L], each once; an ended line has no longer prefixes.

    Args:
        lines: ids [K, L].
        density: probabilities [K] of the lines.
    """
    found = []
    for length in range(1, lines.shape[1] + 1):
        reached = in_line(lines)[:, length - 1]
        prefixes, number = torch.unique(lines[reached, :length], dim=0, return_inverse=True)
        found.append(density.new_zeros(len(prefixes)).index_add(0, number, density[reached]))
    return torch.cat(found)
