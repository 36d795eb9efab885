"""Resizing as in clean-fid: Pillow's, and Pillow's equals a slow bicubic filter as wide as the reduction."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from eval.images.clean_resize import clean_resized
from eval.images.inception import resized

Images = NDArray[np.uint8]


def cubic(x: float) -> float:
    """Keys's kernel with a = -1/2."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def weights(size: int, side: int) -> NDArray[np.float64]:
    """The filter [side, size] along an axis: as wide as the reduction, cut off at the border, each row's sum 1."""
    scale = size / side
    width = max(scale, 1.0)
    rows = [[cubic((j + 0.5 - (i + 0.5) * scale) / width) for j in range(size)] for i in range(side)]
    table = np.array(rows)
    table /= table.sum(1, keepdims=True)
    return table


@pytest.mark.parametrize(("height", "width", "side"), [(9, 14, 23), (40, 33, 12), (16, 16, 16)])
def test_images_are_those_of_a_slow_filter_and_of_pillow(height: int, width: int, side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, height, width), np.uint8)
    images[0, 0] = np.where(np.arange(width) < width // 2, 0, 255)  # an edge, which the filter overshoots
    found = clean_resized(torch.from_numpy(images), side).numpy()
    exact = weights(height, side) @ images.astype(np.float64) @ weights(width, side).T
    np.testing.assert_allclose(found, exact.clip(0, 255), atol=1e-3)
    for image, result in zip(images, found, strict=True):
        for plane, values in zip(image, result, strict=True):
            pillow = Image.fromarray(plane.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
            assert np.array_equal(values, np.asarray(pillow).clip(0, 255))
    if side != height:
        assert exact.max() > 255.5  # cut off
        rounded = np.asarray(Image.fromarray(images[1, 0]).resize((side, side), Image.Resampling.BICUBIC))
        assert np.abs(rounded - exact[1, 0].clip(0, 255)).max() > 0.4  # on 8 bits
    if side < height:
        aliased = F.interpolate(torch.from_numpy(images).double(), (side, side), mode="bicubic").numpy()
        assert np.abs(aliased.clip(0, 255) - exact.clip(0, 255)).max() > 20


def test_inception_gets_them_around_zero() -> None:
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, 20, 30), np.uint8))
    expected = (weights(20, 299) @ images.double().numpy() @ weights(30, 299).T).clip(0, 255) / 128 - 1
    np.testing.assert_allclose(resized(images, "clean").numpy(), expected, atol=1e-5)
    assert math.isclose(float(resized(torch.full((1, 3, 5, 5), 255, dtype=torch.uint8), "clean").max()), 127 / 128)
