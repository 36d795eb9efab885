import math

import numpy as np
import pytest
import torch
from torch import nn

from textgan.models.common import initialise
from textgan.models.wgan_gp import Critic, Generator, ResidualBlock


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The obvious convolution with zeros beyond the ends: x [L, in], weight [out, in, K]."""
    length, kernel = len(x), weight.shape[2]
    y = np.tile(bias, (length, 1))
    for position in range(length):
        for tap in range(kernel):
            if 0 <= position + tap - kernel // 2 < length:
                y[position] += weight[:, :, tap] @ x[position + tap - kernel // 2]
    return y


def layer(conv: nn.Conv2d) -> tuple[np.ndarray, np.ndarray]:
    assert conv.bias is not None
    return conv.weight.detach().numpy()[:, :, 0], conv.bias.detach().numpy()


def block(x: np.ndarray, network: ResidualBlock, wrong: bool = False) -> np.ndarray:
    relu = np.maximum(x, 0)
    skip = relu if wrong else x  # an in-place ReLU, as in a port in wide use, makes the skip relu(x)
    return skip + 0.3 * convolve(np.maximum(convolve(relu, *layer(network.first)), 0), *layer(network.second))


def randomised(network: nn.Module) -> nn.Module:
    random = torch.Generator().manual_seed(3)
    network.double()
    initialise(network, random)
    for parameter in network.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, generator=random)
    return network


def test_the_residual_block_is_the_papers() -> None:
    network = randomised(ResidualBlock(4))
    assert isinstance(network, ResidualBlock)
    x = np.random.default_rng(0).normal(size=(7, 4))
    y = network(torch.from_numpy(x.T.copy())[None, :, None])[0, :, 0].detach().numpy().T
    np.testing.assert_allclose(y, block(x, network), atol=1e-12)
    assert np.abs(y - block(x, network, wrong=True)).max() > 0.1


def test_the_critic_written_out() -> None:
    critic = randomised(Critic(vocabulary_size=6, seq_len=7, dim=4))
    assert isinstance(critic, Critic)
    x = np.random.default_rng(1).dirichlet(np.ones(6), size=7)
    y = convolve(x, *layer(critic.from_symbols))
    for residual in critic.blocks:
        assert isinstance(residual, ResidualBlock)
        y = block(y, residual)
    expected = critic.to_score.weight.detach().numpy()[0] @ y.ravel() + critic.to_score.bias.item()
    assert len(critic.blocks) == 5
    assert critic(torch.from_numpy(x)[None]).item() == pytest.approx(expected, abs=1e-12)


def test_the_generator_written_out() -> None:
    generator = randomised(Generator(vocabulary_size=6, seq_len=7, dim=4, latent_dim=3))
    assert isinstance(generator, Generator)
    z = np.random.default_rng(2).normal(size=3)
    y = (generator.project.weight.detach().numpy() @ z + generator.project.bias.detach().numpy()).reshape(7, 4)
    for residual in generator.blocks:
        assert isinstance(residual, ResidualBlock)
        y = block(y, residual)
    logits = convolve(y, *layer(generator.to_symbols))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert len(generator.blocks) == 5
    np.testing.assert_allclose(generator(torch.from_numpy(z)[None])[0].detach().numpy(), expected, atol=1e-12)


def test_initialisation_is_that_of_the_published_code() -> None:
    random = torch.Generator().manual_seed(0)
    generator, critic = Generator(70, 32, 64, 128), Critic(70, 32, 64)
    for network in (generator, critic):
        initialise(network, random)
    first = generator.blocks[0]
    assert isinstance(first, ResidualBlock)
    expected = {
        first.first: math.sqrt(4 / (64 * 5 + 64 * 5)),
        generator.to_symbols: math.sqrt(4 / (64 + 70)),
        critic.from_symbols: math.sqrt(4 / (70 + 64)),
        generator.project: math.sqrt(2 / (128 + 32 * 64)),
        critic.to_score: math.sqrt(2 / (32 * 64 + 1)),
    }
    for module, deviation in expected.items():
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        assert weight.std().item() == pytest.approx(deviation, rel=0.05)
        # Uniform: no weight beyond sqrt(3) deviations, and some close to it.
        assert 0.98 < weight.abs().max().item() / (math.sqrt(3) * deviation) <= 1
    biases = [
        parameter for network in (generator, critic) for parameter in network.parameters() if parameter.dim() == 1
    ]
    assert all((bias == 0).all() for bias in biases)
    # PyTorch's own convolution weights have less than a third of this variance.
    assert nn.Conv2d(64, 64, (1, 5)).weight.var().item() < expected[first.first] ** 2 / 3
