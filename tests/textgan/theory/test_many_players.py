"""Games of many players: sampled gradients by enumeration, a slow loop, the Nash gap at known equilibria."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from textgan.theory.dynamics import constant
from textgan.theory.many_players import (
    Method,
    cyclic,
    estimate,
    everyone,
    mirror_step,
    nash_gap,
    play,
    random_game,
    sampled_gradients,
    uniform,
)

N, ACTIONS = 5, 3


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _strategies(rows: int = 2) -> Tensor:
    return torch.randn(rows, N, ACTIONS, generator=_random(3), dtype=torch.float64).softmax(-1)


def _slow_gradients(game: Tensor, strategies: Tensor) -> Tensor:
    return torch.einsum("iajb,rjb->ria", game, strategies)


# Sampled gradients


@pytest.mark.parametrize("count", [1, 2, 4])
def test_sampling_has_no_bias(count: int) -> None:
    """The mean over all subsets is the gradient, for any table; without the factor n/b it is not."""
    game, strategies = random_game(N, ACTIONS, 0.7, _random()), _strategies()
    whole = _slow_gradients(game, strategies)
    subsets = [torch.tensor(subset) for subset in combinations(range(N), count)]
    sampled = sampled_gradients(game, iter(subsets), False, 0.0, _random())
    mean = torch.stack([sampled(strategies) for _ in subsets]).mean(0)
    np.testing.assert_allclose(mean, whole, rtol=0, atol=1e-12)
    table = torch.randn(whole.shape, generator=_random(1), dtype=torch.float64)
    estimates = torch.stack([estimate(table, subset, whole[:, subset]) for subset in subsets])
    np.testing.assert_allclose(estimates.mean(0), whole, rtol=0, atol=1e-12)
    unscaled = torch.stack([table + (estimate - table) * count / N for estimate in estimates]).mean(0)
    assert float((unscaled - whole).abs().max()) > 0.1
    # A player is in P with probability b/n, so the variances of all components add up to (n/b - 1) |g - R|^2.
    variance = ((estimates - whole) ** 2).sum((-1, -2)).mean(0)
    np.testing.assert_allclose(variance, (N / count - 1) * ((whole - table) ** 2).sum((-1, -2)), rtol=1e-9, atol=1e-12)


def test_variance_reduction_has_no_variance_at_a_fixed_point() -> None:
    """Once every player was sampled at the same strategies, any subset gives the gradient; sampling alone does not."""
    game, strategies = random_game(N, ACTIONS, 0.7, _random()), _strategies()
    whole = _slow_gradients(game, strategies)
    calls = [*torch.split(torch.arange(N), 2), *map(torch.tensor, combinations(range(N), 2))]

    def largest_error(keep: bool) -> float:
        sampled = sampled_gradients(game, iter(calls), keep, 0.0, _random())
        return float((torch.stack([sampled(strategies) for _ in calls])[3:] - whole).abs().max())

    assert largest_error(keep=True) < 1e-12
    assert largest_error(keep=False) > 1


def test_noise_of_the_gradients() -> None:
    """Rows share the normal numbers, times their own standard deviation."""
    game, strategies = random_game(N, ACTIONS, 0.7, _random()), _strategies()
    noise = torch.tensor([0.0, 2.0], dtype=torch.float64)[:, None, None]
    sampled = sampled_gradients(game, everyone(N, N, _random()), False, noise, _random(5))
    errors = torch.stack([sampled(strategies) - _slow_gradients(game, strategies) for _ in range(500)])
    np.testing.assert_allclose(errors[:, 0], torch.zeros_like(errors[:, 0]), rtol=0, atol=1e-12)
    assert float(errors[:, 1].std()) == pytest.approx(2, rel=0.04)
    assert float(errors[:, 1].mean()) == pytest.approx(0, abs=0.1)


def test_uniform_subsets_are_equally_frequent() -> None:
    """All ten pairs of five players come equally often, within four standard deviations."""
    drawn = uniform(N, 2, _random())
    counts = np.zeros((N, N))
    for _ in range(5000):
        first, second = sorted(next(drawn).tolist())
        counts[first, second] += 1
    pairs = counts[np.triu_indices(N, 1)]
    assert counts.sum() == pairs.sum()
    assert (abs(pairs - 500) < 4 * (5000 * 0.1 * 0.9) ** 0.5).all()


@pytest.mark.parametrize("count", [1, 2])
def test_a_cycle_takes_every_ordered_pair_once(count: int) -> None:
    """Within a cycle the groups split the players; cycles differ."""
    drawn = cyclic(6, count, _random())
    groups = 6 // count
    cycles = []
    for _ in range(2):
        cycle = [(tuple(next(drawn).tolist()), tuple(next(drawn).tolist())) for _ in range(groups * (groups - 1))]
        assert len(set(cycle)) == groups * (groups - 1)
        assert all(not set(ahead) & set(moved) for ahead, moved in cycle)
        assert sorted(player for group in {ahead for ahead, _ in cycle} for player in group) == list(range(6))
        cycles.append(cycle)
    assert cycles[0] != cycles[1]


@pytest.mark.parametrize("keep", [False, True])
def test_sampled_mirror_steps_match_a_slow_loop(keep: bool) -> None:
    """Sampling, table, mirror step and extragradient equal a loop over players in NumPy."""
    game, rate = random_game(N, ACTIONS, 0.95, _random()), 0.3
    subsets = [torch.randperm(N, generator=_random(seed))[:2] for seed in range(12)]
    expected = [_strategies(1)[0].numpy()]
    table = np.zeros((N, ACTIONS))
    chosen = iter(subsets)

    def moved(old: np.ndarray, at: np.ndarray) -> np.ndarray:
        estimated, sampled = table.copy(), next(chosen).tolist()
        for player in sampled:
            gradient = sum(game[player, :, other].numpy() @ at[other] for other in range(N))
            estimated[player] += N / 2 * (gradient - table[player])
            if keep:
                table[player] = gradient
        new = old * np.exp(-rate * estimated)
        return np.asarray(new / new.sum(-1, keepdims=True))

    for _ in range(6):
        expected.append(moved(expected[-1], moved(expected[-1], expected[-1])))
    method = Method(lambda _n, _b, _random: iter(subsets), 2, keep)
    path = play(
        game, method, _strategies(1).log(), constant(rate), 6, _random(), strategies=torch.exp, step=mirror_step
    )
    np.testing.assert_allclose(path[:, 0].exp(), np.stack(expected), rtol=0, atol=1e-12)


# Nash gap


def _zero_sum(payoff: list[list[float]]) -> Tensor:
    """Return the game of two players with losses p.Mq and -p.Mq."""
    matrix = torch.tensor(payoff, dtype=torch.float64)
    game = torch.zeros(2, len(matrix), 2, len(matrix), dtype=torch.float64)
    game[0, :, 1], game[1, :, 0] = matrix, -matrix.T
    return game


def test_nash_gap_of_known_games() -> None:
    """Matching pennies: 0 at the equilibrium, 2 at a corner. A game with the equilibrium (1/4, 3/4), (1/2, 1/2)."""
    pennies = _zero_sum([[1, -1], [-1, 1]])
    assert float(nash_gap(pennies, torch.full((1, 2, 2), 0.5, dtype=torch.float64))) == pytest.approx(0, abs=1e-12)
    assert float(nash_gap(pennies, torch.tensor([[[1.0, 0], [1, 0]]], dtype=torch.float64))) == pytest.approx(2)
    skewed = _zero_sum([[3, 0], [1, 2]])
    at = torch.tensor([[[0.25, 0.75], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]], dtype=torch.float64)
    np.testing.assert_allclose(nash_gap(skewed, at), torch.tensor([0, 0.5], dtype=torch.float64), rtol=0, atol=1e-12)


def test_nash_gap_is_zero_at_an_equilibrium_with_own_terms() -> None:
    """Cyclic losses plus |p|^2: every player's gradient is constant over actions at uniform strategies."""
    game = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
    wheel = torch.tensor([[0.0, 1, -1], [-1, 0, 1], [1, -1, 0]], dtype=torch.float64)
    for player in range(3):
        game[player, :, (player + 1) % 3] = wheel
        game[player, :, player] = 2 * torch.eye(3, dtype=torch.float64)
    third = torch.full((1, 3, 3), 1 / 3, dtype=torch.float64)
    assert float(nash_gap(game, third)) == pytest.approx(0, abs=1e-12)
    assert float(nash_gap(game, torch.tensor([0.4, 0.3, 0.3], dtype=torch.float64).expand(1, 3, 3))) > 1e-3


