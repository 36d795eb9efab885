"""RelGAN and GSGAN: moves against slow ones, gradients against finite differences, growth of beta, learning."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from data.errors import InputError
from tests.helpers.runs import PRESETS, config_of
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from tests.helpers.tiny_lines import LENGTH, SYMBOLS, gradients, some_lines, tiny_networks, turn
from textgan.engine.game import Game, Networks
from textgan.engine.losses import NON_SATURATING, RELATIVISTIC
from textgan.engine.updates import Turn
from textgan.models.critics import TextCnn
from textgan.models.line_games import generator_of
from textgan.models.relgan import geometric, inverse_temperature, networks, phases, relaxed_game

COUNT, BETA = 8, 2.0
REAL = some_lines(COUNT)
GAMES = {
    "relgan": relaxed_game(RELATIVISTIC, False, lambda _: BETA),
    "gsgan": relaxed_game(NON_SATURATING, True, lambda _: BETA),
}


def players() -> Networks:
    return tiny_networks(TextCnn(SYMBOLS, 6, ((2, 4), (3, 4)), representations=2), seed=5)


def slow_rows(made: Networks, soft: bool, endless: bool = False) -> Tensor:
    """Relaxed lines one by one, with an LSTM written out; `endless` lines have symbols after their end."""
    w, random = dict(made.generator.named_parameters()), turn().random
    noise = torch.stack([torch.rand(COUNT, SYMBOLS, generator=random, dtype=torch.float64) for _ in range(LENGTH)])
    lines = []
    for u in noise.transpose(0, 1):
        h = c = torch.zeros_like(w["embedding.weight"][0])
        fed, ended, rows = w["embedding.weight"][SYMBOLS], False, []
        for t in range(LENGTH):
            gates = w["body.lstm.weight_ih_l0"] @ fed + w["body.lstm.bias_ih_l0"]
            gates = gates + w["body.lstm.weight_hh_l0"] @ h + w["body.lstm.bias_hh_l0"]
            i, f, g, o = gates.chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            powers = (BETA * (w["to_symbols.weight"] @ h + w["to_symbols.bias"] - (-u[t].log()).log())).exp()
            row = torch.eye(SYMBOLS, dtype=torch.float64)[0] if ended else powers / powers.sum()
            symbol = int(row.argmax())
            mixed = torch.stack([row[v] * w["embedding.weight"][v] for v in range(SYMBOLS)]).sum(dim=0)
            fed = mixed if soft else w["embedding.weight"][symbol]
            ended = (ended or symbol == 0) and not endless
            rows.append(row)
        lines.append(torch.stack(rows))
    return torch.stack(lines)


def slow_losses(made: Networks, model: str, soft: bool, endless: bool = False) -> Mapping[str, Tensor]:
    """Return the losses of both players, pair by pair of a real line and a relaxed one."""
    critic = made.require_critic()
    real_lines = torch.eye(SYMBOLS, dtype=torch.float64)[REAL]
    losses = []
    for x, y in zip(critic(real_lines), critic(slow_rows(made, soft, endless)), strict=True):
        if model == "relgan":
            losses.append(torch.stack([-(y - x).sigmoid().log(), -(x - y).sigmoid().log()]))
        else:
            losses.append(torch.stack([-y.sigmoid().log(), -x.sigmoid().log() - (1 - y.sigmoid()).log()]))
    generator, of_critic = torch.stack(losses).mean(dim=0)
    return {"generator": generator, "critic": of_critic}


@pytest.mark.parametrize("model", ["relgan", "gsgan"])
def test_moves_equal_slow_ones(model: str) -> None:
    made, soft, game = players(), model == "gsgan", GAMES[model]
    assert game.critic is not None
    expected = slow_losses(made, model, soft)
    other_loss = slow_losses(made, "gsgan" if model == "relgan" else "relgan", soft)
    wrong_ones = [other_loss, slow_losses(made, model, not soft), slow_losses(made, model, soft, endless=True)]
    moves = {"generator": (game.generator, made.generator), "critic": (game.critic, made.require_critic())}
    for name, (move, network) in moves.items():
        loss = move(made, REAL, turn())["loss"]
        assert loss.item() == pytest.approx(expected[name].item(), abs=1e-12)
        ours = gradients(loss, network)
        assert torch.allclose(ours, gradients(expected[name], network), rtol=0, atol=1e-12)
        for wrong in wrong_ones:
            assert not torch.allclose(ours, gradients(wrong[name], network), atol=1e-3)


def slope(made: Networks, direction: list[Tensor], step: float, function: Callable[[], Tensor]) -> Tensor:
    """Return the central difference of a function along a direction of the generator's weights."""

    def value_after(move: float) -> Tensor:
        with torch.no_grad():
            for weight, change in zip(made.generator.parameters(), direction, strict=True):
                weight.add_(change, alpha=move)
            return function()

    difference = value_after(step) - value_after(-2 * step)
    value_after(step)
    return difference / (2 * step)


