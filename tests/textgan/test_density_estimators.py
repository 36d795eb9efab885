"""Estimators of MaliGAN, CoT, JSDGAN and relaxed draws against exact gradients, as in `test_estimators`."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor
from torch.nn import functional as F

from data.tokenizers import PADDING_ID
from tests.helpers.estimators import DIVERGENCES, apart, density, exact, expected, jsd2, table_of, whole
from textgan.models.estimators import (
    cot_loss,
    importance,
    jsd_weights,
    odds,
    probability,
    reinforce,
    returns,
)
from textgan.models.lines import in_line
from textgan.theory.enumeration import (
    Enumeration,
    LineTable,
    Loss,
    best_critic,
    best_mediator,
    drawn_log_probs,
    gradients,
)


def test_importance_weights_are_the_odds_share() -> None:
    logits = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64, requires_grad=True)
    d = [1 / (1 + math.exp(-float(logit))) for logit in logits.detach()]
    shares = [p / (1 - p) for p in d]
    found = importance(logits)
    assert not found.requires_grad
    np.testing.assert_allclose(found, [share / sum(shares) - 1 / 3 for share in shares], rtol=1e-12)
    torch.testing.assert_close(importance(torch.tensor([1000.0, 0.0])), torch.tensor([0.5, -0.5]))


def test_maligan_tends_to_maximum_likelihood(game: Enumeration) -> None:
    """Relative bias over large fixed samples of batches; D in place of its odds tends to another gradient."""
    random = torch.Generator().manual_seed(0)
    chances, target = density(table_of(game.generator), game.lines), exact(game, DIVERGENCES[odds])
    slopes = gradients(
        game,
        lambda log_probs, n: -drawn_log_probs(log_probs, game.lines[n]).sum(),
        torch.arange(len(chances)).unsqueeze(1),
    )
    logits = best_critic(game)[:, -1]

    def bias(batch: int, weigh: Callable[[Tensor], Tensor]) -> float:
        drawn = torch.multinomial(chances, 400_000, replacement=True, generator=random).view(batch, -1)
        weights = torch.zeros(len(chances), dtype=torch.float64)
        weights.scatter_add_(0, drawn.flatten(), weigh(logits[drawn]).flatten())
        return apart(weights @ slopes / drawn.shape[1], target)

    def fault(batch: Tensor) -> Tensor:
        return batch.sigmoid() / batch.sigmoid().sum(dim=0) - 1 / len(batch)

    small, middle, large = (bias(batch, importance) for batch in (2, 20, 2000))
    assert large < 0.05 < 2 * middle < small
    assert bias(2000, fault) > 0.3


def cot(game: Enumeration, prefix_gradient: bool) -> Loss:
    """Return CoT's loss with the best mediator."""
    mediator = best_mediator(game)

    def loss(log_probs: Tensor, n: Tensor) -> Tensor:
        drawn = drawn_log_probs(log_probs, game.lines[n]) if prefix_gradient else None
        return cot_loss(log_probs, mediator[n], in_line(game.lines[n]), drawn)

    return loss


def test_cot_descends_on_the_jsd_only_with_the_gradient_through_prefixes(game: Enumeration) -> None:
    """The specification's enumeration without it: cosine .9925, norm x1.32."""
    target = exact(game, jsd2)
    assert apart(expected(game, cot(game, prefix_gradient=True)), target) < 1e-12
    published = expected(game, cot(game, prefix_gradient=False))
    cosine = float(published @ target / published.norm() / target.norm())
    assert 0.9 < cosine < 0.999
    assert apart(published, target) > 0.05


def test_cot_takes_no_gradient_through_the_mediator(game: Enumeration) -> None:
    """The best mediator depends on the generator; only a loss without the detach sees this."""
    log_d = F.pad(game.data.log_probs(game.lines).detach().cumsum(dim=1), (1, 0))[:, :-1, None]
    rows = game.data(game.lines).detach().log_softmax(dim=-1)

    def loss(log_probs: Tensor, n: Tensor, detached: bool) -> Tensor:
        drawn, mask = drawn_log_probs(log_probs, game.lines[n]), in_line(game.lines[n])
        log_g = F.pad(drawn.cumsum(dim=1), (1, 0))[:, :-1, None]
        mediator = torch.logaddexp(log_g + log_probs, log_d[n] + rows[n]) - torch.logaddexp(log_g, log_d[n])
        if detached:
            return cot_loss(log_probs, mediator, mask, drawn)
        divergences = (log_probs.exp() * (log_probs - mediator)).sum(dim=-1) * mask
        return divergences.sum(dim=1).mean() + reinforce(drawn, divergences - returns(divergences, 1.0))

    target = exact(game, jsd2)
    assert apart(expected(game, lambda p, n: loss(p, n, detached=True)), target) < 1e-12
    assert apart(expected(game, lambda p, n: loss(p, n, detached=False)), target) > 0.05


