import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval.images import disturbances
from eval.images.disturbances import (
    SHARES,
    Images,
    all_disturbances,
    black_rectangles,
    contamination,
    gaussian_blur,
    gaussian_noise,
    require_others,
    salt_and_pepper,
    swirl,
)

Floats = NDArray[np.float64]

# No pixel is black or white, the darkest value is 40, and height is not width.
IMAGES: Images = np.random.default_rng(0).integers(40, 216, (12, 3, 18, 14), np.uint8)
OTHERS: Images = np.random.default_rng(1).integers(0, 256, (15, 3, 18, 14), np.uint8)
IMAGES[5, 1, 2, 3] = 40


def floats(images: Images) -> Floats:
    return images.astype(np.float64) / 127.5 - 1


def difference(found: Images, expected: Floats) -> float:
    """The largest difference in bytes of images and of what they should be in [-1, 1]; rounding takes a half of one."""
    return float(np.abs(found - (expected.clip(-1, 1) + 1) * 127.5).max())


def test_level_0_changes_nothing() -> None:
    every_byte = np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(1, 3, 16, 16)
    for images, others in ((IMAGES, OTHERS), (every_byte, every_byte)):
        for disturbance in all_disturbances(others):
            assert disturbance.levels[0] == 0
            assert np.array_equal(disturbance.apply(images, 0, 3), images), disturbance.name


def test_the_levels_are_the_papers() -> None:
    # The spec's table "Disturbances", from figure 3 of arXiv 1706.08500.
    shares, strong = (0, 0.25, 0.5, 0.75), (0, 1, 2, 4)
    assert [disturbance.levels for disturbance in all_disturbances(OTHERS)] == [
        *(shares, strong, shares, strong, (0, 0.1, 0.2, 0.3), shares)
    ]


