import io
import math
import struct
import warnings
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data.errors import InputError
from data.images.decoding import decode, fit

NOISE = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", exif: Image.Exif | None = None) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, exif=exif or Image.Exif())
    return file.getvalue()


def decoded(image: Image.Image, kind: str = "PNG") -> NDArray[np.uint8]:
    return np.asarray(decode(encoded(image, kind), "it"))


def test_rgb_comes_back_as_it_was() -> None:
    for kind in ("PNG", "BMP", "PPM", "TIFF"):
        assert np.array_equal(decoded(Image.fromarray(NOISE), kind), NOISE)


def test_grey_becomes_three_equal_channels() -> None:
    grey = NOISE[:, :, 0]
    assert np.array_equal(decoded(Image.fromarray(grey)), np.stack([grey] * 3, axis=2))
    black_and_white = Image.fromarray(grey).convert("1", dither=Image.Dither.NONE)
    assert np.array_equal(decoded(black_and_white)[:, :, 1], np.where(grey > 127, 255, 0))


def test_16_bits_of_grey_are_divided_by_257_in_every_format() -> None:
    grey = np.array([[0, 128, 129, 257, 30_000, 65_407, 65_535]], np.uint16)
    plain = b"P5 7 1 65535\n" + grey.astype(">u2").tobytes()
    expected = np.rint(grey / 257)  # 0.498 to 0, 0.502 to 1
    for content in (encoded(Image.fromarray(grey)), encoded(Image.fromarray(grey), "TIFF"), plain):
        assert np.array_equal(np.asarray(decode(content, "it"))[:, :, 1], expected)


def over_white(colour: NDArray[np.integer], alpha: NDArray[np.integer]) -> NDArray[np.float64]:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def test_transparency_is_laid_over_white() -> None:
    alpha = NOISE[::-1, ::-1, 0]
    result = decoded(Image.fromarray(np.dstack([NOISE, alpha])))
    assert np.abs(result - over_white(NOISE, alpha)).max() <= 1  # Pillow rounds twice
    assert np.abs(result.astype(int) - NOISE).max() > 100  # as if alpha were dropped
    grey = decoded(Image.merge("LA", [Image.fromarray(NOISE[:, :, 0]), Image.fromarray(alpha)]))
    assert np.abs(grey[:, :, :1] - over_white(NOISE[:, :, :1], alpha)).max() <= 1


def test_a_palette_and_its_transparent_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert decoded(image).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    image.info["transparency"] = 1
    assert decoded(image, "GIF").tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert decoded(image).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_sixteen_bits_are_divided_by_257_and_rounded() -> None:
    values = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    expected = np.array([round(Fraction(value, 257)) for value in range(1 << 16)])
    for kind in ("PNG", "TIFF"):
        result = decoded(Image.fromarray(values), kind)
        for channel in range(3):
            assert np.array_equal(result[:, :, channel].ravel(), expected)
    assert not np.array_equal(values.ravel() >> 8, expected)
    tiff = struct.pack(">2sHI", b"MM", 42, 8) + struct.pack(">H", 8)  # the same with the upper byte first
    for tag, value in ((256, 256), (257, 256), (258, 16), (259, 1), (262, 1), (273, 110), (277, 1), (278, 256)):
        tiff += struct.pack(">HHIHH", tag, 3, 1, value, 0)
    tiff += bytes(110 - len(tiff)) + values.astype(">u2").tobytes()
    assert np.array_equal(np.asarray(decode(tiff, "it"))[:, :, 0].ravel(), expected)


def test_cmyk_is_ink_on_white() -> None:
    result = decoded(Image.new("CMYK", (1, 1), (10, 20, 30, 40)), "TIFF")
    ink = [(255 - colour) * (255 - 40) / 255 for colour in (10, 20, 30)]
    assert np.abs(result[0, 0] - ink).max() <= 1


def test_a_held_camera_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right
    upright = np.asarray(decode(encoded(Image.fromarray(NOISE), exif=exif), "it"))
    assert np.array_equal(upright, np.rot90(NOISE, -1))


def test_the_first_frame_counts() -> None:
    file = io.BytesIO()
    Image.new("RGB", (1, 1), "red").save(file, "PNG", save_all=True, append_images=[Image.new("RGB", (1, 1), "blue")])
    assert np.asarray(decode(file.getvalue(), "it")).tolist() == [[[255, 0, 0]]]


