"""Corpus: encoded training and held-out lines with their tokenizer, memory-mapped from a cache folder.

The cache entry is a folder `corpora/KEY`: `corpus.json`, and for training and held-out lines `NAME.row.npy`, the ids of
all lines one after the other, and `NAME.starts.npy`, the index of each line's first id.
"""

import hashlib
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.cache import (
    array_header,
    cache_folder,
    open_arrays,
    open_cached,
    read_manifest,
    save_array,
    write_array,
    write_manifest,
)
from data.errors import InputError
from data.files import sha256_of_json
from data.line_ids import Ids, LineIds, Ragged, starts_of
from data.numbering import (
    Numbering,
    count_numbers,
    number_characters,
    number_known,
    number_words,
    without_padding,
)
from data.readers import InvalidUtf8, Source
from data.sources import open_source
from data.tokenizers import PADDING_ID, UNKNOWN_ID, Level, Tokenizer, WordTokenizer, read_tokenizer
from data.words import Splitting, WordRule

FORMAT = 3
HELD_OUT_SHARE = 10
"""If a source has no held-out lines, 1 / HELD_OUT_SHARE of all lines is held out."""

_PARTS = ("train", "held_out")
_DESCRIPTION = "corpus.json"
_BLOCK_LINES = 1 << 14
_BLOCK_IDS = 1 << 22


@dataclass(frozen=True)
class CorpusOptions:
    """Which lines to encode, and how. Equal options and an unchanged source give an equal corpus.

    `lines` caps the training lines (None: the source's default). If `split` is false, all lines are training lines,
    unless the source has held-out lines. `vocabulary_size` is the maximum number of characters or words, or the number
    of subwords with padding and unknown. `words` and `lower_case` are the word rule, for words alone.
    """

    data: str
    seq_len: int = 32
    vocabulary_size: int = 2048
    lines: int | None = None
    split: bool = True
    invalid_utf8: InvalidUtf8 = "refuse"
    symbols: Level = "char"
    words: Splitting = "punctuation"
    lower_case: bool = False


@dataclass(frozen=True)
class Corpus:
    """Encoded lines `train` [N, seq_len] and `held_out` [M, seq_len], read-only and memory-mapped.

    Lines of characters are cut to seq_len. At other levels longer lines are left out, since a cut line has no end;
    `dropped` is the number of training lines left out. `sha256` is a hash of tokenizer and ids.
    """

    name: str
    train: LineIds
    held_out: LineIds
    tokenizer: Tokenizer
    sha256: str
    dropped: int = 0

    @property
    def seq_len(self) -> int:
        """Symbols per line."""
        return self.train.seq_len

    @cached_property
    def unknown(self) -> int:
        """Number of unknown symbols in the training lines."""
        row = self.train.row
        return sum(int((row[i : i + _BLOCK_IDS] == UNKNOWN_ID).sum()) for i in range(0, row.size, _BLOCK_IDS))

    @property
    def absent(self) -> list[int]:
        """Which of the ids of padding and unknown stand in no training line."""
        full = not len(self.train) or int(np.diff(self.train.starts).min()) >= self.seq_len
        return [PADDING_ID] * full + [UNKNOWN_ID] * (not self.unknown)


def open_corpus(options: CorpusOptions) -> Corpus:
    """Return the corpus from the cache, encoding it first if it is absent, outdated or damaged.

    Raises:
        InputError: the source cannot be read, has no lines, or is too small for the number of subwords.
        ModuleNotFoundError: subwords need sentencepiece, which is not installed.
    """
    source = open_source(options.data, options.invalid_utf8)
    # The identity stands for the lines, however the path in `data` is written.
    key = sha256_of_json([FORMAT, source.identity, asdict(replace(options, data=source.name))])[:20]
    folder = cache_folder() / "corpora" / key
    return open_cached(folder, _load, lambda temporary: _build(source, options, temporary))


def encode_source(spec: str, tokenizer: Tokenizer, seq_len: int, invalid_utf8: InvalidUtf8) -> Ids:
    """Encode a source's held-out lines, or all lines if none are held out, as ids [lines, seq_len].

    Raises:
        InputError: the source cannot be read, or has no lines.
    """
    source = open_source(spec, invalid_utf8)
    lines = (source.held_out or source.train)()
    parts = [tokenizer.encode(without_padding(batch)).padded(seq_len) for batch in lines]
    if not parts:
        raise InputError(f"{source.name}: no lines; give a source with at least one line of text")
    return np.concatenate(parts)


def _load(folder: Path) -> Corpus:
    description = read_manifest(folder, _DESCRIPTION)
    arrays = open_arrays(folder, description)
    train, held_out = (
        LineIds(arrays[f"{part}.row"], arrays[f"{part}.starts"], description["options"]["seq_len"]) for part in _PARTS
    )
    tokenizer = read_tokenizer(description["tokenizer"])
    return Corpus(
        description["name"], train, held_out, tokenizer, description["content"], description["dropped"]["train"]
    )


