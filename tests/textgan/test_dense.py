"""Dense rewards: the moves against loops over lines and prefixes, and learning on an oracle."""

import math

import pytest
import torch
from torch import Tensor

from tests.helpers.runs import PRESETS, assert_refused, config_of
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from tests.helpers.tiny_lines import LENGTH, SYMBOLS, assert_loss, gradients, some_lines, tiny_networks, turn
from textgan.engine.game import Networks
from textgan.models.critics import PrefixCritic
from textgan.models.dense import phases
from textgan.models.line_games import generator_of

COUNT = 7


def networks() -> Networks:
    return tiny_networks(PrefixCritic(SYMBOLS, dim=3))


def length(line: Tensor) -> int:
    """Symbols of a line and its end."""
    ids = line.tolist()
    return ids.index(0) + 1 if 0 in ids else len(ids)


def plain_loss(players: Networks, reward: str, gamma: float, padded: bool = False, own: bool = False) -> Tensor:
    """The loss by loops; wrong if padding is rewarded, or a line's own return is part of the baseline."""
    model = generator_of(players)
    drawn = model.draw(COUNT, turn().random)
    assert len({length(line) for line in drawn}) > 1
    probability = players.require_critic()(drawn).sigmoid().tolist()
    log_probs = model(drawn).log_softmax(dim=-1)
    sums = []
    for line, of_line in zip(drawn, probability, strict=True):
        end = LENGTH if padded else length(line)
        rewards = [2 * d - 1 if reward == "signed-probability" else math.log(d) for d in of_line[:end]]
        sums.append([sum(gamma ** (s - t) * rewards[s] for s in range(t, end)) for t in range(LENGTH)])
    loss = torch.zeros((), dtype=torch.float64)
    for i, line in enumerate(drawn):
        for t in range(length(line)):
            others = [sums[j][t] for j in range(COUNT) if own or j != i]
            loss = loss - log_probs[i, t, line[t]] * (sums[i][t] - sum(others) / len(others)) / COUNT
    return loss


@pytest.mark.parametrize(("reward", "gamma"), [("signed-probability", 0.23), ("log-probability", 0.95)])
def test_the_generator_follows_discounted_returns_over_the_other_lines(reward: str, gamma: float) -> None:
    players = networks()
    config = config_of(["--preset=scratchgan-words-ttur", f"--reward={reward}", f"--gamma={gamma}"])
    game = phases(config, players)[-1].game
    wrong = [plain_loss(players, reward, gamma, padded=True), plain_loss(players, reward, gamma, own=True)]
    wrong.append(plain_loss(players, reward, gamma / 2))
    assert_loss(game.generator, players, some_lines(COUNT), plain_loss(players, reward, gamma), wrong)


def test_the_critic_has_the_cross_entropy_of_every_prefix_up_to_the_ends() -> None:
    players, real = networks(), some_lines(COUNT)
    move = phases(config_of(["--preset=scratchgan-words-ttur"]), players)[-1].game.critic
    assert move is not None
    drawn = generator_of(players).draw(COUNT, turn().random)
    losses: dict[bool, list[Tensor]] = {True: [], False: []}
    padded, right = [], 0
    for is_real, lines in ((True, real), (False, drawn)):
        for line, logits in zip(lines, players.require_critic()(lines), strict=True):
            of_line = [-(logit if is_real else -logit).sigmoid().log() for logit in logits]
            losses[is_real] += of_line[: length(line)]
            padded += of_line
            right += sum((logit > 0).item() == is_real for logit in logits[: length(line)])
    count = {kind: len(each) for kind, each in losses.items()}
    assert count[True] != count[False]
    plain = 2 * torch.stack([*losses[True], *losses[False]]).mean()
    found = move(players, real, turn("critic"))
    assert torch.allclose(found["loss"], plain, rtol=0, atol=1e-12)
    assert found["accuracy"].item() == pytest.approx(right / sum(count.values()), abs=1e-7)
    ours = gradients(found["loss"], players.require_critic())
    assert torch.allclose(ours, gradients(plain, players.require_critic()), rtol=0, atol=1e-12)
    # Known to be wrong: a mean for each kind of line, or padding that counts.
    apart = torch.stack(losses[True]).mean() + torch.stack(losses[False]).mean()
    for wrong in (apart, 2 * torch.stack(padded).mean()):
        assert not torch.allclose(ours, gradients(wrong, players.require_critic()), atol=1e-3)


def test_the_mean_reward_is_logged_per_symbol() -> None:
    players = networks()
    move = phases(config_of(["--preset=scratchgan-words-ttur"]), players)[-1].game.generator
    drawn = generator_of(players).draw(COUNT, turn().random)
    probability = players.require_critic()(drawn).sigmoid().tolist()
    rewards = [2 * d - 1 for line, of_line in zip(drawn, probability, strict=True) for d in of_line[: length(line)]]
    logged = move(players, some_lines(COUNT), turn())["reward"].item()
    assert logged == pytest.approx(sum(rewards) / len(rewards), abs=1e-12)


def test_it_learns_an_oracle_from_random_weights() -> None:
    oracle = an_oracle(0)
    trainer, lines = learner(PRESETS["scratchgan-words-ttur"], oracle, generator_lr=2e-3)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 150)
    end = divergences(trainer.generator.network, oracle)
    # Falls of four oracles: 7.1, 7.0, 4.1, 3.6 nats per line; .31, .36, .23, .23.
    assert end.kl < start.kl - 2
    assert end.jsd < start.jsd - 0.1


def test_presets_begin_and_go_on_as_published() -> None:
    scratch, short = PRESETS["scratchgan-ttur"], PRESETS["falling-short-orig"]
    assert scratch.critic_lr / scratch.generator_lr == pytest.approx(97.8, abs=0.05)
    assert [phase.name for phase in phases(scratch, networks())] == ["adversarial"]
    assert [phase.name for phase in phases(short, networks())] == ["likelihood", "critic warm-up", "adversarial"]
    assert phases(short, networks())[-1].counters(11, 1)["critic_updates"] == 220
    control, ttur = PRESETS["scratchgan-words-control"], PRESETS["scratchgan-words-ttur"]
    assert control.generator_lr == control.critic_lr
    assert control.critic_lr**2 == pytest.approx(ttur.generator_lr * ttur.critic_lr)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--gamma=1.5", "--gamma 1.5: must be at least 0 and at most 1"),
        ("--batch-size=1", "--batch-size 1: must be at least 2"),
        ("--rule=consensus", "--rule consensus: needs gradients through samples, and symbols have none"),
        ("--rollouts=2", "--rollouts: not a setting of dense, the model of --preset scratchgan-words-ttur"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flag: str, message: str) -> None:
    assert_refused(["--preset=scratchgan-words-ttur", flag], message)
