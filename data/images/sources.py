"""Sources of images: the embedded shapes, published data sets, the hub, folders, parquet files and arrays."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, groupby, islice
from pathlib import Path
from typing import Any

from PIL import Image

from data import sources
from data.errors import InputError
from data.hub import hub_access, read_hub_spec
from data.images import shapes
from data.images.archives import is_image_archive, open_archive
from data.images.arrays import is_arrays, read_arrays
from data.images.decoding import decode
from data.inputs import expand_user, file_identity, local_file, read_once, walk
from data.readers import first_line, is_parquet

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMN = "label"
_ROWS = 256
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Picture:
    """An RGB image, its class (None if the source has none), and its place, with which errors begin."""

    where: str
    image: Image.Image
    label: int | None


@dataclass(frozen=True)
class ImageSource:
    """A stream of images, and the defaults for their crop, size and number.

    `identity` changes whenever local images may have changed; for the hub it is the name of the data set.
    `crop` is the side in pixels of the centre that is kept, `size` the side of the result (None: as the images are),
    and `count` the number of images used (None: all).
    """

    name: str
    identity: Any
    pictures: Callable[[], Iterator[Picture]]
    crop: int | None = None
    size: int | None = None
    count: int | None = None


@dataclass(frozen=True)
class HubDataSet:
    """A data set of the Hugging Face hub, and the crop and size, in pixels, that experiments use.

    If `image_column` is None, a column named `image` or `img` is used; if `crop` is None, the largest centre square.
    """

    hub_name: str
    configuration: str | None
    split: str
    image_column: str | None
    label_column: str | None
    crop: int | None
    size: int | None


# The hub's copy of LSUN has 287,968 of the 3,033,042 bedrooms; to use all of them, give a folder.
PUBLISHED = {
    "celeba": HubDataSet("nielsr/CelebA-faces", None, "train", "image", None, 108, 64),
    "cifar10": HubDataSet("uoft-cs/cifar10", "plain_text", "train", "img", "label", None, 32),
    "svhn": HubDataSet("ufldl-stanford/svhn", "cropped_digits", "train", "image", "label", None, 32),
    "lsun-bedrooms": HubDataSet("pcuenq/lsun-bedrooms", None, "train", "image", None, None, 64),
}


def open_image_source(spec: str, size: int | None = None) -> ImageSource:
    """Return the source that a `--data` value names.

    A value is `shapes`; `celeba`, `cifar10`, `svhn` or `lsun-bedrooms`, from the hub or as NAME:PATH; `hub:NAME` or
    `hub:NAME:COLUMN`; an image, a .zip of images, a parquet, .npy or .npz file, also through a pipe or - for standard
    input; or a folder of images and parquet files (with subfolders, without hidden files, each file once: see
    `data.inputs.walk`).

    Raises:
        InputError: the source does not exist, or has no image.
    """
    sources.require_named(spec, ("shapes", *PUBLISHED))
    kind, _, rest = spec.partition(":")
    if kind == "shapes":
        if rest:
            raise InputError(f"{spec!r}: shapes takes no argument; give pixels with --size, images with --count")
        side = size or shapes.SIZE
        return ImageSource("shapes", shapes.VERSION, lambda: _shapes(side), size=side, count=shapes.COUNT)
    if kind in PUBLISHED:
        data_set = PUBLISHED[kind]
        if rest:
            return _local(expand_user(rest), kind, data_set)
        identity = ["hub", data_set.hub_name, data_set.configuration, data_set.split]
        remedy = f"its folder as {kind}:FOLDER"
        return ImageSource(kind, identity, lambda: _hub(data_set, remedy), data_set.crop, data_set.size)
    if kind == "hub":
        return _any_hub(rest)
    path = expand_user(spec)
    return _local(path, spec if read_once(path) else path.resolve().name, None)


def absolute_source(spec: str) -> str:
    """Return a `--data` value that names the same source from any working folder."""
    return sources.absolute_source(spec, "shapes", PUBLISHED)


def _shapes(size: int) -> Iterator[Picture]:
    for first in count(0, _ROWS):
        images, labels = shapes.draw_shapes(first, _ROWS, size)
        for index, (image, label) in enumerate(zip(images.transpose(0, 2, 3, 1), labels.tolist(), strict=True), first):
            yield Picture(f"shapes image {index}", Image.fromarray(image), label)


def _local(path: Path, name: str, data_set: HubDataSet | None) -> ImageSource:
    if path.is_dir():
        listing = walk(path, (*IMAGE_SUFFIXES, ".parquet"))
        # In the hub's layout a folder holds all configurations and splits.
        tables = [file for file in listing.files if file.suffix.lower() == ".parquet"]
        wanted = tables
        if data_set and data_set.configuration:
            wanted = [file for file in wanted if data_set.configuration in file.relative_to(path).parts] or wanted
        split = data_set.split if data_set else "train"
        wanted = [file for file in wanted if split in (file.parent.name, file.name.split("-")[0])] or wanted
        others = set(tables) - set(wanted)
        paths = [file for file in listing.files if file not in others]
        if not paths:
            raise InputError(f"{path}: no image ({', '.join(IMAGE_SUFFIXES)}) and no .parquet file in this folder")
        if others:
            listing.left_out[f".parquet not of split {split}"] += len(others)
        listing.note(path)
    else:
        local_file(path)
        paths = [path]

    def images() -> Iterator[Picture]:
        for is_image, group in groupby(paths, lambda file: file.suffix.lower() in IMAGE_SUFFIXES):
            files = list(group)
            tasks = [partial(_file_images, file) for file in files]
            yield from chain.from_iterable(_decoded_ahead(tasks) if is_image else (task() for task in tasks))

    crop, size = (data_set.crop, data_set.size) if data_set else (None, None)
    return ImageSource(name, ["files", file_identity(paths, path)], images, crop, size)


def _decoded_ahead(files: Iterable[Callable[[], Iterable[Picture]]]) -> Iterator[list[Picture]]:
    """Yield the images of each file, in order; threads decode a few files ahead (Pillow's decoders run in parallel).

    Raises:
        InputError: a file is no image; raised in order, after the images before it.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        # `pool.map` would submit all files at once, and hold all their images.
        tasks = (pool.submit(lambda images: list(images()), file) for file in files)
        waiting = deque(islice(tasks, 2 * _THREADS))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(islice(tasks, 1))


def _file_images(path: Path) -> Iterator[Picture]:
    if is_parquet(path):
        yield from _parquet(path)
    elif is_image_archive(path, IMAGE_SUFFIXES):
        yield from _archive(path)
    elif is_arrays(path):
        for index, (image, label) in enumerate(read_arrays(path)):
            yield Picture(f"{path} image {index}", Image.fromarray(image), label)
    elif path.suffix.lower() in IMAGE_SUFFIXES or read_once(path):
        yield Picture(str(path), decode(local_file(path).read_bytes(), str(path)), None)
    else:
        raise InputError(
            f"{path}: not a file of images ({', '.join((*IMAGE_SUFFIXES, '.zip', '.parquet', '.npz', '.npy'))}); "
            "give one of these, or a folder of images"
        )


def _archive(path: Path) -> Iterator[Picture]:
    def image(name: str) -> list[Picture]:
        where = f"{path}/{name}"
        return [Picture(where, decode(read(name), where), None)]

    with open_archive(path, IMAGE_SUFFIXES) as (names, read):
        yield from chain.from_iterable(_decoded_ahead(partial(image, name) for name in names))


def _parquet(path: Path) -> Iterator[Picture]:
    """Yield the images of a parquet file in the hub's layout: a column of {bytes, path}, and classes as integers.

    Rows are counted from 0.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with local_file(path).open("rb") as opened:
            file = pq.ParquetFile(opened)
            schema = file.schema_arrow
            column = _image_column(schema.names, None, str(path), "with hub:FOLDER:COLUMN")
            columns = [column]
            if _LABEL_COLUMN in schema.names and pa.types.is_integer(schema.field(_LABEL_COLUMN).type):
                columns.append(_LABEL_COLUMN)
            rows = (row for batch in file.iter_batches(_ROWS, columns=columns) for row in batch.to_pylist())
            for number, row in enumerate(rows):
                yield _decode_row(f"{path} row {number}", row[column], row.get(_LABEL_COLUMN))
    except pa.ArrowException as error:
        raise InputError(f"{path}: not a readable parquet file ({first_line(error)}); fetch it again") from error


def _any_hub(rest: str) -> ImageSource:
    hub = read_hub_spec(rest)
    data_set = HubDataSet(hub.name, None, "train", hub.column or None, _LABEL_COLUMN, None, None)
    return ImageSource(hub.title, hub.identity, lambda: _hub(data_set))


def _hub(data_set: HubDataSet, folder: str = "its folder") -> Iterator[Picture]:
    """Yield a hub data set's images (a hub name, or a local folder in the hub's layout), streaming."""
    import datasets

    name = data_set.hub_name
    with hub_access(name, folder):
        rows = datasets.load_dataset(name, data_set.configuration, split=data_set.split, streaming=True)
        for number, row in enumerate(rows.decode(False)):
            column = _image_column(list(row), data_set.image_column, f"hub:{name}", f"as hub:{name}:COLUMN")
            label = row.get(data_set.label_column)
            yield _decode_row(f"hub:{name} row {number}", row[column], label if isinstance(label, int) else None)


def _image_column(columns: list[str], wanted: str | None, where: str, how: str) -> str:
    for column in (wanted,) if wanted else _IMAGE_COLUMNS:
        if column in columns:
            return column
    missing = repr(wanted) if wanted else " or ".join(map(repr, _IMAGE_COLUMNS))
    raise InputError(f"{where}: no column {missing}; it has {sorted(columns)}: name one {how}")


def _decode_row(where: str, value: Any, label: int | None) -> Picture:
    if isinstance(value, dict) and value.get("bytes") is None and value.get("path"):
        import fsspec

        with fsspec.open(value["path"], "rb") as file:  # a hub data set that is a folder of image files
            value = file.read()
    encoded = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(encoded, bytes):
        raise InputError(f"{where}: no image (it is {type(encoded).__name__}); drop the row, or name another column")
    return Picture(where, decode(encoded, where), label)
