"""The recurrent WGAN: rows and scores by loops over a GRU's equations, both moves, the curriculum, and learning."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data.errors import InputError
from data.oracle import own_oracle
from tests.helpers.runs import PRESETS, assert_refused, config_of
from tests.helpers.small_oracle import train_to
from tests.helpers.tiny_lines import LENGTH, SYMBOLS, gradients, some_lines, turn
from textgan.engine.game import Networks
from textgan.engine.phases import counters_at, phase_at
from textgan.engine.trainer import make_trainer
from textgan.models.common import initialise
from textgan.models.lines import LineModel, in_line
from textgan.models.rnn_wgan import Critic, Generator, RnnWganSettings, phases, recurrent_wgan
from textgan.models.rnn_wgan import networks as new_networks

COUNT, DIM, WEIGHT = 5, 3, 10.0


def networks() -> Networks:
    """Return tiny networks in float64, far from uniform."""
    players = Networks(Generator(SYMBOLS, LENGTH, DIM, 2.0).double(), Critic(SYMBOLS, DIM).double())
    random = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for network in (players.generator, players.require_critic()):
            for weight in network.parameters():
                weight.normal_(generator=random)
    return players


def hidden_after(gru: nn.Module, x: Tensor, h: Tensor) -> Tensor:
    """One step of a GRU (Cho et al. 2014) from its equations, x and h being vectors."""
    of = dict(gru.named_parameters())
    a_r, a_z, a_n = (of["weight_ih_l0"] @ x + of["bias_ih_l0"]).chunk(3)
    b_r, b_z, b_n = (of["weight_hh_l0"] @ h + of["bias_hh_l0"]).chunk(3)
    new = (a_n + (a_r + b_r).sigmoid() * b_n).tanh()
    kept = (a_z + b_z).sigmoid()
    return (1 - kept) * new + kept * h


def plain_score(critic: nn.Module, rows: Sequence[Tensor]) -> Tensor:
    assert isinstance(critic, Critic)
    h = torch.zeros(DIM, dtype=torch.float64)
    for row in rows:
        h = hidden_after(critic.gru, row @ critic.embedding.weight, h)
    return critic.to_score.weight[0] @ h + critic.to_score.bias[0]


def plain_rows(generator: nn.Module, noise: Tensor, length: int, feeding: str, line: Tensor) -> list[Tensor]:
    """Rows of one line; `feeding`: real symbols, rows themselves, or most likely symbols."""
    assert isinstance(generator, Generator)
    h, x, rows = noise, generator.embedding.weight[SYMBOLS], list[Tensor]()
    for t in range(length):
        h = hidden_after(generator.gru, x, h)
        rows.append((generator.to_symbols.weight @ h + generator.to_symbols.bias).softmax(dim=0))
        fed = {"real": one_hot(line[t]), "row": rows[-1], "likeliest": one_hot(rows[-1].argmax())}[feeding]
        x = fed @ generator.embedding.weight[:-1]
    return rows


def one_hot(symbol: Tensor) -> Tensor:
    return torch.eye(SYMBOLS, dtype=torch.float64)[symbol]


def plain_lines(
    players: Networks, real: Tensor, length: int, teacher: bool, wrong: str = ""
) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Real and generated rows of each line of a batch, cut to its length; `wrong` names a fault."""
    assert isinstance(players.generator, Generator)
    random = turn().random
    lengths = torch.randint(1, length + 1, (len(real),), generator=random).tolist()
    noise = players.generator.sample_noise(len(real), random)
    if wrong == "no lengths":
        lengths = [length] * len(real)
    pairs = []
    for z, line, n in zip(noise, real, lengths, strict=True):
        of_real = [one_hot(symbol) for symbol in line[:n]]
        feeding = "real" if teacher else "likeliest" if wrong == "argmax" else "row"
        fake = plain_rows(players.generator, z if wrong != "no noise" else 0 * z, n, feeding, line)
        pairs.append((of_real, [*of_real[:-1], fake[-1]] if teacher and wrong != "all rows" else fake))
    return pairs


