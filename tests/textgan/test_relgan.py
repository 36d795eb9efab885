"""RelGAN and GSGAN: moves against slow ones, gradients against finite differences, growth of beta, learning."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from data.errors import InputError
from data.oracle import own_oracle
from tests.helpers.runs import PRESETS, config_of
from textgan.engine.game import Game, Networks
from textgan.engine.losses import NON_SATURATING, RELATIVISTIC
from textgan.engine.trainer import make_trainer
from textgan.engine.updates import Turn
from textgan.models.common import initialise
from textgan.models.critics import TextCnn
from textgan.models.lines import LineModel
from textgan.models.relgan import geometric, inverse_temperature, networks, phases, relaxed_game

SYMBOLS, LENGTH, DIM, BATCH, BETA = 4, 3, 5, 8, 2.0
REAL = torch.randint(SYMBOLS, (BATCH, LENGTH), generator=torch.Generator().manual_seed(4))
GAMES = {
    "relgan": relaxed_game(RELATIVISTIC, False, lambda _: BETA),
    "gsgan": relaxed_game(NON_SATURATING, True, lambda _: BETA),
}


def make_networks(length: int = LENGTH) -> Networks:
    """Return networks in double precision, far from uniform."""
    made = Networks(LineModel(SYMBOLS, length, DIM).double(), TextCnn(SYMBOLS, 6, [(2, 4), (3, 4)], 2).double())
    random = torch.Generator().manual_seed(2)
    for network in (made.generator, made.require_critic()):
        initialise(network, random)
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(3)
    return made


def turn(seed: int = 1, player: str = "generator", n: int = 0) -> Turn:
    return Turn(player, n, None, torch.Generator().manual_seed(seed))


def slow_rows(model: LineModel, random: torch.Generator, soft: bool, endless: bool = False) -> Tensor:
    """Relaxed lines one by one, with an LSTM written out; `endless` lines have symbols after their end."""
    w = dict(model.named_parameters())
    noise = torch.stack([torch.rand(BATCH, SYMBOLS, generator=random, dtype=torch.float64) for _ in range(LENGTH)])
    lines = []
    for u in noise.transpose(0, 1):
        h = c = torch.zeros(DIM, dtype=torch.float64)
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
            fed = (
                sum(p * e for p, e in zip(row, w["embedding.weight"], strict=False))
                if soft
                else w["embedding.weight"][symbol]
            )
            ended = symbol == 0 and not endless
            rows.append(row)
        lines.append(torch.stack(rows))
    return torch.stack(lines)


def slow_losses(made: Networks, model: str, soft: bool, endless: bool = False) -> dict[str, Tensor]:
    generator, critic = made.generator, made.require_critic()
    assert isinstance(generator, LineModel)
    rows = slow_rows(generator, torch.Generator().manual_seed(1), soft, endless)
    pairs = list(zip(critic(torch.eye(SYMBOLS, dtype=torch.float64)[REAL]), critic(rows), strict=True))
    if model == "relgan":
        losses = [(-(fake - real).sigmoid().log(), -(real - fake).sigmoid().log()) for real, fake in pairs]
    else:
        losses = [(-fake.sigmoid().log(), -real.sigmoid().log() - (1 - fake.sigmoid()).log()) for real, fake in pairs]
    return {name: sum(both[i] for both in losses) / BATCH for i, name in enumerate(("generator", "critic"))}


def gradient(loss: Tensor, network: nn.Module) -> Tensor:
    return torch.cat(
        [part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)]
    )


@pytest.mark.parametrize("model", ["relgan", "gsgan"])
def test_moves_equal_slow_ones(model: str) -> None:
    made, soft = make_networks(), model == "gsgan"
    played = {"generator": GAMES[model].generator, "critic": GAMES[model].critic}
    expected = slow_losses(made, model, soft)
    wrong_ones = slow_losses(made, model, not soft), slow_losses(made, model, soft, endless=True)
    for name, network in (("generator", made.generator), ("critic", made.require_critic())):
        move = played[name]
        assert move is not None
        loss = move(made, REAL, turn())["loss"]
        assert loss.item() == pytest.approx(expected[name].item(), abs=1e-12)
        ours = gradient(loss, network)
        assert torch.allclose(ours, gradient(expected[name], network), rtol=0, atol=1e-10)
        for wrong in wrong_ones:
            assert (ours - gradient(wrong[name], network)).norm() > 0.01 * ours.norm()


def moved(made: Networks, direction: list[Tensor], step: float) -> None:
    with torch.no_grad():
        for weight, change in zip(made.generator.parameters(), direction, strict=True):
            weight.add_(change, alpha=step)


def slope(made: Networks, direction: list[Tensor], step: float, loss: Any) -> Tensor:
    """Return the central difference of a loss along a direction of the generator's weights."""
    values = []
    for sign in (1, -2):
        moved(made, direction, sign * step)
        with torch.no_grad():
            values.append(loss())
    moved(made, direction, step)
    difference: Tensor = (values[0] - values[1]) / (2 * step)
    return difference


