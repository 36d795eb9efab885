"""The n-gram counts of a reference text: cached, saved, and merged from the counts of its parts.

Commands that score against the same text reuse the cached counts. Parts may be counted on different machines and merged
in any order; the result equals the counts of the whole text.
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
from data.line_ids import Ids, Lines, blocks
from data.outputs import require_output_folder
from data.tokenizers import CODE_POINTS, PADDING_ID, UNKNOWN_ID, CharTokenizer, Tokenizer, read_tokenizer
from eval.core.intervals import GROUPS, group_of_line
from eval.core.score import Signature
from eval.text.counts import NgramCounts, count_up_to, merge, narrow, renumber

DESCRIPTION = "ngrams.json"

_FORMAT = 2
_USUAL_NGRAM = 6
_BLOCK_LINES = 1 << 12
_FACTS = ("name", "lines", "seq_len", "padding", "vocabulary_limit")


@dataclass(frozen=True)
class ReferenceCounts:
    """The n-gram counts of a text for n = 1, 2, ..., and the settings for counting samples in the same way.

    `vocabulary_limit` is the maximum number of symbols that the text was encoded with; `sha256` identifies the text.
    """

    name: str
    sha256: str
    lines: int
    seq_len: int
    padding: bool
    tokenizer: Tokenizer
    vocabulary_limit: int
    counts: Mapping[int, NgramCounts]

    def count(self, ids: Ids) -> dict[int, NgramCounts]:
        """Count ids [lines, seq_len], encoded with this text's tokenizer, with the same settings as this text."""
        return count_up_to(ids, max(self.counts), self.tokenizer.size, self.padding)

    @property
    def title(self) -> str:
        """Name and number of lines of the text."""
        return f"{self.name} ({self.lines:,} lines)"

    def settings(self, samples: int) -> dict[str, str | int]:
        """Return the signature fields of a score of `samples` lines against this text."""
        return {
            "n": max(self.counts),
            "sym": self.tokenizer.name,
            "len": self.seq_len,
            "pad": "in" if self.padding else "out",
            "ref": f"{self.name}@{self.sha256[:12]}",
            "samples": samples,
        }

    def has_line_ends(self) -> bool:
        """Whether line ends were counted: padding, and n-grams of two symbols or more with integer keys."""
        return self.padding and min(max(self.counts), narrow(self.tokenizer.size)) > 1

    def up_to(self, most: int) -> "ReferenceCounts":
        """Return the same text with only the counts for n = 1 .. `most`.

        Raises:
            InputError: `most` is larger than the longest n-gram that was counted, or below 1.
        """
        if not 1 <= most <= max(self.counts):
            raise InputError(f"--ngram {most}: {self.name} was counted for n from 1 to {max(self.counts)}")
        return replace(self, counts={n: self.counts[n] for n in range(1, most + 1)})


def count_reference(
    corpus: Corpus, most: int, padding: bool, vocabulary_limit: int, part: bool = False
) -> ReferenceCounts:
    """Return the n-gram counts of a corpus's training lines for n = 1 .. `most`, from the cache if it has them.

    Args:
        corpus: the encoded lines.
        most: longest n.
        padding: whether n-grams that contain padding are counted.
        vocabulary_limit: maximum number of symbols that the text was encoded with.
        part: whether the corpus is part of a text; only other parts may have lines of `most` symbols.

    Raises:
        InputError: the corpus has no n-grams of length `most` (unless it is a part), or they do not fit a key.
    """
    largest = min(corpus.seq_len, 2 * narrow(corpus.tokenizer.size))
    if not 1 <= most <= largest:
        raise InputError(f"--ngram {most}: {corpus.name} in lines of {corpus.seq_len} allows n from 1 to {largest}")
    if not part and not has_ngrams(corpus.train, most):
        raise too_short(corpus.name, most)
    # Counting at least up to the default n costs little, and one cache entry then serves most commands.
    counted = max(most, min(_USUAL_NGRAM, largest))

    def build(folder: Path) -> None:
        counts = count_up_to(corpus.train, counted, corpus.tokenizer.size, padding)
        text = ReferenceCounts(
            corpus.name, corpus.sha256, len(corpus.train), corpus.seq_len, padding, corpus.tokenizer,
            vocabulary_limit, counts,
        )  # fmt: skip
        _write(text, folder)

    key = sha256_of_json([corpus.sha256, counted, padding, vocabulary_limit])[:20]
    text = open_cached(cache_folder() / "ngrams" / key, _read, build).up_to(most)
    return replace(text, name=corpus.name)  # the same lines may have been counted under another name


def has_ngrams(ids: Lines, ngram: int) -> bool:
    """Whether at least one line of ids [lines, seq_len] has `ngram` or more symbols before its padding."""
    return any((block[:, ngram - 1 :] != PADDING_ID).any() for block in blocks(ids, _BLOCK_LINES))


def too_short(name: str, ngram: int) -> InputError:
    """Return the error of a text without a line of `ngram` symbols."""
    return InputError(f"{name}: every line is shorter than n = {ngram}; lower --ngram or give longer lines")


