"""Exact gradients of divergences, and mean gradients of losses, over every line of three symbols."""

from collections.abc import Callable

import torch
from torch import Tensor

from data.tokenizers import PADDING_ID
from textgan.models.estimators import (
    Reward,
    identity,
    log_probability,
    minus_log_fake,
    odds,
    probability,
    reinforce,
)
from textgan.theory.enumeration import (
    Enumeration,
    LineTable,
    Loss,
    drawn_log_probs,
    gradients,
)

Divergence = Callable[[Tensor, Tensor], Tensor]


def table_of(model: LineTable) -> Tensor:
    return model.to_symbols.weight.detach().clone()


def density(table: Tensor, lines: Tensor) -> Tensor:
    """Return the probabilities [K] of lines, symbol by symbol from the softmax of their prefix's logits."""
    size, found = len(table), []
    for line in lines.tolist():
        chance, number = torch.ones((), dtype=torch.float64), 0
        for position, symbol in enumerate(line):
            shorter = sum(size**length for length in range(position))
            chance = chance * table[:, shorter + number].softmax(dim=0)[symbol]
            number = size * number + symbol
            if symbol == PADDING_ID:
                break
        found.append(chance)
    return torch.stack(found)


def exact(game: Enumeration, divergence: Divergence) -> Tensor:
    """Return the gradient [P] of a divergence of the densities of generator and data."""
    table = table_of(game.generator).requires_grad_()
    value = divergence(density(table, game.lines), density(table_of(game.data), game.lines))
    (found,) = torch.autograd.grad(value, table)
    return found.flatten()


def expected(game: Enumeration, loss: Loss, batch: int = 2) -> Tensor:
    """Return the mean gradient [P] over all batches of drawn lines."""
    chances = density(table_of(game.generator), game.lines)
    batches = torch.cartesian_prod(*[torch.arange(len(chances))] * batch).view(-1, batch)
    return chances[batches].prod(dim=1) @ gradients(game, loss, batches)


def apart(found: Tensor, right: Tensor) -> float:
    """Return the distance of two gradients relative to the length of the right one."""
    return float((found - right).norm() / right.norm())


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum()


def jsd2(g: Tensor, d: Tensor) -> Tensor:
    return kl(g, (g + d) / 2) + kl(d, (g + d) / 2)


DIVERGENCES: dict[Reward, Divergence] = {
    probability: lambda g, d: kl(d, (g + d) / 2),
    minus_log_fake: jsd2,
    identity: kl,
    odds: lambda g, d: kl(d, g),
    log_probability: lambda g, d: kl(g, d) - jsd2(g, d),
}


def reinforced(game: Enumeration, rewards: Tensor) -> Loss:
    """Return the loss that gives rewards [K, L] to the lines of a batch."""
    return lambda log_probs, n: reinforce(drawn_log_probs(log_probs, game.lines[n]), rewards[n])


def whole(game: Enumeration, reward: Reward) -> Tensor:
    """Return the reward [K, L] of the best critic for whole lines, at every position."""
    densities = [density(table_of(model), game.lines) for model in (game.data, game.generator)]
    return reward((densities[0] / densities[1]).log()).unsqueeze(1).expand(game.lines.shape)
