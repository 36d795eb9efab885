"""GANs on the ring are trained by the trainer's rules, independently of one another, and counted correctly."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.engine import updates
from textgan.engine.seeds import stream_seed
from textgan.engine.trainer import Trainer
from textgan.engine.updates import Rule
from textgan.theory import ring
from textgan.theory.ring import MODES, RADIUS, RULES, SD, Course, RingFlags, draw_ring, make_ring, quality, train_ring

SMALL = RingFlags(paths=3, iterations=6, seed=5)


def source(stream: str, iteration: int, seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(stream_seed(seed, stream, iteration))


def trained(rule: str, iterations: int = 4) -> Trainer:
    trainer = make_ring(rule, SMALL)
    for iteration in range(iterations):
        trainer.step([draw_ring(64, SMALL.paths, source("batches", iteration))], measure=False)
    return trainer


def weights(trainer: Trainer) -> Tensor:
    """All weights [paths, dim]."""
    return torch.cat([p.detach() for player in trainer.players.values() for p in player.network.parameters()], dim=1)


def test_known_samples_are_counted() -> None:
    centres = torch.tensor([[RADIUS * math.cos(k * math.pi / 4), RADIUS * math.sin(k * math.pi / 4)] for k in range(8)])
    even = centres.repeat(125, 1)  # [1000, 2]
    one = centres[3].repeat(1000, 1)
    near = even + torch.tensor([2.9 * SD, 0.0])
    far = even + torch.tensor([0.0, 3.1 * SD])
    rare = torch.cat([centres[0].repeat(981, 1), centres[1].repeat(10, 1), centres[2].repeat(9, 1)])
    modes, good = quality(torch.stack([even, one, near, far, rare], dim=1))
    assert modes.tolist() == [8, 1, 8, 0, 2]
    assert good.tolist() == [1, 1, 1, 0, 1]


def test_counts_equal_a_loop_over_samples() -> None:
    samples = 2.5 * torch.randn(400, 2, 2, generator=torch.Generator().manual_seed(1))
    samples[:200] = draw_ring(200, 2, torch.Generator().manual_seed(2))
    modes, good = quality(samples)
    for path in range(2):
        at_mode = [0] * MODES
        for x, y in samples[:, path].tolist():
            for k in range(MODES):
                angle = k * math.pi / 4
                if math.hypot(x - RADIUS * math.cos(angle), y - RADIUS * math.sin(angle)) <= 3 * SD:
                    at_mode[k] += 1
        assert modes[path] == sum(count >= 4 for count in at_mode)
        assert good[path] == pytest.approx(sum(at_mode) / 400)


def test_the_data_have_the_moments_and_proportions_of_the_ring() -> None:
    samples = draw_ring(200_000, 1, torch.Generator().manual_seed(0))
    flat = samples[:, 0].double()
    assert flat.mean(dim=0).abs().max() < 5 * math.sqrt(RADIUS**2 / 2 / 200_000)
    covariance = flat.T.cov()
    expected = torch.eye(2, dtype=torch.float64) * (RADIUS**2 / 2 + SD**2)
    assert torch.allclose(covariance, expected, atol=5 * RADIUS**2 / math.sqrt(200_000))
    modes, good = quality(samples)
    assert modes.item() == MODES
    error = math.sqrt(0.989 * 0.011 / 200_000)
    assert abs(good.item() - (1 - math.exp(-4.5))) < 4 * error
    assert abs(good.item() - 0.9973) > 4 * error  # known to be wrong: three standard deviations in one dimension


def plain_gan(path: int, iterations: int) -> list[Tensor]:
    """One GAN by layers and torch's Adam: the generator first, which waits at iteration 0, then the critic."""
    initial = make_ring("alternating", SMALL)
    linear: list[list[nn.Linear]] = []
    for player, sizes in zip(initial.players.values(), [(2, 32, 32, 2), (2, 32, 32, 1)], strict=True):
        (flat,) = (parameter[path].detach() for parameter in player.network.parameters())
        linear.append([])
        for inputs, outputs in pairwise(sizes):
            layer, of_bias = nn.Linear(inputs, outputs), inputs * outputs
            layer.weight.data = flat[:of_bias].view(inputs, outputs).T.clone()
            layer.bias.data = flat[of_bias : of_bias + outputs].clone()
            linear[-1].append(layer)
            flat = flat[of_bias + outputs :]
    generator, critic = (nn.Sequential(a, nn.Tanh(), b, nn.Tanh(), c) for a, b, c in linear)
    generator_adam, critic_adam = (
        torch.optim.Adam(net.parameters(), ring.RATE, (0.5, 0.99)) for net in (generator, critic)
    )
    for iteration in range(iterations):
        random = source("step", iteration)
        if iteration:
            fake = generator(torch.randn(64, SMALL.paths, 2, generator=random)[:, path])
            generator_adam.zero_grad()
            torch.autograd.backward(F.softplus(-critic(fake)).mean())
            generator_adam.step()
        real = draw_ring(64, SMALL.paths, source("batches", iteration))[:, path]
        fake = generator(torch.randn(64, SMALL.paths, 2, generator=random)[:, path]).detach()
        critic_adam.zero_grad()
        torch.autograd.backward(F.softplus(-critic(real)).mean() + F.softplus(critic(fake)).mean())
        critic_adam.step()
    return [torch.cat([layer.weight.T.flatten(), layer.bias]) for layers in linear for layer in layers]


