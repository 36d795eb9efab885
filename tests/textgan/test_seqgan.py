"""SeqGAN: values of prefixes by loops and by enumeration, the generator's move, and learning on an oracle."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.runs import PRESETS, assert_refused, config_of
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from tests.helpers.tiny_lines import (
    LENGTH,
    SYMBOLS,
    assert_loss,
    every_line,
    gradients,
    some_lines,
    tiny_networks,
    turn,
)
from textgan.engine.game import Networks
from textgan.models.critics import TextCnn
from textgan.models.estimators import probability
from textgan.models.line_games import generator_of, prefix_values
from textgan.models.line_settings import FILTERS
from textgan.models.seqgan import phases, seqgan

COUNT, ROLLOUTS = 5, 3
# In terms of D, as the paper and the issue write them.
REWARDS: dict[str, Callable[[float], float]] = {
    "probability": lambda d: d,
    "minus-log-fake": lambda d: -math.log(1 - d),
    "logit": lambda d: math.log(d / (1 - d)),
    "odds": lambda d: d / (1 - d),
}


def networks() -> Networks:
    return tiny_networks(TextCnn(SYMBOLS, 3, ((1, 2), (2, 2))))


def plain_loss(players: Networks, reward: Callable[[float], float], rollouts: int, wrong: str = "") -> Tensor:
    """The loss by loops over lines, prefixes and completions; `wrong` names a fault."""
    model, random = generator_of(players), turn().random
    drawn = model.draw(COUNT, random)

    def worth(line: Tensor) -> float:
        return reward(players.require_critic()(line.unsqueeze(0)).sigmoid().item())

    values = [[worth(line)] * LENGTH for line in drawn]
    if rollouts:
        completed = model.rollouts(drawn, rollouts, random)  # [L - 1, N, B, L]
        if wrong == "scrambled":  # rewards of shape [(L - 1) N B], viewed as if lines came first
            completed = completed.flatten(0, 2).view(COUNT, LENGTH - 1, rollouts, LENGTH).permute(1, 2, 0, 3)
        for i in range(COUNT):
            for t in range(LENGTH - 1):
                place = t + 1 if wrong == "shifted" else t
                values[i][place] = sum(worth(completed[t, n, i]) for n in range(rollouts)) / rollouts
    log_probs = model(drawn).log_softmax(dim=-1)
    loss = torch.zeros((), dtype=torch.float64)
    for i, line in enumerate(drawn.tolist()):
        for t in range(line.index(0) + 1 if 0 in line else LENGTH):
            baseline = sum(values[j][t] for j in range(COUNT) if j != i) / (COUNT - 1)
            if wrong == "no baseline":
                baseline = 0
            loss = loss - log_probs[i, t, line[t]] * (values[i][t] - baseline) / COUNT
    return loss


@pytest.mark.parametrize("reward", REWARDS)
def test_the_generator_follows_the_mean_reward_of_completions(reward: str) -> None:
    players = networks()
    config = config_of(["--preset=seqgan-words-ttur", f"--reward={reward}", f"--rollouts={ROLLOUTS}"])
    move = phases(config, players)[-1].game.generator
    faults = ("scrambled", "shifted", "no baseline")
    wrong = [plain_loss(players, REWARDS[reward], ROLLOUTS, fault) for fault in faults]
    wrong += [plain_loss(players, REWARDS[other], ROLLOUTS) for other in REWARDS if other != reward]
    assert_loss(move, players, some_lines(COUNT), plain_loss(players, REWARDS[reward], ROLLOUTS), wrong)


def test_without_completions_every_symbol_has_the_reward_of_the_line() -> None:
    players = networks()
    plain = plain_loss(players, REWARDS["probability"], 0)
    wrong = plain_loss(players, REWARDS["probability"], ROLLOUTS)
    assert_loss(seqgan(probability, 0).generator, players, some_lines(COUNT), plain, [wrong])


def test_the_mean_reward_of_drawn_lines_is_logged() -> None:
    players = networks()
    drawn = generator_of(players).draw(COUNT, turn().random)
    rewards = players.require_critic()(drawn).sigmoid()
    logged = seqgan(probability, ROLLOUTS).generator(players, some_lines(COUNT), turn())["reward"]
    assert logged.item() == pytest.approx(rewards.mean().item(), abs=1e-12)


def test_values_tend_to_the_expected_reward_given_the_prefix() -> None:
    players, rollouts = networks(), 4000
    model, critic, every = generator_of(players), players.require_critic(), every_line()
    with torch.no_grad():
        chance = model.log_probs(every).sum(dim=1).exp()
        rewards = critic(every).sigmoid()
    assert chance.sum().item() == pytest.approx(1, abs=1e-12)
    drawn = torch.tensor([[1, 2, 3], [3, 1, 0], [2, 0, 0], [2, 3, 2]])
    values = prefix_values(
        model, lambda lines: critic(lines).sigmoid(), drawn, rollouts, torch.Generator().manual_seed(0)
    )

    def expected(prefix: Tensor) -> tuple[float, float]:
        among = (every[:, : len(prefix)] == prefix).all(dim=1)
        share = chance[among] / chance[among].sum()
        mean = (share * rewards[among]).sum()
        return mean.item(), ((share * (rewards[among] - mean).square()).sum() / rollouts).sqrt().item()

    shifted = []
    for line, of_line in zip(drawn, values.tolist(), strict=True):
        for t, value in enumerate(of_line):
            mean, error = expected(line[: t + 1])
            assert abs(value - mean) <= 4 * error + 1e-12
            if t:
                mean, error = expected(line[:t])  # known to be wrong: the value of the symbols before
                shifted.append(abs(value - mean) > 4 * error)
    assert any(shifted)


def test_the_critic_has_the_cross_entropy_of_lines() -> None:
    players, real = networks(), some_lines(COUNT)
    move = seqgan(probability, 1).critic
    assert move is not None
    drawn = generator_of(players).draw(COUNT, turn().random)
    critic = players.require_critic()
    plain = nn.functional.binary_cross_entropy_with_logits(critic(real), torch.ones(COUNT, dtype=torch.float64))
    plain = plain + nn.functional.binary_cross_entropy(critic(drawn).sigmoid(), torch.zeros(COUNT, dtype=torch.float64))
    found = move(players, real, turn("critic"))
    assert torch.allclose(found["loss"], plain, rtol=0, atol=1e-12)
    assert torch.allclose(gradients(found["loss"], critic), gradients(plain, critic), rtol=0, atol=1e-12)
    right = (critic(real) > 0).sum() + (critic(drawn) < 0).sum()
    assert found["accuracy"].item() == pytest.approx(right.item() / (2 * COUNT), abs=1e-7)


def test_it_learns_an_oracle_after_a_short_pretraining() -> None:
    oracle = an_oracle(0)
    trainer, lines = learner(
        PRESETS["seqgan-words-ttur"], oracle, pretraining=20, critic_warm_up=30, pretraining_lr=5e-3,
        generator_lr=2e-3, critic_dim=32,
    )  # fmt: skip
    train_to(trainer, lines, 50)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 130)
    end = divergences(trainer.generator.network, oracle)
    # Falls of four seeds: 1.0, 1.1, 1.3, 1.1 nats per line; .13, .11, .08, .11.
    assert end.kl < start.kl - 0.4
    assert end.jsd < start.jsd - 0.04


def test_the_published_preset_makes_the_published_number_of_updates() -> None:
    last = phases(PRESETS["seqgan-orig"], networks())[-1]
    assert last.iterations == 200
    assert last.counters(200, 64)["critic_updates"] == 200 * 15 * 312
    assert sum(count for _, count in FILTERS["seqgan"]) == 1720


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--rollouts=-1", "--rollouts -1: must be at least 0"),
        ("--batch-size=1", "--batch-size 1: must be at least 2"),
        ("--rule=symplectic", "--rule symplectic: needs gradients through samples, and symbols have none"),
        ("--gamma=.5", "--gamma: not a setting of seqgan, the model of --preset seqgan-words-ttur"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flag: str, message: str) -> None:
    assert_refused(["--preset=seqgan-words-ttur", flag], message)
