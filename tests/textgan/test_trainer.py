import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.oracles import PlainAdam
from tests.helpers.trainers import BATCH, RATES, SETTINGS, WEIGHT, a_trainer, critic_of, draw, real_batches
from textgan.engine.players import Player
from textgan.engine.seeds import stream_seed
from textgan.engine.trainer import NonFiniteError


def plain_training(iterations: int, critic_steps: int, generator_first: bool = True) -> list[Tensor]:
    """The published algorithm, unoptimised: at iteration > 0 the generator, then the critic's updates."""
    trainer = a_trainer()  # for the weights only
    generator, critic = trainer.generator.network, critic_of(trainer)
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
        z = draw(BATCH, random) if iteration else None
        if z is not None and generator_first:
            update("generator", -critic(generator(z)).mean())
        for real in real_batches(iteration, critic_steps):
            fake = generator(draw(BATCH, random)).detach()
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
    trainer = a_trainer(score_together, critic_steps=critic_steps)
    for iteration in range(5):
        assert trainer.step(real_batches(iteration, critic_steps), measure=False) is None
    ours = [*trainer.generator.network.parameters(), *critic_of(trainer).parameters()]
    plain, wrong_order = (plain_training(5, critic_steps, first) for first in (True, False))
    assert max((a - b).abs().max().item() for a, b in zip(ours, plain, strict=True)) < 1e-10
    assert max((a - b).abs().max().item() for a, b in zip(ours, wrong_order, strict=True)) > 1e-4
    updates = {"generator_updates": 4, "critic_updates": 5 * critic_steps, "gradient_evaluations": 4 + 5 * critic_steps}
    assert trainer.counters == {**updates, "samples_seen": 5 * critic_steps * BATCH}


def test_gradients_have_the_layout_of_their_weights() -> None:
    trainer = a_trainer()
    for iteration in range(2):
        trainer.step(real_batches(iteration, 1))
    for player in trainer.players.values():
        for parameter in player.network.parameters():
            assert parameter.grad is not None
            assert parameter.grad.stride() == parameter.stride()


def test_statistics_are_what_they_say() -> None:
    trainer = a_trainer()
    first = trainer.step(real_batches(0, 1))
    assert first is not None
    assert not any(name.startswith("generator") for name in first)
    before = [parameter.detach().clone() for parameter in trainer.generator.network.parameters()]
    critic_before = [parameter.detach().clone() for parameter in critic_of(trainer).parameters()]
    random = torch.Generator().manual_seed(stream_seed(11, "step", 1))
    loss = -critic_of(trainer)(trainer.generator.network(draw(BATCH, random))).mean()
    gradients = torch.autograd.grad(loss, list(trainer.generator.network.parameters()))
    stats = trainer.step(real_batches(1, 1))
    assert stats is not None
    assert stats["generator_loss"] == pytest.approx(loss.item(), abs=1e-12)
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
    assert stats["generator_gradient_norm"] == pytest.approx(norm, rel=1e-9)
    for network, old, name in (
        (trainer.generator.network, before, "generator_update_norm"),
        (critic_of(trainer), critic_before, "critic_update_norm"),
    ):
        moved = [(new.detach() - was).square().sum().item() for new, was in zip(network.parameters(), old, strict=True)]
        assert stats[name] == pytest.approx(math.sqrt(sum(moved)), rel=1e-9)
    penalty = WEIGHT * stats["gradient_penalty"]
    assert stats["critic_loss"] == pytest.approx(-stats["wasserstein"] + penalty, abs=1e-12)


@pytest.mark.parametrize(
    "rule", ["extragradient", "extragradient-past", "optimistic", "lookahead:2:0.5:extragradient-past"]
)
def test_norms_of_updates_are_of_all_that_a_rule_moves(rule: str) -> None:
    trainer = a_trainer(rule=rule)
    trainer.step(real_batches(0, 1))
    for iteration in range(1, 5):
        networks = {"generator": trainer.generator.network, "critic": critic_of(trainer)}
        before = {name: [weight.detach().clone() for weight in each.parameters()] for name, each in networks.items()}
        stats = trainer.step(real_batches(iteration, 1))
        assert stats is not None
        for name, network in networks.items():
            steps = [new.detach() - old for new, old in zip(network.parameters(), before[name], strict=True)]
            moved = math.sqrt(sum(step.square().sum().item() for step in steps))
            assert stats[f"{name}_update_norm"] == pytest.approx(moved, rel=1e-9)


def test_measuring_changes_nothing() -> None:
    measured, plain = a_trainer(generator_ema=0.5), a_trainer(generator_ema=0.5)
    for iteration in range(4):
        measured.step(real_batches(iteration, 1), measure=True)
        plain.step(real_batches(iteration, 1), measure=False)
    for name, player in measured.players.items():
        pairs = zip(player.network.parameters(), plain.players[name].network.parameters(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_long_gradients_are_shortened_to_the_limit() -> None:
    parameter = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    network = nn.ParameterList([parameter])
    for limit, expected in ((None, [6.0, 8.0]), (5.0, [3.0, 4.0]), (20.0, [6.0, 8.0])):
        player = Player(network, replace(SETTINGS, max_gradient_norm=limit), torch.device("cpu"))
        player.apply(player.gradients(parameter.square().sum()), 0.0)
        assert parameter.grad is not None
        assert parameter.grad.tolist() == pytest.approx(expected, rel=1e-6)


def test_the_average_follows_the_weights() -> None:
    trainer = a_trainer(generator_ema=0.7)
    assert trainer.generator.sampler is not trainer.generator.network
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
        for ours, theirs in zip(trainer.generator.sampler.parameters(), expected, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("poisoned", ["generator", "critic"])
def test_a_non_finite_value_stops_training_and_is_named(poisoned: str) -> None:
    trainer = a_trainer(critic_steps=2)
    trainer.step(real_batches(0, 2))
    with torch.no_grad():
        next(iter(trainer.players[poisoned].network.parameters())).fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"iteration 2: .*critic_loss.* not finite"):
        trainer.step(real_batches(1, 2))
    assert trainer.iteration == 1


def test_a_loss_that_was_not_finite_is_found_later() -> None:
    trainer = a_trainer()
    trainer.require_finite()
    bad = [real.fill_(float("inf")) for real in real_batches(0, 1)]
    trainer.step(bad, measure=False)
    with pytest.raises(NonFiniteError, match="iteration 1: an earlier loss, the critic's weights not finite"):
        trainer.require_finite()


def test_a_weight_that_is_not_finite_is_found_when_all_losses_were_finite() -> None:
    trainer = a_trainer()
    trainer.step(real_batches(0, 1), measure=False)
    with torch.no_grad():
        next(iter(trainer.generator.network.parameters())).view(-1)[0] = float("nan")
    with pytest.raises(NonFiniteError, match="iteration 1: the generator's weights not finite"):
        trainer.require_finite()


def test_streams_of_randomness_do_not_meet() -> None:
    seeds = {
        stream_seed(seed, stream, iteration)
        for seed in range(20)
        for stream in ("initialise", "step", "batches", "samples")
        for iteration in range(50)
    }
    assert len(seeds) == 20 * 4 * 50