@pytest.mark.parametrize("model", ["relgan", "gsgan"])
def test_gradients_are_finite_differences_at_fixed_noise(model: str) -> None:
    made = make_networks()
    random = torch.Generator().manual_seed(3)
    for _ in range(3):
        direction = [torch.randn(w.shape, generator=random, dtype=w.dtype) for w in made.generator.parameters()]
        along = torch.cat([part.flatten() for part in direction])
        estimated = slope(made, direction, 1e-6, lambda: GAMES[model].generator(made, REAL, turn())["loss"]).item()
        for name, game in GAMES.items():
            ours = gradient(game.generator(made, REAL, turn())["loss"], made.generator) @ along
            assert (ours.item() == pytest.approx(estimated, rel=1e-6)) == (name == model)


def test_the_mean_gradient_is_exact_by_soft_feeding_and_biased_by_hard_feeding() -> None:
    count, made = 100_000, make_networks(length=2)
    generator, critic = made.generator, made.require_critic()
    assert isinstance(generator, LineModel)
    with torch.no_grad():
        generator.to_symbols.bias[0] = -50.0  # lines have no end
    random = torch.Generator().manual_seed(5)
    direction = [torch.randn(w.shape, generator=random, dtype=w.dtype) for w in generator.parameters()]
    along = torch.cat([part.flatten() for part in direction])
    for soft in (True, False):

        def scores(soft: bool = soft) -> Tensor:
            rows: Tensor = critic(generator.relaxed(count, torch.Generator().manual_seed(6), 1.0, soft))
            return rows

        by_draw = slope(made, direction, 0.02, scores)  # [count]; hard feeding jumps, so the step is wide
        error = by_draw.std() / math.sqrt(count)
        bias = (gradient(scores().mean(), generator) @ along - by_draw.mean()) / error
        assert abs(bias) < 4 if soft else abs(bias) > 10


def test_extreme_noise_and_inverse_temperature_give_finite_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_networks()
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
            assert gradient(game.generator(made, REAL, turn())["loss"], made.generator).isfinite().all()


def tiny(model: str, **changes: Any) -> Any:
    """Return settings of a game on lines of six symbols out of 20, padding and unknown besides."""
    small = {"seq_len": 6, "dim": 16, "critic_dim": 16, "critic_filters": 16, "critic_span": 3, "batch_size": 32}
    return replace(PRESETS[f"{model}-words-ttur"], **{**small, **changes})


def trained(config: Any, lines: Tensor, iterations: int) -> tuple[LineModel, list[Mapping[str, float]]]:
    """Return the generator after some iterations, and what every iteration logs."""
    made = networks(config, 22)
    for network in (made.generator, made.require_critic()):
        initialise(network, torch.Generator().manual_seed(config.seed))
    trainer = make_trainer(config, phases(config, made), made, torch.device("cpu"))
    random, logged = torch.Generator().manual_seed(config.seed), []
    for _ in range(iterations):
        count = max(config.generator_steps, config.critic_steps)
        chosen = torch.randint(len(lines), (count, config.batch_size), generator=random)
        logged.append(trainer.step(list(lines[chosen])) or {})
    assert isinstance(made.generator, LineModel)
    return made.generator, logged


