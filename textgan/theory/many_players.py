"""Games of many players with bilinear losses: random games, Nash gap, extragradient with sampled players.

Player i of n has a mixed strategy p_i over its actions and the loss p_i . (sum_j H_ij p_j), where H_ij are blocks of a
matrix H; the own term counts half, so that the gradient of every loss is H p. Games are arrays H [..., n, actions, n,
actions], strategies [..., rows, n, actions]: rows play the same game.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations, repeat

import torch
from torch import Tensor

from textgan.engine.updates import parse_rule
from textgan.theory.dynamics import Agent, Rate, Step, descend, simulate

Subsets = Callable[[int, int, torch.Generator], Iterator[Tensor]]
"""The players of each gradient evaluation [b], from the number of players n, b, and random numbers."""


def random_game(players: int, actions: int, skew: float, random: torch.Generator) -> Tensor:
    """Return a random game H = skew B + (1 - skew) A [players, actions, players, actions].

    B is antisymmetric, and zero for a player against itself: at skew 1 the losses add up to 0. A is symmetric, shifted
    so that its smallest eigenvalue is 1 % of the range of its eigenvalues: H p is a monotone operator. Entries are
    normal, with variance 1/2 off the diagonal (after Jelassi et al. 2020, arXiv 1905.12363).
    """
    size = players * actions
    first, second = torch.randn(2, size, size, generator=random, dtype=torch.float64)
    symmetric, antisymmetric = (first + first.T) / 2, (second - second.T) / 2
    eigenvalues = torch.linalg.eigvalsh(symmetric)
    least, most = eigenvalues[0], eigenvalues[-1]
    symmetric += (0.01 * (most - least) - least) * torch.eye(size, dtype=torch.float64)
    antisymmetric = antisymmetric.view(players, actions, players, actions)
    antisymmetric.diagonal(dim1=0, dim2=2).zero_()
    game: Tensor = skew * antisymmetric + (1 - skew) * symmetric.view(players, actions, players, actions)
    return game


def nash_gap(game: Tensor, strategies: Tensor) -> Tensor:
    """Return the sum over players of what a best response would save [..., rows]; 0 at a Nash equilibrium."""
    own = game.diagonal(dim1=-4, dim2=-2).movedim(-1, -3).unsqueeze(-4)  # [..., 1, n, actions, actions]
    from_own = (own @ strategies[..., None])[..., 0]
    others = _gradients(game, strategies) - from_own
    losses = (strategies * (others + from_own / 2)).sum(-1)
    return (losses - _least_losses(own, others)).sum(-1)


def _least_losses(own: Tensor, others: Tensor) -> Tensor:
    """Return the minimum over strategies q of q . own q / 2 + q . others for each player [..., rows, n].

    The minimum lies inside a face of the simplex, where the derivative along the face vanishes. Every face is tried;
    if no player has an own term, losses are linear, and corners are enough.
    """
    actions = own.shape[-1]
    best = others.min(-1).values.new_full(others.shape[:-1], torch.inf)
    for size in range(1, actions + 1 if own.any() else 2):
        for face in map(list, combinations(range(actions), size)):
            within = own[..., face, :][..., face]
            system = own.new_ones(*own.shape[:-2], size + 1, size + 1)
            system[..., :size, :size], system[..., size, size] = within, 0
            inverse = torch.linalg.inv(system)
            response = inverse[..., :size, size] - (inverse[..., :size, :size] @ others[..., face, None])[..., 0]
            loss = (response * (others[..., face] + (within @ response[..., None])[..., 0] / 2)).sum(-1)
            best = torch.where((response >= 0).all(-1), torch.minimum(loss, best), best)
    return best


def everyone(players: int, _count: int, _random: torch.Generator) -> Iterator[Tensor]:
    """Yield all players at every evaluation."""
    return repeat(torch.arange(players))


def uniform(players: int, count: int, random: torch.Generator) -> Iterator[Tensor]:
    """Yield `count` different players at every evaluation, all subsets with equal probability."""
    while True:
        yield torch.randperm(players, generator=random)[:count]


def cyclic(players: int, count: int, random: torch.Generator) -> Iterator[Tensor]:
    """Yield groups of `count` players for the two evaluations of each extragradient step in turn.

    A cycle splits the players into random groups and takes every ordered pair of different groups once, in random
    order: the first group looks ahead, the second moves. The last group is smaller if `count` does not divide players.
    """
    while True:
        groups = torch.split(torch.randperm(players, generator=random), count)
        pairs = list(permutations(range(len(groups)), 2))
        for pair in torch.randperm(len(pairs), generator=random).tolist():
            yield from (groups[group] for group in pairs[pair])


def estimate(table: Tensor, chosen: Tensor, gradients: Tensor) -> Tensor:
    """Return an estimate of all players' gradients from the gradients of some: R_i + (n/b) 1[i in P] (g_i - R_i).

    Without bias if P is a uniform subset. With R = 0 it is player sampling, with the last gradients as R it is variance
    reduction (Jelassi et al. 2020, arXiv 1905.12363); without variance if R has the gradients themselves.

    Args:
        table: R [..., n, actions].
        chosen: the players P [b].
        gradients: their gradients g [..., b, actions].
    """
    scale = table.shape[-2] / len(chosen)
    result = table.clone()
    result[..., chosen, :] += scale * (gradients - table[..., chosen, :])
    return result


def sampled_gradients(
    game: Tensor, subsets: Iterator[Tensor], keep: bool, noise: Tensor | float, random: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """Return a function that estimates all gradients at strategies [..., n, actions], from new players at every call.

    Args:
        game: the game.
        subsets: the players of each call.
        keep: whether a table keeps every player's last gradient, for variance reduction.
        noise: standard deviation of the noise per component; a tensor [..., 1, 1] broadcasts to rows. Rows share the
            random numbers, so that differences between them are not differences in luck.
        random: random numbers of the noise.
    """
    table: Tensor | None = None

    def gradients(strategies: Tensor) -> Tensor:
        nonlocal table
        table = torch.zeros_like(strategies) if table is None else table
        chosen = next(subsets)
        of_chosen = _gradients(game.index_select(-4, chosen), strategies)
        of_chosen += noise * torch.randn(of_chosen.shape[-2:], generator=random, dtype=torch.float64)
        estimated = estimate(table, chosen, of_chosen)
        if keep:
            table[..., chosen, :] = of_chosen
        return estimated

    return gradients


def mirror_step(weights: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
    """Take a mirror step on strategies p with the entropy as distance: p <- p exp(-rate gradient), normalised.

    The weights are the logarithms of p.
    """
    weights.copy_((weights - rate * gradient).log_softmax(-1))


@dataclass(frozen=True)
class Method:
    """Which players' gradients an extragradient step takes, how many, and whether a table keeps them."""

    subsets: Subsets
    count: int
    keep: bool = False


