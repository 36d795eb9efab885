"""DPGAN: both moves by loops, the critic's best response by enumeration, and learning on an oracle."""

import math

import pytest
import torch
from torch import Tensor

from data.errors import InputError
from tests.helpers.runs import PRESETS, config_of
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
from textgan.models.dpgan import dpgan, phases
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


def test_the_best_critic_makes_the_game_one_of_total_variation() -> None:
    """Lines of one symbol: a table M, both densities known; the loss of the best M against its closed form."""
    cap, g, d = 6.0, torch.tensor([0.5, 0.3, 0.15, 0.05]).double(), torch.tensor([0.1, 0.2, 0.3, 0.4]).double()

    def loss(log_m: Tensor) -> Tensor:
        return ((g - d) * (-log_m).clamp_max(cap)).sum()

    logits = torch.tensor([0.1, 0.0, -0.1, 0.2]).double().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        loss(logits.log_softmax(dim=0)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    excess = (g - d).clamp_min(0)
    total = excess.sum()
    best = excess / total
    closed = total * (-(best[best > 0] * best[best > 0].log()).sum() - cap)
    found = loss(logits.log_softmax(dim=0)).item()
    assert found == pytest.approx(closed.item(), abs=2 * SYMBOLS * math.exp(-cap))
    assert torch.allclose(logits.softmax(dim=0), best, atol=2 * SYMBOLS * math.exp(-cap))


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
    with pytest.raises(InputError) as error:
        config_of(["--preset=dpgan-words-ttur", flag])
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