def test_the_inverse_temperature_grows_in_the_adversarial_phase_alone() -> None:
    config = tiny(
        "relgan", pretraining=2, critic_warm_up=3, anneal_iterations=4, final_inverse_temperature=16.0, iterations=12,
        critic_steps=2,
    )  # fmt: skip
    lines = torch.randint(2, 22, (64, 6), generator=torch.Generator().manual_seed(0))
    logged = [step.get("inverse_temperature") for step in trained(config, lines, 12)[1]]
    # Two iterations of maximum likelihood, three of the critic alone, and one before the generator's first update.
    assert logged == [None] * 6 + [pytest.approx(beta) for beta in (1, 2, 4, 8, 16, 16)]
    warm_up, adversarial = phases(config, networks(config, 22))[1:]
    # The critic's updates 2 n and 2 n + 1 belong to iteration n; in the warm-up draws are as at the start.
    for n, beta in enumerate([1.0, 1.0, 2.0, 2.0, 4.0, 4.0]):
        assert inverse_temperature(config, turn(player="critic", n=n)) == beta
        assert _drawn_at(warm_up.game, n) == _drawn_at(relaxed_game(RELATIVISTIC, False, lambda _: 1.0), n)
        same = relaxed_game(RELATIVISTIC, False, lambda _, beta=beta: beta)
        assert _drawn_at(adversarial.game, n) == _drawn_at(same, n)


def _drawn_at(game: Game, n: int) -> float:
    """Return the critic's loss at its n-th update of a phase."""
    assert game.critic is not None
    return game.critic(make_networks(), REAL, turn(player="critic", n=n))["loss"].item()


def test_growth_reaches_its_end_whatever_its_length() -> None:
    assert [geometric(n, 2000, 100.0) for n in (0, 1000, 2000, 9000)] == pytest.approx([1, 10, 100, 100])
    # A port divides by 5,000 whatever the length, and ends at 15.8 after 3,000.
    assert geometric(3000, 3000, 100.0) == pytest.approx(100)
    assert geometric(3000, 5000, 100.0) == pytest.approx(15.8, abs=0.05)
    assert geometric(7, 10, 1.0) == 1


@pytest.mark.parametrize("model", ["relgan", "gsgan"])
def test_it_learns_an_oracle_of_short_lines(model: str) -> None:
    oracle = own_oracle(1, size=20, width=8)
    drawn = oracle.draw(3000, 6, seed=2)
    lines = torch.from_numpy(drawn) + 2
    log_oracle = torch.from_numpy(oracle.log_probs(drawn[2000:])).sum(dim=1)
    config = tiny(model, pretraining=0, generator_lr=3e-3, critic_lr=1e-2, final_inverse_temperature=2.0, seed=0)

    def divergence(iterations: int) -> float:
        generator, _ = trained(config, lines[:2000], iterations)
        with torch.no_grad():
            return (log_oracle - generator.log_probs(lines[2000:]).sum(dim=1)).mean().item()

    assert divergence(300) < 0.8 * divergence(0)


def test_presets_are_the_papers_and_controls() -> None:
    for model, representations in (("relgan", 64), ("gsgan", 1)):
        ttur, orig, control = (PRESETS[f"{model}-words-{name}"] for name in ("ttur", "orig", "control"))
        assert ttur.critic_lr > ttur.generator_lr
        assert (ttur.critic_steps, control.critic_steps, orig.critic_steps) == (1, 1, 5)
        assert orig.critic_lr == orig.generator_lr == ttur.generator_lr
        assert control.critic_lr == control.generator_lr
        assert control.critic_lr**2 == pytest.approx(ttur.critic_lr * ttur.generator_lr)
        # The published code of RelGAN for captions: 150 epochs of 10,000 lines at 1e-2, then 2,000 iterations at 1e-4
        # with 5 critic updates each; 64 representations of width 1, 300 filters of each width from 2 to 5.
        full = PRESETS[f"{model}-orig"]
        assert (full.generator_lr, full.critic_lr, full.critic_steps, full.pretraining_lr) == (1e-4, 1e-4, 5, 1e-2)
        assert (full.pretraining, full.iterations) == (150 * (10_000 // 64), 150 * (10_000 // 64) + 2000)
        assert (full.critic_dim, full.representations, full.critic_span) == (64, representations, 5)
        critic = networks(replace(full, dim=4, seq_len=5), 7).require_critic()
        assert isinstance(critic, TextCnn)
        widths = [
            (layer.kernel_size, layer.out_channels) for layer in critic.convolutions if isinstance(layer, nn.Conv2d)
        ]
        assert widths == [((span, 64 // representations), 300) for span in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--preset=relgan-words-ttur", "--representations=7"], "--representations 7: must divide --critic-dim 64"),
        (["--preset=gsgan-words-ttur", "--critic-span=1"], "--critic-span 1: must be at least 2"),
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
