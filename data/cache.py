"""The cache of derived data: folders of arrays with a manifest of hashes, built once and memory-mapped."""

import io
import json
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tokenize import TokenError
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from data.files import (
    atomic_folder,
    naming,
    remove_partial,
    sha256_of_file,
    sha256_of_json,
    temporary_folder,
    write_json,
)
from data.naming import printable

DAMAGED_ARRAYS = (zipfile.BadZipFile, zlib.error, TokenError, EOFError, OSError, RuntimeError, ValueError)
"""Exceptions that NumPy raises for damaged .npy and .npz files; an OSError may also be the disk's."""

ABANDONED_SECONDS = 24 * 3600
"""Age from which an incomplete entry counts as left by a killed process."""

T = TypeVar("T")
N = TypeVar("N", bound=np.generic)


def cache_folder() -> Path:
    """Return the folder for derived data: `TEXTGAN_CACHE`, else `textgan` in the user's cache folder.

    Raises:
        InputError: no variable names a cache folder, and there is no home folder.
    """
    if chosen := os.environ.get("TEXTGAN_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "textgan"
    except RuntimeError as error:
        raise InputError("no home folder for the cache; name a cache folder with TEXTGAN_CACHE") from error


def write_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Iterable[NDArray[Any]]) -> None:
    """Write an .npy file of this shape from consecutive parts of the array.

    On a full disk this raises an `OSError` with the error number; a memory map or `np.save` does not.
    """
    with naming(path), path.open("wb") as file:
        file.write(array_header(dtype, shape))
        for part in parts:
            file.write(np.ascontiguousarray(part).view(np.uint8).data)


def array_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the first bytes of an .npy file, before the array's own."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return header.getvalue()


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array to an .npy file, as `write_array` does."""
    write_array(path, array.dtype, array.shape, [array])


def write_rows(path: Path, rows: Iterable[NDArray[Any]]) -> int:
    """Write rows of one shape and type to an .npy file; return the number of rows.

    The header is written first, and again at the end with the number, for which NumPy leaves room.
    """
    count = 0
    with naming(path), path.open("wb") as file:
        for row in rows:
            if not count:
                file.write(array_header(row.dtype, (0, *row.shape)))
            file.write(np.ascontiguousarray(row).view(np.uint8).data)
            count += 1
        if count:
            file.seek(0)
            file.write(array_header(row.dtype, (count, *row.shape)))
    return count


def concatenate_on_disk(parts: Iterable[NDArray[N]]) -> NDArray[N]:
    """Concatenate one or more arrays [n, ...] in a temporary file without a name; return its memory map."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with naming(cache_folder()), tempfile.TemporaryFile(dir=cache_folder()) as file:
        rows = 0
        for part in parts:
            file.write(np.ascontiguousarray(part).data)
            rows += len(part)
        file.flush()
        shape = (rows, *part.shape[1:])
        return np.memmap(file, part.dtype, "r", shape=shape) if rows else np.empty(shape, part.dtype)


def write_manifest(folder: Path, description_name: str, description: Mapping[str, Any]) -> None:
    """Write a folder's manifest: a JSON description with hashes of all other files and of itself."""
    hashes = {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}
    manifest = {**description, "sha256": hashes}
    write_json(folder / description_name, {**manifest, "own_sha256": sha256_of_json(manifest)})


def read_description(path: Path) -> dict[str, Any]:
    """Return a manifest after checking its own hash alone.

    Raises:
        ValueError: the manifest is not as it was written.
        FileNotFoundError: there is none.
    """
    manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    try:
        whole = manifest.pop("own_sha256") == sha256_of_json(manifest)
    except (KeyError, AttributeError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"{path.name} is not as it was written")
    return manifest


def read_manifest(folder: Path, description_name: str) -> dict[str, Any]:
    """Return a folder's manifest after checking all hashes.

    Raises:
        ValueError: a file is missing or is not as it was written.
    """
    try:
        manifest = read_description(folder / description_name)
        for name, expected in manifest["sha256"].items():
            if sha256_of_file(folder / name) != expected:
                raise ValueError(f"{name} is not as it was written")
    except (KeyError, AttributeError, TypeError, FileNotFoundError) as error:
        raise ValueError(f"{description_name} is not as it was written ({error})") from error
    return manifest


def open_arrays(folder: Path, manifest: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Memory-map the .npy files listed in a folder's manifest, read-only; return them by name without suffix."""
    paths = [folder / name for name in manifest["sha256"] if name.endswith(".npy")]
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in paths}


def open_cached(folder: Path, load: Callable[[Path], T], build: Callable[[Path], None]) -> T:
    """Return `load(folder)`; if the folder is absent, or `load` finds damage (ValueError), `build` it first.

    `build` fills a temporary folder that is then renamed, so a reader never sees an incomplete entry.
    """
    if folder.is_dir():
        try:
            return load(folder)
        except ValueError as error:
            print(printable(f"warning: {folder}: damaged cache entry ({error}); rebuilding it"), file=sys.stderr)
            remove_entry(folder)
    if folder.parent.is_dir():
        remove_partial(folder.parent, unchanged_for_seconds=ABANDONED_SECONDS)
    with atomic_folder(folder) as temporary:
        build(temporary)
    return load(folder)


def remove_entry(entry: Path) -> None:
    """Remove a folder or file of the cache, if it is there; no reader sees a part of it."""
    if entry.is_dir() and not entry.is_symlink():
        # Rename before removing: another process may be removing the entry too, or putting a good one in its place.
        place = temporary_folder(entry)
        with suppress(FileNotFoundError):
            entry.rename(place / entry.name)
        shutil.rmtree(place, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """List the cache, or remove entries; see `data.cache_entries`."""
    from data.cache_entries import run  # flags, which readers of the cache do not need

    return run(arguments)


if __name__ == "__main__":
    from data.command import run_command

    run_command(main)