@pytest.mark.parametrize("teacher", [True, False])
def test_the_generator_ascends_the_score_of_its_rows(teacher: bool) -> None:
    players, real = networks(), some_lines(COUNT)
    critic = players.require_critic()

    def plain(wrong: str = "") -> Tensor:
        scores = [plain_score(critic, fake) for _, fake in plain_lines(players, real, 3, teacher, wrong)]
        return -torch.stack(scores).mean()

    found = recurrent_wgan(3, WEIGHT, teacher).generator(players, real, turn())["loss"]
    ours = gradients(found, players.generator)
    assert found.item() == pytest.approx(plain().item(), abs=1e-12)
    assert torch.allclose(ours, gradients(plain(), players.generator), rtol=0, atol=1e-12)
    for fault in ("no lengths", "no noise", "all rows" if teacher else "argmax"):
        assert not torch.allclose(ours, gradients(plain(fault), players.generator), atol=1e-4), fault


@pytest.mark.parametrize("teacher", [True, False])
def test_the_critic_has_the_wasserstein_loss_and_a_penalty_per_line(teacher: bool) -> None:
    players, real = networks(), some_lines(COUNT)
    critic, move = players.require_critic(), recurrent_wgan(3, WEIGHT, teacher).critic
    assert move is not None
    random = turn().random  # the move draws lengths, noise, and then the places between real and generated rows
    torch.randint(1, 4, (COUNT,), generator=random)
    torch.randn(COUNT, DIM, generator=random, dtype=torch.float64)
    places = torch.rand(COUNT, generator=random, dtype=torch.float64)
    distance, penalties = [], []
    for (of_real, fake), place in zip(plain_lines(players, real, 3, teacher), places, strict=True):
        fake = [row.detach() for row in fake]
        distance.append(plain_score(critic, of_real) - plain_score(critic, fake))
        between = [(a + place * (b - a)).requires_grad_() for a, b in zip(of_real, fake, strict=True)]
        slopes = torch.autograd.grad(plain_score(critic, between), between, create_graph=True)
        penalties.append((torch.cat(slopes).norm() - 1) ** 2)
    wasserstein, penalty = torch.stack(distance).mean(), torch.stack(penalties).mean()
    found = move(players, real, turn("critic"))
    assert found["wasserstein"].item() == pytest.approx(wasserstein.item(), abs=1e-12)
    assert found["gradient_penalty"].item() == pytest.approx(penalty.item(), abs=1e-9)
    plain = WEIGHT * penalty - wasserstein
    ours = gradients(found["loss"], critic)
    assert torch.allclose(ours, gradients(plain, critic), rtol=0, atol=1e-8)
    assert not torch.allclose(ours, gradients(-wasserstein, critic), atol=1e-3)
    assert not gradients(found["loss"], players.generator).any()


def test_a_sample_has_most_likely_symbols_and_ends_at_its_first_padding() -> None:
    generator = networks().generator
    assert isinstance(generator, Generator)
    random = torch.Generator().manual_seed(1)
    ids = generator.sample(40, random)
    noise = generator.sample_noise(40, torch.Generator().manual_seed(1))
    assert noise.std().item() == pytest.approx(2, abs=0.4)
    for line, z in zip(ids, noise, strict=True):
        rows = plain_rows(generator, z, LENGTH, "likeliest", line)
        symbols = torch.stack(rows).argmax(dim=-1)
        assert torch.equal(line, symbols * in_line(symbols))
    assert len({tuple(line) for line in ids.tolist()}) > 3
    assert not isinstance(generator, LineModel)  # no exact scores


