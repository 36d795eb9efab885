import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.signal import correlate2d
from torch import nn

from data.errors import InputError
from eval.core.device import compiled
from eval.images.extractors.extractor import Extractor
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.features import extract, statistics_of
from eval.images.frechet import FeatureStatistics, distance
from tests.helpers.paths import REAL_DATA

Images = NDArray[np.uint8]


def as_bytes(x: NDArray[np.floating]) -> Images:
    return x.round().clip(0, 255).astype(np.uint8)


def clouds(count: int, size: int, seed: int) -> Images:
    """Smooth patches of colour with sharp edges."""
    random = np.random.default_rng(seed)
    colours = gaussian_filter(random.normal(size=(count, 3, size, size)), (0, 0.5, size / 12, size / 12))
    colours = colours / colours.std() + 0.7 * random.normal(size=(count, 3, 1, 1))
    regions = gaussian_filter(random.normal(size=(count, 1, size, size)), (0, 0, size / 8, size / 8))
    return as_bytes(127.5 + 127.5 * np.tanh(0.7 * np.where(regions > 0, colours, -colours)))


@pytest.fixture
def cifar10() -> Images:
    path = REAL_DATA / "cifar10" / "train-10k.parquet"
    if not path.exists():
        pytest.skip(f"needs {path}")
    rows = pq.read_table(path).column("image").slice(0, 500).to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(row["bytes"]))).transpose(2, 0, 1) for row in rows])


def noisy(images: Images, level: float) -> Images:
    noise = np.random.default_rng(1).normal(size=images.shape)
    return as_bytes((1 - level) * images + level * 255 * (noise - noise.min()) / np.ptp(noise))


def blurred(images: Images, level: float) -> Images:
    return as_bytes(gaussian_filter(images.astype(np.float64), (0, 0, level, level)))


def blackened(images: Images, level: float) -> Images:
    random, size = np.random.default_rng(1), images.shape[2]
    side, images = int(level * size), images.copy()
    for image in images:
        for top, left in random.integers(0, size - side + 1, (5, 2)):
            image[:, top : top + side, left : left + side] = 0
    return images


def swirled(images: Images, level: float) -> Images:
    random, size = np.random.default_rng(1), images.shape[2]
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    found = np.empty(images.shape)
    for image, result in zip(images, found, strict=True):
        turned = angle + random.choice([-1, 1]) * level * np.exp(-5 * radius / (np.log(2) * 25))
        at = np.stack([radius * np.sin(turned), radius * np.cos(turned)]) + (size - 1) / 2
        for channel in range(3):
            result[channel] = map_coordinates(image[channel].astype(np.float64), at, order=1, mode="nearest")
    return as_bytes(found)


