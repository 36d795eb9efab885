"""Lines split into numbered words, and the word statistics of a reference: n-gram counts, line hashes and lengths."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.cache import (
    cache_folder,
    concatenate_on_disk,
    open_arrays,
    open_cached,
    read_manifest,
    save_array,
    write_manifest,
)
from data.corpus import CorpusOptions, split_lines
from data.errors import InputError, note
from data.files import sha256_of_json
from data.line_ids import Ids, Ragged, ngram_places, starts_of
from data.readers import InvalidUtf8, Source
from data.sources import open_source
from data.tokenizers import ragged
from data.words import WHITE_SPACE, WordRule, is_unspaced
from eval.core.sampling import fixed_sample
from eval.core.score import Signature
from eval.text.counts import NgramCounts, merge, pack
from eval.text.line_ngrams import LineNgrams, line_ngrams
from eval.text.samples import SampleLines

LONGEST = 5
"""Longest n-gram in the word metrics."""
WORD_BASE = 1 << 21
"""Base of the keys of word n-grams; the largest possible number of distinct words is one less."""

_FORMAT = 3
_DESCRIPTION = "description.json"
_TEXT = ("text.row", "text.lengths")
_PART_LINES, _PART_WORDS = 1 << 16, 1 << 22  # at most, so that long lines fit in memory too
_JUDGED_LINES = 1000


@dataclass(frozen=True)
class Words:
    """Lines as one row of word numbers [words], with the number of words per line and a hash per line [lines].

    Words are numbered from 1. Lines that are equal under the word rule have equal hashes (64 bits of BLAKE2).
    """

    row: Ids
    lengths: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    rule: WordRule = WHITE_SPACE
    _counted: dict[int, LineNgrams] = field(default_factory=dict, init=False, repr=False, compare=False)

    def parts(self) -> Iterator["Words"]:
        """Yield the same lines in parts that fit in memory."""
        if self.lengths.size <= _PART_LINES and self.row.size <= _PART_WORDS:
            yield self
            return
        starts, first = starts_of(self.lengths), 0
        while first < self.lengths.size:
            with_few_words = int(np.searchsorted(starts, starts[first] + _PART_WORDS, side="right")) - 1
            last = max(min(first + _PART_LINES, with_few_words), first + 1)
            row, lines = self.row[starts[first] : starts[last]], slice(first, last)
            yield Words(row, self.lengths[lines], self.hashes[lines], self.rule)
            first = last

    def ngrams(self, ngram: int) -> LineNgrams:
        """Count the word n-grams inside each line; the counts of lines that fit in memory are kept for other metrics.

        Call it on `parts`, unless there are few lines.
        """
        if ngram not in self._counted:
            places, line = ngram_places(self.lengths, ngram)
            row = np.pad(self.row, (0, max(ngram - self.row.size, 0)))
            keys = pack(row[None], ngram, WORD_BASE)[0][places]
            self._counted[ngram] = line_ngrams(keys, line, self.lengths.size)
        return self._counted[ngram]


def number_words(lines: Sequence[str], numbers: dict[str, int], rule: WordRule = WHITE_SPACE) -> Words:
    """Split lines into words; a new word gets the next number, starting from 1, and is added to `numbers`.

    Raises:
        InputError: there are more distinct words than keys allow.
    """
    keys, rows = [], []
    split = rule.splitter()
    for line in lines:
        key, words = split(line)
        keys.append(key)
        rows.append([numbers.setdefault(word, len(numbers) + 1) for word in words])
    if len(numbers) >= WORD_BASE:
        raise InputError(f"more than {WORD_BASE - 1:,} distinct words; lower --lines")
    numbered = ragged(rows, np.uint32)
    return Words(numbered.row, numbered.lengths, line_hashes(keys), rule)


def number_all(blocks: Iterable[Sequence[str]], numbers: dict[str, int], rule: WordRule = WHITE_SPACE) -> Words:
    """Split blocks of lines into words as `number_words` does; the row is memory-mapped from a temporary file."""
    lengths, hashes = [], []

    def rows() -> Iterator[Ids]:
        for lines in blocks:
            words = number_words(lines, numbers, rule)
            lengths.append(words.lengths)
            hashes.append(words.hashes)
            yield words.row

    row = concatenate_on_disk(rows())
    return Words(row, np.concatenate(lengths), np.concatenate(hashes), rule)


def line_hashes(lines: Sequence[str]) -> NDArray[np.uint64]:
    """Return the 64-bit BLAKE2 hashes of lines [lines]."""
    digests = b"".join([hashlib.blake2b(line.encode(), digest_size=8).digest() for line in lines])
    return np.frombuffer(digests, np.uint64)


def known_ngrams(samples: Words, ngram: int, reference: NgramCounts) -> Iterator[LineNgrams]:
    """Yield the n-grams of samples in consecutive parts; all that the reference lacks count as one n-gram."""
    return (part.ngrams(ngram).known_to(reference) for part in samples.parts())


@dataclass(frozen=True)
class WordReference:
    """The word statistics of a reference.

    `counts` are n-gram counts for n = 1 .. 5; `largest` is the largest count of each n-gram in a single line. `lengths`
    are the distinct numbers of words per line, sorted. `whole` are the sorted hashes of the distinct lines, `cut` the
    sorted hashes of the first `seq_len` characters of longer lines. `text` are the lines, as numbers of words.
    `held_out` are lines outside these statistics. `unspaced` is true if the text has no spaces between words.
    `sha256` identifies the statistics, `text_sha256` the lines in their order.
    """

    name: str
    sha256: str
    lines: int
    seq_len: int
    words: Sequence[str]
    counts: Mapping[int, NgramCounts]
    largest: Mapping[int, NgramCounts]
    lengths: NDArray[np.int64]
    whole: NDArray[np.uint64]
    cut: NDArray[np.uint64]
    text: Ragged
    held_out: Sequence[str]
    rule: WordRule = WHITE_SPACE
    unspaced: bool = False
    text_sha256: str = ""

    def number(self, samples: SampleLines) -> Words:
        """Split samples into words by the reference's rule; words not in the reference get numbers above its own."""
        numbers = {word: number for number, word in enumerate(self.words, start=1)}
        return number_all(samples.read(), numbers, self.rule)

    def signature(self, metric: str, samples: int, settings: Mapping[str, str | int]) -> Signature:
        """Return the signature of a score of `samples` lines against this reference."""
        reference = f"{self.name}@{self.sha256[:12]}"
        return Signature(
            metric, {"sym": "word", **settings, "ref": reference, "samples": samples, **self.rule.settings}
        )

    @property
    def title(self) -> str:
        """Name and number of lines of the reference."""
        return f"{self.name} ({self.lines:,} lines)"