def test_jsdgan_descends_on_the_jsd_and_normalisation_changes_the_scale_alone(game: Enumeration) -> None:
    count = len(game.lines[::3])
    data = torch.zeros(len(game.lines), dtype=torch.float64)
    data[::3] = 1 / count
    table = table_of(game.generator).requires_grad_()
    g = density(table, game.lines)
    m = (g + data) / 2
    jsd = (g * (g / m).log()).sum() / 2 + (data[::3] * (data[::3] / m[::3]).log()).sum() / 2
    target = torch.autograd.grad(jsd, table)[0].flatten()
    weights = g.detach() * (1 + data / g.detach()).log() / 2  # exact if the batch is the data

    def weighted(n: Tensor, weights: Tensor) -> Tensor:
        return gradients(
            game,
            lambda log_probs, n: -(weights * drawn_log_probs(log_probs, game.lines[n]).sum(dim=1)).sum(),
            n.unsqueeze(0),
        )[0]

    everything = torch.arange(len(game.lines))[::3]
    assert apart(weighted(everything, weights[everything]), target) < 1e-12
    for batch in (everything, everything[:2], everything[[1, 4, 3]]):
        log_g = g[batch].log().requires_grad_()
        normalised = jsd_weights(log_g, count)
        assert not normalised.requires_grad
        right = weighted(batch, weights[batch])
        assert apart(weights[batch].sum() * weighted(batch, normalised), right) < 1e-12


def test_weights_of_jsdgan_survive_long_lines() -> None:
    """At log g = -1000 and -1001 the ratio of the weights is e (1000 - log N) / (1001 - log N), to within e^-990."""
    first, second = jsd_weights(torch.tensor([-1000.0, -1001.0], dtype=torch.float64), 1000).tolist()
    n = math.log(1000)
    assert first / second == pytest.approx(math.e * (1000 - n) / (1001 - n), rel=1e-12)


def relaxed_gradient(game: Enumeration, beta: float, soft: bool, count: int) -> Tensor:
    """Return the gradient of minus D of relaxed draws, D being linear in each row of probabilities."""
    rows = game.generator.relaxed(count, torch.Generator().manual_seed(0), beta, soft)
    chances = torch.stack([rows[:, range(len(line)), line].prod(dim=1) for line in game.lines.tolist()], dim=1)
    loss = -(chances @ whole(game, probability)[:, 0]).mean()
    return torch.autograd.grad(loss, game.generator.to_symbols.weight)[0].flatten()


def test_relaxed_draws_of_one_symbol_lose_their_bias_with_temperature() -> None:
    """Two symbols: the difference of two Gumbel variables is logistic, and the expected gradient an integral."""
    logits = torch.tensor([[-1e4], [0.4], [-0.5]], dtype=torch.float64)
    lines = torch.tensor([[1], [2]])
    game = Enumeration(LineTable(logits, 1), LineTable(logits.flip(0).roll(1, 0), 1), lines)
    first, second = whole(game, probability)[:, 0].tolist()

    def slope(x: float) -> float:
        return math.exp(-abs(x)) / (1 + math.exp(-abs(x))) ** 2

    right = (second - first) * slope(0.9)  # of minus the expected reward, by the first logit
    biases = []
    for beta in (1.0, 5.0, 10.0, 100.0):
        # x is beta times the difference of noisy logits
        integral = quad(lambda x, beta=beta: slope(x) * slope(x / beta - 0.9), -60, 60)[0]
        biases.append(abs((second - first) * integral / right - 1))
        found = relaxed_gradient(game, beta, soft=False, count=100_000)[1]
        assert float(found) == pytest.approx((second - first) * integral, rel=5 * math.sqrt(2 * (1 + beta) / 100_000))
    assert sorted(biases, reverse=True) == biases
    assert biases[2] < 0.05


def test_relaxed_draws_of_three_symbols_stay_biased_through_symbols(game: Enumeration) -> None:
    """Fed-back symbols pass no gradient, nor does the end of a line; fed-back rows do.

    The specification's enumeration of fed-back symbols without ends: relative bias .43, cosine .90.
    """
    target = exact(game, DIVERGENCES[probability])
    hard, soft = (relaxed_gradient(game, 10.0, feeding, count=40_000) for feeding in (False, True))
    assert 0.35 < apart(hard, target) < 0.6
    assert 0.7 < float(hard @ target / hard.norm() / target.norm()) < 0.97
    ends = bool((game.lines == PADDING_ID).any())
    assert 0.3 < apart(soft, target) < 0.6 if ends else apart(soft, target) < 0.1
