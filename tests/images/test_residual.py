import math

import pytest
import torch
from torch import Tensor

from images.residual import Critic, Generator, initialise
from tests.helpers.oracles import convolved, normalised

DIM, LATENT = 2, 5


def made(network: torch.nn.Module) -> dict[str, Tensor]:
    initialise(network.double(), torch.Generator().manual_seed(0))
    for number, weight in enumerate(network.parameters()):
        with torch.no_grad():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
    return dict(network.named_parameters())


def twice(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def halved(x: Tensor) -> Tensor:
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def layer_normalised(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


@pytest.mark.parametrize("size", [32, 64])
def test_the_generator_is_that_of_the_table(size: int) -> None:
    generator = Generator(size, DIM, LATENT)
    w = made(generator)
    z = generator.sample_latent(3, torch.Generator().manual_seed(1)).double()
    x = (z @ w["project.weight"].T + w["project.bias"]).view(3, 8 * DIM, size // 16, size // 16)
    for number, width in enumerate((8 * DIM, 4 * DIM, 2 * DIM, DIM)):
        block = f"blocks.{number}"
        y = convolved(twice(normalised(x, w, f"{block}.first_norm").clamp(min=0)), w, f"{block}.first")
        y = convolved(normalised(y, w, f"{block}.second_norm").clamp(min=0), w, f"{block}.second")
        x = y + convolved(twice(x), w, f"{block}.shortcut")
        assert x.shape[1] == width
    expected = convolved(normalised(x, w, "norm").clamp(min=0), w, "to_image").tanh()
    assert expected.shape == (3, 3, size, size)
    assert torch.allclose(generator(z), expected, rtol=0, atol=1e-9)


def plain_features(w: dict[str, Tensor], x: Tensor) -> Tensor:
    x = convolved(x, w, "from_image")
    for number in range(4):
        block = f"blocks.{number}"
        y = convolved(layer_normalised(x, w, f"{block}.first_norm").clamp(min=0), w, f"{block}.first")
        y = convolved(layer_normalised(y, w, f"{block}.second_norm").clamp(min=0), w, f"{block}.second")
        x = halved(y) + convolved(halved(x), w, f"{block}.shortcut")
    return x.flatten(1)


@pytest.mark.parametrize("size", [32, 64])
def test_the_critic_is_that_of_the_table_and_scores_each_image_alone(size: int) -> None:
    critic = Critic(size, DIM)
    w = made(critic)
    images = torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    scores = plain_features(w, images) @ w["to_score.weight"][0] + w["to_score.bias"]
    assert torch.allclose(critic(images), scores, rtol=0, atol=1e-9)
    assert torch.allclose(critic(images[2:3]), scores[2:3], rtol=0, atol=1e-9)


def test_the_published_fault_folds_four_images_into_one_score() -> None:
    folding = Critic(32, DIM, fold=True)
    w = made(folding)
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    folded = plain_features(w, images).view(2, -1)
    assert torch.allclose(folding(images), folded @ w["to_score.weight"][0] + w["to_score.bias"], rtol=0, atol=1e-9)
    for critic, shared in ((folding, True), (Critic(32, DIM).double(), False)):
        images.requires_grad_()
        (gradient,) = torch.autograd.grad(critic(images)[0], images)
        others = gradient[1:4].abs().sum().item()
        assert (others > 0) is shared
        assert gradient[0].abs().sum() > 0
        images = images.detach()


def test_first_weights() -> None:
    critic = Critic(64, 64)
    initialise(critic, torch.Generator().manual_seed(0))
    for name, weight in critic.named_parameters():
        if name.endswith("weight") and weight.dim() == 4:
            fans = (weight.shape[0] + weight.shape[1]) * weight.shape[2] * weight.shape[3]
            glorot = "shortcut" in name or "from_image" in name
            assert weight.std().item() == pytest.approx(math.sqrt((2 if glorot else 4) / fans), rel=0.05), name
            assert weight.abs().max().item() <= math.sqrt(3 * (2 if glorot else 4) / fans)
    # 8192 features at 64 pixels, as published.
    assert critic.to_score.weight.shape == (1, 8192)
    z = Generator(64, 1, 128).sample_latent(2000, torch.Generator().manual_seed(1))
    assert (z.mean().item(), z.std().item()) == pytest.approx((0, 1), abs=0.01)