def open_word_reference(options: CorpusOptions, rule: WordRule = WHITE_SPACE) -> WordReference:
    """Return the word statistics of a corpus's training lines, from the cache if it has them.

    Args:
        options: the corpus.
        rule: how lines of the corpus, and samples scored against it, are split into words.

    Raises:
        InputError: the corpus cannot be read, or has no words.
    """
    source = open_source(options.data, options.invalid_utf8)
    lines = asdict(replace(options, data=source.name, vocabulary_size=0))
    for name in ("symbols", "words", "lower_case"):  # how a corpus is encoded is no matter here
        del lines[name]
    identity = [source.identity, lines, asdict(rule)]
    folder = cache_folder() / "words" / sha256_of_json(identity)[:20]
    return open_cached(folder, _read, lambda temporary: _build(source, options, rule, temporary))


def _build(source: Source, options: CorpusOptions, rule: WordRule, folder: Path) -> None:
    numbers: dict[str, int] = {}
    held_out: list[str] = []
    cut: list[NDArray[np.uint64]] = []
    first: list[str] = []
    split = rule.splitter()

    def blocks() -> Iterator[Sequence[str]]:
        for lines, others in tqdm(split_lines(source, options), f"words of {source.name}", disable=None, delay=1):
            held_out.extend(others)
            long = [split(line[: options.seq_len])[0] for line in lines if len(line) > options.seq_len]
            cut.append(np.unique(line_hashes(long)))
            first.extend(lines[: _JUDGED_LINES - len(first)])
            yield lines
        if not cut:
            raise InputError(f"{source.name}: no lines; give a source with at least one line of text")

    text = number_all(blocks(), numbers, rule)
    if not numbers:
        raise InputError(f"{source.name}: no words; give a source with at least one line of text")
    for n in tqdm(range(1, LONGEST + 1), "counting word n-grams", disable=None, delay=1):
        counts = merge(part.ngrams(n).total() for part in text.parts())
        largest = merge((part.ngrams(n).largest() for part in text.parts()), np.maximum)
        save_array(folder / f"{n}.keys.npy", counts.keys)
        save_array(folder / f"{n}.counts.npy", counts.counts)
        save_array(folder / f"{n}.largest.npy", largest.counts)
    save_array(folder / "whole.npy", np.unique(text.hashes))
    save_array(folder / "cut.npy", np.unique(np.concatenate(cut)))
    save_array(folder / "lengths.npy", np.unique(text.lengths))
    for name, array in zip(_TEXT, (text.row, text.lengths), strict=True):
        save_array(folder / f"{name}.npy", array)
    for name, strings in (("words", list(numbers)), ("held_out", held_out)):
        (folder / f"{name}.json").write_text(json.dumps(strings), "utf-8")
    description = {
        "format": _FORMAT, "name": source.name, "lines": text.lengths.size, "seq_len": options.seq_len,
        "rule": asdict(rule), "unspaced": is_unspaced(first),
    }  # fmt: skip
    write_manifest(folder, _DESCRIPTION, description)