def play(
    game: Tensor, method: Method, weights: Tensor, rate: Rate, steps: int, random: torch.Generator, *, every: int = 1,
    noise: Tensor | float = 0.0, strategies: Callable[[Tensor], Tensor] = torch.clone, step: Step = descend,
) -> Tensor:  # fmt: skip
    """Return the path of all players' weights [1 + steps // every, ..., rows, n, actions] under the extragradient.

    Args:
        game: the game [..., n, actions, n, actions].
        method: which players each evaluation takes.
        weights: weights at the start [..., rows, n, actions]; the simulation moves them.
        rate: learning rate.
        steps: number of extragradient steps.
        random: random numbers of noise and sampled players.
        every: steps between the recorded points.
        noise: standard deviation of the gradients' noise per component.
        strategies: strategies as a function of weights.
        step: the step of gradient or mirror descent.
    """
    estimated = sampled_gradients(
        game, method.subsets(weights.shape[-2], method.count, random), method.keep, noise, random
    )
    agent = Agent(weights, lambda of: estimated(strategies(of["players"])), rate, step=step)
    return simulate({"players": agent}, parse_rule("extragradient"), steps, every=every)["players"]


def _gradients(blocks: Tensor, strategies: Tensor) -> Tensor:
    """Return the gradients H p [..., rows, b, actions] of the players with blocks [..., b, actions, n, actions]."""
    of_all = blocks.flatten(-2).flatten(-3, -2).mT  # [..., n * actions, b * actions]
    gradients: Tensor = strategies.flatten(-2) @ of_all
    return torch.unflatten(gradients, -1, blocks.shape[-4:-2])
