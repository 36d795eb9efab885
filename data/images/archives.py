"""Archives of images: .zip files that are read like the folder they unpack to, without unpacking them."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from data.errors import InputError
from data.inputs import Walk, local_file

_HEAD = b"PK"
# What zipfile raises for damage (OSError: a place before the file's begin), encryption (RuntimeError) and methods of
# compression that Python lacks.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def is_image_archive(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file is a .zip archive of images: by its name, or by names of images in it; .npz files are not.

    Raises:
        InputError: a file named .zip is damaged.
    """
    named = path.suffix.lower() == ".zip"
    with local_file(path).open("rb") as file:
        if file.read(2) != _HEAD and not named:
            return False
    try:
        with zipfile.ZipFile(local_file(path)) as archive:
            names = [name.lower() for name in archive.namelist()]
    except _DAMAGE as error:
        if named:
            raise InputError(f"{path}: not a readable .zip archive ({error}); fetch or write it again") from error
        return False
    if any(name.endswith(".npy") for name in names):
        return False
    return named or any(name.endswith(suffixes) for name in names)


@contextmanager
def open_archive(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Yield the names of the images in an archive, in the order of the unpacked folder, and a function that reads one.

    Hidden files are left out, as in a folder; a note counts files that are no images. Threads may read at the same
    time. Reading a file that is damaged or encrypted raises an InputError.

    Raises:
        InputError: the archive holds no image, or Parquet files, which must be unpacked.
    """
    with zipfile.ZipFile(local_file(path)) as archive:
        names, left_out = [], Counter[str]()
        stored = {PurePosixPath(each.filename): each.filename for each in archive.infolist() if not each.is_dir()}
        for member, name in sorted(stored.items()):
            if any(part.startswith(".") for part in member.parts):
                left_out["hidden"] += 1
            elif member.name.lower().endswith(suffixes):
                names.append(name)
            else:
                left_out[member.suffix.lower() or "without a suffix"] += 1
        if left_out[".parquet"]:
            raise InputError(f"{path}: holds .parquet files; unpack it, and give the folder")
        if not names:
            raise InputError(f"{path}: no image ({', '.join(suffixes)}) in this archive")
        Walk([], left_out).note(path)

        def read(name: str) -> bytes:
            try:
                return archive.read(name)
            except _DAMAGE as error:
                raise InputError(f"{path}/{name}: cannot be read ({error}); write the archive again") from error

        yield names, read
