import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from data.errors import InputError
from data.images.dataset import ImageOptions, open_dataset
from eval.bench import main
from eval.images.disturbances import gaussian_blur, split
from eval.images.extractors.inception import inception_extractor
from eval.images.frechet import FeatureStatistics, distance
from eval.images.inception import Resize, resized


class SmallNetwork(nn.Module):
    """Eight features in place of Inception's 2,048, with which distances take a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 16, stride=8, bias=False)
        nn.init.kaiming_normal_(self.convolution.weight, generator=torch.Generator().manual_seed(0))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.convolution(pixels).relu().mean((2, 3))
        return found

    logits = forward


@torch.no_grad()
def test_every_way_is_measured_against_plain_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[bool] = []

    def compile_nothing(network: nn.Module, dynamic: bool) -> nn.Module:  # compiling takes a minute
        asked.append(dynamic)
        return network

    network, weights = SmallNetwork(), tmp_path / "w.safetensors"
    networks = {weights: (network, "small")}
    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setattr("eval.images.extractors.inception.FEATURES", 8)
    monkeypatch.setattr("eval.images.extractors.inception.load_inception", networks.__getitem__)
    flags = ["--count", "8", "--batch-size", "2", "--weights", str(weights), "--device", "cpu"]
    assert main(["images", "shapes", *flags, "--json"]) == 0
    ways = json.loads(capsys.readouterr().out)
    assert [(way["precision"], way["compiled"]) for way in ways] == [
        ("float32", False), ("float32", True), ("bf16", False), ("bf16", True)
    ]  # fmt: skip
    assert asked == [False, False]
    first, second = split(open_dataset(ImageOptions(count=8)))

    def features(images: np.ndarray, rounded: bool) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            found: np.ndarray = network(resized(torch.from_numpy(images), "tensorflow1")).float().numpy()
        return found

    exact, rounded = (
        [FeatureStatistics.of(features(images, bf16), "") for images in (first, gaussian_blur(second, 1))]
        for bf16 in (False, True)
    )
    assert ways[0]["fid"] == pytest.approx(distance(*exact), rel=1e-4)
    assert ways[2]["fid"] == pytest.approx(distance(*rounded), rel=1e-2)
    assert ways[0]["mixed"] < 1e-6 * ways[0]["fid"] < ways[2]["mixed"]
    assert ways[2]["mixed"] == pytest.approx(distance(exact[0], rounded[0]), rel=0.1)


@torch.no_grad()
@pytest.mark.parametrize(("resize", "compiled_from"), [("tensorflow1", torch.uint8), ("clean", torch.float32)])
def test_the_resizing_is_compiled_with_the_network(
    resize: Resize, compiled_from: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, taken = SmallNetwork(), list[tuple[torch.dtype, int]]()

    def recorded(forward: Callable[[torch.Tensor], torch.Tensor], batch_size: int) -> Any:
        def call(given: torch.Tensor) -> torch.Tensor:
            taken.append((given.dtype, batch_size))
            return forward(given)

        return call

    monkeypatch.setattr("eval.images.extractors.inception.compiled", recorded)
    monkeypatch.setattr("eval.images.extractors.inception.load_inception", lambda _: (network, "small"))
    images = torch.randint(256, (2, 3, 40, 40), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    plain, compiled = (inception_extractor(None, resize, compiled_for=size) for size in (None, 2))
    assert torch.equal(compiled.features(images), plain.features(images))
    assert torch.equal(plain.features(images), network(resized(images, resize)))
    assert taken == [(compiled_from, 2)]


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(InputError, match="--batch-size 0: must be at least 1"):
        main(["images", "shapes", "--count", "10", "--batch-size", "0", "--device", "cpu"])


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputError, match="shapes: halves of 5 images do not fill two batches; lower --batch-size"):
        main(["images", "shapes", "--count", "10", "--batch-size", "3", "--device", "cpu"])
