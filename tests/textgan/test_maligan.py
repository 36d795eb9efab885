"""MaliGAN: the generator's move against a loop, large scores, and learning on an oracle."""

import math

import pytest
import torch
from torch import Tensor

from tests.helpers.runs import PRESETS
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from tests.helpers.tiny_lines import LENGTH, SYMBOLS, assert_loss, some_lines, tiny_networks, turn
from textgan.engine.game import Networks
from textgan.models.critics import TextCnn
from textgan.models.line_games import generator_of
from textgan.models.maligan import generator, phases

COUNT = 6


def networks() -> Networks:
    return tiny_networks(TextCnn(SYMBOLS, 3, ((1, 2), (2, 2))))


def plain_loss(players: Networks, reward: str = "odds", baseline: bool = True) -> Tensor:
    """The loss by a loop; wrong with the reward D, as in a port, or without the baseline."""
    model = generator_of(players)
    drawn = model.draw(COUNT, turn().random)
    probability = players.require_critic()(drawn).sigmoid().tolist()
    rewards = [d / (1 - d) if reward == "odds" else d for d in probability]
    log_probs = model(drawn).log_softmax(dim=-1)
    loss = torch.zeros((), dtype=torch.float64)
    for i, line in enumerate(drawn.tolist()):
        weight = rewards[i] / sum(rewards) - (1 / COUNT if baseline else 0)
        for t in range(line.index(0) + 1 if 0 in line else LENGTH):
            loss = loss - weight * log_probs[i, t, line[t]]
    return loss


def test_the_generator_maximises_the_likelihood_of_drawn_lines_by_their_odds() -> None:
    players = networks()
    wrong = [plain_loss(players, "probability"), plain_loss(players, baseline=False)]
    assert_loss(generator, players, some_lines(COUNT), plain_loss(players), wrong)


def test_mean_log_odds_and_effective_lines_are_logged() -> None:
    players = networks()
    drawn = generator_of(players).draw(COUNT, turn().random)
    odds = [d / (1 - d) for d in players.require_critic()(drawn).sigmoid().tolist()]
    logged = generator(players, some_lines(COUNT), turn())
    assert logged["reward"].item() == pytest.approx(sum(map(math.log, odds)) / COUNT, abs=1e-12)
    # Kish's effective sample size.
    assert logged["effective_lines"].item() == pytest.approx(sum(odds) ** 2 / sum(r * r for r in odds), rel=1e-12)


def test_large_scores_stay_finite() -> None:
    players = networks()
    critic = players.require_critic()
    assert isinstance(critic, TextCnn)
    with torch.no_grad():
        critic.to_score.weight.mul_(1e5)
        critic.to_score.bias.add_(1e5)
    logged = generator(players, some_lines(COUNT), turn())
    assert all(math.isfinite(value.item()) for value in logged.values())
    assert 1 <= logged["effective_lines"].item() <= COUNT


def test_it_learns_an_oracle_after_a_short_pretraining() -> None:
    oracle = an_oracle(0)
    trainer, lines = learner(
        PRESETS["maligan-words-ttur"], oracle, pretraining=20, critic_warm_up=30, pretraining_lr=5e-3,
        generator_lr=2e-3, critic_dim=32,
    )  # fmt: skip
    train_to(trainer, lines, 50)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 150)
    end = divergences(trainer.generator.network, oracle)
    # Falls of four oracles: 1.0, 2.0, 1.2, .64 nats per line; .12, .24, .11, .08.
    assert end.kl < start.kl - 0.3
    assert end.jsd < start.jsd - 0.04


def test_the_published_preset_makes_the_published_number_of_updates() -> None:
    last = phases(PRESETS["maligan-orig"], networks())[-1]
    assert last.iterations == 200
    assert last.counters(200, 64)["critic_updates"] == 200 * 3 * 312
    assert last.counters(200, 64)["generator_updates"] == 199 * 50
