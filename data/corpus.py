"""Corpus: encoded training and held-out lines with their vocabulary, memory-mapped from a cache folder.

The cache entry is a folder `corpora/KEY` with `train.npy`, `held_out.npy` and `corpus.json`.
"""

import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain, compress
from operator import not_
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.cache import cache_folder, open_arrays, open_cached, read_manifest, write_array, write_manifest
from data.errors import InputError
from data.files import sha256_of_json
from data.readers import InvalidUtf8, Source
from data.sources import open_source
from data.vocabulary import CODE_POINTS, PADDING, UNKNOWN, Ids, Vocabulary, code_points

FORMAT = 1
HELD_OUT_SHARE = 10
"""If a source has no held-out lines, 1 / HELD_OUT_SHARE of all lines is held out."""

_FILES = ("train.npy", "held_out.npy")
_DESCRIPTION = "corpus.json"
_ROWS = 1 << 18


@dataclass(frozen=True)
class CorpusOptions:
    """Which lines to encode, and how. Equal options and an unchanged source give an equal corpus.

    `lines` caps the training lines (None: the source's default). If `split` is false, all lines are training lines,
    unless the source has held-out lines.
    """

    data: str
    seq_len: int = 32
    vocabulary_size: int = 2048
    lines: int | None = None
    split: bool = True
    invalid_utf8: InvalidUtf8 = "refuse"


@dataclass(frozen=True)
class Corpus:
    """Encoded lines: `train` [N, seq_len] and `held_out` [M, seq_len], read-only and memory-mapped."""

    name: str
    train: Ids
    held_out: Ids
    vocabulary: Vocabulary
    sha256: str

    @property
    def seq_len(self) -> int:
        """Symbols per line."""
        return int(self.train.shape[1])


def open_corpus(options: CorpusOptions) -> Corpus:
    """Return the corpus from the cache, encoding it first if it is absent, outdated or damaged.

    Raises:
        InputError: the source cannot be read, or has no lines.
    """
    source = open_source(options.data, options.invalid_utf8)
    # The identity stands for the lines, however the path in `data` is written.
    key = sha256_of_json([FORMAT, source.identity, asdict(replace(options, data=source.name))])[:20]
    folder = cache_folder() / "corpora" / key
    return open_cached(folder, _load, lambda temporary: _build(source, options, temporary))


def encode_source(spec: str, vocabulary: Vocabulary, seq_len: int, invalid_utf8: InvalidUtf8) -> Ids:
    """Encode a source's held-out lines, or all lines if none are held out, as ids [lines, seq_len].

    Raises:
        InputError: the source cannot be read, or has no lines.
    """
    source = open_source(spec, invalid_utf8)
    lines = (source.held_out or source.train)()
    parts = [vocabulary.encode_code_points(_code_points(batch, seq_len)) for batch in lines]
    if not parts:
        raise InputError(f"{source.name}: no lines; give a source with at least one line of text")
    return np.concatenate(parts)


def _load(folder: Path) -> Corpus:
    description = read_manifest(folder, _DESCRIPTION)
    arrays = open_arrays(folder, description)
    vocabulary = Vocabulary(description["characters"])
    # A hash of the content alone: the same lines under another path or in another cache have the same hash.
    sha256 = sha256_of_json([description["characters"], description["sha256"]])
    return Corpus(description["name"], arrays["train"], arrays["held_out"], vocabulary, sha256)


def _build(source: Source, options: CorpusOptions, folder: Path) -> None:
    """Encode the source into `folder`: first code points in temporary files, then ids when the vocabulary is known."""
    counts = np.zeros(CODE_POINTS, np.int64)
    lines = {"train.npy": 0, "held_out.npy": 0}
    with (folder / "train.codes").open("w+b") as train, (folder / "held_out.codes").open("w+b") as held_out:
        parts = tqdm(split_lines(source, options), f"encoding {source.name}", disable=None, delay=1)
        for train_lines, held_out_lines in parts:
            codes = _code_points(train_lines, options.seq_len)
            counts += np.bincount(codes.ravel(), minlength=CODE_POINTS)
            train.write(codes.tobytes())
            held_out.write(_code_points(held_out_lines, options.seq_len).tobytes())
            lines["train.npy"] += len(train_lines)
            lines["held_out.npy"] += len(held_out_lines)
        if not lines["train.npy"]:
            raise InputError(f"{source.name}: no lines to train on; give a source with more lines of text")
        vocabulary = Vocabulary.from_counts(counts, options.vocabulary_size)
        for name, codes_file in zip(_FILES, (train, held_out), strict=True):
            ids = _ids(codes_file, options.seq_len, vocabulary)
            write_array(folder / name, np.dtype(vocabulary.dtype), (lines[name], options.seq_len), ids)
    for name in ("train.codes", "held_out.codes"):
        (folder / name).unlink()
    description = {"name": source.name, "source": source.identity, "options": asdict(options), "lines": lines}
    write_manifest(folder, _DESCRIPTION, {**description, "characters": vocabulary.characters})


def split_lines(source: Source, options: CorpusOptions) -> Iterator[tuple[list[str], list[str]]]:
    """Yield (training lines, held-out lines) with no line in both.

    Lines are compared whole. Cut to seq_len, a few held-out lines equal training lines, and so would lines of new text;
    without them the floor would be too high.
    """
    wanted = source.train_lines if options.lines is None else options.lines
    wanted = sys.maxsize if wanted is None else wanted
    if source.held_out is None:
        for lines in source.train():
            train, held_out = _split_by_content(lines) if options.split else (lines, [])
            yield train[:wanted], held_out
            wanted -= len(train)
            if wanted <= 0:
                return
        return
    candidates = list(chain.from_iterable(source.held_out()))
    remaining = set(candidates)
    for lines in source.train():
        remaining.difference_update(lines[:wanted])
        yield lines[:wanted], []
        wanted -= len(lines)
        if wanted <= 0:
            break
    yield [], [line for line in candidates if line in remaining]


def _split_by_content(lines: list[str]) -> tuple[list[str], list[str]]:
    """Split lines by checksum, so that equal lines stay together and the order of lines does not matter."""
    held_out = [zlib.crc32(line.encode()) % HELD_OUT_SHARE == 0 for line in lines]
    return list(compress(lines, map(not_, held_out))), list(compress(lines, held_out))


def _code_points(lines: list[str], seq_len: int) -> NDArray[np.uint32]:
    # A padding mark in the source is not padding; it becomes the unknown symbol.
    return code_points([line.replace(PADDING, UNKNOWN) for line in lines], seq_len)


def _ids(codes_file: IO[bytes], seq_len: int, vocabulary: Vocabulary) -> Iterator[Ids]:
    codes_file.seek(0)
    while block := codes_file.read(_ROWS * seq_len * 4):
        yield vocabulary.encode_code_points(np.frombuffer(block, "<u4"))
