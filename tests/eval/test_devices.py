"""Losses, gradients, features and their statistics on every device there is, against the CPU and float64."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data.images.shapes import draw_shapes
from eval.core.device import arithmetic
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.features import extract, statistics_of
from eval.images.kid import kid
from eval.images.precision_recall import precision_recall
from images.config import ImageConfig
from images.networks import make_networks
from images.train import build_trainer
from textgan.engine import losses
from textgan.engine.checkpoint import load_checkpoint, save_checkpoint
from textgan.engine.progress import Clock
from textgan.models import MODELS
from textgan.models import wgan_gp as nets
from textgan.models.common import initialise
from textgan.train import build_trainer as build_text_trainer

BATCH = 8
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
Networks = tuple[nn.Module, nn.Module]


def text(random: torch.Generator) -> Networks:
    generator, critic = nets.Generator(20, 16, 12, 10), nets.Critic(20, 16, 12)
    for network in (generator, critic):
        initialise(network, random)
    return generator, critic


def images(config: ImageConfig) -> Callable[[torch.Generator], Networks]:
    return lambda random: make_networks(config, random)


GAMES = {
    "text": (text, losses.WASSERSTEIN, 10.0),
    "dcgan": (images(ImageConfig(size=32, dim=4, latent_dim=10)), losses.NON_SATURATING, 0.0),
    "wgan-gp": (images(ImageConfig(size=32, dim=4, latent_dim=10, model="wgan-gp")), losses.WASSERSTEIN, 10.0),
}


def measured(networks: Networks, loss: losses.Loss, weight: float, z: Tensor, alpha: Tensor) -> list[Tensor]:
    """Return both losses, then every gradient of the critic and of the generator."""
    generator, critic = networks
    fake = generator(z)
    generator_loss = loss.generator(critic(fake))
    # Another shape than the fake samples', so that nothing cancels.
    real, fake = fake.detach().flip(0).square(), fake.detach()
    critic_loss = loss.critic(critic(real), critic(fake))
    if weight:
        critic_loss = critic_loss + weight * losses.gradient_penalty(critic, real, fake, alpha)
    gradients = torch.autograd.grad(critic_loss, list(critic.parameters()))
    gradients += torch.autograd.grad(generator_loss, list(generator.parameters()))
    return [each.detach().double().cpu() for each in (critic_loss, generator_loss, *gradients)]


@pytest.mark.parametrize("device", DEVICES)
def test_features_and_statistics_are_those_of_float64(device: str) -> None:
    images = draw_shapes(0, 70)[0]
    extractor = random_conv_extractor(device=torch.device(device))
    found, expected = extract(images, extractor, 16), extract(images, random_conv_extractor(), 70)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    statistics = statistics_of(images, extractor, 16)
    np.testing.assert_allclose(statistics.mean, expected.astype(np.float64).mean(0), atol=1e-5)
    np.testing.assert_allclose(statistics.covariance, np.cov(expected.astype(np.float64), rowvar=False), atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_kid_precision_and_recall_are_those_of_float64(device: str) -> None:
    random = np.random.default_rng(0)
    samples, reference = random.normal(5.1, 1, (530, 32)), random.normal(5, 1, (610, 32))
    kernel = [(a @ b.T / 32 + 1) ** 3 for a, b in ((samples, samples), (reference, reference), (samples, reference))]
    within = [(each.sum() - each.trace()) / (len(each) * (len(each) - 1)) for each in kernel[:2]]
    found = kid(samples, reference, torch.device(device))
    assert found.value == pytest.approx(sum(within) - 2 * kernel[2].mean(), rel=1e-9)
    assert precision_recall(samples, reference, 3, torch.device(device)) == precision_recall(samples, reference)


@pytest.mark.parametrize("device", DEVICES)
def test_a_loaded_optimiser_has_its_weights_layout(device: str, tmp_path: Path) -> None:
    config = ImageConfig(size=32, dim=4, latent_dim=10, batch_size=BATCH, features="random-conv")
    first, second = (build_trainer(config, torch.device(device)) for _ in range(2))
    real = [torch.rand(BATCH, 3, 32, 32, device=device).to(memory_format=torch.channels_last)]
    for _ in range(2):
        first.step(real)
    save_checkpoint(tmp_path, first, Clock())
    load_checkpoint(tmp_path, second)
    layouts = 0
    for name, player in second.players.items():
        before = first.players[name]
        for parameter, trained in zip(player.network.parameters(), before.network.parameters(), strict=True):
            for entry, expected in before.optimiser.state[trained].items():
                found = player.optimiser.state[parameter][entry]
                assert torch.equal(found, expected)
                assert found.stride() == expected.stride()
            layouts += not parameter.is_contiguous()
    assert layouts == 8  # convolutions
    assert first.step(real) == second.step(real)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("model", MODELS)
def test_no_step_waits_for_cuda(model: str) -> None:
    # tests/textgan/test_host_reads.py tests the same on a CPU, by the operations of each step.
    tiny: dict[str, Any] = {
        "dim": 8, "seq_len": 6, "batch_size": BATCH, "references": 2, "generator_ema": 0.5, "pretraining": 1,
        "critic_warm_up": 1, "curriculum": 1,
    }  # fmt: skip
    config = MODELS[model].presets[0]
    config = replace(config, **{name: value for name, value in tiny.items() if name in vars(config)})
    trainer = build_text_trainer(config, 12, torch.device("cuda"))
    ids = torch.randint(12, (8, config.batch_size, 6)).cuda()
    trainer.step(list(ids), measure=False)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):
            trainer.step(list(ids), measure=False)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    trainer.require_finite()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("game", GAMES)
def test_losses_and_gradients_are_those_of_float64(game: str, device: str) -> None:
    make, loss, weight = GAMES[game]
    random = torch.Generator().manual_seed(3)
    generator, critic = make(random)
    z, alpha = torch.rand(BATCH, 10, generator=random), torch.rand(BATCH, generator=random)
    exact = measured(
        (copy.deepcopy(generator).double(), copy.deepcopy(critic).double()), loss, weight, z.double(), alpha.double()
    )
    with arithmetic("float32", torch.device(device)):
        found = measured((generator.to(device), critic.to(device)), loss, weight, z.to(device), alpha.to(device))
    scale = max(float(each.norm()) for each in exact[2:])
    for index, (ours, theirs) in enumerate(zip(found, exact, strict=True)):
        # A gradient of zero, of a bias before a normalisation, is rounding of the largest ones.
        size = float(theirs.norm()) if float(theirs.norm()) > 1e-9 * scale else scale
        assert float((ours - theirs).norm()) < 1e-4 * size, index
