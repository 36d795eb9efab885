"""Six ways to disturb images at growing levels, which a good distance must follow, as Heusel et al. (2017) did for FID.

Images are uint8 [N, 3, H, W]; sums are in floats from -1 to 1 and rounded to bytes at the end. Level 0 changes nothing.
Random numbers depend on the seed alone, not on the level: a higher level disturbs the same places, only more.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from data.errors import InputError
from data.images.dataset import ImageDataset, batch_floats, to_uint8

Images = NDArray[np.uint8]

SHARES = (0.0, 0.25, 0.5, 0.75)
"""Levels of noise, rectangles and contamination."""
RECTANGLES = 5
SWIRL_RADIUS = 70 / 64
"""Reach of the swirl in sides of the image: the 70 pixels of 64 that the paper has for CelebA."""

_BLOCK_VALUES = 1 << 21  # pixels' values held as floats at a time


SEED = 0
"""Seed of the halves and of disturbances with noise."""


@dataclass(frozen=True)
class Disturbance:
    """A way to disturb images: `apply(images, level, seed)` returns as many, and `levels` are those of the paper."""

    name: str
    levels: tuple[float, ...]
    apply: Callable[[Images, float, int], Images]


def all_disturbances(others: Images, swirl_radius: float = SWIRL_RADIUS) -> tuple[Disturbance, ...]:
    """Return the six of the paper's figure "FID versus Inception Score", in its order.

    Args:
        others: images of another kind, for the contamination: three quarters as many as will be disturbed.
        swirl_radius: reach of the swirl, in sides of the image.

    Raises:
        InputError: a radius of 0 or less.
    """
    _require_radius(swirl_radius)
    return (
        Disturbance("gaussian noise", SHARES, gaussian_noise),
        Disturbance("gaussian blur", (0.0, 1.0, 2.0, 4.0), lambda images, level, seed: gaussian_blur(images, level)),
        Disturbance("black rectangles", SHARES, black_rectangles),
        Disturbance("swirl", (0.0, 1.0, 2.0, 4.0), partial(swirl, radius=swirl_radius)),
        Disturbance("salt and pepper", (0.0, 0.1, 0.2, 0.3), salt_and_pepper),
        Disturbance("contamination", SHARES, partial(contamination, others=others)),
    )


def gaussian_noise(images: Images, level: float, seed: int) -> Images:
    """Return (1 - level) X + level N, where N is normal noise, scaled so that the least of all is -1, the greatest 1.

    The noise is drawn twice, first for its range: it is never held for all images at once.

    Raises:
        InputError: a level outside 0 to 1.
    """
    _require_share(level)
    ends = [end for _, noise in _normal_noise(images, seed) for end in (noise.min(), noise.max())]
    low, width = min(ends), max(ends) - min(ends)
    noisy = np.empty(images.shape, np.uint8)
    for block, noise in _normal_noise(images, seed):
        noisy[block] = to_uint8((1 - level) * batch_floats(images[block]) + level * (2 * (noise - low) / width - 1))
    return noisy


def gaussian_blur(images: Images, level: float) -> Images:
    """Return each channel convolved with a Gaussian of standard deviation `level` pixels, cut off at four of these.

    Beyond its border an image goes on as its mirror image.

    Raises:
        InputError: a level below 0.
    """
    _require_amount(level)
    blurred = np.empty(images.shape, np.uint8)
    for block in _blocks(len(images), images.shape[1:]):
        floats = batch_floats(images[block])
        blurred[block] = to_uint8(gaussian_filter(floats, (0, 0, level, level), mode="reflect", truncate=4))
    return blurred


def black_rectangles(images: Images, level: float, seed: int) -> Images:
    """Return each image with five rectangles of floor(level H) x floor(level W) pixels in the darkest value of X.

    All places inside the image are as likely, and rectangles may overlap. The darkest value is that of all channels of
    all images, which is -1, black, in any but odd data.

    Raises:
        InputError: a level outside 0 to 1.
    """
    _require_share(level)
    height, width = (int(level * side) for side in images.shape[2:])
    shares = np.random.default_rng(seed).random((len(images), RECTANGLES, 2))
    corners = (shares * (images.shape[2] - height + 1, images.shape[3] - width + 1)).astype(np.int64).tolist()
    covered = np.array(images)
    darkest = covered.min()
    for image, its in zip(covered, corners, strict=True):
        for top, left in its:
            image[:, top : top + height, left : left + width] = darkest
    return covered


def swirl(images: Images, level: float, seed: int, radius: float = SWIRL_RADIUS) -> Images:
    """Return each image turned around its centre, the less the farther from it, to the left or to the right at random.

    The pixel at distance r from the centre takes the value found at the same distance, at its angle plus
    s level exp(-5 r / (ln 2 rho)) radians, s being -1 or 1 for each image. Values between pixels are bilinear; beyond
    the border is its nearest pixel.

    Args:
        images: uint8 [N, 3, H, W].
        level: radians at the centre.
        seed: decides on s.
        radius: rho in sides of the image, the shorter ones. In pixels the same picture would be swirled less the
            larger it is; at the default it is swirled alike at all sizes, at 64 pixels as in the paper.

    Raises:
        InputError: a level below 0, or a radius of 0 or less.
    """
    _require_amount(level)
    _require_radius(radius)
    _, _, height, width = images.shape
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y, x = np.arange(height)[:, None] - middle_y, np.arange(width) - middle_x
    turn = level * np.exp(-5 * np.hypot(x, y) / (math.log(2) * radius * min(height, width)))
    to_the_left = np.random.default_rng(seed).random(len(images)) < 0.5
    swirled = np.empty(images.shape, np.uint8)
    for its, sign in ((to_the_left, -1), (~to_the_left, 1)):
        cosine, sine = np.cos(sign * turn), np.sin(sign * turn)
        source_y, source_x = middle_y + y * cosine + x * sine, middle_x + x * cosine - y * sine
        indices = np.flatnonzero(its)
        for block in _blocks(len(indices), images.shape[1:]):
            floats = batch_floats(images[indices[block]])
            swirled[indices[block]] = to_uint8(_between_pixels(floats, source_y, source_x))
    return swirled


def salt_and_pepper(images: Images, level: float, seed: int) -> Images:
    """Return images each pixel of which is black or white, in all channels, with probability `level` / 2 each.

    Raises:
        InputError: a level outside 0 to 1.
    """
    _require_share(level)
    random = np.random.default_rng(seed)
    speckled = np.array(images)
    for block in _blocks(len(images), images.shape[1:]):
        part = speckled[block]
        chance = random.random((len(part), 1, *part.shape[2:]), np.float32)
        np.copyto(part, 0, where=chance < level / 2)
        np.copyto(part, 255, where=chance >= 1 - level / 2)
    return speckled


def contamination(images: Images, level: float, seed: int, others: Images) -> Images:
    """Return images of which round(level N), at random places, are random ones of `others`, none twice.

    Raises:
        InputError: a level outside 0 to 1, too few others, or others of another size.
    """
    _require_share(level)
    require_others(others, images, level)
    random = np.random.default_rng(seed)
    replaced = round(level * len(images))
    contaminated = np.array(images)
    places = random.permutation(len(images))[:replaced]
    contaminated[places] = others[random.permutation(len(others))[:replaced]]
    return contaminated


def require_others(others: Images, images: Images, level: float) -> None:
    """Raise an error where others are too few to contaminate images up to a level, or are not of their size."""
    if images.shape[1:] != others.shape[1:]:
        sizes = [f"{width} x {height}" for *_, height, width in (others.shape, images.shape)]
        raise InputError(
            f"--contaminate-with: images of {sizes[0]} pixels among such of {sizes[1]}; give both one --size"
        )
    if (needed := round(level * len(images))) > len(others):
        raise InputError(
            f"--contaminate-with: {len(others):,} images where {needed:,} are needed; give more, or a lower --count"
        )


def _between_pixels(floats: NDArray[np.float32], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the values of images [n, 3, H, W] at points y, x [H, W], bilinear, the border's beyond it."""
    height, width = floats.shape[2:]
    y, x = y.clip(0, height - 1), x.clip(0, width - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = (y - top).astype(np.float32), (x - left).astype(np.float32)
    flat = floats.reshape(*floats.shape[:2], height * width)  # indexing two axes takes three times as long

    def at(row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = flat.take(row * width + column, axis=2)
        return values

    upper = (1 - across) * at(top, left) + across * at(top, right)
    lower = (1 - across) * at(bottom, left) + across * at(bottom, right)
    between: NDArray[np.float32] = (1 - down) * upper + down * lower
    return between


def _normal_noise(images: Images, seed: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the blocks of images with their noise; the same noise however large the blocks are."""
    random = np.random.default_rng(seed)
    for block in _blocks(len(images), images.shape[1:]):
        yield block, random.standard_normal(images[block].shape, np.float32)


def _blocks(count: int, shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices over `count` images of a shape that are small enough to be held as floats."""
    size = max(1, _BLOCK_VALUES // math.prod(shape))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _require_share(level: float) -> None:
    if not 0 <= level <= 1:
        raise InputError(f"level {level}: must be from 0 to 1")


def _require_amount(level: float) -> None:
    if not 0 <= level < math.inf:
        raise InputError(f"level {level}: must be 0 or more")


def _require_radius(radius: float) -> None:
    if not 0 < radius < math.inf:
        raise InputError(f"--swirl-radius {radius}: must be above 0")


def split(pictures: ImageDataset) -> tuple[Images, Images]:
    """Return halves of the pictures, chosen at random and in random order: files are often sorted by class.

    Raises:
        InputError: fewer than four pictures.
    """
    count = len(pictures.images)
    if count < 4:
        raise InputError(f"{pictures.name}: {count} images do not make two halves; give at least 4")
    order, half = np.random.default_rng(SEED).permutation(count), count // 2
    return pictures.images[order[:half]], pictures.images[order[half:]]