def save_counts(text: ReferenceCounts, folder: Path) -> None:
    """Write the counts of a text to a new folder, atomically.

    Raises:
        InputError: the folder exists.
    """
    require_new(folder)
    with atomic_folder(folder) as temporary:
        _write(text, temporary)


def require_new(folder: Path) -> None:
    """Check that a folder for counts does not exist yet and can be created.

    Raises:
        InputError: it exists, or cannot be created.
    """
    require_output_folder("--output", folder, "counts")
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another --output")


def is_saved_counts(folder: Path) -> bool:
    """Whether a folder holds counts written by `save_counts`."""
    return (folder / DESCRIPTION).exists()


def load_counts(folder: Path) -> ReferenceCounts:
    """Memory-map the counts in a folder written by `save_counts`.

    Raises:
        InputError: the folder holds no counts, or they were changed since.
    """
    try:
        return _read(folder)
    except ValueError as error:
        raise InputError(f"{folder}: not usable n-gram counts ({error}); build them again") from error


def merge_counts(parts: Sequence[ReferenceCounts], name: str, vocabulary_limit: int) -> ReferenceCounts:
    """Merge the counts of the parts of a text into the counts of the whole text.

    Each part numbers its symbols differently. The merged vocabulary holds the most frequent characters of all parts, as
    if the text had been encoded in one piece.

    Raises:
        InputError: the parts were counted with different settings or not by characters, or a part dropped rare
            characters, which cannot be counted afterwards.
    """
    first = parts[0]
    characters = [_characters_of(part) for part in parts]
    for part, known in zip(parts, characters, strict=True):
        for what in ("seq_len", "padding"):
            if getattr(part, what) != getattr(first, what):
                raise InputError(
                    f"{part.name}: counted with {what} {getattr(part, what)}, {first.name} with "
                    f"{getattr(first, what)}; count the parts with the same settings"
                )
        if part.counts.keys() != first.counts.keys():
            raise InputError(
                f"{part.name}: counted up to another n than {first.name}; count the parts with the same --ngram"
            )
        dropped = part.counts[1].lookup(np.array([UNKNOWN_ID], np.uint64))[0]
        if dropped and len(known) >= part.vocabulary_limit:
            raise InputError(
                f"{part.name}: more characters than the vocabulary was allowed; count the parts with a larger "
                "--vocabulary-size, and limit the vocabulary in `merge` instead"
            )
    frequencies = np.zeros(CODE_POINTS, np.int64)
    for part, known in zip(parts, characters, strict=True):
        codes = [ord(character) for character in known]
        frequencies[codes] += part.counts[1].lookup(np.arange(2, part.tokenizer.size, dtype=np.uint64))
    tokenizer = CharTokenizer.from_counts(frequencies, vocabulary_limit)
    if max(first.counts) > (largest := 2 * narrow(tokenizer.size)):
        raise InputError(
            f"{first.name}: counted up to n = {max(first.counts)}, but all parts have {tokenizer.size:,} symbols, "
            f"which allow at most {largest}; count the parts with --ngram {largest}"
        )
    numbers = [
        np.concatenate([[PADDING_ID, UNKNOWN_ID], tokenizer.encode([known]).row]).astype(np.uint32)
        for known in characters
    ]
    counts = {
        n: merge(
            renumber(part.counts[n], n, part.tokenizer.size, number, tokenizer.size)
            for part, number in zip(parts, numbers, strict=True)
        )
        for n in first.counts
    }
    # A hash of the merged counts does not depend on how the text was cut into parts.
    content = hashlib.sha256(tokenizer.characters.encode())
    for counted in counts.values():
        content.update(counted.keys.data)
        content.update(counted.counts.data)
    lines = sum(part.lines for part in parts)
    return ReferenceCounts(
        name, content.hexdigest(), lines, first.seq_len, first.padding, tokenizer, vocabulary_limit, counts
    )


def _characters_of(text: ReferenceCounts) -> str:
    if not isinstance(text.tokenizer, CharTokenizer):
        raise InputError(f"{text.name}: counted by {text.tokenizer.level}; only counts of characters can be merged")
    return text.tokenizer.characters


def _write(text: ReferenceCounts, folder: Path) -> None:
    for n, counted in text.counts.items():
        save_array(folder / f"{n}.keys.npy", counted.keys)
        save_array(folder / f"{n}.counts.npy", counted.counts)
    description = {name: getattr(text, name) for name in _FACTS} | {
        "format": _FORMAT,
        "text_sha256": text.sha256,
        "signature": str(Signature("ngrams", text.settings(text.lines))),
        **text.tokenizer.as_json(),
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
        tokenizer=read_tokenizer(description),
        counts=counts,
        **{name: description[name] for name in _FACTS},
    )


def count_groups(ids: Ids, text: ReferenceCounts) -> list[dict[int, NgramCounts]]:
    """Return the n-gram counts of each jackknife group of ids [lines, seq_len]."""
    groups = group_of_line(len(ids))
    return [text.count(ids[groups == group]) for group in range(min(GROUPS, len(ids)))]
