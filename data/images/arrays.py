"""Images in NumPy's files (.npy, .npz): read block by block, never unpickled, with channels first or last."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from data.cache import DAMAGED_ARRAYS
from data.errors import InputError
from data.images.decoding import sixteen_bits
from data.inputs import local_file

_BLOCK_BYTES = 1 << 23
_LABELS = ("labels", "label")
_ARCHIVE = b"PK\x03\x04"


@dataclass(frozen=True)
class _Stored:
    """An array in a file: a member of an .npz file, or (member None) a whole .npy file."""

    path: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield consecutive rows [n, ...]."""
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        rows = max(1, _BLOCK_BYTES // max(1, row_bytes))
        with _open(self.path, self.member) as file:
            _read_header(file)
            for start in range(0, self.shape[0], rows):
                wanted = min(rows, self.shape[0] - start)
                block = file.read(wanted * row_bytes)
                if len(block) < wanted * row_bytes:
                    raise InputError(f"{self.path}: cut off; fetch or write it again")
                yield np.frombuffer(block, self.dtype).reshape(wanted, *self.shape[1:])


def is_arrays(path: Path) -> bool:
    """Return whether a file is .npy or .npz, by its name or by its first bytes."""
    if path.suffix.lower() in (".npy", ".npz"):
        return True
    with local_file(path).open("rb") as file:
        return file.read(6).startswith((b"\x93NUMPY", _ARCHIVE))


def read_arrays(path: Path) -> Iterator[tuple[NDArray[np.uint8], int | None]]:
    """Yield images uint8 [H, W, 3] with their labels, from an .npy file or the only image array of an .npz file.

    The array is uint8, uint16 or bool, [N, H, W, C] or [N, C, H, W] with 1 or 3 channels; one channel becomes three
    equal ones, true becomes 255, and 16 bits become 8 as in `data.images.decoding`. uint16 arrays up to 255 are
    refused: their white may be 255 or 65535. An .npz file may also have integer `labels` [N] or [N, 1].

    Raises:
        InputError: the file is damaged, has no image array or several, another type of pixels, or an ambiguous shape.
    """
    arrays = _stored_arrays(path)
    candidates = {name: array for name, array in arrays.items() if len(array.shape) == 4}
    if len(candidates) != 1:
        names = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise InputError(
            f"{path}: {len(candidates) or 'no'} arrays of images [N, H, W, C] or [N, C, H, W] (one is needed) "
            f"among {names or 'nothing'}; store the images alone, grey ones as x[..., None]"
        )
    (stored,) = candidates.values()
    to_uint8 = _to_uint8(stored)
    channels_first = _channels_first(stored)
    label_array = next((arrays[name] for name in _LABELS if name in arrays), None)
    labels = _read_labels(label_array, stored.shape[0]) if label_array else None
    index = 0
    for block in stored.blocks():
        pixels = to_uint8(block)
        images = pixels.transpose(0, 2, 3, 1) if channels_first else pixels
        for image in np.broadcast_to(images, (*images.shape[:3], 3)):
            yield image, None if labels is None else int(labels[index])
            index += 1


def _stored_arrays(path: Path) -> dict[str, _Stored]:
    arrays = {}
    members: list[str | None] = [None]
    try:
        if _is_archive(path):
            with zipfile.ZipFile(local_file(path)) as archive:
                members = [name for name in archive.namelist() if name.endswith(".npy")]
        for member in members:
            with _open(path, member) as file:
                shape, fortran_order, dtype = _read_header(file)
            name = "the array" if member is None else member.removesuffix(".npy")
            arrays[name] = _Stored(path, member, shape, dtype, fortran_order)
    except DAMAGED_ARRAYS as error:
        if isinstance(error, OSError) and error.filename:
            raise  # a file that cannot be opened
        kind = ".npz" if _is_archive(path) else ".npy"
        raise InputError(f"{path}: not a readable {kind} file ({error}); write it with np.savez") from error
    return arrays


def _is_archive(path: Path) -> bool:
    with local_file(path).open("rb") as file:
        head = file.read(6)
    return head.startswith(_ARCHIVE) or (path.suffix.lower() == ".npz" and not head.startswith(b"\x93NUMPY"))


@contextmanager
def _open(path: Path, member: str | None) -> Iterator[IO[bytes]]:
    if member is None:
        with local_file(path).open("rb") as file:
            yield file
        return
    try:
        with zipfile.ZipFile(local_file(path)) as archive, archive.open(member) as file:
            yield file
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: damaged ({error}); fetch or write it again") from error


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"format {version}")


def _to_uint8(images: _Stored) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """Return a function that converts an array's pixels to uint8.

    Raises:
        InputError: the type or range of the pixels does not determine which value is white.
    """
    kind, bits = images.dtype.kind, 8 * images.dtype.itemsize
    if images.fortran_order:
        raise InputError(f"{images.path}: stored column by column; store np.ascontiguousarray(x)")
    if images.dtype == np.uint8:
        return lambda pixels: pixels
    if kind == "b":
        return lambda pixels: pixels * np.uint8(255)
    problem, remedy = f"{images.dtype} pixels", "store 0 to 255 as np.uint8"
    if kind in "iuf" and 0 not in images.shape:
        bounds = [(float(block.min()), float(block.max())) for block in images.blocks()]
        low, high = float(np.min(bounds)), float(np.max(bounds))
        if kind == "u" and bits == 16 and high > 255:
            return sixteen_bits
        if kind == "f" or not 0 <= low <= high <= 255:
            problem += f" from {low:g} to {high:g}"
        remedy = _remedy(low, high)
    raise InputError(f"{images.path}: {problem} where uint8 is needed; {remedy}")


def _remedy(low: float, high: float) -> str:
    """Return how to store pixels from `low` to `high` so that white becomes 255."""
    if not np.isfinite([low, high]).all():
        return "mend what is not finite, then store 0 to 255 as np.uint8"
    if low >= 0 and high <= 1:
        return "store np.rint(x * 255).astype(np.uint8), if 1 is meant to be white"
    if low >= -1 and high <= 1:
        return "store np.rint((x + 1) * 127.5).astype(np.uint8), if 1 is meant to be white"
    if low >= 0 and high <= 255:
        return "store 0 to 255 as np.rint(x).astype(np.uint8)"
    if low >= 0 and high <= 65535:
        return "store np.rint(x).astype(np.uint16), if 65535 is meant to be white"
    return "bring black to 0 and white to 255, then store np.rint(x).clip(0, 255).astype(np.uint8)"


def _channels_first(images: _Stored) -> bool:
    _, first, _, last = images.shape
    if (first in (1, 3)) == (last in (1, 3)):
        problem = "either axis may be the channels" if first in (1, 3) else "no axis of 1 or 3 channels"
        raise InputError(
            f"{images.path}: shape {list(images.shape)}, {problem}; store [N, H, W, 3], H and W not 1 or 3"
        )
    return first in (1, 3)


def _read_labels(labels: _Stored, count: int) -> NDArray[np.integer[Any]]:
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu":
        remedy = "leave them out, or store one integer per image"
        if labels.shape[:1] == (count,) and len(labels.shape) == 2 and labels.shape[1] > 1:
            remedy = "if they are one-hot, store labels.argmax(axis=1)"
        elif labels.shape in ((count,), (count, 1)):
            remedy = "store labels.astype(np.int64)"
        stored = f"{labels.dtype} {list(labels.shape)}"
        raise InputError(f"{labels.path}: labels are {stored}, but integers [{count}] are needed; {remedy}")
    return np.concatenate([*labels.blocks(), np.empty(labels.shape, labels.dtype)[:0]]).reshape(count)
