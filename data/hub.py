"""Text and images of the Hugging Face hub."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from data.errors import InputError
from data.inputs import expand_user, file_identity
from data.readers import Lines, first_line, rows_as_lines

_ROWS = 1 << 16


@dataclass(frozen=True)
class HubSpec:
    """A data set of the hub: its name or local folder, and its column ("" for the default).

    `title` is "hub:NAME:COLUMN", with only the last part of a local folder's path. `identity` changes whenever a local
    folder may have changed.
    """

    name: str
    column: str
    title: str
    identity: Any


def read_hub_spec(rest: str) -> HubSpec:
    """Parse NAME[:COLUMN], the text after "hub:".

    Raises:
        InputError: the name is missing, or the column after a colon.
    """
    name, colon, column = rest.partition(":")
    if not name:
        raise InputError("hub: names no data set; say hub:NAME or hub:NAME:COLUMN")
    if colon and not column:
        raise InputError(f"hub:{rest} names no column; say hub:{name} or hub:{name}:COLUMN")
    identity: list[Any] = ["hub", rest]
    if (folder := expand_user(name)).exists():
        name = str(folder)
        files = sorted(filter(Path.is_file, folder.rglob("*"))) if folder.is_dir() else [folder]
        identity = ["hub", column, file_identity(files, folder)]
    return HubSpec(name, column, f"hub:{folder.name}:{column}".rstrip(":"), identity)


def hub_lines(name: str, split: str, column: str) -> Lines:
    """Yield a column of a Hugging Face data set (a hub name, or a local folder in the hub's layout), streaming.

    Raises:
        InputError: the data set, split or column does not exist, or the hub cannot be reached.
    """
    import datasets

    with hub_access(name):
        rows = datasets.load_dataset(name, split=split, streaming=True)
        for batch in rows.iter(batch_size=_ROWS):
            if column not in batch:
                raise InputError(f"hub:{name}: no column {column!r}; it has {sorted(batch)}: say hub:{name}:COLUMN")
            if not all(isinstance(row, str | None) for row in batch[column]):
                raise InputError(f"hub:{name}: column {column!r} is not text; say hub:{name}:COLUMN")
            yield rows_as_lines(cast(list[str | None], batch[column]))


@contextmanager
def hub_access(name: str, folder: str = "its folder") -> Iterator[None]:
    """Turn errors while a hub data set is read into one line; the remedy is to give `folder` instead of the name.

    Raises:
        InputError: the data set or split does not exist, or the hub cannot be reached.
    """
    # The hub's client warns at every retry; the error below is enough.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"hub:{name}: cannot be loaded ({type(error).__name__}: {first_line(error)}); "
            f"check the name and the connection, or download it and give {folder}"
        ) from error