@pytest.mark.parametrize("skew", [0.3, 0.95, 1.0])
def test_nash_gap_against_a_general_solver(skew: float) -> None:
    """Best responses of the enumeration are those of SLSQP, player by player."""
    game, strategies = random_game(N, ACTIONS, skew, _random()), _strategies(3)
    for row, measured in zip(strategies.numpy(), nash_gap(game, strategies), strict=True):
        gap = 0.0
        for player in range(N):
            own = game[player, :, player].numpy()
            others = sum(game[player, :, other].numpy() @ row[other] for other in range(N) if other != player)

            def loss(q: np.ndarray, own: np.ndarray = own, others: np.ndarray = others) -> float:
                return float(q @ own @ q / 2 + q @ others)

            best = minimize(
                loss, np.full(ACTIONS, 1 / ACTIONS), method="SLSQP", bounds=[(0, 1)] * ACTIONS,
                constraints={"type": "eq", "fun": lambda q: q.sum() - 1}, options={"ftol": 1e-14},
            )  # fmt: skip
            gap += loss(row[player]) - loss(best.x)
        assert float(measured) == pytest.approx(gap, abs=1e-6)


def test_random_game() -> None:
    """The symmetric part has the smallest eigenvalue asked for; at skew 1 losses add up to 0, without own terms."""
    size = 4 * ACTIONS
    half = random_game(4, ACTIONS, 0.0, _random()).reshape(size, size)
    eigenvalues = torch.linalg.eigvalsh(half)
    np.testing.assert_allclose(half, half.T, rtol=1e-9, atol=1e-12)
    assert float(eigenvalues[0] / (eigenvalues[-1] - eigenvalues[0])) == pytest.approx(0.01, rel=1e-9)
    game = random_game(4, ACTIONS, 1.0, _random())
    np.testing.assert_allclose(game.reshape(size, size), -game.reshape(size, size).T, rtol=1e-9, atol=1e-12)
    assert not game.diagonal(dim1=0, dim2=2).any()
    mixed = random_game(4, ACTIONS, 0.95, _random())
    np.testing.assert_allclose(
        mixed.reshape(size, size), (0.95 * game.reshape(size, size) + 0.05 * half), rtol=1e-9, atol=1e-12
    )
