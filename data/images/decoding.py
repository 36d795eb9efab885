"""Decode image files to RGB of 8 bits, crop about the centre and resize.

Grey becomes three equal channels. 16-bit grey and uint16 arrays become round(x / 257), so that 65535 is 255; in bool
arrays true becomes 255. Transparency, in palettes too, is blended with white. CMYK and other colour spaces are
converted by Pillow, without a colour profile. The EXIF orientation is applied. Only the first of several frames is
used. Pillow reads the upper 8 bits of 16-bit colour. Images of 32-bit or floating-point pixels are refused, as their
range is unknown.

Images are resized by Pillow's bilinear filter with antialiasing (a triangle as wide as the reduction), as by
`scipy.misc.imresize` in the code of DCGAN and of the TTUR paper.
"""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from data.errors import InputError
from data.readers import first_line

# Exceptions of Pillow's decoders on damaged files. The bytes are in memory, so an OSError is not the disk's.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, EOFError, RuntimeError, struct.error, zlib.error)


def decode(encoded: bytes, where: str) -> Image.Image:
    """Decode an image file's bytes to RGB of 8 bits.

    Raises:
        InputError: not an image, truncated, or pixels of unknown range; the message begins with `where`.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            image.load()
            if image.format == "PPM" and image.mode == "I":  # 16 bits, which Pillow widens
                return _as_rgb(image.convert("I;16"), where)
            return _as_rgb(ImageOps.exif_transpose(image), where)
    except UnidentifiedImageError as error:
        raise InputError(f"{where}: not an image that Pillow can read; remove it, or convert it to PNG") from error
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: damaged image ({first_line(error)}); fetch it again, or remove it") from error


def fit(image: Image.Image, crop: int | None, size: int | None, where: str) -> NDArray[np.uint8]:
    """Return an RGB image as uint8 [3, H, W], cropped about its centre and resized.

    Args:
        image: an RGB image.
        crop: pixels per side of the square that is kept; None: the largest square if there is a size, else all.
        size: pixels per side of the result; None: not resized.
        where: the place of the image, with which an error begins.

    Raises:
        InputError: the image is smaller than the crop.
    """
    if crop is not None and crop > min(image.size):
        raise InputError(
            f"{where}: {image.width} x {image.height} pixels, smaller than the centre crop of {crop} x {crop}; "
            "if the images are already cropped, give their folder without a name before it"
        )
    if side := crop or (size and min(image.size)):
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if size and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def sixteen_bits(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Convert 16-bit to 8-bit pixels: round(x / 257)."""
    # 257 is odd, so there are no halves to round.
    levels: NDArray[np.uint32] = (pixels.astype(np.uint32) + 128) // 257
    return levels.astype(np.uint8)


def _as_rgb(image: Image.Image, where: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray(sixteen_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("I", "F"):
        raise InputError(f"{where}: 32-bit pixels of unknown range; convert it to 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
