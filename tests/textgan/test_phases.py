from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.oracles import BETA1, BETA2, PlainAdam
from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, TimeScale, counters_at, gan_phases, phase_at
from textgan.engine.schedules import parse_schedule
from textgan.engine.seeds import stream_seed
from textgan.engine.trainer import Trainer, make_trainer
from textgan.engine.updates import Turn
from textgan.models.wgan_gp import WganGpSettings

SETTINGS = WganGpSettings(beta1=BETA1, beta2=BETA2, batch_size=2, seed=5)
CONSTANT = parse_schedule("constant", None)


class Scalar(nn.Module):
    """One weight."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value, dtype=torch.float64))


def weight(network: nn.Module | None) -> Tensor:
    assert isinstance(network, Scalar)
    return network.weight


def regress(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    return {"loss": (weight(networks.generator) - real.mean() * (1 + turn.n)).square()}


def attract(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    noise = torch.rand((), generator=turn.random, dtype=torch.float64)
    loss = -weight(networks.critic) * (weight(networks.generator) + noise)
    return {"loss": loss, "noise": noise}


def repel(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    noise = torch.rand((), generator=turn.random, dtype=torch.float64)
    b = weight(networks.critic)
    return {"loss": b * (weight(networks.generator) + noise - real.mean()) + b.square()}


def scale(rate: float, steps: int, schedule: str = "power:0.5") -> TimeScale:
    return TimeScale(rate, parse_schedule(schedule, None), steps)


def three_phases(generator_steps: int, critic_steps: int) -> list[Phase]:
    game = Game(attract, repel)
    return [
        Phase("pretraining", Game(regress), scale(0.1, 2), None, 3),
        Phase("critic warm-up", game, None, scale(0.3, critic_steps), 2),
        Phase("adversarial", game, scale(0.02, generator_steps, "power:0.9"), scale(0.06, critic_steps)),
    ]


def a_trainer(generator_steps: int, critic_steps: int) -> Trainer:
    phases = three_phases(generator_steps, critic_steps)
    return make_trainer(SETTINGS, phases, Networks(Scalar(0.5), Scalar(-0.25)), torch.device("cpu"))


def real_batches(iteration: int, count: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(iteration)
    return list(torch.rand(count, 2, generator=random, dtype=torch.float64))


def by_hand(
    iterations: int, generator_steps: int, critic_steps: int, keep_moments: bool = False
) -> tuple[float, float]:
    """The three phases written out, with Adam anew in each; known to be wrong: the moments of the phase before."""
    a, b = torch.tensor(0.5, dtype=torch.float64), torch.tensor(-0.25, dtype=torch.float64)
    adams = {"a": PlainAdam([a]), "b": PlainAdam([b])}
    for iteration in range(iterations):
        random = torch.Generator().manual_seed(stream_seed(SETTINGS.seed, "step", iteration))
        if iteration in (3, 5) and not keep_moments:
            adams = {"a": PlainAdam([a]), "b": PlainAdam([b])}

        def noise(random: torch.Generator = random) -> Tensor:
            return torch.rand((), generator=random, dtype=torch.float64)

        if iteration < 3:
            for step, real in enumerate(real_batches(iteration, 2)):
                n = 2 * iteration + step
                adams["a"].step([a], [2 * (a - real.mean() * (1 + n))], 0.1 * (n + 1) ** -0.5)
            continue
        n = iteration - 5
        if n >= 1:
            for step in range(generator_steps):
                noise()
                update = (n - 1) * generator_steps + step
                adams["a"].step([a], [-b], 0.02 * (update + 1) ** -0.9)
        rate, n = (0.3, iteration - 3) if iteration < 5 else (0.06, n)
        for step, real in enumerate(real_batches(iteration, max(critic_steps, generator_steps))[:critic_steps]):
            update = n * critic_steps + step
            adams["b"].step([b], [a + noise() - real.mean() + 2 * b], rate * (update + 1) ** -0.5)
    return a.item(), b.item()


@pytest.mark.parametrize(("generator_steps", "critic_steps"), [(1, 1), (1, 3), (2, 1)])
def test_rates_schedules_and_updates_reach_each_player_in_each_phase(generator_steps: int, critic_steps: int) -> None:
    trainer = a_trainer(generator_steps, critic_steps)
    for iteration in range(10):
        trainer.step(real_batches(iteration, len(trainer.batches_of(trainer.iteration))), measure=False)
    found = trainer.generator.network, trainer.players["critic"].network
    expected = by_hand(10, generator_steps, critic_steps)
    assert [weight(network).item() for network in found] == pytest.approx(expected, abs=1e-12)
    wrong = by_hand(10, generator_steps, critic_steps, keep_moments=True)
    assert [weight(network).item() for network in found] != pytest.approx(wrong, abs=1e-6)


def test_statistics_are_named_by_the_moves() -> None:
    trainer = a_trainer(1, 1)
    names = [set(trainer.step(real_batches(i, len(trainer.batches_of(trainer.iteration)))) or {}) for i in range(7)]
    players = {
        player: {f"{player}_{what}" for what in ("loss", "gradient_norm", "update_norm")}
        for player in ("generator", "critic")
    }
    assert names[0] == players["generator"]
    assert names[3] == names[5] == players["critic"]
    assert names[6] == players["generator"] | players["critic"] | {"noise"}


def test_an_iteration_is_in_the_phase_that_a_list_of_all_iterations_says() -> None:
    for lengths in product((1, 2, 5), repeat=2):
        phases = [
            *(Phase(str(i), Game(regress), scale(1.0, 1), None, length) for i, length in enumerate(lengths)),
            Phase("last", Game(regress), scale(1.0, 1), None),
        ]
        listed = [(i, n) for i, length in enumerate((*lengths, 9)) for n in range(length)]
        assert [phase_at(phases, iteration) for iteration in range(len(listed))] == listed


def test_updates_are_counted_as_they_are_made() -> None:
    phases = three_phases(2, 3)
    made = {"generator_updates": 0, "critic_updates": 0, "gradient_evaluations": 0, "samples_seen": 0}
    for iteration in range(12):
        assert counters_at(phases, iteration, batch_size=7) == made
        generator = 2 if iteration < 3 or iteration > 5 else 0
        critic = 3 if iteration >= 3 else 0
        made["generator_updates"] += generator
        made["critic_updates"] += critic
        made["gradient_evaluations"] += generator + critic
        made["samples_seen"] += 7 * (2 if iteration < 3 else 3)


def test_a_warm_up_is_a_phase_of_the_critic_alone() -> None:
    game = Game(attract, repel)
    config = replace(SETTINGS, critic_warm_up=4, iterations=10, critic_schedule="linear", generator_schedule="linear")
    warm_up, both = gan_phases(config, game)
    assert (warm_up.generator, warm_up.iterations, both.iterations) == (None, 4, 6)
    assert warm_up.critic is not None
    assert both.critic is not None
    assert both.generator is not None
    # Linear schedules end with their phase.
    assert warm_up.critic.rate(3) == pytest.approx(config.critic_lr / 4)
    assert both.critic.rate(3) == pytest.approx(config.critic_lr / 2)
    assert both.generator.rate(3) == pytest.approx(config.generator_lr / 2)
    assert [phase.name for phase in gan_phases(SETTINGS, game)] == ["adversarial"]