def a_direction(made: Networks, seed: int) -> tuple[list[Tensor], Tensor]:
    """Return a direction of the generator's weights, as tensors and as one vector."""
    random = torch.Generator().manual_seed(seed)
    parts = [torch.randn(w.shape, generator=random, dtype=w.dtype) for w in made.generator.parameters()]
    return parts, torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("model", ["relgan", "gsgan"])
def test_gradients_are_finite_differences_at_fixed_noise(model: str) -> None:
    made = players()
    for seed in range(3):
        direction, along = a_direction(made, seed)
        estimated = slope(made, direction, 1e-6, lambda: GAMES[model].generator(made, REAL, turn())["loss"]).item()
        for name, game in GAMES.items():
            ours = gradients(game.generator(made, REAL, turn())["loss"], made.generator) @ along
            assert (ours.item() == pytest.approx(estimated, rel=1e-6)) == (name == model)


def test_the_mean_gradient_is_exact_by_soft_feeding_and_biased_by_hard_feeding() -> None:
    count, made = 40_000, players()
    model, critic = generator_of(made), made.require_critic()
    with torch.no_grad():
        model.to_symbols.bias[0] = -50.0  # lines have no end
        model.embedding.weight.mul_(10)  # symbols depend much on the symbols before them
    direction, along = a_direction(made, 5)

    def scores(soft: bool) -> Tensor:
        rows: Tensor = critic(model.relaxed(count, turn().random, 1.0, soft))
        return rows

    off = {}
    for soft in (True, False):
        by_draw = slope(made, direction, 0.02, partial(scores, soft))  # [count]; hard feeding has jumps
        standard_error = by_draw.std() / math.sqrt(count)
        off[soft] = (abs(gradients(scores(soft).mean(), model) @ along - by_draw.mean()) / standard_error).item()
    assert off[True] < 3
    assert off[False] > 6


def test_extreme_noise_and_inverse_temperature_give_finite_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    made = players()
    made.generator.float()
    made.require_critic().float()

    def extremes(shape: Any, **_: Any) -> Tensor:
        """The least and the largest number that `torch.rand` draws in single precision."""
        drawn = torch.zeros(shape)
        drawn[::2, ::2] = 1 - 2**-24
        return drawn

    for patched in (False, True):
        if patched:
            monkeypatch.setattr(torch, "rand", extremes)
        for loss, soft in ((RELATIVISTIC, False), (NON_SATURATING, True)):
            game = relaxed_game(loss, soft, lambda _: 1000.0)
            found = gradients(game.generator(made, REAL, turn())["loss"], made.generator)
            assert found.isfinite().all()


def test_the_inverse_temperature_grows_in_the_adversarial_phase_alone() -> None:
    config = replace(
        PRESETS["relgan-words-ttur"], pretraining=2, critic_warm_up=3, anneal_iterations=4, critic_steps=2,
        final_inverse_temperature=16.0, iterations=12,
    )  # fmt: skip
    _, warm_up, adversarial = phases(config, players())
    turns = [Turn("generator", n, None, torch.Generator()) for n in range(6)]
    logged = [adversarial.game.generator(players(), REAL, each)["inverse_temperature"].item() for each in turns]
    assert logged == pytest.approx([1, 2, 4, 8, 16, 16])
    # The critic's updates 2 n and 2 n + 1 belong to iteration n; in the warm-up, draws are as at the start.
    for n, beta in enumerate([1, 1, 2, 2, 4, 4]):
        assert inverse_temperature(config, replace(turn("critic"), n=n)) == beta
        assert _critic_loss(warm_up.game, n) == _critic_loss(_at(1), n)
        assert _critic_loss(adversarial.game, n) == _critic_loss(_at(beta), n)
    assert _critic_loss(_at(1), 0) != _critic_loss(_at(2), 0)


