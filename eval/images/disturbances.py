"""Six disturbances of images at increasing levels; a good distance grows with each (Heusel et al. 2017, for FID).

Images are uint8 [N, 3, H, W]; arithmetic is in floats from -1 to 1, rounded to bytes at the end. Level 0 changes
nothing. Random numbers depend on the seed only, not on the level: a higher level disturbs the same places more.
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
from eval.core.sensitivity import SEED

Images = NDArray[np.uint8]

SHARES = (0.0, 0.25, 0.5, 0.75)
"""Levels of noise, rectangles and contamination."""
RECTANGLES = 5
SWIRL_RADIUS = 70 / 64
"""Radius of the swirl, in sides of the image: the paper's 70 pixels for CelebA at 64 pixels."""

_BLOCK_VALUES = 1 << 21  # pixel values converted to floats at once


@dataclass(frozen=True)
class Disturbance:
    """A disturbance: `apply(images, level, seed)` returns the disturbed images; `levels` are the paper's."""

    name: str
    levels: tuple[float, ...]
    apply: Callable[[Images, float, int], Images]


def all_disturbances(others: Images, swirl_radius: float = SWIRL_RADIUS) -> tuple[Disturbance, ...]:
    """Return the six disturbances of the paper's figure "FID versus Inception Score", in the figure's order.

    Args:
        others: images of another kind, for the contamination; at least 3/4 of the number of images to disturb.
        swirl_radius: radius of the swirl, in sides of the image.

    Raises:
        InputError: the radius is 0 or less.
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
    """Return (1 - level) X + level N, with N normal noise rescaled to the range -1 to 1 over all images.

    The noise is drawn twice, first to find the range, so that it never has to be held for all images at once.

    Raises:
        InputError: the level is outside 0 to 1.
    """
    _require_share(level)
    ends = [end for _, noise in _normal_noise(images, seed) for end in (noise.min(), noise.max())]
    low, width = min(ends), max(ends) - min(ends)
    noisy = np.empty(images.shape, np.uint8)
    for block, noise in _normal_noise(images, seed):
        noisy[block] = to_uint8((1 - level) * batch_floats(images[block]) + level * (2 * (noise - low) / width - 1))
    return noisy


def gaussian_blur(images: Images, level: float) -> Images:
    """Return images blurred per channel by a Gaussian with standard deviation `level` pixels, cut off at four of them.

    Beyond the border the image is mirrored.

    Raises:
        InputError: the level is below 0.
    """
    _require_amount(level)
    blurred = np.empty(images.shape, np.uint8)
    for block in _blocks(len(images), images.shape[1:]):
        floats = batch_floats(images[block])
        blurred[block] = to_uint8(gaussian_filter(floats, (0, 0, level, level), mode="reflect", truncate=4))
    return blurred


def black_rectangles(images: Images, level: float, seed: int) -> Images:
    """Return images with five rectangles each of floor(level H) x floor(level W) pixels in the darkest value.

    All positions inside the image are equally likely, and rectangles may overlap. The darkest value is the minimum over
    all channels of all images: -1, black, in all usual data.

    Raises:
        InputError: the level is outside 0 to 1.
    """
    _require_share(level)
    height, width = (int(level * side) for side in images.shape[2:])
    shares = np.random.default_rng(seed).random((len(images), RECTANGLES, 2))
    corners = (shares * (images.shape[2] - height + 1, images.shape[3] - width + 1)).astype(np.int64).tolist()
    covered = np.array(images)
    darkest = covered.min()
    for image, image_corners in zip(covered, corners, strict=True):
        for top, left in image_corners:
            image[:, top : top + height, left : left + width] = darkest
    return covered


def swirl(images: Images, level: float, seed: int, radius: float = SWIRL_RADIUS) -> Images:
    """Return images rotated around the centre, to the left or right at random, by an angle that decays outwards.

    A pixel at distance r from the centre takes the value at the same distance and at the pixel's angle plus
    s level exp(-5 r / (ln 2 rho)) radians, with s = -1 or 1 per image. Values between pixels are interpolated
    bilinearly; beyond the border the nearest border pixel counts.

    Args:
        images: uint8 [N, 3, H, W].
        level: rotation at the centre, in radians.
        seed: seed of s.
        radius: rho, in shorter sides of the image. A radius in pixels would swirl an image less the larger it is; the
            default swirls an image equally at all sizes, and at 64 pixels as in the paper.

    Raises:
        InputError: the level is below 0, or the radius is 0 or less.
    """
    _require_amount(level)
    _require_radius(radius)
    _, _, height, width = images.shape
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y, x = np.arange(height)[:, None] - middle_y, np.arange(width) - middle_x
    turn = level * np.exp(-5 * np.hypot(x, y) / (math.log(2) * radius * min(height, width)))
    to_the_left = np.random.default_rng(seed).random(len(images)) < 0.5
    swirled = np.empty(images.shape, np.uint8)
    for chosen, sign in ((to_the_left, -1), (~to_the_left, 1)):
        cosine, sine = np.cos(sign * turn), np.sin(sign * turn)
        source_y, source_x = middle_y + y * cosine + x * sine, middle_x + x * cosine - y * sine
        indices = np.flatnonzero(chosen)
        for block in _blocks(len(indices), images.shape[1:]):
            floats = batch_floats(images[indices[block]])
            swirled[indices[block]] = to_uint8(_between_pixels(floats, source_y, source_x))
    return swirled


def salt_and_pepper(images: Images, level: float, seed: int) -> Images:
    """Return images with each pixel, in all channels, black or white with probability `level` / 2 each.

    Raises:
        InputError: the level is outside 0 to 1.
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
    """Return images with round(level N) of them, at random, replaced by random images of `others`, none used twice.

    Raises:
        InputError: the level is outside 0 to 1, or `others` are too few or of another size.
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
    """Raise an error if `others` are too few to contaminate the images up to a level, or of another size."""
    if images.shape[1:] != others.shape[1:]:
        sizes = [f"{width} x {height}" for *_, height, width in (others.shape, images.shape)]
        raise InputError(
            f"--contaminate-with: images of {sizes[0]} pixels for images of {sizes[1]} pixels; give one --size for both"
        )
    if (needed := round(level * len(images))) > len(others):
        raise InputError(
            f"--contaminate-with: {len(others):,} images, but {needed:,} are needed; give more, or a lower --count"
        )


def _between_pixels(floats: NDArray[np.float32], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return bilinear values of images [n, 3, H, W] at points y, x [H, W], which are clipped to the border."""
    height, width = floats.shape[2:]
    y, x = y.clip(0, height - 1), x.clip(0, width - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = (y - top).astype(np.float32), (x - left).astype(np.float32)
    flat = floats.reshape(*floats.shape[:2], height * width)  # indexing two axes at once takes three times as long

    def at(row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = flat.take(row * width + column, axis=2)
        return values

    upper = (1 - across) * at(top, left) + across * at(top, right)
    lower = (1 - across) * at(bottom, left) + across * at(bottom, right)
    between: NDArray[np.float32] = (1 - down) * upper + down * lower
    return between


def _normal_noise(images: Images, seed: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield blocks of the images with their noise, which does not depend on the size of the blocks."""
    random = np.random.default_rng(seed)
    for block in _blocks(len(images), images.shape[1:]):
        yield block, random.standard_normal(images[block].shape, np.float32)


def _blocks(count: int, shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices over `count` images of one shape, each small enough to be held as floats."""
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


def split(dataset: ImageDataset) -> tuple[Images, Images]:
    """Return two halves of the images, chosen at random and in random order: files are often sorted by class.

    Raises:
        InputError: fewer than four images.
    """
    count = len(dataset.images)
    if count < 4:
        raise InputError(f"{dataset.name}: {count} images do not make two halves; give at least 4")
    order, half = np.random.default_rng(SEED).permutation(count), count // 2
    return dataset.images[order[:half]], dataset.images[order[half:]]
