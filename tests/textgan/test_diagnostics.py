"""Diagnostics equal the closed forms of a quadratic game, and leave the trainer as it is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from data.errors import InputError
from images.train import build_trainer as image_trainer
from tests.helpers.runs import CLOCKS, tensors, tiny_images, tiny_text, train_until_power_cut
from textgan.engine import diagnostics
from textgan.engine.checkpoint import TENSORS, save_checkpoint
from textgan.engine.diagnostics import diagnose
from textgan.engine.game import Game, Networks, adversarial_game
from textgan.engine.losses import NON_SATURATING
from textgan.engine.phases import Phase, TimeScale, gan_phases
from textgan.engine.progress import Clock
from textgan.engine.run_folder import read_metrics
from textgan.engine.schedules import parse_schedule
from textgan.engine.settings import GanSettings
from textgan.engine.trainer import Trainer, make_trainer
from textgan.engine.updates import Turn
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.aggregate import group_runs, load_run
from textgan.train import train

CPU = torch.device("cpu")

# Losses of generator weight a and critic weight b: P a^2 / 2 + Q a b, and R b^2 / 2 + (S a + mean of the samples) b.
P, Q, R, S = 1.0, 2.0, 0.5, 3.0
A, B = 5.0, 4.0
RATE_A, RATE_B = 0.01, 0.03
# Without memory, an update of Adam is the rate times the gradient's sign.
SIGNS = GanSettings(data="none", beta1=0.0, beta2=0.0, batch_size=1)


class Scalar(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value, dtype=torch.float64))


def weights(networks: Networks) -> tuple[Tensor, Tensor]:
    a, b = networks.generator, networks.require_critic()
    assert isinstance(a, Scalar)
    assert isinstance(b, Scalar)
    return a.weight, b.weight


def generator_move(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    a, b = weights(networks)
    return {"loss": P * a.square() / 2 + Q * a * b}


def critic_move(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    a, b = weights(networks)
    return {"loss": R * b.square() / 2 + (S * a + real.mean()) * b}


def real_batches(iteration: int) -> Sequence[Tensor]:
    return [torch.full((1,), float(iteration**2), dtype=torch.float64)]


def scale(rate: float, schedule: str = "constant") -> TimeScale:
    return TimeScale(rate, parse_schedule(schedule, 100))


GENERATOR, CRITIC = scale(RATE_A), scale(RATE_B)


def quadratic(
    iteration: int = 1, generator: TimeScale | None = GENERATOR, critic: TimeScale | None = CRITIC, b: float = B
) -> Trainer:
    phases = [Phase("adversarial", Game(generator_move, critic_move), generator, critic)]
    trainer = make_trainer(SIGNS, phases, Networks(Scalar(A), Scalar(b)), CPU)
    trainer.iteration = iteration
    return trainer


def test_they_equal_the_closed_forms_of_a_quadratic_game() -> None:
    found = diagnose(quadratic(), real_batches)
    step = math.hypot(RATE_A, RATE_B)  # all gradients are positive: both weights fall by their rates
    gradients = [R * (B - RATE_B * t) + S * (A - RATE_A * t) + (1 + t) ** 2 for t in range(4)]
    end = B - 20 * RATE_B
    expected = {
        "generator_lipschitz": (P * RATE_A + Q * RATE_B) / step,
        "critic_lipschitz": (S * RATE_A + R * RATE_B) / step,
        "generator_gradient_noise": 0.0,
        "critic_gradient_noise": median([3, 5, 7]) / math.sqrt(2),  # differences of successive squares
        "critic_gradient_shift": median(S * RATE_A / gradient for gradient in gradients),
        "critic_tracking_loss": R * (B**2 - end**2) / 2 + (S * A + 1) * (B - end),
        "critic_tracking_gradient": R * 20 * RATE_B / gradients[0],
        "generator_to_critic_rate": RATE_A / RATE_B,
        "generator_weight_norm": A,
        "critic_weight_norm": B,
    }
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-12)
    assert found["generator_lipschitz"] <= math.hypot(P, Q)  # the Lipschitz constants: norms of rows of the Jacobian
    assert found["critic_lipschitz"] <= math.hypot(R, S)
    # Known to be wrong: the generator moves while the critic is trained.
    moving = expected["critic_tracking_gradient"] + S * 20 * RATE_A / gradients[0]
    assert found["critic_tracking_gradient"] != pytest.approx(moving, rel=1e-3)


def test_a_player_that_moves_alone_shows_its_own_curvature() -> None:
    found = diagnose(quadratic(generator=None), real_batches)
    assert found["critic_lipschitz"] == pytest.approx(R, rel=1e-9)
    assert not {"generator_lipschitz", "critic_gradient_shift", "generator_to_critic_rate"} & found.keys()


def test_a_critic_at_its_optimum_has_no_tracking_error() -> None:
    best = -(S * A + 1) / R

    def constant(_iteration: int) -> Sequence[Tensor]:
        return [torch.ones(1, dtype=torch.float64)]

    found = diagnose(quadratic(b=best), constant)
    assert found["critic_tracking_loss"] == 0
    assert "critic_tracking_gradient" not in found  # 0 / 0
    behind = diagnose(quadratic(b=best + 20 * RATE_B), constant)  # 20 updates lead to the optimum
    assert behind["critic_tracking_loss"] == pytest.approx(R * (20 * RATE_B) ** 2 / 2, rel=1e-6)
    assert behind["critic_tracking_gradient"] == pytest.approx(1, rel=1e-6)


def test_at_the_first_iteration_the_generator_waits() -> None:
    found = diagnose(quadratic(iteration=0), real_batches)
    assert found.keys() == diagnose(quadratic(), real_batches).keys()
    step = math.hypot(RATE_A, RATE_B)
    lipschitz = [R, *[(S * RATE_A + R * RATE_B) / step] * 3]
    assert found["critic_lipschitz"] == pytest.approx(median(lipschitz), rel=1e-7)


def test_rates_are_those_of_the_iteration_and_a_standing_player_has_no_lipschitz_estimate() -> None:
    found = diagnose(quadratic(8, scale(RATE_A, "power:0.9"), scale(RATE_B, "power:0.6")), real_batches)
    assert found["generator_to_critic_rate"] == pytest.approx(RATE_A / RATE_B * 9**-0.3, rel=1e-12)
    ended = diagnose(quadratic(200, scale(RATE_A, "linear"), scale(RATE_B, "linear")), real_batches)
    assert ended["critic_tracking_loss"] == ended["critic_gradient_shift"] == 0
    assert not {"generator_lipschitz", "critic_lipschitz", "generator_to_critic_rate"} & ended.keys()


def test_a_copy_that_overflows_leaves_numbers_out() -> None:
    found = diagnose(quadratic(generator=scale(1e200), critic=scale(1e200)), real_batches)
    assert found.keys() >= {"generator_to_critic_rate", "generator_weight_norm", "critic_weight_norm"}
    assert "critic_tracking_loss" not in found
    assert all(math.isfinite(value) for value in found.values())


def test_they_stay_in_the_phase() -> None:
    game = Game(generator_move, critic_move)
    phases = [Phase("warm-up", game, None, scale(RATE_B), 3), Phase("adversarial", game, scale(RATE_A), scale(RATE_B))]
    trainer = make_trainer(SIGNS, phases, Networks(Scalar(A), Scalar(B)), CPU)
    trainer.iteration = 1
    assert diagnose(trainer, real_batches)["critic_gradient_noise"] == pytest.approx(3 / math.sqrt(2))  # one pair


def toy_trainer(rule: str) -> Trainer:
    torch.manual_seed(3)
    networks = Networks(nn.Linear(2, 1), nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)))
    config = GanSettings(data="none", generator_lr=0.05, critic_lr=0.1, batch_size=8, rule=rule, generator_ema=0.9)
    game = adversarial_game(NON_SATURATING, 0.0, lambda count, random: torch.randn(count, 2, generator=random), True)
    return make_trainer(config, gan_phases(config, game), networks, CPU)


def dcgan_trainer(_rule: str) -> Trainer:
    return image_trainer(tiny_images("ttur-small", batch_size=4), CPU)  # has batch normalisation


def batches_for(make: Any) -> Any:
    shape = (8, 1) if make is toy_trainer else (4, 3, 32, 32)
    return lambda iteration: [torch.randn(shape, generator=torch.Generator().manual_seed(iteration))]


def saved(trainer: Trainer, tmp_path: Path) -> bytes:
    """Everything that a checkpoint holds."""
    save_checkpoint(tmp_path, trainer, Clock())
    return (tmp_path / "checkpoints" / f"{trainer.iteration:09d}" / TENSORS).read_bytes()


CASES = [
    (toy_trainer, "alternating"), (toy_trainer, "optimistic"), (toy_trainer, "extragradient"),
    (toy_trainer, "lookahead:2"), (toy_trainer, "symplectic:0.1"), (dcgan_trainer, "alternating"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "rule"), CASES)
def test_the_trainer_stays_as_it_is(make: Any, rule: str, tmp_path: Path) -> None:
    next_batches = batches_for(make)
    diagnosed, plain = make(rule), make(rule)
    global_random = torch.get_rng_state()
    for iteration in range(3):
        assert diagnose(diagnosed, next_batches)["critic_tracking_loss"] != 0
        assert saved(diagnosed, tmp_path / "a") == saved(plain, tmp_path / "b")
        for trainer in (diagnosed, plain):
            trainer.step(next_batches(iteration), measure=False)
    assert torch.equal(torch.get_rng_state(), global_random)


def test_a_trainer_that_is_not_copied_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trainer = toy_trainer("alternating")
    before = saved(trainer, tmp_path / "a")
    monkeypatch.setattr(diagnostics, "deepcopy", lambda whole: whole)
    diagnose(trainer, batches_for(toy_trainer))
    trainer.iteration = 0
    assert saved(trainer, tmp_path / "b") != before


OF_GENERATOR = {f"train/generator_{name}" for name in ("lipschitz", "gradient_noise", "weight_norm")}
OF_CRITIC = {
    *(f"train/critic_{name}" for name in ("lipschitz", "gradient_noise", "gradient_shift", "weight_norm")),
    *("train/critic_tracking_loss", "train/critic_tracking_gradient", "train/generator_to_critic_rate"),
}


def test_a_run_logs_them_and_is_the_same_run(
    tiny: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(tiny, run_dir=tmp_path / "runs" / "plain")
    diagnosed = replace(tiny, run_dir=tmp_path / "runs" / "diagnosed", diagnostics=True)
    train(plain)
    train_until_power_cut(monkeypatch, 5, train, replace(diagnosed, diagnostics=False))
    assert not OF_CRITIC & read_metrics(diagnosed.folder)[-1].keys()
    train(diagnosed)  # it may be switched on when the run is continued
    weights = tensors(plain.folder)
    assert all(torch.equal(weights[name], tensor) for name, tensor in tensors(diagnosed.folder).items())
    rows, plain_rows = read_metrics(diagnosed.folder), read_metrics(plain.folder)
    found = OF_GENERATOR | OF_CRITIC
    assert [row.keys() & found for row in rows] == [set(), set(), set(), found, found]
    for row, plain_row in zip(rows, plain_rows, strict=True):
        assert {name: row[name] for name in plain_row.keys() - CLOCKS} == {
            name: plain_row[name] for name in plain_row.keys() - CLOCKS
        }
    events = EventAccumulator(str(diagnosed.folder)).Reload()
    logged = [event.value for event in events.Scalars("train/critic_gradient_shift")]
    assert logged == pytest.approx([row["train/critic_gradient_shift"] for row in rows[3:]])
    with pytest.raises(InputError, match="the same run twice"):  # the setting is no part of the method
        group_runs([load_run(plain.folder), load_run(diagnosed.folder)])


def test_maximum_likelihood_has_the_generators(tmp_path: Path, text_file: Path) -> None:
    config: Any = tiny_text(text_file, tmp_path / "mle", "mle-small", iterations=2, diagnostics=True)
    train(config)
    first, *_, last = read_metrics(config.folder)
    every = {name for name in OF_GENERATOR | OF_CRITIC if name in first}
    assert every == OF_GENERATOR
    assert last.keys() >= OF_GENERATOR
