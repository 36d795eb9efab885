import math

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.oracles import BETA1, BETA2, PlainAdam
from textgan.engine.losses import WASSERSTEIN
from textgan.engine.players import NonFiniteError, Player, weight_average
from textgan.engine.schedules import parse_schedule
from textgan.engine.seeds import stream_seed
from textgan.engine.trainer import Trainer
from textgan.models.wgan_gp import Critic, Generator, initialise

BATCH, LENGTH, SYMBOLS, LATENT = 4, 6, 5, 3
RATES = {"generator": 1e-3, "critic": 3e-3}
WEIGHT = 10.0


def make_trainer(score_together: bool = True, decay: float = 0.0) -> Trainer:
    random = torch.Generator().manual_seed(7)
    generator, critic = Generator(SYMBOLS, LENGTH, 4, LATENT).double(), Critic(SYMBOLS, LENGTH, 4).double()

    def player(name: str, network: nn.Module) -> Player:
        initialise(network, random)
        optimiser = torch.optim.Adam(network.parameters(), lr=1.0, betas=(BETA1, BETA2))
        return Player(
            network, optimiser, RATES[name], parse_schedule("power:0.6", None), weight_average(network, decay)
        )

    return Trainer(
        generator=player("generator", generator),
        critic=player("critic", critic),
        loss=WASSERSTEIN,
        penalty_weight=WEIGHT,
        score_together=score_together,
        sample_latent=lambda size, random: torch.randn(size, LATENT, generator=random, dtype=torch.float64),
        seed=11,
        device=torch.device("cpu"),
    )


