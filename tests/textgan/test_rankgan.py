"""RankGAN: log ranks by loops and in closed form, both moves against slow ones, and learning on an oracle."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tests.helpers.runs import PRESETS, assert_refused
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from tests.helpers.tiny_lines import (
    LENGTH,
    SYMBOLS,
    assert_loss,
    gradients,
    some_lines,
    tiny_networks,
    turn,
)
from textgan.engine.game import Networks
from textgan.models.critics import CnnFeatures
from textgan.models.line_games import generator_of
from textgan.models.rankgan import log_ranks, rankgan

COUNT, REFERENCES, ROLLOUTS, SCALE = 6, 2, 3, 4.0
REAL = some_lines(COUNT)
GAME = rankgan(REFERENCES, SCALE, ROLLOUTS)


def players() -> Networks:
    return tiny_networks(CnnFeatures(SYMBOLS, 3, ((1, 3), (2, 3))))


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()


def slow_log_rank(line: Tensor, others: Sequence[Tensor], references: Sequence[Tensor], wrong: str = "") -> Tensor:
    """The log rank of features by loops; `wrong` names a fault."""
    logs, scale = [], 1 if wrong == "unscaled" else SCALE
    for u in references:
        near = torch.stack([scale * cosine(each, u) for each in (line, *others)])
        logs.append(near[0] - near[wrong == "line left out" :].exp().sum().log())
    return torch.stack(logs).exp().mean().log() if wrong == "mean before log" else torch.stack(logs).mean()


def test_a_line_like_the_others_has_the_rank_of_chance() -> None:
    features = torch.tensor([[3.0, 4.0], [0.6, 0.8], [6.0, 8.0]], dtype=torch.float64)
    references = torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    ranks = log_ranks(features[:1], features[1:], references, SCALE)
    assert ranks.item() == pytest.approx(-math.log(3), abs=1e-12)
    # A line along the only reference among two at right angles to it; a line of no feature has the cosine 0.
    axes = torch.eye(2, dtype=torch.float64)
    near = log_ranks(axes[:1], axes[1:].expand(2, 2), axes[:1], SCALE)
    assert near.item() == pytest.approx(SCALE - math.log(math.exp(SCALE) + 2), abs=1e-12)
    empty = log_ranks(torch.zeros_like(axes[:1]), axes[1:].expand(2, 2), axes[:1], SCALE)
    assert empty.item() == pytest.approx(-math.log(3), abs=1e-12)


def slow_generator_loss(made: Networks, wrong: str = "") -> Tensor:
    """The generator's loss by loops over lines, prefixes and completions."""
    model, random, critic = generator_of(made), turn().random, made.require_critic()
    drawn = model.draw(COUNT, random)
    completed = model.rollouts(drawn, ROLLOUTS, random)  # [L - 1, N, B, L]
    with torch.no_grad():
        references, others = critic(REAL[:REFERENCES]), list(critic(REAL[REFERENCES:]))
        if wrong == "among drawn lines":
            others = list(critic(drawn))

        def worth(line: Tensor) -> float:
            return slow_log_rank(critic(line.unsqueeze(0))[0], others, references, wrong).item()

        values = [[worth(line)] * LENGTH for line in drawn]
        for i in range(COUNT):
            for t in range(LENGTH - 1):
                values[i][t] = sum(worth(completed[t, n, i]) for n in range(ROLLOUTS)) / ROLLOUTS
    log_probs = model(drawn).log_softmax(dim=-1)
    loss = torch.zeros((), dtype=torch.float64)
    for i, line in enumerate(drawn.tolist()):
        for t in range(line.index(0) + 1 if 0 in line else LENGTH):
            baseline = sum(values[j][t] for j in range(COUNT) if j != i) / (COUNT - 1)
            loss = loss - log_probs[i, t, line[t]] * (values[i][t] - baseline) / COUNT
    return loss


def test_the_generator_follows_the_log_rank_among_real_lines() -> None:
    made = players()
    faults = ("line left out", "unscaled", "mean before log", "among drawn lines")
    wrong = [slow_generator_loss(made, fault) for fault in faults]
    assert_loss(GAME.generator, made, REAL, slow_generator_loss(made), wrong)


def slow_critic(made: Networks, wrong: str = "") -> dict[str, Tensor]:
    """The critic's loss and accuracy by loops over lines."""
    critic = made.require_critic()
    drawn = list(critic(generator_of(made).draw(COUNT - REFERENCES, turn().random)))
    references, real = list(critic(REAL[:REFERENCES])), list(critic(REAL[REFERENCES:]))
    if wrong == "among all lines":  # one softmax over the batch, as in a port
        both = real + drawn
        ranks = [slow_log_rank(line, [other for other in both if other is not line], references) for line in both]
        of_real, of_drawn = ranks[: len(real)], ranks[len(real) :]
    else:
        of_real = [slow_log_rank(line, drawn, references, wrong) for line in real]
        of_drawn = [slow_log_rank(line, real, references, wrong) for line in drawn]
    right = [float(a > b) for a, b in zip(of_real, of_drawn, strict=True)]
    loss = torch.stack(of_drawn).mean() - torch.stack(of_real).mean()
    return {"loss": -loss if wrong == "sign" else loss, "accuracy": torch.tensor(right).mean()}


def test_the_critic_separates_log_ranks_of_real_and_drawn_lines() -> None:
    made = players()
    assert GAME.critic is not None
    found, plain = GAME.critic(made, REAL, turn("critic")), slow_critic(made)
    assert found["loss"].item() == pytest.approx(plain["loss"].item(), abs=1e-12)
    assert found["accuracy"].item() == plain["accuracy"].item()
    critic = made.require_critic()
    ours = gradients(found["loss"], critic)
    assert torch.allclose(ours, gradients(plain["loss"], critic), rtol=0, atol=1e-12)
    for fault in ("line left out", "unscaled", "mean before log", "among all lines", "sign"):
        assert not torch.allclose(ours, gradients(slow_critic(made, fault)["loss"], critic), atol=1e-3), fault
    # No weight of the critic is left out of the loss.
    assert all(weight.any() for weight in torch.autograd.grad(found["loss"], list(critic.parameters())))


def test_it_learns_an_oracle_after_a_short_pretraining() -> None:
    oracle = an_oracle(0)
    trainer, lines = learner(
        PRESETS["rankgan-words-ttur"], oracle, pretraining=5, critic_warm_up=30, pretraining_lr=5e-3, critic_dim=32,
    )  # fmt: skip
    train_to(trainer, lines, 35)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 75)
    end = divergences(trainer.generator.network, oracle)
    # Falls of seeds 0 to 3: 3.5, 2.3, 1.8, 1.5 nats per line; .07, .03, .07, .05. Later the divergences swing.
    assert end.kl < start.kl - 1
    assert end.jsd < start.jsd - 0.02


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--references=0", "--references 0: must be at least 1"),
        ("--references=64", "--references 64: must be smaller than --batch-size 64"),
        ("--rank-scale=0", "--rank-scale 0.0: must be positive"),
        ("--reward=odds", "--reward: not a setting of rankgan, the model of --preset rankgan-words-ttur"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flag: str, message: str) -> None:
    assert_refused(["--preset=rankgan-words-ttur", flag], message)
