"""Image files and arrays as pictures: what is decoded, converted, cropped and resized, and how.

Grey becomes three equal channels; 16-bit grey x becomes round(x / 257), so that 65535 is 255; so do uint16 arrays, and
of bool arrays true becomes 255. Transparency, also that
of a palette, is laid over white. CMYK and other colour spaces are converted as Pillow does, without a colour profile.
A camera's note on how it was held (EXIF orientation) is obeyed. Of several frames the first one counts. Pillow reads
16-bit colour as its upper 8 bits. Pictures of 32-bit or floating-point pixels have no range to go by and are refused.

Resizing is Pillow's bilinear filter with antialiasing (a triangle as wide as the reduction), which is also what
`scipy.misc.imresize` did in the code of DCGAN and of the TTUR paper.
"""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from data.errors import InputError

# What Pillow's decoders raise on damaged files. The bytes are in memory, so an OSError is no fault of the disk.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, EOFError, RuntimeError, struct.error, zlib.error)


def decode(encoded: bytes, where: str) -> Image.Image:
    """Return an encoded image as RGB of 8 bits.

    Raises:
        InputError: not an image, cut off, or with pixels of no known range; it begins with `where`.
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
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{where}: damaged image ({reason}); fetch it again, or remove it") from error


def fit(image: Image.Image, crop: int | None, size: int | None, where: str) -> NDArray[np.uint8]:
    """Return an RGB image as uint8 [3, H, W], cropped about its centre and resized.

    Args:
        image: an RGB image.
        crop: pixels a side of the square that is kept; None: the largest square where there is a size, else all.
        size: pixels a side of the result; None: as it is.
        where: what an error begins with.

    Raises:
        InputError: the image is smaller than the crop.
    """
    if crop is not None and crop > min(image.size):
        raise InputError(
            f"{where}: {image.width} x {image.height} pixels where the centre {crop} x {crop} are to be cut out; "
            "for pictures that are cropped already, give their folder without a name before it"
        )
    if side := crop or (size and min(image.size)):
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if size and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def sixteen_bits(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return round(x / 257)."""
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
