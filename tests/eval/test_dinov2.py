"""DINOv2 equals a slow implementation in NumPy, token by token and head by head."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.special import erf

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval.images.clean_resize import clean_resized
from eval.images.dinov2 import DinoV2, VisionTransformer
from eval.images.extractors.choice import metric_name, open_extractor
from eval.images.extractors.dinov2 import dinov2_extractor
from eval.images.features import extract

Array = NDArray[np.float64]
TINY = VisionTransformer(width=6, layers=2, heads=3, grid=5)


@pytest.fixture
def network() -> DinoV2:
    network = DinoV2(TINY).double()
    random = torch.Generator().manual_seed(0)
    for value in network.parameters():
        value.copy_(torch.randn(value.shape, generator=random) / math.sqrt(value[0].numel() if value.ndim > 1 else 1))
    return network


def cubic(x: float) -> float:
    """Keys's kernel with a = -3/4, which PyTorch's bicubic interpolation uses."""
    x, a = abs(x), -0.75
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def interpolation(grid: int, side: int, offset: float) -> Array:
    """Weights [side, grid] along an axis, without antialiasing; beyond the border the last value repeats."""
    table = np.zeros((side, grid))
    for i in range(side):
        at = (i + 0.5) * grid / (side + offset) - 0.5
        for j in range(math.floor(at) - 1, math.floor(at) + 3):
            table[i, min(max(j, 0), grid - 1)] += cubic(at - j)
    return table


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    normed: Array = (x - x.mean()) / np.sqrt(x.var() + 1e-6) * weight + bias
    return normed


def slow(pixels: Array, state: Mapping[str, Array], sizes: VisionTransformer, offset: float = 0.1) -> Array:
    """The class token of an image [3, S, S]."""
    side = pixels.shape[1] // 14
    positions = state["embeddings.position_embeddings"][0]
    maps = positions[1:].reshape(sizes.grid, sizes.grid, -1)
    if side != sizes.grid:
        table = interpolation(sizes.grid, side, offset)
        maps = np.einsum("ia,jb,abc->ijc", table, table, maps)
    tokens = [state["embeddings.cls_token"][0, 0] + positions[0]]
    kernel = state["embeddings.patch_embeddings.projection.weight"]
    for i in range(side):
        for j in range(side):
            patch = pixels[:, 14 * i : 14 * i + 14, 14 * j : 14 * j + 14]
            value = (kernel * patch).sum((1, 2, 3)) + state["embeddings.patch_embeddings.projection.bias"]
            tokens.append(value + maps[i, j])
    size = sizes.width // sizes.heads

    def linear(x: Array, name: str) -> Array:
        return state[f"{name}.weight"] @ x + state[f"{name}.bias"]

    for number in range(sizes.layers):
        at = f"encoder.layer.{number}"
        normed = [layer_norm(x, state[f"{at}.norm1.weight"], state[f"{at}.norm1.bias"]) for x in tokens]
        query, key, value = (
            [linear(x, f"{at}.attention.attention.{name}") for x in normed] for name in ("query", "key", "value")
        )
        mixed = []
        for q in query:
            heads = []
            for head in range(sizes.heads):
                part = slice(head * size, (head + 1) * size)
                weights = np.exp([q[part] @ k[part] / math.sqrt(size) for k in key])
                heads.append(np.sum([w * v[part] for w, v in zip(weights / weights.sum(), value, strict=True)], axis=0))
            mixed.append(np.concatenate(heads))
        scale1, scale2 = (state[f"{at}.layer_scale{k}.lambda1"] for k in (1, 2))
        tokens = [x + scale1 * linear(y, f"{at}.attention.output.dense") for x, y in zip(tokens, mixed, strict=True)]
        normed = [layer_norm(x, state[f"{at}.norm2.weight"], state[f"{at}.norm2.bias"]) for x in tokens]
        hidden = [linear(x, f"{at}.mlp.fc1") for x in normed]
        hidden = [x * (1 + erf(x / math.sqrt(2))) / 2 for x in hidden]  # GELU
        tokens = [x + scale2 * linear(y, f"{at}.mlp.fc2") for x, y in zip(tokens, hidden, strict=True)]
    return layer_norm(tokens[0], state["layernorm.weight"], state["layernorm.bias"])


@pytest.mark.parametrize("side", [3, 5])
def test_features_are_those_of_a_slow_implementation(network: DinoV2, side: int) -> None:
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    pixels = np.random.default_rng(0).normal(size=(2, 3, 14 * side, 14 * side))
    expected = [slow(image, state, TINY) for image in pixels]
    with torch.inference_mode():
        found = network(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-10)
    if side != TINY.grid:  # positions without the published code's offset differ
        assert np.abs(slow(pixels[0], state, TINY, offset=0) - expected[0]).max() > 1e-3


def test_names_and_number_of_weights_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = DinoV2()
    names = {name for name in network.state_dict() if ".layer." not in name or ".layer.23." in name}
    at = "encoder.layer.23"
    assert names == {
        "embeddings.cls_token", "embeddings.mask_token", "embeddings.position_embeddings",
        "embeddings.patch_embeddings.projection.weight", "embeddings.patch_embeddings.projection.bias",
        *(f"{at}.{part}.{kind}" for kind in ("weight", "bias") for part in (
            "norm1", "norm2", "attention.attention.query", "attention.attention.key", "attention.attention.value",
            "attention.output.dense", "mlp.fc1", "mlp.fc2")),
        f"{at}.layer_scale1.lambda1", f"{at}.layer_scale2.lambda1", "layernorm.weight", "layernorm.bias",
    }  # fmt: skip
    # 304,368,640 as published, for a position of each of 37 x 37 patches and the class token.
    assert sum(value.numel() for value in network.parameters()) == 304_368_640


def test_the_extractor_normalises_resized_images_and_signs_the_weights(network: DinoV2, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_file({name: value.float() for name, value in network.state_dict().items()}, path)
    images = draw_shapes(0, 2)[0]
    extractor = dinov2_extractor(path, sizes=TINY)
    resized = clean_resized(torch.from_numpy(images), 224).double() / 255
    for channel, (mean, deviation) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        resized[:, channel] = (resized[:, channel] - mean) / deviation
    with torch.inference_mode():
        expected = network(resized).numpy()
    np.testing.assert_allclose(extract(images, extractor), expected, atol=1e-3)
    assert extractor.signature.startswith("dinov2-vitl14@")
    assert metric_name("fid", extractor.signature) == "fd-dinov2"
    network.layernorm.bias[0] += 1e-3
    save_file({name: value.float() for name, value in network.state_dict().items()}, path)
    assert dinov2_extractor(path, sizes=TINY).signature != extractor.signature
    with pytest.raises(InputError, match=r"--features dinov2-vitl14: download https://.*, and name it with --weights"):
        open_extractor("dinov2-vitl14", None, "tensorflow1", torch.device("cpu"))