def real_batches(iteration: int, count: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(iteration)
    ids = torch.randint(SYMBOLS, (count, BATCH, LENGTH), generator=random)
    return list(torch.eye(SYMBOLS, dtype=torch.float64)[ids])


def plain_training(iterations: int, critic_steps: int, generator_first: bool = True) -> list[Tensor]:
    """The published algorithm, unoptimised: at iteration > 0 the generator, then the critic's updates."""
    trainer = make_trainer()  # for the weights only
    generator, critic = trainer.generator.network, trainer.critic.network
    weights = {"generator": list(generator.parameters()), "critic": list(critic.parameters())}
    adam = {name: PlainAdam(parameters) for name, parameters in weights.items()}

    def update(name: str, loss: Tensor) -> None:
        for parameter in weights["generator"] + weights["critic"]:
            parameter.grad = None
        torch.autograd.backward(loss)
        rate = RATES[name] * (adam[name].t + 1) ** -0.6
        gradients = [parameter.grad for parameter in weights[name] if parameter.grad is not None]
        adam[name].step(weights[name], gradients, rate)

    for iteration in range(iterations):
        random = torch.Generator().manual_seed(stream_seed(11, "step", iteration))
        z = torch.randn(BATCH, LATENT, generator=random, dtype=torch.float64) if iteration else None
        if z is not None and generator_first:
            update("generator", -critic(generator(z)).mean())
        for real in real_batches(iteration, critic_steps):
            fake = generator(torch.randn(BATCH, LATENT, generator=random, dtype=torch.float64)).detach()
            alpha = torch.rand(BATCH, generator=random, dtype=torch.float64)
            loss = critic(fake).mean() - critic(real).mean()
            for sample in range(BATCH):
                x = (real[sample] + alpha[sample] * (fake[sample] - real[sample]))[None].requires_grad_()
                (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
                loss = loss + WEIGHT * (slope.pow(2).sum().sqrt() - 1) ** 2 / BATCH
            update("critic", loss)
        if z is not None and not generator_first:
            update("generator", -critic(generator(z)).mean())
    return [*weights["generator"], *weights["critic"]]


@pytest.mark.parametrize(("critic_steps", "score_together"), [(1, True), (3, True), (2, False)])
def test_steps_equal_plain_ones_written_out(critic_steps: int, score_together: bool) -> None:
    trainer = make_trainer(score_together)
    for iteration in range(5):
        trainer.step(real_batches(iteration, critic_steps))
    ours = [*trainer.generator.network.parameters(), *trainer.critic.network.parameters()]
    plain, wrong_order = (plain_training(5, critic_steps, first) for first in (True, False))
    assert max((a - b).abs().max().item() for a, b in zip(ours, plain, strict=True)) < 1e-10
    assert max((a - b).abs().max().item() for a, b in zip(ours, wrong_order, strict=True)) > 1e-4
    assert trainer.critic_updates == 5 * critic_steps


def test_gradients_have_the_layout_of_their_weights() -> None:
    trainer = make_trainer()
    for iteration in range(2):
        trainer.step(real_batches(iteration, 1))
    for player in (trainer.generator, trainer.critic):
        for parameter in player.network.parameters():
            assert parameter.grad is not None
            assert parameter.grad.stride() == parameter.stride()


def test_statistics_are_what_they_say() -> None:
    trainer = make_trainer()
    first = trainer.step(real_batches(0, 1))
    assert first.generator_loss is first.generator_gradient_norm is first.generator_update_norm is None
    before = [parameter.detach().clone() for parameter in trainer.generator.network.parameters()]
    critic_before = [parameter.detach().clone() for parameter in trainer.critic.network.parameters()]
    random = torch.Generator().manual_seed(stream_seed(11, "step", 1))
    fake = trainer.generator.network(torch.randn(BATCH, LATENT, generator=random, dtype=torch.float64))
    loss = -trainer.critic.network(fake).mean()
    gradients = torch.autograd.grad(loss, list(trainer.generator.network.parameters()))
    stats = trainer.step(real_batches(1, 1))
    assert stats.generator_loss == pytest.approx(loss.item(), abs=1e-12)
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
    assert stats.generator_gradient_norm == pytest.approx(norm, rel=1e-9)
    for network, old, value in (
        (trainer.generator.network, before, stats.generator_update_norm),
        (trainer.critic.network, critic_before, stats.critic_update_norm),
    ):
        moved = [(new.detach() - was).square().sum().item() for new, was in zip(network.parameters(), old, strict=True)]
        assert value == pytest.approx(math.sqrt(sum(moved)), rel=1e-9)
    assert stats.gradient_penalty is not None
    assert stats.wasserstein is not None
    assert stats.critic_loss == pytest.approx(-stats.wasserstein + WEIGHT * stats.gradient_penalty, abs=1e-12)


def test_the_average_follows_the_weights() -> None:
    trainer = make_trainer(decay=0.7)
    assert make_trainer().sampler is not trainer.sampler
    expected = None
    for iteration in range(5):
        trainer.step(real_batches(iteration, 1))
        if iteration == 0:
            continue  # no generator update, nothing to average
        weights = [parameter.detach().clone() for parameter in trainer.generator.network.parameters()]
        if expected is None:
            expected = weights  # the average starts at the first update's weights
        else:
            expected = [0.7 * old + 0.3 * new for old, new in zip(expected, weights, strict=True)]
        for ours, theirs in zip(trainer.sampler.parameters(), expected, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("poisoned", ["generator", "critic"])
def test_a_non_finite_value_stops_training_and_is_named(poisoned: str) -> None:
    trainer = make_trainer()
    trainer.step(real_batches(0, 2))
    with torch.no_grad():
        next(iter(getattr(trainer, poisoned).network.parameters())).fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"iteration 1: .*critic_loss.* not finite"):
        trainer.step(real_batches(1, 2))
    assert trainer.iteration == 1


def test_streams_of_randomness_do_not_meet() -> None:
    seeds = {
        stream_seed(seed, stream, iteration)
        for seed in range(20)
        for stream in ("initialise", "step", "batches", "samples")
        for iteration in range(50)
    }
    assert len(seeds) == 20 * 4 * 50
