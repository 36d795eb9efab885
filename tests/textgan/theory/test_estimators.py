"""Closed forms of variances against enumerations of batches, and the table of estimators."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.estimators import DIVERGENCES, apart, density, exact, reinforced, table_of, whole
from textgan.models.estimators import importance, probability
from textgan.theory import moments
from textgan.theory.enumeration import (
    Enumeration,
    best_critic,
    completions,
    divergence_gradient,
    drawn_log_probs,
    enumeration,
    gradients,
    kl,
    prefix_probabilities,
    scores,
)
from textgan.theory.estimators import main
from textgan.theory.moments import Estimate, completion_variance, of_batches, of_pairs, of_relaxed


@pytest.fixture(scope="module")
def game() -> Enumeration:
    """Return the 15 lines of at most three symbols, of which one ends the line."""
    return enumeration(seq_len=3, ends=True)


def enumerated(chances: Tensor, found: Tensor, batch: int) -> Estimate:
    """Return mean and variance of gradients [n, P] of batches with probabilities [n]."""
    mean = chances @ found
    return Estimate(mean, float(batch * chances @ (found - mean).square().sum(dim=1)))


def batches(game: Enumeration, batch: int) -> tuple[Tensor, Tensor]:
    """Return all batches of lines, and their probabilities."""
    chances = density(table_of(game.generator), game.lines)
    numbers = torch.cartesian_prod(*[torch.arange(len(chances))] * batch)
    return numbers, chances[numbers].prod(dim=1)


@pytest.mark.parametrize("batch", [2, 3])
def test_pairs_give_the_variance_of_every_batch(game: Enumeration, batch: int) -> None:
    numbers, chances = batches(game, batch)
    loss = reinforced(game, whole(game, probability))
    right = enumerated(chances, gradients(game, loss, numbers), batch)
    found = of_pairs(game, loss, game.probabilities, batch)
    assert apart(found.mean, right.mean) < 1e-12
    assert found.variance == pytest.approx(right.variance, rel=1e-12)
    assert of_pairs(game, loss, game.probabilities, batch + 1).variance < 0.99 * right.variance


def test_one_completion_per_prefix_adds_its_variance(game: Enumeration) -> None:
    """Lines with a completion after one symbol and another after two are enumerated as states, and pairs of states."""
    rewards, chances = whole(game, probability)[:, 0], density(table_of(game.generator), game.lines)
    states, weights = [], []
    for n, line in enumerate(game.lines):
        shared = [chances * (game.lines[:, :t] == line[:t]).all(dim=1) for t in (1, 2)]
        for first in shared[0].nonzero()[:, 0]:
            for second in shared[1].nonzero()[:, 0]:
                states.append((n, int(first), int(second)))
                weights.append(chances[n] * shared[0][first] / shared[0].sum() * shared[1][second] / shared[1].sum())
    line, first, second = torch.tensor(states).T
    chance = torch.stack(weights)
    assert float(chance.sum()) == pytest.approx(1)
    slopes, values = scores(game)[line], rewards[torch.stack([first, second, line], dim=1)]
    # A batch of 2: half of the product of the differences of values and scores, position by position
    mean, spread = torch.zeros(slopes.shape[-1], dtype=torch.float64), 0.0
    for n, weight in enumerate(chance):
        found = -torch.einsum("kt,ktp->kp", values[n] - values, slopes[n] - slopes) / 2
        mean += weight * (chance @ found)
        spread += float(weight * (chance @ found.square().sum(dim=1)))
    right = 2 * (spread - float(mean.square().sum()))
    exact_values = of_pairs(game, reinforced(game, completions(game, rewards)), game.probabilities, 2)
    assert apart(exact_values.mean, mean) < 1e-12
    found_variance = exact_values.variance + completion_variance(game, rewards, batch=2)
    assert found_variance == pytest.approx(right, rel=1e-12)
    assert exact_values.variance < 0.9 * right


def test_sampled_batches_have_the_moments_of_all_batches(game: Enumeration) -> None:
    numbers, chances = batches(game, 3)
    logits = best_critic(game)[:, -1]

    def loss(log_probs: Tensor, n: Tensor) -> Tensor:
        return -(importance(logits[n]) * drawn_log_probs(log_probs, game.lines[n]).sum(dim=1)).sum()

    right = enumerated(chances, gradients(game, loss, numbers), 3)
    found = of_batches(game, importance, logits, game.probabilities, batch=3)
    error = float((right.variance / found.samples) ** 0.5 / right.mean.norm())
    assert apart(found.mean, right.mean) < 3 * error < 0.05
    assert found.variance == pytest.approx(right.variance, rel=0.03)


@pytest.mark.parametrize("soft", [False, True])
def test_gradients_of_relaxed_lines_are_autograd(
    game: Enumeration, soft: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "RELAXED", 4)
    monkeypatch.setattr(moments, "_AT_ONCE", 4)
    rewards = whole(game, probability)[:, 0]
    rows = game.generator.relaxed(4, torch.Generator().manual_seed(0), 3.0, soft)
    chances = torch.stack([rows[:, range(3), line].prod(dim=1) for line in game.lines.tolist()], dim=1)
    table = game.generator.to_symbols.weight
    right = torch.stack(
        [torch.autograd.grad(-value, table, retain_graph=True)[0].flatten() for value in chances @ rewards]
    )
    found = of_relaxed(game, rewards, 3.0, soft)
    torch.testing.assert_close(found.mean, right.mean(dim=0), rtol=1e-12, atol=1e-15)
    assert found.variance == pytest.approx(np.trace(np.cov(right.numpy().T)), rel=1e-12)


def test_exact_gradients_are_independent_of_the_implementation(game: Enumeration) -> None:
    divergence: Callable[[Tensor, Tensor], Tensor] = lambda g, d: kl(d, (g + d) / 2)  # noqa: E731
    assert apart(divergence_gradient(game, divergence), exact(game, DIVERGENCES[probability])) < 1e-12


def test_prefixes_are_counted_once() -> None:
    """Symbols 0 (end), 1: lines 00, 10, 11; prefixes 0, 1, 10, 11."""
    lines = torch.tensor([[0, 0], [1, 0], [1, 1]])
    found = prefix_probabilities(lines, torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64))
    np.testing.assert_allclose(found, [0.2, 0.8, 0.3, 0.5], rtol=1e-15)


def test_the_command_prints_bias_and_variance(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of the page; in the specification another table gives .43 for RelGAN, and 1.32 for CoT's norm."""
    monkeypatch.setattr(moments, "BATCHES", 1 << 12)
    monkeypatch.setattr(moments, "RELAXED", 1 << 14)
    assert main(["--json"]) == 0
    rows = {row["estimator"]: row for row in json.loads(capsys.readouterr().out)}
    relaxed = {name for name in rows if name.startswith(("RelGAN", "GSGAN"))}
    assert {name for name, row in rows.items() if row["error"] > 0} == {"MaliGAN", "JSDGAN", *relaxed}
    biased = {"MaliGAN", "dense D, gamma 0.95", "dense D, gamma 0.23", "CoT", "JSDGAN"}
    assert {name for name, row in rows.items() if row["bias"] > 1e-12} - relaxed == biased

    def column(key: str, *names: str) -> list[float]:
        return [rows[name][key] for name in names]

    variances = column(
        "variance", "D, without a baseline", "D", "D, 1 completion", "D, 16 completions", "D, all completions",
        "D/(1 - D)", "dense D, gamma 1", "CoT", "CoT, prefix gradient",
    )  # fmt: skip
    assert variances == pytest.approx([31.3, 18.0, 18.0, 13.1, 12.8, 73.1, 8.14, 0.554, 2.98], rel=0.005)
    assert column("norm", "CoT", "dense D, gamma 0.23") == pytest.approx([1.316, 0.506], abs=0.001)
    assert column("cosine", "CoT", "dense D, gamma 0.23") == pytest.approx([0.978, 0.983], abs=0.001)
    assert column("bias", "MaliGAN", "RelGAN, beta 1", "RelGAN, beta 5") == pytest.approx([0.17, 0.44, 0.43], abs=0.05)
    assert rows["MaliGAN"]["variance"] == pytest.approx(36, rel=0.05)
    assert column("variance", "RelGAN, beta 5", "GSGAN, beta 5") == pytest.approx([16, 29], rel=0.15)
    assert rows["RelGAN, beta 100"]["variance"] > 200
    assert rows["GSGAN, beta 100"]["variance"] > 1000
