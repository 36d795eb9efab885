"""The One Billion Word Benchmark (Chelba et al. 2013, arXiv 1312.3005).

Training lines are read shard by shard in numerical order, as the TTUR paper's code did; held-out lines are the 50
held-out shards. Three forms can be read: the original tar.gz (unpacked once into the cache), its unpacked folder, and
the parquet files of the Hugging Face hub.
"""

import gzip
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.cache import cache_folder
from data.errors import InputError
from data.files import atomic_folder
from data.hub import hub_lines
from data.inputs import file_identity
from data.readers import InvalidUtf8, Lines, Source, read_lines

NAME = "1-billion-word-language-modeling-benchmark-r13output"
HUB_NAME = "dvruette/lm1b"
_TRAIN_FOLDER = "training-monolingual.tokenized.shuffled"
_HELD_OUT_FOLDER = "heldout-monolingual.tokenized.shuffled"
TRAIN_LINES = 10_000_000
"""Number of training lines in the TTUR paper."""

_HOW_TO_GET_IT = (
    f"download {NAME}.tar.gz (1.8 GB, http://www.statmt.org/lm-benchmark/) and pass lm1b:FILE, "
    f"or pass lm1b:FOLDER with its unpacked files or with the parquet files of {HUB_NAME}"
)


@dataclass(frozen=True)
class Size:
    """Numbers of shards and lines in a complete copy."""

    train_shards: int = 99
    train_lines: int = 30_301_028
    held_out_shards: int = 50
    held_out_lines: int = 306_688


COMPLETE = Size()


def open_lm1b(path: Path | None, invalid_utf8: InvalidUtf8 = "refuse", size: Size = COMPLETE) -> Source:
    """Open the benchmark from a tar.gz, an unpacked folder, a folder of parquet files, or (no path) the hub.

    Raises:
        InputError: nothing usable at `path`, a missing shard, or (while reading) another line count than published.
    """
    if path is None:
        train = _counted(lambda: hub_lines(HUB_NAME, "train", "text"), size.train_lines, HUB_NAME)
        held_out = _counted(lambda: hub_lines(HUB_NAME, "test", "text"), size.held_out_lines, HUB_NAME)
        return Source("lm1b", ["lm1b", HUB_NAME], _explained(train), _explained(held_out), TRAIN_LINES)
    if not path.exists():
        raise InputError(f"lm1b:{path}: no such file or folder; {_HOW_TO_GET_IT}")
    if path.is_file():
        path = _unpacked(path, size)
    if parquet := sorted(path.rglob("*.parquet")):
        _check_parquet(parquet, size)
        return Source(
            "lm1b",
            ["lm1b", file_identity(parquet, path)],
            _counted(lambda: hub_lines(str(path), "train", "text"), size.train_lines, str(path)),
            _counted(lambda: hub_lines(str(path), "test", "text"), size.held_out_lines, str(path)),
            TRAIN_LINES,
        )
    folder = path if (path / _TRAIN_FOLDER).is_dir() else path / NAME
    train_shards, held_out_shards = _shards(folder, size, str(folder))
    return Source(
        "lm1b",
        ["lm1b", file_identity(train_shards + held_out_shards, folder), invalid_utf8],
        _counted(lambda: _read_shards(train_shards, invalid_utf8), size.train_lines, str(folder)),
        _counted(lambda: _read_shards(held_out_shards, invalid_utf8), size.held_out_lines, str(folder)),
        TRAIN_LINES,
    )


def _check_parquet(paths: list[Path], size: Size) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split, expected in (("train", size.train_lines), ("test", size.held_out_lines)):
        files = [path for path in paths if path.name.startswith(split)]
        try:
            rows = sum(pq.read_metadata(path).num_rows for path in files)
        except pa.ArrowException as error:
            raise InputError(f"{paths[0].parent}: a damaged parquet file ({error}); {_HOW_TO_GET_IT}") from error
        if rows != expected:
            raise InputError(f"{paths[0].parent}: {rows:,} {split} lines, but {expected:,} were published")


def _shards(folder: Path, size: Size, where: str) -> tuple[list[Path], list[Path]]:
    """Return the training and the held-out shards in numerical order.

    Raises:
        InputError: the number of shards is not the published one.
    """
    # Training shard 0 of 100 is the held-out part.
    train = sorted((folder / _TRAIN_FOLDER).glob("news.en-?????-of-?????"))
    held_out = sorted((folder / _HELD_OUT_FOLDER).glob("news.en.heldout-?????-of-?????"))
    for name, shards, expected in (
        ("training", train, size.train_shards),
        ("held-out", held_out, size.held_out_shards),
    ):
        if len(shards) != expected:
            raise InputError(f"{where}: {len(shards)} of {expected} {name} shards; {_HOW_TO_GET_IT}")
    return train, held_out


def _read_shards(shards: list[Path], invalid_utf8: InvalidUtf8) -> Lines:
    for shard in shards:
        # The published number of lines counts line feeds.
        yield from read_lines(shard, invalid_utf8, carriage_returns=False)


def _counted(lines: Callable[[], Lines], expected: int, where: str) -> Callable[[], Lines]:
    """Check the line count when the end is reached; a reader that stops earlier checks nothing."""

    def counted() -> Lines:
        count = 0
        for batch in lines():
            count += len(batch)
            yield batch
        if count != expected:
            raise InputError(f"{where}: {count:,} lines, but {expected:,} were published; {_HOW_TO_GET_IT}")

    return counted


def _explained(lines: Callable[[], Lines]) -> Callable[[], Lines]:
    def explained() -> Lines:
        try:
            yield from lines()
        except InputError as error:
            raise InputError(f"{error}; or without the hub: {_HOW_TO_GET_IT}") from error

    return explained


def _unpacked(archive: Path, size: Size) -> Path:
    """Unpack the archive into the cache, as its shards are not in numerical order, and return the folder."""
    ((_, digest),) = file_identity([archive], archive)
    folder = cache_folder() / "lm1b" / digest[:20]
    if folder.is_dir():
        return folder
    try:
        with atomic_folder(folder) as temporary, tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and (
                    name := re.search(r"[^/]+-monolingual\.tokenized\.shuffled/[^/]+$", member.name)
                ):
                    file = tar.extractfile(member)
                    assert file is not None
                    target = temporary / name[0]
                    target.parent.mkdir(exist_ok=True)
                    with target.open("wb") as out:
                        shutil.copyfileobj(file, out, 1 << 20)
            _shards(temporary, size, str(archive))  # a truncated archive may unpack without an error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{archive}: not a readable tar.gz ({error}); {_HOW_TO_GET_IT}") from error
    return folder