@pytest.mark.parametrize("number", range(6))
def test_the_size_of_blocks_is_no_matter(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    disturbance = all_disturbances(OTHERS)[number]
    for level in disturbance.levels:
        whole = disturbance.apply(IMAGES, level, 3)
        for values in (1, 5 * 3 * 18 * 14):
            with monkeypatch.context() as patch:
                patch.setattr(disturbances, "_BLOCK_VALUES", values)
                assert np.array_equal(disturbance.apply(IMAGES, level, 3), whole)
    if disturbance.name != "gaussian blur":
        assert not np.array_equal(disturbance.apply(IMAGES, level, 4), whole)


def test_many_images_are_not_held_as_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disturbances, "_BLOCK_VALUES", 1 << 14)
    images = np.zeros((700, 3, 32, 32), np.uint8)
    for disturbance in all_disturbances(images):
        tracemalloc.start()
        disturbance.apply(images, disturbance.levels[-1], 0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # As floats they would take four times their bytes.
        assert peak < 2.5 * images.nbytes, disturbance.name


@pytest.mark.parametrize("level", [0.25, 0.75, 1.0])
def test_noise_is_scaled_by_its_range_over_all_images(level: float) -> None:
    normal = np.random.default_rng(3).standard_normal(IMAGES.shape, np.float32).astype(np.float64)

    def mixed(low: Floats, high: Floats) -> Floats:
        return (1 - level) * floats(IMAGES) + level * (2 * (normal - low) / (high - low) - 1)

    found = gaussian_noise(IMAGES, level, 3)
    assert difference(found, mixed(normal.min(), normal.max())) < 0.51
    of_each_image = (normal.min((1, 2, 3), keepdims=True), normal.max((1, 2, 3), keepdims=True))
    assert difference(found, mixed(*of_each_image)) > 2
    if level == 1:
        assert (found.min(), found.max()) == (0, 255)


def slow_blur(images: Images, deviation: float) -> Floats:
    _, _, height, width = images.shape
    reach = int(4 * deviation + 0.5)
    weights = {step: math.exp(-(step**2) / (2 * deviation**2)) for step in range(-reach, reach + 1)}

    def matrix(side: int) -> Floats:
        result = np.zeros((side, side))
        for target in range(side):
            for step, weight in weights.items():
                source = (target + step) % (2 * side)  # the image, then its mirror image, and so on
                result[target, min(source, 2 * side - 1 - source)] += weight / sum(weights.values())
        return result

    blurred: Floats = matrix(height) @ floats(images) @ matrix(width).T
    return blurred


@pytest.mark.parametrize("level", [1.0, 2.0, 4.0])
def test_blur_is_a_gaussian_a_channel(level: float) -> None:
    found = gaussian_blur(IMAGES, level)
    assert difference(found, slow_blur(IMAGES, level)) < 0.51
    assert difference(found, slow_blur(IMAGES, level + 0.5)) > 1
    assert difference(found, slow_blur(IMAGES.mean(1, keepdims=True).repeat(3, 1).astype(np.uint8), level)) > 2


def slow_rectangles(images: Images, level: float, seed: int) -> Images:
    """Every pixel asks every rectangle."""
    shares = np.random.default_rng(seed).random((len(images), 5, 2)).tolist()
    _, _, height, width = images.shape
    tall, wide = int(level * height), int(level * width)
    result = images.copy()
    for image, its in zip(result, shares, strict=True):
        for share_y, share_x in its:
            top, left = int(share_y * (height - tall + 1)), int(share_x * (width - wide + 1))
            for y in range(height):
                for x in range(width):
                    if top <= y < top + tall and left <= x < left + wide:
                        image[:, y, x] = 40
    return result


@pytest.mark.parametrize("level", [0.25, 0.5, 0.75, 1.0])
def test_rectangles_have_the_darkest_value(level: float) -> None:
    found = black_rectangles(IMAGES, level, 3)
    assert np.array_equal(found, slow_rectangles(IMAGES, level, 3))
    assert (found == 40).all() or level < 1


def test_rectangles_lie_anywhere_inside_as_often() -> None:
    count, side, level = 4000, 8, 0.25  # rectangles of 2 x 2 pixels at 7 x 7 places
    images = np.full((count, 3, side, side), 200, np.uint8)
    images[0] = 0
    covered = (black_rectangles(images, level, 0)[1:, 0] == 0).mean(0)
    row = [sum(top <= y < top + 2 for top in range(7)) / 7 for y in range(side)]
    expected = 1 - (1 - np.outer(row, row)) ** 5
    error = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(covered - expected) < 5 * error).all()
    # Were they cut off by the border instead, four places of 81 would cover every pixel.
    cut = 1 - (1 - np.full((side, side), 4 / 81)) ** 5
    assert (np.abs(covered - cut) > 5 * error).any()


def slow_swirl(image: Images, level: float, sign: int, rho: float) -> Floats:
    """The definition in polar coordinates, SciPy finding the values between pixels."""
    _, height, width = image.shape
    centre = np.array([[(height - 1) / 2], [(width - 1) / 2]])
    y, x = np.indices((height, width)).reshape(2, -1) - centre
    r = np.hypot(y, x)
    angle = np.arctan2(y, x) + sign * level * np.exp(-5 * r / (math.log(2) * rho))
    at = np.stack([r * np.sin(angle), r * np.cos(angle)]) + centre
    planes = [map_coordinates(plane, at, order=1, mode="nearest").reshape(height, width) for plane in floats(image)]
    return np.stack(planes)