def filtered(line: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Resize the last axis with a triangle as wide as the reduction, by the definition."""
    scale = line.shape[-1] / size
    reach = max(scale, 1.0)
    result = np.empty((*line.shape[:-1], size))
    for place in range(size):
        centre = (place + 0.5) * scale
        weights = np.array([max(0.0, 1 - abs(pixel + 0.5 - centre) / reach) for pixel in range(line.shape[-1])])
        result[..., place] = line @ weights / weights.sum()
    return result


@pytest.mark.parametrize(("before", "after"), [(108, 64), (64, 32), (20, 31), (256, 64)])
def test_resizing_is_a_triangle_filter(before: int, after: int) -> None:
    noise = np.random.default_rng(before).integers(0, 256, (before, before, 3), np.uint8)
    channels = noise.transpose(2, 0, 1).astype(np.float64)
    expected = filtered(filtered(channels, after).transpose(0, 2, 1), after).transpose(0, 2, 1)
    result = fit(Image.fromarray(noise), None, after, "it")
    assert np.abs(result - expected).max() <= 1.01  # Pillow rounds after each of the two axes
    assert abs(float((result - expected).mean())) < 0.2
    for other in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX):
        wrong = np.asarray(Image.fromarray(noise).resize((after, after), other)).transpose(2, 0, 1)
        assert np.abs(wrong - expected).max() > 5


def coordinates(width: int, height: int) -> NDArray[np.uint8]:
    """An image whose pixels say where they are: column, row."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x, y, 0 * x], axis=2).astype(np.uint8)


def test_the_centre_is_cut_out() -> None:
    celeba = Image.fromarray(coordinates(178, 218))
    cropped = fit(celeba, 108, None, "it")
    assert cropped.shape == (3, 108, 108)
    assert cropped[:2, 0, 0].tolist() == [35, 55]  # (178 - 108) / 2, (218 - 108) / 2
    assert cropped[:2, -1, -1].tolist() == [142, 162]
    # A slope stays a slope: pixel i of 64 lies at 35 + (i + 1/2) 108/64 - 1/2. The filter is cut off at the border.
    columns = 35 + (np.arange(64) + 0.5) * 108 / 64 - 0.5
    assert np.abs(fit(celeba, 108, 64, "it")[0, 32, 1:-1] - columns[1:-1]).max() <= 0.5 + 1e-9
    largest = fit(celeba, None, 178, "it")
    assert largest[:2, 0, 0].tolist() == [0, 20]
    assert np.array_equal(fit(celeba, None, None, "it"), coordinates(178, 218).transpose(2, 0, 1))
    odd = fit(Image.fromarray(coordinates(5, 4)), None, 4, "it")
    assert odd[0, 0].tolist() == [0, 1, 2, 3]


def test_what_is_smaller_than_the_crop_is_refused() -> None:
    with pytest.raises(InputError, match=r"it: 20 x 24 pixels, smaller than the centre crop of 21 x 21"):
        fit(Image.fromarray(NOISE), 21, 64, "it")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM"])
def test_a_file_that_is_cut_off_is_damaged(kind: str) -> None:
    whole = encoded(Image.fromarray(NOISE), kind)
    assert decode(whole, "it").size == (20, 24)
    for length in (len(whole) // 2, len(whole) * 3 // 4):
        with pytest.raises(InputError, match=r"^there/it: (damaged image .*; fetch it again|not an image)"):
            decode(whole[:length], "there/it")


@pytest.mark.parametrize("content", [b"", b"GIF", b"plain text, no image\n" * 50])
def test_what_is_no_image_is_named(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^it: not an image"):
        decode(content, "it")


def test_pixels_without_a_range_are_refused() -> None:
    for array in (np.ones((4, 4), np.float32), np.full((4, 4), 1 << 20, np.int32)):
        with pytest.raises(InputError, match=r"^it: 32-bit pixels"):
            decode(encoded(Image.fromarray(array), "TIFF"), "it")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_damage_of_any_kind_is_one_clear_error(kind: str) -> None:
    whole, random = encoded(Image.fromarray(NOISE.repeat(2, 0)), kind), Random(0)
    outcomes = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, on what it mends by itself
        for _ in range(300):
            damaged = bytearray(whole)
            for _ in range(random.randrange(1, 5)):
                damaged[random.randrange(min(300, len(whole)))] = random.randrange(256)
            try:
                outcomes.add(decode(bytes(damaged), "it").mode)
            except InputError as error:
                outcomes.add(str(error)[:3])
    assert outcomes == {"it:", "RGB"}


def test_the_mean_level_survives_resizing() -> None:
    # A filter whose weights did not sum to one would brighten or darken: a flat image stays flat at every level.
    for level in (0, 1, 127, 128, 254, 255):
        flat = Image.new("RGB", (33, 47), (level, level, level))
        assert np.unique(fit(flat, None, math.ceil(33 / 2), "it")).tolist() == [level]
