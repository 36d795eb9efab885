"""Mean and variance of the gradient that a batch of lines gives, with the losses that train models here."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from textgan.models.lines import in_line
from textgan.theory.enumeration import Enumeration, Loss, completions, gradients, scores

BATCH = 64
"""Lines per batch."""
BATCHES = 1 << 15
"""Batches in the mean of an estimator with weights that are normalised over the batch."""
RELAXED = 1 << 16
"""Lines in the mean of a relaxed estimator."""
_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Estimate:
    """An estimator's gradient.

    Attributes:
        mean: the mean [P].
        variance: trace of the covariance for a batch of B lines, times B.
        samples: number of lines in a mean that is not exact.
    """

    mean: Tensor
    variance: float
    samples: float = math.inf

    @property
    def error(self) -> float:
        """Standard error of the mean, as a length."""
        return math.sqrt(self.variance / self.samples)


def of_pairs(game: Enumeration, loss: Loss, probabilities: Tensor, batch: int = BATCH) -> Estimate:
    """Return the gradient of a loss, in closed form from the gradients of all pairs of lines.

    A mean over lines, with leave-one-out baselines too, is the mean over all pairs in the batch (a U-statistic,
    Hoeffding 1948).

    Args:
        game: generator and lines.
        loss: loss of a batch.
        probabilities: probabilities [K] by which lines are drawn.
        batch: lines per batch.
    """
    count = len(probabilities)
    pairs = torch.cartesian_prod(torch.arange(count), torch.arange(count))
    found = gradients(game, loss, pairs).view(count, count, -1)
    of_one = torch.einsum("j,ijp->ip", probabilities, found)
    mean = probabilities @ of_one
    first = probabilities @ (of_one - mean).square().sum(dim=1)
    second = probabilities @ (found - mean).square().sum(dim=2) @ probabilities
    return Estimate(mean, float(2 / (batch - 1) * (2 * (batch - 2) * first + second)))


def completion_variance(game: Enumeration, rewards: Tensor, batch: int = BATCH) -> float:
    """Return the variance per line that one drawn completion per prefix adds to exact values of prefixes.

    N completions add 1 / N of it.

    Args:
        game: generator and lines.
        rewards: rewards [K] of whole lines.
        batch: lines per batch, with leave-one-out baselines.
    """
    noise = completions(game, rewards**2) - completions(game, rewards) ** 2  # [K, L]
    squares, chances = scores(game).square().sum(dim=-1), game.probabilities
    return float((chances @ (noise * squares) + (chances @ noise) * (chances @ squares) / (batch - 1)).sum())


def of_batches(
    game: Enumeration, weigh: Callable[[Tensor], Tensor], values: Tensor, probabilities: Tensor, batch: int = BATCH
) -> Estimate:
    """Return the gradient of minus the weighted log-likelihood of drawn lines, the mean over `BATCHES` batches.

    Args:
        game: generator and lines.
        weigh: returns the weights [B, n] of n batches from the values of their lines.
        values: values [K] of the lines.
        probabilities: probabilities [K] by which lines are drawn.
        batch: lines per batch.
    """
    random = torch.Generator().manual_seed(0)
    numbers = torch.multinomial(probabilities, batch * BATCHES, replacement=True, generator=random).view(batch, -1)
    weights = values.new_zeros(len(values), BATCHES).scatter_add(0, numbers, weigh(values[numbers]))  # [K, n]
    found = -weights.T @ scores(game).sum(dim=1)
    return Estimate(found.mean(dim=0), float(batch * found.var(dim=0).sum()), batch * BATCHES)


def of_relaxed(game: Enumeration, rewards: Tensor, beta: float, soft: bool) -> Estimate:
    """Return the gradient of minus the reward of relaxed draws, the mean over `RELAXED` lines.

    Args:
        game: generator and lines.
        rewards: rewards [K] of whole lines, extended to rows of probabilities by the expectation over independent
            symbols from these rows.
        beta: inverse temperature.
        soft: whether rows are fed back, or their most likely symbols.
    """
    random = torch.Generator().manual_seed(0)
    parts = [_relaxed_gradients(game, rewards, beta, soft, random) for _ in range(RELAXED // _AT_ONCE)]
    each = torch.cat(parts)  # [N, P]
    return Estimate(each.mean(dim=0), float(each.var(dim=0).sum()), len(each))


def _relaxed_gradients(game: Enumeration, rewards: Tensor, beta: float, soft: bool, random: torch.Generator) -> Tensor:
    """Return the gradients [n, P] of single lines: of each symbol's logits times the features they are linear in."""
    seen: list[tuple[Tensor, Tensor]] = []
    layer, length = game.generator.to_symbols, game.lines.shape[1]
    hook = layer.register_forward_hook(lambda _layer, inputs, output: seen.append((inputs[0].detach(), output)))
    rows = game.generator.relaxed(_AT_ONCE, random, beta, soft)  # [n, L, V]
    hook.remove()
    chances = rows[:, torch.arange(length), game.lines].prod(dim=-1)  # [n, K]
    features, logits = zip(*seen, strict=True)
    slopes = torch.autograd.grad(-(chances @ rewards).sum(), logits)
    gradients = rewards.new_zeros(len(rows), slopes[0].shape[1], features[0].shape[1])  # [n, V, P]
    # A line that has ended has no further logits.
    for going, slope, feature in zip(in_line(rows.argmax(dim=-1)).T, slopes, features, strict=True):
        gradients[going] += torch.einsum("nv,np->nvp", slope, feature)
    return gradients.flatten(1)
