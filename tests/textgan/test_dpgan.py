"""DPGAN: both moves by loops, the critic's best response in closed form, and learning on an oracle."""

import math

import pytest
import torch
from torch import Tensor

from tests.helpers.runs import PRESETS, assert_refused, config_of
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from tests.helpers.tiny_lines import LENGTH, SYMBOLS, assert_loss, gradients, some_lines, tiny_networks, turn
from textgan.engine.game import Networks
from textgan.models.common import initialise
from textgan.models.dpgan import dpgan, phases, surprise
from textgan.models.line_games import generator_of
from textgan.models.lines import LineModel

COUNT, CAP = 6, 2.0


def networks() -> Networks:
    """Return tiny networks; some rewards of the critic are above the cap."""
    players = tiny_networks(LineModel(SYMBOLS, LENGTH, dim=3))
    with torch.no_grad():
        for weight in players.require_critic().parameters():
            weight.mul_(4)
    return players


def length_of(line: Tensor) -> int:
    """Symbols of a line, its end included."""
    return [*line.tolist(), 0].index(0) + 1 if 0 in line else LENGTH


def rewards_of(players: Networks, line: Tensor, cap: float) -> list[Tensor]:
    """The reward of each symbol of a line, and of its end."""
    chances = players.require_critic()(line.unsqueeze(0))[0].softmax(dim=-1)
    rewards = [-chances[t, line[t]].log() for t in range(length_of(line))]
    return [reward if reward < cap else torch.tensor(cap) for reward in rewards]


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack([value.double() for value in values]).mean()


def plain_generator(players: Networks, wrong: str = "") -> Tensor:
    """The generator's loss by loops over lines and symbols; `wrong` names a fault."""
    model = generator_of(players)
    drawn = model.draw(COUNT, turn().random)
    if wrong == "argmax":  # the likeliest symbols along real lines
        drawn = model(some_lines(COUNT)).argmax(dim=-1)
    rewards = [[each.item() for each in rewards_of(players, line, 99 if wrong == "no cap" else CAP)] for line in drawn]
    values = [[0.0] * LENGTH for _ in drawn]
    for i, of_line in enumerate(rewards):
        for t in range(len(of_line)):
            later = of_line[t : t + 1] if wrong == "no returns" else of_line[t:]
            whole = 1 if wrong == "words alone" else sum(of_line) / (LENGTH if wrong == "padding" else len(of_line))
            values[i][t] = whole * sum(later)
    log_probs = model(drawn).log_softmax(dim=-1)
    loss = torch.zeros((), dtype=torch.float64)
    for i, line in enumerate(drawn):
        for t in range(length_of(line)):
            baseline = sum(values[j][t] for j in range(COUNT) if j != i) / (COUNT - 1)
            loss = loss - log_probs[i, t, line[t]] * (values[i][t] - baseline) / COUNT
    return loss


def test_a_symbol_is_worth_the_later_surprise_times_the_mean_surprise_of_its_line() -> None:
    players = networks()
    drawn = generator_of(players).draw(COUNT, turn().random)
    rewards = [rewards_of(players, line, CAP) for line in drawn]
    assert any(len(of_line) < LENGTH for of_line in rewards)
    assert {CAP} < {each.item() for of_line in rewards for each in of_line}  # some rewards are cut, others are not
    config = config_of(["--preset=dpgan-words-ttur", f"--cap={CAP}"])
    move = phases(config, players)[-1].game.generator
    wrong = [plain_generator(players, fault) for fault in ("argmax", "no cap", "no returns", "words alone", "padding")]
    assert_loss(move, players, some_lines(COUNT), plain_generator(players), [*wrong, -plain_generator(players)])
    logged = move(players, some_lines(COUNT), turn())["reward"]
    assert logged.item() == pytest.approx(mean([mean(of_line) for of_line in rewards]).item(), abs=1e-12)


def test_the_critic_learns_drawn_lines_and_unlearns_real_ones_up_to_the_cap() -> None:
    players, real = networks(), some_lines(COUNT)
    drawn = generator_of(players).draw(COUNT, turn("critic").random)
    move = dpgan(CAP).critic
    assert move is not None
    found = move(players, real, turn("critic"))["loss"]

    def plain(cap: float) -> Tensor:
        of_drawn, of_real = (
            mean([mean(rewards_of(players, line, cap)) for line in lines]) for lines in (drawn, real)
        )  # fmt: skip
        return of_drawn - of_real

    critic = players.require_critic()
    assert found.item() == pytest.approx(plain(CAP).item(), abs=1e-12)
    assert torch.allclose(gradients(found, critic), gradients(plain(CAP), critic), rtol=0, atol=1e-12)
    for wrong in (plain(99.0), -plain(CAP)):
        assert not torch.allclose(gradients(found, critic), gradients(wrong, critic), atol=1e-3)
    assert not gradients(found, players.generator).any()


def test_against_the_best_critic_the_loss_is_a_multiple_of_the_total_variation() -> None:
    cap, symbols = 6.0, torch.arange(SYMBOLS).unsqueeze(1)  # lines of one symbol, each with its densities g and d
    g, d = torch.tensor([0.5, 0.3, 0.15, 0.05]).double(), torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
    critic = LineModel(SYMBOLS, 1, dim=3).double()
    initialise(critic, torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(critic.parameters(), lr=0.1)

    def loss() -> Tensor:
        return (g - d) @ surprise(critic, symbols, cap)[1]

    for _ in range(100):
        optimiser.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    best = torch.tensor([0.8, 0.2]).double()  # max(g - d, 0) over its sum, the total variation distance of 0.5
    rest = SYMBOLS * math.exp(-cap)  # probability left to symbols above the cap
    assert torch.allclose(critic.log_probs(symbols).exp()[:2, 0], best, atol=rest)
    assert loss().item() == pytest.approx(0.5 * (-(best * best.log()).sum().item() - cap), abs=rest)


def test_it_learns_an_oracle_after_a_short_pretraining() -> None:
    oracle = an_oracle(0)
    # The cap is above ln 22, as the default is above the logarithms of vocabularies of words.
    trainer, lines = learner(
        PRESETS["dpgan-words-ttur"], oracle, pretraining=8, critic_warm_up=30, pretraining_lr=5e-3, generator_lr=1e-3,
        critic_lr=3e-3, cap=5.0, beta1=0.5,
    )  # fmt: skip
    train_to(trainer, lines, 38)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 58)
    end = divergences(trainer.generator.network, oracle)
    # Falls of four seeds: 1.6, 1.4, 0.9, 0.9 nats per line; .05, .03, .04, .04.
    assert end.kl < start.kl - 0.5
    assert end.jsd < start.jsd - 0.015


def test_the_published_preset_makes_the_published_number_of_updates() -> None:
    last = phases(PRESETS["dpgan-orig"], networks())[-1]
    assert last.iterations == 200
    assert last.counters(200, 64)["critic_updates"] == 200 * 8 * 156


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--cap=0", "--cap 0.0: must be positive"),
        ("--batch-size=1", "--batch-size 1: must be at least 2"),
        ("--reward=logit", "--reward: not a setting of dpgan, the model of --preset dpgan-words-ttur"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flag: str, message: str) -> None:
    assert_refused(["--preset=dpgan-words-ttur", flag], message)