def contaminated(images: Images, level: float) -> Images:
    foreign = int(level * len(images))
    return np.concatenate([clouds(foreign, images.shape[2], 9)[:, ::-1] // 2, images[foreign:]])


def assert_monotone(images: Images) -> None:
    extractor = random_conv_extractor()
    real = statistics_of(images, extractor)
    for disturb, levels in (
        (noisy, (0.25, 0.5, 0.75)),
        (blurred, (1, 2, 4)),
        (blackened, (0.25, 0.5, 0.75)),
        (swirled, (1, 2, 4)),
        (contaminated, (0.25, 0.5, 0.75)),
    ):
        found = [distance(real, statistics_of(disturb(images, level), extractor)) for level in levels]
        steps = [low < high for low, high in zip([1e-4, *found], found, strict=False)]
        assert all(steps), (disturb.__name__, found)


def test_random_convolutions_follow_disturbances() -> None:
    assert_monotone(clouds(300, 32, 0))


def test_random_convolutions_follow_disturbances_of_real_images(cifar10: Images) -> None:
    assert_monotone(cifar10)


def test_random_convolutions_tell_more_from_less_of_another_kind() -> None:
    # Halves of one kind are as close as so few images are; another kind is far.
    images, extractor = clouds(600, 32, 0), random_conv_extractor()
    half, other, foreign = (
        statistics_of(part, extractor) for part in (images[:300], images[300:], images[:300, :, ::2, ::2])
    )
    assert 5 * distance(half, other) < distance(half, foreign)


def test_random_convolutions_equal_an_obvious_way() -> None:
    image = clouds(1, 38, 0)
    random = torch.Generator().manual_seed(3)
    maps = [channel / 127.5 - 1 for channel in image[0].astype(np.float64)]
    expected = [x.mean() for x in maps] + [x.std() for x in maps]
    for _ in range(3):
        even = [plane[: len(plane) // 2 * 2, : len(plane) // 2 * 2] for plane in maps]
        maps = [(x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4 for x in even]
        weight = torch.randn(4, len(maps), 3, 3, generator=random).double().numpy() * np.sqrt(2 / (9 * len(maps)))
        bias = 0.1 * torch.randn(4, generator=random).double().numpy()
        sums = [
            sum(correlate2d(np.pad(x, 1, "edge"), w - w.mean(), "valid") for x, w in zip(maps, row, strict=True)) + b
            for row, b in zip(weight, bias, strict=True)
        ]
        maps = [np.where(x > 0, x, 0.2 * x) for x in sums]
        side = len(maps[0])
        edges = [(cell * side // 4, -(-(cell + 1) * side // 4)) for cell in range(4)]  # cells overlap unless 4 divides
        expected += [x[top:low, left:right].mean() for x in maps for top, low in edges for left, right in edges]
        expected += [x.std() for x in maps]
    extractor = random_conv_extractor(3)
    np.testing.assert_allclose(extract(image, extractor)[0], expected, atol=1e-5)
    assert extractor.dims == len(expected) == 210
    # Pinned on torch 2.11 and 2.13: with other random numbers it would be another extractor under the same name.
    drawn = torch.randn(3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(drawn, [1.540996, -0.293429, -2.178789], atol=1e-5)
    assert np.abs(extract(image, random_conv_extractor(4))[0] - expected).max() > 0.1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # PyTorch's own, on compiling
def test_full_batches_are_compiled_once_and_others_run_as_they_are() -> None:
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    forward = compiled(network, 5)
    images = torch.rand(12, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = torch.cat([forward(images[:2]), forward(images[2:7]), forward(images[7:])])
        np.testing.assert_allclose(found, network(images), atol=1e-6)
    assert counters["stats"]["unique_graphs"] == 1
    assert counters["stats"]["calls_captured"] == 3


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "no-such-compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    forward = compiled(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), 3)
    with (
        torch.inference_mode(),
        pytest.raises(InputError, match=r"--compile: PyTorch cannot compile here .* leave it out"),
    ):
        forward(torch.ones(3, 3, 5, 5))


def test_batch_size_is_no_matter(tmp_path: Path) -> None:
    images, extractor = clouds(23, 32, 0), random_conv_extractor()
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)
    whole = extract(images, extractor, 23)
    expected = FeatureStatistics.of(whole, extractor.signature)
    np.testing.assert_allclose(expected.covariance, np.cov(whole.astype(np.float64), rowvar=False), atol=1e-12)
    for batch_size in (1, 7, 64):
        np.testing.assert_allclose(extract(mapped, extractor, batch_size), whole, atol=1e-5)
        found = statistics_of(mapped, extractor, batch_size)
        assert (found.count, found.extractor) == (23, "random-conv-2@seed0")
        np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
        np.testing.assert_allclose(found.covariance, expected.covariance, atol=1e-6)


def pixels(images: torch.Tensor) -> torch.Tensor:
    return images.float().flatten(1) / 8 + 1e4


def test_statistics_lose_no_digits_far_from_zero() -> None:
    images = np.random.default_rng(0).integers(0, 256, (500, 3, 1, 2), np.uint8)
    expected = np.cov(images.reshape(500, 6) / 8, rowvar=False)
    found = statistics_of(images, Extractor("pixels", 6, torch.device("cpu"), pixels), 9)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9)
    np.testing.assert_allclose(found.mean, images.reshape(500, 6).mean(0) / 8 + 1e4, rtol=1e-14)


def test_nan_is_refused() -> None:
    broken = Extractor("broken", 2, torch.device("cpu"), lambda images: torch.full((len(images), 2), torch.nan))
    images = np.zeros((3, 3, 16, 16), np.uint8)
    for call in (extract, statistics_of):
        with pytest.raises(InputError, match="NaN or infinity in features of broken"):
            call(images, broken)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 16, 16), np.float32), r"images of float32 \[2, 3, 16, 16\]; need uint8"),
        (np.zeros((2, 16, 16, 3), np.uint8), r"uint8 \[2, 16, 16, 3\]; need uint8 \[N, 3, H, W\]"),
        (np.zeros((2, 3, 16, 15), np.uint8), r"images of \[16, 15\] pixels; need at least 16"),
        (np.zeros((0, 3, 16, 16), np.uint8), "no images"),
    ],
)
def test_what_is_no_image_is_refused(images: Images, message: str) -> None:
    with pytest.raises(InputError, match=message):
        statistics_of(images, random_conv_extractor())
