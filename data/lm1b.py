"""The One Billion Word Benchmark (Chelba et al. 2013, arXiv 1312.3005).

Training lines are read shard by shard in numerical order, as the TTUR paper's code did; held-out lines are the 50
held-out shards. Three forms are read: the original tar.gz (unpacked once into the cache), its unpacked folder, and the
parquet form of the Hugging Face hub.
"""

import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError
from data.files import atomic_folder, cache_folder
from data.sources import Lines, Source, file_identity, hub_lines, read_lines

NAME = "1-billion-word-language-modeling-benchmark-r13output"
HUB_NAME = "dvruette/lm1b"
TRAIN_LINES = 10_000_000
"""Training lines used by the TTUR paper."""

_HOW_TO_GET_IT = (
    f"download {NAME}.tar.gz (1.8 GB, http://www.statmt.org/lm-benchmark/) and pass lm1b:FILE, "
    f"or pass lm1b:FOLDER of its unpacked form or of the parquet files of {HUB_NAME}"
)


@dataclass(frozen=True)
class Size:
    """How many shards and lines a complete copy has."""

    train_shards: int = 99
    train_lines: int = 30_301_028
    held_out_shards: int = 50
    held_out_lines: int = 306_688


COMPLETE = Size()


def open_lm1b(path: Path | None, size: Size = COMPLETE) -> Source:
    """Return the benchmark from a tar.gz, a folder of it, a folder of parquet files, or (no path) the hub.

    Raises:
        InputError: nothing usable at `path`, a shard is missing, or (while reading) the line count is not as published.
    """
    if path is None:
        train = _counted(lambda: hub_lines(HUB_NAME, "train", "text"), size.train_lines, HUB_NAME)
        held_out = _counted(lambda: hub_lines(HUB_NAME, "test", "text"), size.held_out_lines, HUB_NAME)
        return Source("lm1b", ["lm1b", HUB_NAME], _explained(train), _explained(held_out), TRAIN_LINES)
    if not path.exists():
        raise InputError(f"lm1b:{path}: no such file or folder; {_HOW_TO_GET_IT}")
    if path.is_file():
        path = _unpacked(path)
    if list(path.rglob("*.parquet")):
        return Source(
            "lm1b",
            ["lm1b", file_identity(sorted(path.rglob("*.parquet")))],
            _counted(lambda: hub_lines(str(path), "train", "text"), size.train_lines, str(path)),
            _counted(lambda: hub_lines(str(path), "test", "text"), size.held_out_lines, str(path)),
            TRAIN_LINES,
        )
    folder = path if (path / "training-monolingual.tokenized.shuffled").is_dir() else path / NAME
    train_shards = _shards(
        folder / "training-monolingual.tokenized.shuffled", r"news\.en-\d{5}-of-\d{5}", size.train_shards
    )
    held_out_shards = _shards(
        folder / "heldout-monolingual.tokenized.shuffled", r"news\.en\.heldout-\d{5}-of-\d{5}", size.held_out_shards
    )
    return Source(
        "lm1b",
        ["lm1b", file_identity(train_shards + held_out_shards)],
        _counted(lambda: _read_shards(train_shards), size.train_lines, str(folder)),
        _counted(lambda: _read_shards(held_out_shards), size.held_out_lines, str(folder)),
        TRAIN_LINES,
    )


def _shards(folder: Path, pattern: str, expected: int) -> list[Path]:
    # Training shard 0 is the held-out part, so the training folder holds 1 to 99 of 100.
    shards = sorted(file for file in folder.glob("news.en*") if re.fullmatch(pattern, file.name))
    if len(shards) != expected:
        raise InputError(f"{folder}: {len(shards)} of {expected} shards; {_HOW_TO_GET_IT}")
    return shards


def _read_shards(shards: list[Path]) -> Lines:
    for shard in shards:
        yield from read_lines(shard)


def _counted(lines: Callable[[], Lines], expected: int, where: str) -> Callable[[], Lines]:
    """Check the line count once the end is reached; a reader that stops earlier checks nothing."""

    def counted() -> Lines:
        count = 0
        for batch in lines():
            count += len(batch)
            yield batch
        if count != expected:
            raise InputError(f"{where}: {count:,} lines where {expected:,} were published; {_HOW_TO_GET_IT}")

    return counted


def _explained(lines: Callable[[], Lines]) -> Callable[[], Lines]:
    def explained() -> Lines:
        try:
            yield from lines()
        except InputError as error:
            raise InputError(f"{error}; or without the hub: {_HOW_TO_GET_IT}") from error

    return explained


def _unpacked(archive: Path) -> Path:
    """Return the folder the archive was unpacked to; its shards are not in numerical order inside the archive."""
    ((_, size, modified),) = file_identity([archive])
    folder = cache_folder() / "lm1b" / f"{size}-{modified}"
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
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{archive}: not a readable tar.gz ({error}); {_HOW_TO_GET_IT}") from error
    return folder
