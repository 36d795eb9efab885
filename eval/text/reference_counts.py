"""The n-gram counts of a text: cached, saved, and joined from counts of parts.

Commands that score against the same text find the cached counts by themselves. Parts may be counted anywhere and joined
in any order; the result is that of counting the whole.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.cache import cache_folder, open_arrays, open_cached, read_manifest, save_array, write_manifest
from data.corpus import Corpus
from data.errors import InputError
from data.files import atomic_folder, sha256_of_json
from data.outputs import require_output_folder
from data.vocabulary import CODE_POINTS, PADDING_ID, UNKNOWN_ID, Ids, Vocabulary
from eval.core.intervals import GROUPS, group_of_line
from eval.core.score import Signature
from eval.text.counts import NgramCounts, count_up_to, merge, narrow, renumber

DESCRIPTION = "ngrams.json"

_FORMAT = 2
_USUAL_NGRAM = 6
_FACTS = ("name", "lines", "seq_len", "padding", "vocabulary_limit")


@dataclass(frozen=True)
class ReferenceCounts:
    """A text's n-gram counts for n = 1, 2, ..., and what it takes to count another text alike.

    `vocabulary_limit` is how many characters the vocabulary was allowed, `sha256` tells one text from another.
    """

    name: str
    sha256: str
    lines: int
    seq_len: int
    padding: bool
    vocabulary: Vocabulary
    vocabulary_limit: int
    counts: Mapping[int, NgramCounts]

    def count(self, ids: Ids) -> dict[int, NgramCounts]:
        """Count other lines' ids [lines, seq_len], encoded with this text's vocabulary, alike."""
        return count_up_to(ids, max(self.counts), self.vocabulary.size, self.padding)

    @property
    def title(self) -> str:
        """Name and size."""
        return f"{self.name} ({self.lines:,} lines)"

    def settings(self, samples: int) -> dict[str, str | int]:
        """Return what a score of so many samples against this text depends on."""
        return {
            "n": max(self.counts),
            "sym": "char",
            "len": self.seq_len,
            "pad": "in" if self.padding else "out",
            "ref": f"{self.name}@{self.sha256[:12]}",
            "samples": samples,
        }

    def up_to(self, most: int) -> "ReferenceCounts":
        """Return the same text with the counts for n = 1 .. `most`.

        Raises:
            InputError: it was not counted that far.
        """
        if not 1 <= most <= max(self.counts):
            raise InputError(f"--ngram {most}: {self.name} was counted for n from 1 to {max(self.counts)}")
        return replace(self, counts={n: self.counts[n] for n in range(1, most + 1)})


def count_reference(corpus: Corpus, most: int, padding: bool, vocabulary_limit: int) -> ReferenceCounts:
    """Return the counts of a corpus's training lines for n = 1 .. `most`, from the cache where it has them.

    Raises:
        InputError: n-grams of this length do not exist in the corpus, or do not fit a key.
    """
    largest = min(corpus.seq_len, 2 * narrow(corpus.vocabulary.size))
    if not 1 <= most <= largest:
        raise InputError(f"--ngram {most}: {corpus.name} in lines of {corpus.seq_len} allows n from 1 to {largest}")
    if not has_ngrams(corpus.train, most):
        raise InputError(f"{corpus.name}: every line is shorter than n = {most}; lower --ngram or give longer lines")
    # Counting further costs little, and one entry then serves most commands.
    counted = max(most, min(_USUAL_NGRAM, largest))

    def build(folder: Path) -> None:
        counts = count_up_to(corpus.train, counted, corpus.vocabulary.size, padding)
        text = ReferenceCounts(
            corpus.name, corpus.sha256, len(corpus.train), corpus.seq_len, padding, corpus.vocabulary,
            vocabulary_limit, counts,
        )  # fmt: skip
        _write(text, folder)

    key = sha256_of_json([corpus.sha256, counted, padding, vocabulary_limit])[:20]
    text = open_cached(cache_folder() / "ngrams" / key, _read, build).up_to(most)
    return replace(text, name=corpus.name)  # the same lines may have been counted under another name


def has_ngrams(ids: Ids, ngram: int) -> bool:
    """Whether at least one line of ids [lines, seq_len] is n symbols long, padding not counted."""
    return bool((ids[:, ngram - 1 :] != PADDING_ID).any())


def save_counts(text: ReferenceCounts, folder: Path) -> None:
    """Write a text's counts to a new folder, which appears complete or not at all.

    Raises:
        InputError: the folder exists.
    """
    require_new(folder)
    with atomic_folder(folder) as temporary:
        _write(text, temporary)


def require_new(folder: Path) -> None:
    """Refuse a folder for counts that exists already or cannot be made.

    Raises:
        InputError: naming it.
    """
    require_output_folder("--output", folder, "counts")
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another --output")


def is_saved_counts(folder: Path) -> bool:
    """Whether a folder holds the counts that `save_counts` wrote."""
    return (folder / DESCRIPTION).exists()


def load_counts(folder: Path) -> ReferenceCounts:
    """Return the counts that `save_counts` wrote, memory-mapped.

    Raises:
        InputError: there are none, or they are not as they were written.
    """
    try:
        return _read(folder)
    except ValueError as error:
        raise InputError(f"{folder}: not usable n-gram counts ({error}); build them again") from error


def merge_counts(parts: Sequence[ReferenceCounts], name: str, vocabulary_limit: int) -> ReferenceCounts:
    """Join the counts of parts of a text into those of the whole.

    Every part has symbol numbers of its own. The joint vocabulary holds the most frequent characters of all parts, as
    it would had the text been encoded in one piece.

    Raises:
        InputError: the parts were not counted alike, or one dropped characters, which cannot be counted afterwards.
    """
    first = parts[0]
    for part in parts:
        for what in ("seq_len", "padding"):
            if getattr(part, what) != getattr(first, what):
                raise InputError(
                    f"{part.name}: counted with {what} {getattr(part, what)}, {first.name} with "
                    f"{getattr(first, what)}; count the parts alike"
                )
        if part.counts.keys() != first.counts.keys():
            raise InputError(f"{part.name}: counted up to another n than {first.name}; count the parts alike")
        dropped = part.counts[1].lookup(np.array([UNKNOWN_ID], np.uint64))[0]
        if dropped and len(part.vocabulary.characters) >= part.vocabulary_limit:
            raise InputError(
                f"{part.name}: more characters than the vocabulary was allowed; count the parts with a larger "
                "--vocabulary-size, and give it to `merge` instead"
            )
    frequencies = np.zeros(CODE_POINTS, np.int64)
    for part in parts:
        codes = [ord(character) for character in part.vocabulary.characters]
        frequencies[codes] += part.counts[1].lookup(np.arange(2, part.vocabulary.size, dtype=np.uint64))
    vocabulary = Vocabulary.from_counts(frequencies, vocabulary_limit)
    numbers = [
        np.concatenate(
            [[PADDING_ID, UNKNOWN_ID], vocabulary.encode([part.vocabulary.characters], part.vocabulary.size - 2)[0]]
        ).astype(np.uint32)
        for part in parts
    ]
    counts = {
        n: merge(
            renumber(part.counts[n], n, part.vocabulary.size, number, vocabulary.size)
            for part, number in zip(parts, numbers, strict=True)
        )
        for n in first.counts
    }
    # Of the counts themselves: the same however the text was cut into parts.
    content = hashlib.sha256(vocabulary.characters.encode())
    for counted in counts.values():
        content.update(counted.keys.data)
        content.update(counted.counts.data)
    lines = sum(part.lines for part in parts)
    return ReferenceCounts(
        name, content.hexdigest(), lines, first.seq_len, first.padding, vocabulary, vocabulary_limit, counts
    )


def _write(text: ReferenceCounts, folder: Path) -> None:
    for n, counted in text.counts.items():
        save_array(folder / f"{n}.keys.npy", counted.keys)
        save_array(folder / f"{n}.counts.npy", counted.counts)
    description = {name: getattr(text, name) for name in _FACTS} | {
        "format": _FORMAT,
        "text_sha256": text.sha256,
        "signature": str(Signature("ngrams", text.settings(text.lines))),
        "characters": text.vocabulary.characters,
        "ngrams": {
            str(n): {"distinct": counted.keys.size, "total": counted.total} for n, counted in text.counts.items()
        },
    }
    write_manifest(folder, DESCRIPTION, description)


def _read(folder: Path) -> ReferenceCounts:
    description = read_manifest(folder, DESCRIPTION)
    if description.get("format") != _FORMAT:
        raise ValueError("written by another version")
    arrays = open_arrays(folder, description)
    counts = {int(n): NgramCounts(arrays[f"{n}.keys"], arrays[f"{n}.counts"]) for n in description["ngrams"]}
    return ReferenceCounts(
        sha256=description["text_sha256"],
        vocabulary=Vocabulary(description["characters"]),
        counts=counts,
        **{name: description[name] for name in _FACTS},
    )


def count_groups(ids: Ids, text: ReferenceCounts) -> list[dict[int, NgramCounts]]:
    """Count lines in the groups that the jackknife leaves out."""
    groups = group_of_line(len(ids))
    return [text.count(ids[groups == group]) for group in range(min(GROUPS, len(ids)))]
