"""Image data sets: images of one size as uint8 [N, 3, H, W], memory-mapped from a cache folder.

The cache entry is a folder `pictures/KEY` with `images.npy`, `labels.npy` if there are classes, and `pictures.json`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from data.cache import cache_folder, open_cached, read_manifest, write_manifest, write_rows
from data.errors import InputError, require_at_least
from data.files import sha256_of_json
from data.images.decoding import fit
from data.images.sources import ImageSource, open_image_source

FORMAT = 1
GRID_COLUMNS = 8
GRID_IMAGES = GRID_COLUMNS**2

_IMAGES, _LABELS, _DESCRIPTION = "images.npy", "labels.npy", "pictures.json"
_GAP_PIXELS = 2


@dataclass(frozen=True)
class ImageOptions:
    """Which images to use, and their size. Equal options and an unchanged source give equal images.

    `size` is pixels per side after the centre crop (None: the source's size, or the images' own, equal in all).
    `count` is the maximum number of images, the first ones (None: the source's number).
    """

    data: str = "shapes"
    size: int | None = None
    count: int | None = None


@dataclass(frozen=True)
class ImageDataset:
    """Images [N, 3, H, W], read-only and memory-mapped; `labels` [N] are their classes, None if there are none.

    `sha256` is the hash of the images' .npy file: the same images have the same hash, whatever their source.
    """

    name: str
    sha256: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None


def open_dataset(options: ImageOptions) -> ImageDataset:
    """Return the data set from the cache, decoding its images first if they are absent, outdated or damaged.

    Raises:
        InputError: the source cannot be read, has no images, or has images of several sizes and no size is given.
    """
    require_at_least("--size", options.size, 1)
    require_at_least("--count", options.count, 1)
    source = open_image_source(options.data, options.size)
    options = replace(
        options,
        data=source.name,
        size=source.size if options.size is None else options.size,
        count=source.count if options.count is None else options.count,
    )
    # The identity stands for the images, however the path in `data` is written.
    key = sha256_of_json([FORMAT, source.identity, source.crop, asdict(options)])[:20]
    folder = cache_folder() / "pictures" / key
    return open_cached(folder, _load, lambda temporary: _build(source, options, temporary))


def batch_floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images as x / 127.5 - 1, which maps 0 to -1 and 255 to 1."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the inverse of `batch_floats`, rounded to the nearest integer (the published code truncated).

    Values outside [-1, 1] become 0 or 255.

    Raises:
        ValueError: a pixel is infinite or NaN.
    """
    if not np.isfinite(images).all():
        raise ValueError("an image with infinite or NaN pixels")
    levels: NDArray[np.floating] = np.clip(np.rint((images + 1) * 127.5), 0, 255)
    return levels.astype(np.uint8)


def as_grid(images: NDArray[np.uint8]) -> Image.Image:
    """Return one image with images [n, 3, H, W] in a grid, eight per row, with white lines between them."""
    count, _, height, width = images.shape
    columns = min(count, GRID_COLUMNS)
    rows = -(-count // columns)
    across, down = width + _GAP_PIXELS, height + _GAP_PIXELS
    grid = Image.new("RGB", (columns * across - _GAP_PIXELS, rows * down - _GAP_PIXELS), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        grid.paste(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), (column * across, row * down))
    return grid


def _load(folder: Path) -> ImageDataset:
    description = read_manifest(folder, _DESCRIPTION)
    images = np.load(folder / _IMAGES, mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / _LABELS, allow_pickle=False) if _LABELS in description["sha256"] else None
    return ImageDataset(description["name"], description["sha256"][_IMAGES], images, labels)


def _build(source: ImageSource, options: ImageOptions, folder: Path) -> None:
    """Decode the source into `folder`, one image at a time."""
    labels: list[int | None] = []
    count = write_rows(folder / _IMAGES, _fitted(source, options, labels))
    if not count:
        raise InputError(f"{source.name}: no images; give a source with at least one")
    known = [label for label in labels if label is not None]
    if len(known) == count:
        write_rows(folder / _LABELS, iter(np.array(known, np.int64)))
    description = {"name": source.name, "source": source.identity, "options": asdict(options), "images": count}
    write_manifest(folder, _DESCRIPTION, description)


def _fitted(source: ImageSource, options: ImageOptions, labels: list[int | None]) -> Iterator[NDArray[np.uint8]]:
    """Yield images [3, H, W] of one size, and append their classes to `labels`."""
    first: tuple[str, tuple[int, ...]] | None = None
    decoded = islice(source.pictures(), options.count)
    for source_image in tqdm(decoded, f"decoding {source.name}", disable=None, delay=1):
        pixels = fit(source_image.image, source.crop, options.size, source_image.where)
        first = first or (source_image.where, pixels.shape)
        if pixels.shape != first[1]:
            sizes = [
                f"{where} is {width} x {height}"
                for where, (_, height, width) in (first, (source_image.where, pixels.shape))
            ]
            raise InputError(f"{' and '.join(sizes)} pixels; give --size to crop and resize all images")
        labels.append(source_image.label)
        yield pixels
