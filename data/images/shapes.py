"""The embedded images: coloured shapes on textured backgrounds, drawn without a download.

Image i depends on the seed and i alone, and is the same to the last bit on every machine: random numbers are integer
hashes (SplitMix64: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"), and pixels are computed
in float32 from +, -, *, /, sqrt, floor, minimum and maximum of single elements, which IEEE 754 defines exactly. Sines,
powers and sums over an axis differ between libraries and are not used. The code is the data set: a change to a pixel
must change VERSION, and the pinned hashes in the tests.

Lengths are fractions of the image's side, so that an index is the same image at every size.
"""

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError

VERSION = "shapes-1"
COUNT = 20_000
"""Default number of images."""
SIZE = 32
"""Default pixels per side."""
SMALLEST = 16
CLASSES = ("disc", "ring", "crescent", "square", "triangle", "cross")

_BLOCK_PIXELS = 1 << 18  # a few float32 planes of this size stay in a core's cache
_NUMBERS = 20  # random numbers per image, before the numbers of the noise
_CELLS = 3  # of the noise, per side

Array = NDArray[np.float32]


def draw_shapes(first: int, count: int, size: int = SIZE, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images first, ..., first + count - 1 as uint8 [count, 3, size, size], and their classes [count].

    Raises:
        InputError: the size is too small to show a shape.
    """
    if size < SMALLEST:
        raise InputError(f"--size {size}: shapes need at least {SMALLEST} pixels per side")
    images = np.empty((count, 3, size, size), np.uint8)
    labels = np.empty(count, np.uint8)
    block = max(1, _BLOCK_PIXELS // size**2)
    for start in range(0, count, block):
        part = slice(start, min(start + block, count))
        numbers = random_numbers(seed, np.arange(first + part.start, first + part.stop, dtype=np.uint64))
        labels[part] = np.floor(numbers[:, 0] * np.float32(len(CLASSES)))
        images[part] = _draw(numbers, labels[part], size)
    return images, labels


def random_numbers(seed: int, indices: NDArray[np.uint64]) -> Array:
    """Return uniform numbers in [0, 1), one row per index: multiples of 2^-24, so float32 holds them exactly."""
    columns = np.arange(1, _NUMBERS + (_CELLS + 1) ** 2 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    start = _mix(_mix(np.array([seed], np.uint64)) + indices)
    return (_mix(start[:, None] + columns) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return SplitMix64's hash of every element; products are modulo 2^64."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _draw(numbers: Array, labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    columns = iter(numbers[:, :_NUMBERS].T[1:, :, None, None])
    radius = _between(next(columns), 0.24, 0.38) * np.float32(size)
    room = np.float32(size) * np.float32(0.47) - radius
    across, down = (np.float32(size) / 2 + _between(next(columns), -1, 1) * room for _ in range(2))
    pixel = np.arange(size, dtype=np.float32) + np.float32(0.5)
    x, y = pixel[None, None, :] - across, pixel[None, :, None] - down
    cosine, sine = _direction(next(columns), next(columns))
    u, v = x * cosine + y * sine, y * cosine - x * sine
    inside = np.empty(u.shape, np.float32)
    for label in range(len(CLASSES)):
        drawn = labels == label
        # The covered fraction of a pixel is 1/2 on the outline, and falls from 1 to 0 within a pixel's width across it.
        inside[drawn] = _coverage(-outline_distance(label, u[drawn], v[drawn], radius[drawn]))

    # Backgrounds are pale, and dark or light. Shapes are saturated, of another hue, and light on dark or dark on light.
    hue, paleness, lightness, value, contrast = (next(columns) for _ in range(5))
    is_dark = lightness < np.float32(0.5)
    saturation = _between(paleness, 0.15, 0.45)
    ground_value = np.where(is_dark, _between(value, 0.10, 0.25), _between(value, 0.65, 0.80))
    low = _colour(hue, saturation, ground_value)
    high = _colour(hue + np.float32(0.08), saturation, ground_value + _between(contrast, 0.10, 0.20))
    hue = hue + _between(next(columns), 0.3, 0.7)
    saturation, value = next(columns), next(columns)
    shape_value = np.where(is_dark, _between(value, 0.85, 1), _between(value, 0.35, 0.6))
    shape = _colour(hue, _between(saturation, 0.7, 1), shape_value)

    texture = _textures(list(columns), numbers[:, _NUMBERS:], size)
    images = np.empty((len(labels), 3, size, size), np.uint8)
    for channel in range(3):
        ground = low[channel] + texture * (high[channel] - low[channel])
        colour = ground + inside * (shape[channel] - ground)
        images[:, channel] = np.floor(colour * np.float32(255) + np.float32(0.5))
    return images


def outline_distance(label: int, u: Array, v: Array, radius: Array) -> Array:
    """Return the distance of points (u, v) from a shape's outline, negative inside; exact near straight edges and arcs.

    The shape's centre is the origin; all its points are within `radius`.
    """
    r, distance = radius, _length(u, v)
    a, b = np.abs(u), np.abs(v)
    outside: Array
    match CLASSES[label]:
        case "disc":
            outside = distance - _of(0.85, r)
        case "ring":
            outside = np.abs(distance - _of(0.72, r)) - _of(0.23, r)
        case "crescent":
            outside = np.maximum(distance - _of(0.95, r), _of(0.75, r) - _length(u - _of(0.5, r), v))
        case "square":
            outside = np.maximum(a, b) - _of(0.7, r)
        case "triangle":
            outside = np.maximum(v, a * np.float32(0.8660254) - v * np.float32(0.5)) - _of(0.5, r)
        case _:
            outside = np.maximum(np.minimum(a, b) - _of(0.27, r), np.maximum(a, b) - _of(0.95, r))
    return outside


def _textures(numbers: list[Array], noise: Array, size: int) -> Array:
    """Return the fraction [n, size, size] of the second colour: a gradient, stripes, checks or smooth noise."""
    kind, turn, half, period, phase_u, phase_v = numbers
    cosine, sine = _direction(turn, half)
    pixel = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size) - np.float32(0.5)
    u = pixel[None, None, :] * cosine + pixel[None, :, None] * sine
    v = pixel[None, :, None] * cosine - pixel[None, None, :] * sine
    kinds = np.floor(kind * np.float32(4)).ravel()
    period = _between(period, 0.25, 0.5)
    texture = np.empty(u.shape, np.float32)

    drawn = kinds == 0
    texture[drawn] = _limit(u[drawn] + np.float32(0.5))
    drawn = kinds == 1
    texture[drawn] = _stripes(u[drawn], period[drawn], phase_u[drawn], size)
    drawn = kinds == 2
    one = _stripes(u[drawn], period[drawn], phase_u[drawn], size)
    other = _stripes(v[drawn], period[drawn], phase_v[drawn], size)
    texture[drawn] = one + other - one * other * 2
    drawn = kinds == 3
    texture[drawn] = _noise(noise[drawn].reshape(-1, _CELLS + 1, _CELLS + 1), size)
    return texture


def _stripes(along: Array, period: Array, phase: Array, size: int) -> Array:
    """Return alternating 0 and 1 along an axis, half a period each, with edges one pixel wide."""
    turns = along / period + phase
    sawtooth = turns - np.floor(turns)
    # Half a period is 1/2: this is the distance to the nearest edge in pixels, negative in every other stripe.
    distance = (np.float32(0.25) - np.abs(sawtooth - np.float32(0.5))) * period * np.float32(size)
    return _coverage(distance)


def _noise(lattice: Array, size: int) -> Array:
    """Return values [n, size, size] interpolated with smooth steps between lattice points [n, cells + 1, cells + 1]."""
    place = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size) * np.float32(_CELLS)
    cell = np.floor(place).astype(np.intp)
    weight = place - cell.astype(np.float32)
    weight = weight * weight * (np.float32(3) - weight * 2)
    rows: Array = lattice[:, cell] + weight[:, None] * (lattice[:, cell + 1] - lattice[:, cell])
    left, right = rows[:, :, cell], rows[:, :, cell + 1]
    values: Array = left + weight * (right - left)
    return values


def _colour(hue: Array, saturation: Array, value: Array) -> list[Array]:
    """Return red, green and blue in [0, 1] from hue (in turns), saturation and value (Smith 1978)."""
    channels = []
    for shift in (0, 2 / 3, 1 / 3):
        turns = hue + np.float32(shift)
        turns = turns - np.floor(turns)
        pure = _limit(np.abs(turns * 6 - 3) - 1)
        channels.append(value - value * saturation * (1 - pure))
    return channels


def _direction(turn: Array, half: Array) -> tuple[Array, Array]:
    """Return cosine and sine of a random angle: a half-angle's tangent in [-1, 1], then a half turn or none.

    The angle is nearly uniform: the density is highest, twice the lowest, at tangent 0.
    """
    tangent = _between(turn, -1, 1)
    square = tangent * tangent
    sign = np.where(half < np.float32(0.5), np.float32(1), np.float32(-1))
    return sign * (1 - square) / (1 + square), sign * (tangent * 2) / (1 + square)


def _between(number: Array, low: float, high: float) -> Array:
    return np.float32(low) + number * np.float32(high - low)


def _of(fraction: float, radius: Array) -> Array:
    return radius * np.float32(fraction)


def _length(u: Array, v: Array) -> Array:
    return np.sqrt(u * u + v * v)


def _coverage(distance: Array) -> Array:
    return _limit(distance + np.float32(0.5))


def _limit(value: Array) -> Array:
    return np.minimum(np.maximum(value, np.float32(0)), np.float32(1))