def _at(beta: float) -> Game:
    return relaxed_game(RELATIVISTIC, False, lambda _: beta)


def _critic_loss(game: Game, n: int) -> float:
    """Return the critic's loss at its n-th update of a phase."""
    assert game.critic is not None
    return game.critic(players(), REAL, replace(turn("critic"), n=n))["loss"].item()


def test_growth_reaches_its_end_whatever_its_length() -> None:
    assert [geometric(n, 2000, 100.0) for n in (0, 1000, 2000, 9000)] == pytest.approx([1, 10, 100, 100])
    assert geometric(3000, 3000, 100.0) == pytest.approx(100)
    assert geometric(7, 10, 1.0) == 1
    # A port divides by 5,000 whatever the length, and ends at 15.8 after 3,000.
    assert geometric(3000, 5000, 100.0) == pytest.approx(15.8, abs=0.05)


@pytest.mark.parametrize(("model", "representations"), [("relgan", 2), ("gsgan", 1)])
def test_it_learns_an_oracle_of_short_lines_from_scratch(model: str, representations: int) -> None:
    oracle = an_oracle(0)
    trainer, lines = learner(
        PRESETS[f"{model}-words-ttur"], oracle, pretraining=0, generator_lr=3e-4, critic_lr=3e-3, critic_dim=16,
        representations=representations, final_inverse_temperature=1.0,
    )  # fmt: skip
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 120)
    end = divergences(trainer.generator.network, oracle)
    # By seeds 0 to 3 KL(o || g) falls by 2.0 to 4.3 nats per line, and the JSD by 0.03 to 0.06.
    assert end.kl < start.kl - 1.5
    assert end.jsd < start.jsd - 0.02


def test_presets_are_the_papers_and_controls() -> None:
    for model, representations in (("relgan", 64), ("gsgan", 1)):
        ttur, orig, control = (PRESETS[f"{model}-words-{name}"] for name in ("ttur", "orig", "control"))
        assert ttur.critic_lr > ttur.generator_lr
        assert (ttur.critic_steps, control.critic_steps, orig.critic_steps) == (1, 1, 5)
        assert orig.critic_lr == orig.generator_lr == ttur.generator_lr
        assert control.critic_lr == control.generator_lr
        assert control.critic_lr**2 == pytest.approx(ttur.critic_lr * ttur.generator_lr, rel=0.01)
        # The published code of RelGAN for captions: 150 epochs of 10,000 lines at 1e-2, then 2,000 iterations at 1e-4
        # with 5 critic updates each; 64 representations of width 1, 300 filters of each width from 2 to 5.
        full = PRESETS[f"{model}-orig"]
        assert (full.generator_lr, full.critic_lr, full.critic_steps, full.pretraining_lr) == (1e-4, 1e-4, 5, 1e-2)
        assert (full.pretraining, full.iterations) == (150 * (10_000 // 64), 150 * (10_000 // 64) + 2000)
        critic = networks(replace(full, dim=4), 7).require_critic()
        assert isinstance(critic, TextCnn)
        convolutions = [layer for layer in critic.convolutions if isinstance(layer, nn.Conv2d)]
        assert [(layer.kernel_size, layer.out_channels) for layer in convolutions] == [
            ((span, 64 // representations), 300) for span in (2, 3, 4, 5)
        ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--preset=relgan-words-ttur", "--representations=7"], "--representations 7: must divide --critic-dim 64"),
        (["--preset=gsgan-words-ttur", "--anneal-iterations=0"], "--anneal-iterations 0: must be at least 1"),
        (
            ["--preset=gsgan-words-ttur", "--final-inverse-temperature=0"],
            "--final-inverse-temperature 0.0: must be pos",
        ),
        (["--preset=relgan-words-ttur", "--penalty-weight=1"], "--penalty-weight: not a setting of relgan"),
    ],
)
def test_impossible_values_are_refused_by_flag(flags: list[str], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        config_of(flags)
