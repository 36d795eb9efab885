import hashlib
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from data.errors import InputError
from data.images import shapes
from data.images.shapes import CLASSES, draw_shapes, outline_distance, random_numbers


def digest(size: int, seed: int) -> str:
    images, labels = draw_shapes(0, 200, size, seed)
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def test_the_images_are_pinned() -> None:
    # Changing what is drawn makes another data set: then VERSION and these hashes must change.
    assert shapes.VERSION == "shapes-1"
    assert digest(32, 0) == "796dce1a2124d6ed9a21ce4bdda06755f18e2b349b9a58675b327d37c6067e45"
    assert digest(64, 0) == "1c308754ba77facea8839faea6bf6a6d61333d756d08e4ff3afbab84a8f5e67c"
    assert digest(19, 7) == "afbd09ec15ffd598274d4c023a868506afaa376bb6ddbf766232c6604c7410be"


def test_an_image_is_a_function_of_seed_and_index_alone() -> None:
    # At 64 pixels a block is 64 images: neither its borders nor what else is drawn matter.
    images, labels = draw_shapes(0, 200, 64, seed=3)
    some, some_labels = draw_shapes(61, 10, 64, seed=3)
    assert np.array_equal(some, images[61:71])
    assert np.array_equal(some_labels, labels[61:71])
    assert not np.array_equal(draw_shapes(0, 200, 64, seed=4)[1], labels)
    assert len({image.tobytes() for image in images}) == 200


def split_mix(state: int) -> int:
    """SplitMix64's hash in Python's own integers."""
    mask = 2**64 - 1
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
    state = (state ^ state >> 27) * 0x94D049BB133111EB & mask
    return state ^ state >> 31


def test_random_numbers_are_those_of_plain_integers() -> None:
    # The published generator, started at 0, gives 0xE220A8397B1DCDAF first.
    assert split_mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    numbers = random_numbers(5, np.array([0, 9, 10**12], np.uint64))
    for row, index in enumerate((0, 9, 10**12)):
        start = split_mix((split_mix(5) + index) % 2**64)
        for column in range(numbers.shape[1]):
            state = (start + (column + 1) * 0x9E3779B97F4A7C15) % 2**64
            assert numbers[row, column] == (split_mix(state) >> 40) / 2**24


def test_random_numbers_are_uniform_and_independent() -> None:
    numbers = random_numbers(0, np.arange(5000, dtype=np.uint64)).astype(np.float64)
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 0.01
    correlation = np.corrcoef(np.concatenate([numbers[:-1], numbers[1:]], axis=1).T)  # also with the next image's
    off_diagonal = correlation[~np.eye(len(correlation), dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / math.sqrt(5000)


def test_pictures_are_the_same_at_every_size() -> None:
    small, large = (draw_shapes(0, 300, size)[0].astype(np.float64) for size in (32, 128))
    averaged = large.reshape(300, 3, 32, 4, 32, 4).mean(axis=(3, 5))
    assert np.abs(small - averaged).mean() < 0.5
    assert np.abs(np.roll(small, 1, axis=3) - averaged).mean() > 5  # a pixel to the side


def contains(name: str, x: NDArray[np.float64], y: NDArray[np.float64], r: float) -> NDArray[np.bool_]:
    """Which points are inside a shape, from corners and circles (rows run downwards)."""
    distance = np.hypot(x, y)
    match name:
        case "disc":
            return distance < 0.85 * r
        case "ring":
            return (distance > 0.49 * r) & (distance < 0.95 * r)
        case "crescent":
            return (distance < 0.95 * r) & (np.hypot(x - 0.5 * r, y) > 0.75 * r)
        case "square":
            return (abs(x) < 0.7 * r) & (abs(y) < 0.7 * r)
        case "cross":
            upright = (abs(x) < 0.27 * r) & (abs(y) < 0.95 * r)
            return upright | ((abs(y) < 0.27 * r) & (abs(x) < 0.95 * r))
    corners = [(r * math.cos(angle), r * math.sin(angle)) for angle in (-math.pi / 2, math.pi / 6, math.pi * 5 / 6)]
    inside = np.ones_like(x, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0
    return inside


@pytest.mark.parametrize("label", range(len(CLASSES)))
def test_a_pixel_shows_the_share_of_it_that_is_inside(label: int) -> None:
    size, finer, r = 40, 16, 13.3
    pixel = np.arange(size) + 0.5 - size / 2
    u, v = np.meshgrid(pixel.astype(np.float32), pixel.astype(np.float32))
    distance = outline_distance(label, u[None], v[None], np.full((1, 1, 1), r, np.float32))[0].astype(np.float64)
    fine = (np.arange(size * finer) + 0.5) / finer - size / 2
    points = contains(CLASSES[label], *np.meshgrid(fine, fine), r)
    shares = points.reshape(size, finer, size, finer).mean(axis=(1, 3))
    error = np.abs(np.clip(0.5 - distance, 0, 1) - shares)
    assert error.sum() / shares.sum() < 0.02
    assert error.max() < 0.35  # at the corners; half a pixel at worst on an edge drawn without shares
    assert np.abs((distance < 0) - shares).sum() > 5 * error.sum()


def test_shapes_stand_out_and_their_classes_can_be_told() -> None:
    images, labels = draw_shapes(0, 600)
    numbers = random_numbers(0, np.arange(600, dtype=np.uint64))
    colours = images.astype(np.float64)
    # The frame holds no shape; its middle colour stands for the ground, the colour least like it for the shape.
    frame = np.concatenate([colours[:, :, 0], colours[:, :, -1], colours[:, :, :, 0], colours[:, :, :, -1]], axis=2)
    ground = ((frame.max(axis=2) + frame.min(axis=2)) / 2)[:, :, None]
    away = colours.reshape(600, 3, -1) - ground
    farthest = np.square(away).sum(axis=1).argmax(axis=1)
    shape = np.take_along_axis(away, farthest[:, None, None], axis=2)
    strength = np.sqrt(np.square(shape).sum(axis=1)).ravel()
    spread = np.sqrt(np.square(frame - ground).sum(axis=1)).max(axis=1)
    assert (strength / spread).min() > 2
    assert strength.min() > 70  # of 255 levels
    share = (away * shape).sum(axis=1) / np.square(shape).sum(axis=1)
    area = (share > 0.5).sum(axis=1) / np.square(32 * (0.24 + 0.14 * numbers[:, 1]))
    # Areas by geometry, at radius 1; the crescent's is a disc less the lens it shares with another.
    expected = (2.270, 2.081, 1.443, 1.960, 1.299, 1.760)
    for label, its in enumerate(expected):
        assert float(np.median(area[labels == label])) == pytest.approx(its, rel=0.03)
    # As many of each: chi-square with 5 degrees of freedom exceeds 20.5 once in a thousand; the seed is fixed.
    assert stats.chisquare(np.bincount(labels)).statistic < 20.5


def test_a_shape_takes_some_pixels() -> None:
    assert draw_shapes(0, 1, 16)[0].shape == (1, 3, 16, 16)
    with pytest.raises(InputError, match="--size 15: shapes need at least 16 pixels per side"):
        draw_shapes(0, 1, 15)
