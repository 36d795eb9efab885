"""Features that a user computed elsewhere, of any network or data: .npy files of floats [N, D], one row per image."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from data.inputs import local_file, read_once

SIGNATURE = "own-file"
"""Stands for the extractor in signatures: it is unknown, and the hash of the reference's file identifies it."""

_ROWS = 1 << 13


def open_features(path: Path, count: int | None) -> NDArray[np.floating] | None:
    """Return the first `count` rows (None: all) of a file of features [N, D], memory-mapped; None for other files.

    Raises:
        InputError: no rows or no features, other numbers than floats, or NaN or infinity in a row.
    """
    if not (path.is_file() or read_once(path)):
        return None
    local = local_file(path)
    try:
        with local.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                return None
        features = np.load(local, mmap_mode="r", allow_pickle=False)[:count]
    except (ValueError, EOFError, IndexError):
        return None  # damaged: the reader of images says so
    if features.ndim != 2:
        return None
    if features.dtype.kind != "f":
        raise InputError(f"{path}: a table of {features.dtype}; give features as floats [N, D], images as [N, H, W, C]")
    if not features.size:
        raise InputError(f"{path}: features {list(features.shape)}; give at least one row and one column")
    for start in range(0, len(features), _ROWS):
        finite = np.isfinite(features[start : start + _ROWS]).all(1)
        if not finite.all():
            row = start + int(finite.argmin())
            raise InputError(f"{path}: NaN or infinity in row {row} (from 0); mend the features, or drop the row")
    rows: NDArray[np.floating] = features
    return rows