def test_the_curriculum_is_a_phase_per_length_and_symbols_beyond_it_do_not_matter() -> None:
    config = config_of(["--preset=rnn-wgan-chars-ttur", "--seq-len=4", "--curriculum=10", "--iterations=50"])
    played = phases(config, networks())
    assert [(phase.name, phase.iterations) for phase in played] == [
        ("length 1", 10), ("length 2", 10), ("length 3", 10), ("adversarial", 20),
    ]  # fmt: skip
    assert phase_at(played, 25) == (2, 5)
    # Iteration 0 of each phase updates the critic alone.
    assert counters_at(played, 50, 64)["generator_updates"] == 46
    assert counters_at(played, 50, 64)["critic_updates"] == 50
    real, players = torch.tensor([[1, 2, 3], [2, 3, 1]]), networks()
    for length, phase in enumerate(played[:2], 1):
        losses = []
        for position in range(3):
            changed = real.clone()
            changed[:, position] = 3 - changed[:, position]
            assert phase.game.critic is not None
            losses.append([phase.game.critic(players, ids, turn())["loss"].item() for ids in (real, changed)])
        assert [a != b for a, b in losses] == [position < length for position in range(3)]
    whole = config_of(["--preset=rnn-wgan-chars-ttur", "--curriculum=0"])
    assert [phase.name for phase in phases(whole, players)] == ["adversarial"]


def test_the_published_preset_has_the_published_updates() -> None:
    played = phases(PRESETS["rnn-wgan-orig"], networks())
    assert len(played) == 32
    assert played[0].counters(15_000, 64)["critic_updates"] == 150_000
    assert played[0].counters(15_001, 64)["generator_updates"] == 750_000


def test_initial_weights_of_a_gru_are_uniform() -> None:
    critic = Critic(5, 16)
    initialise(critic, torch.Generator().manual_seed(0))
    weights = torch.cat([weight.flatten() for weight in critic.gru.parameters()])
    assert weights.abs().max().item() == pytest.approx(0.25, abs=1e-3)
    assert weights.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.05)


def test_it_learns_an_oracle_without_maximum_likelihood() -> None:
    config = replace(
        PRESETS["rnn-wgan-chars-ttur"], seq_len=4, dim=16, curriculum=20, generator_lr=3e-3, critic_lr=1e-2,
        teacher_helping="off",
    )  # fmt: skip
    oracle = own_oracle(1, 6, 16)
    lines, held_out = (torch.from_numpy(oracle.draw(count, 4, seed=count) + 2) for count in (1000, 2000))
    players = new_networks(config, 8)
    random = torch.Generator().manual_seed(1)
    for network in (players.generator, players.require_critic()):
        initialise(network, random)
    trainer = make_trainer(config, phases(config, players), players, torch.device("cpu"))

    def far() -> float:
        sampler = trainer.generator.network
        assert isinstance(sampler, Generator)
        return distance(sampler.sample(2000, torch.Generator().manual_seed(1)), held_out)

    assert distance(lines, held_out) < 0.1
    start = far()
    train_to(trainer, lines, 100)
    # Oracles 0 to 3: from .88, .80, .79, .73 to .34, .39, .38, .42; uniform symbols have .56, .60, .70, .51.
    assert far() < start - 0.2


def distance(first: Tensor, second: Tensor) -> float:
    """Return the total variation distance of the pairs of adjacent symbols in lines."""
    pairs = [np.bincount((8 * ids[:, :-1] + ids[:, 1:]).flatten(), minlength=64) for ids in (first, second)]
    return float(np.abs(pairs[0] / pairs[0].sum() - pairs[1] / pairs[1].sum()).sum() / 2)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--curriculum=-1", "--curriculum -1: must be at least 0"),
        ("--noise-deviation=0", "--noise-deviation 0.0: must be positive"),
        ("--teacher-helping=maybe", "--teacher-helping 'maybe': choose from off, on"),
        ("--pretraining=5", "--pretraining: not a setting of rnn-wgan, the model of --preset rnn-wgan-chars-ttur"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flag: str, message: str) -> None:
    assert_refused(["--preset=rnn-wgan-chars-ttur", flag], message)


def test_a_budget_includes_the_curriculum() -> None:
    config = RnnWganSettings(seq_len=8, curriculum=20, iterations=140)
    with pytest.raises(InputError, match="--iterations 140: pretraining, warm-up and curriculum take 140; give more"):
        config.require_game()
    replace(config, iterations=141).require_game()