def test_each_path_is_a_gan_of_its_own() -> None:
    ours = weights(trained("alternating"))
    for path in (0, 2):
        theirs = torch.cat([part.detach() for part in plain_gan(path, 4)])
        assert torch.allclose(ours[path], theirs, atol=2e-4)
    # Known to be wrong: another path, or an iteration less.
    assert not torch.allclose(ours[1], theirs, atol=2e-4)
    assert not torch.allclose(weights(trained("alternating", 3))[2], theirs, atol=2e-4)


def test_the_rules_are_the_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    by_rule = {rule: weights(trained(rule, 6)) for rule in RULES}
    for number, rule in enumerate(RULES):
        assert not any(torch.equal(by_rule[rule], by_rule[other]) for other in RULES[:number])
    # A broken rule: extragradient without the second gradient is simultaneous.
    monkeypatch.setitem(updates._WITHOUT_NUMBERS, "extragradient", Rule(updates.simultaneous, 2))
    assert torch.equal(weights(trained("extragradient", 6)), by_rule["simultaneous"])


def test_a_course_is_determined_by_the_seed() -> None:
    first, again = (train_ring("extragradient", SMALL) for _ in range(2))
    for name, values in vars(first).items():
        assert values.tobytes() == vars(again)[name].tobytes()
    other = train_ring("extragradient", RingFlags(paths=3, iterations=6, seed=6))
    assert not np.array_equal(other.samples, first.samples)
    assert first.evaluations[-1] == 2 * (2 * 6 - 1)  # twice; the generator waits at the first iteration
    assert first.samples.shape == (1000, 3, 2)


def test_the_table_and_the_figure_show_means_of_the_last_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    def course(rule: str, flags: RingFlags) -> Course:
        level = RULES.index(rule) / 10
        good = np.linspace([0.0, 0.0], [level, level + 0.1], 20)
        return Course(np.arange(20.0), np.full((20, 2), [3.0, 5.0]), good, np.full((1000, 2, 2), [[0.0, 0], [1, 1]]))

    monkeypatch.setattr(ring, "train_ring", course)
    findings = ring.study(RingFlags(paths=2))
    level = np.mean([15, 16, 17, 18, 19]) / 19
    shares = [record["good"] for record in findings.records if record["rule"] == "extragradient"]
    assert shares == pytest.approx([0.3 * level, 0.4 * level])
    (row,) = (row for row in findings.blocks[0].table if row[0] == "extragradient")
    # Student's t of two values: the mean +- 12.706 times half their distance.
    reach = 12.706 * 0.1 / 2
    interval = f"[{(0.35 - reach) * level:.2f}, {(0.35 + reach) * level:.2f}]"
    assert row[1:] == ["19", "4.0", "[-8.7, 16.7]", f"{0.35 * level:.2f}", interval]
    axes = findings.draw().axes
    assert len(axes) == len(RULES) + 1
    assert axes[3].get_title() == f"extragradient\n4.0 modes, {35 * level:.0f} % good"
    assert np.allclose(np.asarray(axes[3].collections[0].get_offsets()), 1)  # the better one of two
    assert np.allclose(np.asarray(axes[-1].lines[3].get_ydata())[-1], 0.35)