def _build(source: Source, options: CorpusOptions, folder: Path) -> None:
    """Encode the source into `folder`: first numbers in temporary files, then ids when the tokenizer is known."""
    numbering = _numbering(source, options)
    counts = np.zeros(0, np.int64)
    with ExitStack() as files:
        parts = {name: _Part(files.enter_context(tempfile.TemporaryFile(dir=folder))) for name in _PARTS}
        batches = tqdm(split_lines(source, options), f"encoding {source.name}", disable=None, delay=1)
        for lines_of_parts in batches:
            for (name, part), lines in zip(parts.items(), lines_of_parts, strict=True):
                kept = part.add(numbering.number(lines), options.seq_len)
                counts = count_numbers(counts, kept) if name == "train" else counts
        _require_lines(source, options, parts["train"])
        tokenizer, ids = numbering.finish(counts)
        padded = {f"{name}.npy": part.save(folder / name, ids, options.seq_len) for name, part in parts.items()}
    # Before there were levels, padded arrays were stored, and the characters stood for the tokenizer. Records and
    # signatures name corpora of characters by this hash.
    symbols = tokenizer.as_json()["characters"] if options.symbols == "char" else tokenizer.name
    description = {
        "name": source.name,
        "source": source.identity,
        "options": asdict(options),
        "tokenizer": tokenizer.as_json(),
        "lines": {name: part.lengths.size for name, part in parts.items()},
        "dropped": {name: part.dropped for name, part in parts.items()},
        "content": sha256_of_json([symbols, padded]),
    }
    write_manifest(folder, _DESCRIPTION, description)


def _numbering(source: Source, options: CorpusOptions) -> Numbering:
    match options.symbols:
        case "char":
            return number_characters(options.vocabulary_size, options.seq_len)
        case "word" if source.words is not None:
            return number_known(_tokenizer_of(source.words, source.name, options))
        case "word":
            return number_words(options.vocabulary_size, WordRule(options.words, options.lower_case))
        case level:
            from data.subwords import SubwordTokenizer  # needs sentencepiece

            lines = chain.from_iterable(train for train, _ in split_lines(source, options))
            return number_known(SubwordTokenizer.train(level, lines, options.vocabulary_size))


def _tokenizer_of(words: tuple[str, ...], name: str, options: CorpusOptions) -> WordTokenizer:
    """Return the tokenizer of a source's own words, split at white space, whichever of them the lines hold."""
    if options.vocabulary_size < len(words):
        raise InputError(f"--vocabulary-size {options.vocabulary_size}: {name} has {len(words)} symbols; raise it")
    if options.words == "characters":
        raise InputError(f"--words characters: the symbols of {name} are numbers; leave it out")
    return WordTokenizer(words, WordRule("whitespace"))


class _Part:
    """Training or held-out lines as numbers in a temporary file, until ids are known."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.dropped = 0
        self._lengths: list[NDArray[np.int64]] = []

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Symbols per line [lines]."""
        return np.concatenate(self._lengths) if self._lengths else np.zeros(0, np.int64)

    def add(self, lines: Ragged, seq_len: int) -> Ragged:
        """Write the lines of at most `seq_len` symbols; return them."""
        fits = lines.lengths <= seq_len
        kept = lines if fits.all() else lines.only(fits)
        self.dropped += len(fits) - len(kept.lengths)
        self._lengths.append(kept.lengths)
        self.file.write(kept.row.astype(np.uint32).data)
        return kept

    def save(self, path: Path, ids: Ids, seq_len: int) -> str:
        """Write row and starts beside `path`; return the SHA-256 of an .npy file of the lines padded to `seq_len`."""
        starts = starts_of(self.lengths)
        digest = hashlib.sha256(array_header(ids.dtype, (self.lengths.size, seq_len)))
        self.file.seek(0)

        def rows() -> Iterator[Ids]:
            for start in range(0, self.lengths.size, _BLOCK_LINES):
                lengths = self.lengths[start : start + _BLOCK_LINES]
                row = ids[np.frombuffer(self.file.read(4 * int(lengths.sum())), np.uint32)]
                digest.update(Ragged(row, lengths).padded(seq_len).data)
                yield row

        write_array(path.with_suffix(".row.npy"), ids.dtype, (int(starts[-1]),), rows())
        save_array(path.with_suffix(".starts.npy"), starts)
        return digest.hexdigest()


def _require_lines(source: Source, options: CorpusOptions, train: _Part) -> None:
    if train.dropped and not train.lengths.size:
        raise InputError(f"{source.name}: every line has more than --seq-len {options.seq_len} symbols; raise it")
    if not train.lengths.size:
        raise InputError(f"{source.name}: no lines to train on; give a source with more lines of text")


def split_lines(source: Source, options: CorpusOptions) -> Iterator[tuple[list[str], list[str]]]:
    """Yield (training lines, held-out lines) with no line in both, unless the source draws lines over known words.

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
        if source.words is None:
            remaining.difference_update(lines[:wanted])
        yield lines[:wanted], []
        wanted -= len(lines)
        if wanted <= 0:
            break
    yield [], [line for line in candidates if line in remaining]


def _split_by_content(lines: list[str]) -> tuple[list[str], list[str]]:
    """Split lines by checksum, so that equal lines stay together and the order of lines does not matter."""
    train: list[str] = []
    held_out: list[str] = []
    for line in lines:
        (held_out if zlib.crc32(line.encode()) % HELD_OUT_SHARE == 0 else train).append(line)
    return train, held_out
