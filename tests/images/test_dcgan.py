from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from images.config import CriticNorm, Upsampling
from images.dcgan import Critic, Generator, initialise
from tests.helpers.oracles import convolved, normalised

DIM, LATENT = 2, 5


def doubled(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution as what it is: each pixel adds its kernel to the picture, every second pixel."""
    count, _, height, width = x.shape
    padded = torch.zeros(count, weight.shape[1], 2 * height + 3, 2 * width + 3, dtype=x.dtype)
    for i in range(height):
        for j in range(width):
            stamp = torch.einsum("bc,cokl->bokl", x[:, :, i, j], weight)
            padded[:, :, 2 * i : 2 * i + 5, 2 * j : 2 * j + 5] += stamp
    return padded[:, :, 2 : 2 + 2 * height, 2 : 2 + 2 * width] + bias[:, None, None]


def randomised(network: torch.nn.Module) -> dict[str, Tensor]:
    initialise(network.double(), torch.Generator().manual_seed(0))
    for number, weight in enumerate(network.parameters()):
        with torch.no_grad():
            weight.add_(0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
    return dict(network.named_parameters())


@pytest.mark.parametrize("size", [32, 64])
def test_the_generator_is_that_of_the_table(size: int) -> None:
    generator = Generator(size, DIM, LATENT)
    w = randomised(generator)
    z = generator.sample_latent(3, torch.Generator().manual_seed(1)).double()
    side = size // 16
    x = (z @ w["project.weight"].T + w["project.bias"]).view(3, 8 * DIM, side, side)
    for number, width in enumerate((4 * DIM, 2 * DIM, DIM, 3)):
        x = normalised(x, w, f"norms.{number}").clamp(min=0)
        x = doubled(x, w[f"doublings.{number}.weight"], w[f"doublings.{number}.bias"])
        assert x.shape == (3, width, side << number + 1, side << number + 1)
    assert torch.allclose(generator(z), x.tanh(), rtol=0, atol=1e-10)
    # Running statistics follow with a decay of 0.9.
    assert torch.allclose(
        generator.norms[0].running_mean,  # type: ignore[arg-type]
        0.1 * (z @ w["project.weight"].T + w["project.bias"]).view(3, 8 * DIM, -1).mean(dim=(0, 2)),
    )


def interpolated(x: Tensor) -> Tensor:
    """Twice the side: output pixel i lies at input coordinate (i + 1/2) / 2 - 1/2; beyond the edge, the edge."""
    side = x.shape[2]
    weights = torch.zeros(2 * side, side, dtype=x.dtype)
    for i in range(2 * side):
        at = min(max((i + 0.5) / 2 - 0.5, 0), side - 1)
        low = min(int(at), side - 2)
        weights[i, low], weights[i, low + 1] = low + 1 - at, at - low
    return torch.einsum("ij,bcjk,lk->bcil", weights, x, weights)


def test_the_generator_interpolates_and_convolves() -> None:
    generator = Generator(32, DIM, LATENT, "bilinear")
    w = randomised(generator)
    z = generator.sample_latent(3, torch.Generator().manual_seed(1)).double()
    x = (z @ w["project.weight"].T + w["project.bias"]).view(3, 8 * DIM, 2, 2)
    for number in range(4):
        x = convolved(interpolated(normalised(x, w, f"norms.{number}").clamp(min=0)), w, f"doublings.{number}.1")
    assert torch.allclose(generator(z), x.tanh(), rtol=0, atol=1e-10)


def test_resizing_leaves_no_checkerboard() -> None:
    # An even surface stays even inside, whatever the weights; by a transposed convolution of 5 at stride 2 each pixel
    # gets the sum of another 4, 6 or 9 of its 25 weights.
    kinds: Mapping[Upsampling, int] = {"transposed": 4, "bilinear": 1}
    for upsampling, different in kinds.items():
        generator = Generator(32, DIM, LATENT, upsampling)
        randomised(generator)
        inside = generator.doublings[0](torch.ones(1, 8 * DIM, 8, 8).double())[0, 0, 4:12, 4:12]
        assert len(inside.mul(1e9).round().unique()) == different


@pytest.mark.parametrize(("size", "norm"), [(32, "batch"), (64, "batch"), (32, "none")])
def test_the_critic_is_that_of_the_table(size: int, norm: CriticNorm) -> None:
    critic = Critic(size, DIM, norm)
    w = randomised(critic)
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    x = images
    for number in range(4):
        patches = F.unfold(x, 5, padding=2, stride=2)
        width = DIM << number
        x = (w[f"halvings.{number}.weight"].view(width, -1) @ patches).view(3, width, x.shape[2] // 2, -1)
        x = x + w[f"halvings.{number}.bias"][:, None, None]
        x = normalised(x, w, f"norms.{number}") if number and norm == "batch" else x
        x = torch.where(x > 0, x, 0.2 * x)
    scores = x.flatten(1) @ w["to_score.weight"][0] + w["to_score.bias"]
    assert torch.allclose(critic(images), scores, rtol=0, atol=1e-10)
    # Batches are normalised by themselves, so that real and fake ones must not be mixed.
    mixed = critic(torch.cat([images, -images]))[:3]
    assert torch.allclose(mixed, scores, rtol=0, atol=1e-10) == (norm == "none")


def test_first_weights_and_noise() -> None:
    generator = Generator(64, 64, 100)
    initialise(generator, torch.Generator().manual_seed(0))
    for name, weight in generator.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        else:
            mean = 1.0 if name.startswith("norms") else 0.0
            assert weight.mean().item() == pytest.approx(mean, abs=0.02 * 5 / weight.numel() ** 0.5)
            assert weight.std().item() == pytest.approx(0.02, rel=4 / (2 * weight.numel()) ** 0.5)
    # As published at 64 pixels: 100 x 8192 and four kernels of 5 x 5 between 512, 256, 128, 64 and 3 channels.
    kernels = 25 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    others = 8192 + (256 + 128 + 64 + 3) + 2 * (512 + 256 + 128 + 64)
    assert sum(weight.numel() for weight in generator.parameters()) == 100 * 8192 + kernels + others
    z = generator.sample_latent(2000, torch.Generator().manual_seed(1))
    assert (z.min().item(), z.max().item()) == pytest.approx((-1, 1), abs=1e-3)
    assert z.var().item() == pytest.approx(1 / 3, rel=0.01)