def _read(folder: Path) -> WordReference:
    description = read_manifest(folder, _DESCRIPTION)
    if description.get("format") != _FORMAT:
        raise ValueError("written by another version")
    arrays = open_arrays(folder, description)
    lengths = range(1, LONGEST + 1)
    # The hash in signatures is from before the lines themselves were kept.
    hashes, of_text = dict[str, str](), dict[str, str]()
    for name, sha256 in description["sha256"].items():
        (of_text if Path(name).stem in _TEXT else hashes)[name] = sha256
    return WordReference(
        name=description["name"],
        sha256=sha256_of_json(hashes),
        text_sha256=sha256_of_json(of_text),
        lines=description["lines"],
        seq_len=description["seq_len"],
        words=json.loads((folder / "words.json").read_text("utf-8")),
        counts={n: NgramCounts(arrays[f"{n}.keys"], arrays[f"{n}.counts"]) for n in lengths},
        largest={n: NgramCounts(arrays[f"{n}.keys"], arrays[f"{n}.largest"]) for n in lengths},
        lengths=arrays["lengths"],
        whole=arrays["whole"],
        cut=arrays["cut"],
        text=Ragged(*(arrays[name] for name in _TEXT)),
        held_out=json.loads((folder / "held_out.json").read_text("utf-8")),
        rule=WordRule(**description["rule"]),
        unspaced=description["unspaced"],
    )


def open_held_out(data: str, invalid_utf8: InvalidUtf8 = "refuse") -> list[str]:
    """Return the held-out lines of a source, or all its lines if none are held out.

    Raises:
        InputError: the source cannot be read, or has no lines.
    """
    source = open_source(data, invalid_utf8)
    lines = list(chain.from_iterable((source.held_out or source.train)()))
    if not lines:
        raise InputError(f"{source.name}: no lines; give a source with at least one line of text")
    return lines


def note_unspaced(samples: SampleLines, reference: WordReference) -> None:
    """Print a note to stderr if samples or reference lack spaces between words, unless words are single characters."""
    if reference.rule.words == "characters":
        return
    first = list(islice(chain.from_iterable(samples.read()), _JUDGED_LINES))
    for name, unspaced in ((samples.name, is_unspaced(first)), (reference.name, reference.unspaced)):
        if unspaced:
            note(f"{name} has no spaces between words: pass --words characters")


def number_floor(reference: WordReference, real: Sequence[str], lines: int) -> Words | None:
    """Split `lines` lines of real text into words, always the same ones; None if there are fewer."""
    if len(real) < lines:
        return None
    chosen = fixed_sample(len(real), lines)
    return reference.number(SampleLines("real lines", lambda: iter([[real[i] for i in chosen]])))