@pytest.mark.parametrize("level", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("radius", [70 / 64, 0.4])
def test_swirls_turn_left_or_right(level: float, radius: float) -> None:
    rho = radius * 14
    found = swirl(IMAGES, level, 3, radius)
    signs = []
    for image, result in zip(IMAGES, found, strict=True):
        errors = {sign: difference(result, slow_swirl(image, level, sign, rho)) for sign in (-1, 1)}
        signs.append(min(errors, key=lambda sign: errors[sign]))
        assert min(errors.values()) < 0.51
        assert max(errors.values()) > 5
        assert difference(result, slow_swirl(image, level, signs[-1], rho * 1.2)) > 5
    assert set(signs) == {-1, 1}
    assert np.array_equal(swirl(IMAGES, level, 3, radius), found)


def test_a_swirl_is_as_wide_at_every_size() -> None:
    # 64 pixels have the paper's rho of 70; a picture of half the size is swirled as the large one is.
    large, small = draw_shapes(0, 8, 64)[0], draw_shapes(0, 8, 32)[0]
    found = swirl(large, 4, 0)
    for image, result in zip(large, found, strict=True):
        assert min(difference(result, slow_swirl(image, 4, sign, 70)) for sign in (-1, 1)) < 0.51
    halved = found.reshape(8, 3, 32, 2, 32, 2).mean((3, 5))
    alike = np.abs(halved - swirl(small, 4, 0)).mean()
    assert 3 * alike < np.abs(halved - swirl(small, 4, 0, 70 / 32)).mean()


def test_salt_and_pepper_are_whole_pixels_in_their_shares() -> None:
    images = IMAGES.repeat(60, 0)
    previous = np.zeros(images[:, 0].shape, bool)
    for level in (0.1, 0.2, 0.3, 1.0):
        found = salt_and_pepper(images, level, 3)
        black, white = (found == 0).all(1), (found == 255).all(1)
        untouched = (found == images).all(1)
        assert (black | white | untouched).all()  # never one channel alone
        error = math.sqrt(level / 2 * (1 - level / 2) / black.size)
        assert abs(black.mean() - level / 2) < 5 * error
        assert abs(white.mean() - level / 2) < 5 * error
        assert not (untouched & previous).any()  # what a lower level set is set here too
        previous = ~untouched
    assert previous.all()


def test_contamination_replaces_a_fraction_with_different_others() -> None:
    ours, theirs = ({image.tobytes(): index for index, image in enumerate(images)} for images in (IMAGES, OTHERS))
    before: set[int] = set()
    for level, expected in ((0.25, 3), (0.5, 6), (0.75, 9), (1.0, 12)):
        found = [image.tobytes() for image in contamination(IMAGES, level, 3, OTHERS)]
        replaced = {index for index, image in enumerate(found) if image != IMAGES[index].tobytes()}
        assert len(replaced) == expected
        assert replaced > before
        assert len({theirs[found[index]] for index in replaced}) == expected
        assert all(ours[image] == index for index, image in enumerate(found) if index not in replaced)
        before = replaced
    places, chosen = np.zeros(12), np.zeros(15)
    for seed in range(800):
        result = contamination(IMAGES, 0.25, seed, OTHERS)
        changed = (result != IMAGES).any((1, 2, 3))
        places += changed
        for image in result[changed]:
            chosen[theirs[image.tobytes()]] += 1
    # Of 800 draws of 3: each place has 200 +- 12.2, each other 160 +- 11.3.
    assert (np.abs(places - 200) < 5 * 12.2).all()
    assert (np.abs(chosen - 160) < 5 * 11.3).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_noise(IMAGES, 1.1, 0), "level 1.1: must be from 0 to 1"),
        (lambda: black_rectangles(IMAGES, -0.1, 0), "level -0.1: must be from 0 to 1"),
        (lambda: salt_and_pepper(IMAGES, math.nan, 0), "level nan: must be from 0 to 1"),
        (lambda: contamination(IMAGES, 2, 0, OTHERS), "level 2: must be from 0 to 1"),
        (lambda: gaussian_blur(IMAGES, -1), "level -1: must be 0 or more"),
        (lambda: swirl(IMAGES, math.inf, 0), "level inf: must be 0 or more"),
        (lambda: swirl(IMAGES, 1, 0, 0), "--swirl-radius 0: must be above 0"),
        (lambda: all_disturbances(OTHERS, math.nan), "--swirl-radius nan: must be above 0"),
        (lambda: contamination(IMAGES, 0.5, 0, OTHERS[:5]), "--contaminate-with: 5 images, but 6 are needed"),
        (lambda: require_others(OTHERS[:8], IMAGES, max(SHARES)), "--contaminate-with: 8 images, but 9 are needed"),
        (
            lambda: contamination(IMAGES, 0.5, 0, OTHERS[..., :9]),
            "--contaminate-with: images of 9 x 18 pixels for images of 14 x",
        ),
    ],
)
def test_wrong_settings_are_refused(call: Callable[[], Images], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
