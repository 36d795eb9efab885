"""Tokenizers: lines of text to ids of symbols, and back, by characters, words, or subwords (`data/subwords.py`).

At every level id 0 is padding and the end of a line, and id 1 the unknown symbol.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from data.line_ids import Ids, Ragged
from data.words import WordRule

Level = Literal["char", "word", "unigram", "bpe"]

PADDING = "\u2400"
"""Written form of padding inside a line of characters; padding at the end of a line is dropped."""

UNKNOWN = "\ufffd"
"""Written form of the unknown symbol: Unicode's replacement character."""

PADDING_ID, UNKNOWN_ID = 0, 1

CODE_POINTS = 0x110000

# Never ordinary characters: the two marks above, line ends, and the byte order mark, which readers drop.
_RESERVED = (PADDING, UNKNOWN, "\n", "\r", "\ufeff")

_JOINED = re.compile(" (?=[.,!?;:'\N{RIGHT SINGLE QUOTATION MARK}]|[nN]['\N{RIGHT SINGLE QUOTATION MARK}][tT])")

IdType = type[np.uint8] | type[np.uint16] | type[np.uint32]


class Tokenizer(Protocol):
    """Lines of text to ids of symbols, and back."""

    @property
    def level(self) -> Level:
        """Kind of symbols."""

    @property
    def name(self) -> str:
        """Name in signatures: the level, and for symbols that depend on the text their number and a hash of them."""

    @property
    def size(self) -> int:
        """Number of symbols V, padding and unknown included."""

    def encode(self, lines: Sequence[str]) -> Ragged:
        """Return the ids of lines, neither cut nor padded."""

    def decode(self, ids: Ids) -> list[str]:
        """Return the lines of ids [lines, seq_len]."""

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-serialisable object, from which `read_tokenizer` makes an equal tokenizer."""


def read_tokenizer(saved: Mapping[str, Any]) -> Tokenizer:
    """Return the tokenizer of a JSON object written by `as_json`; without a level it is one of characters.

    Raises:
        KeyError: an entry is missing.
        ValueError: the level is unknown.
    """
    match saved.get("level", "char"):
        case "char":
            return CharTokenizer(saved["characters"])
        case "word":
            return WordTokenizer(tuple(saved["words"]), WordRule(**saved["rule"]))
        case "unigram" | "bpe" as level:
            from data.subwords import SubwordTokenizer  # needs sentencepiece, which scoring does not

            return SubwordTokenizer.from_text(level, saved["model"])
        case level:
            raise ValueError(f"{level!r} is no level of symbols")


def id_type(size: int) -> IdType:
    """Return the smallest unsigned type for ids below `size`."""
    return np.uint8 if size <= 1 << 8 else np.uint16 if size <= 1 << 16 else np.uint32


@dataclass(frozen=True)
class CharTokenizer:
    """Characters (Unicode code points): ids 2, 3, ..., most frequent first."""

    characters: str
    level: Literal["char"] = "char"
    name: Literal["char"] = "char"

    @classmethod
    def from_counts(cls, counts: NDArray[np.int64], most: int) -> "CharTokenizer":
        """Return the tokenizer of the `most` most frequent characters, given a count per code point [0x110000].

        Of equally frequent characters, the one with the lower code point comes first.
        """
        counts = counts.copy()
        counts[[ord(character) for character in _RESERVED]] = 0
        ranked = np.argsort(-counts, kind="stable")[:most]
        return cls("".join(map(chr, ranked[counts[ranked] > 0])))

    @property
    def size(self) -> int:
        """Number of symbols V, padding and unknown included."""
        return len(self.characters) + 2

    @cached_property
    def ids_of_code_points(self) -> Ids:
        """Id of each code point [0x110000]."""
        table: Ids = np.full(CODE_POINTS, UNKNOWN_ID, id_type(self.size))
        table[ord(PADDING)] = PADDING_ID
        table[[ord(character) for character in self.characters]] = np.arange(2, self.size)
        return table

    def encode(self, lines: Sequence[str]) -> Ragged:
        """Return the ids of lines, one per character. PADDING in a line becomes padding."""
        codes = code_points(lines)
        return Ragged(self.ids_of_code_points[codes.row], codes.lengths)

    def decode(self, ids: Ids) -> list[str]:
        """Return the lines of ids [lines, seq_len], without padding at their ends. Inverse of `encode`."""
        symbols = np.array([ord(character) for character in PADDING + UNKNOWN + self.characters], "<u4")
        text = symbols[ids].tobytes().decode("utf-32-le")
        seq_len = ids.shape[1]
        return [text[start : start + seq_len].rstrip(PADDING) for start in range(0, len(text), seq_len)]

    def as_json(self) -> dict[str, Any]:
        """Return the characters as a JSON object; it has no level, as before there were levels."""
        return {"characters": self.characters}


def code_points(lines: Sequence[str]) -> Ragged:
    """Return the code points of lines."""
    row = np.frombuffer("".join(lines).encode("utf-32-le"), "<u4")
    return Ragged(row, np.fromiter(map(len, lines), np.int64, len(lines)))


@dataclass(frozen=True)
class WordTokenizer:
    """Words by a word rule: ids 2, 3, ..., most frequent first."""

    words: tuple[str, ...]
    rule: WordRule
    level: Literal["word"] = "word"

    @classmethod
    def from_counts(cls, words: Sequence[str], counts: NDArray[np.int64], most: int, rule: WordRule) -> "WordTokenizer":
        """Return the tokenizer of the `most` most frequent words, given all words and their counts [words].

        Equally frequent words are in the order of their code points, so that the order of lines does not matter.
        """
        count_of = dict(zip(words, counts.tolist(), strict=True))
        known = (word for word, count in count_of.items() if count and word not in _RESERVED)
        return cls(tuple(sorted(known, key=lambda word: (-count_of[word], word))[:most]), rule)

    @property
    def name(self) -> str:
        """Name in signatures."""
        digest = hashlib.sha256("\n".join(self.words).encode()).hexdigest()
        return f"word-{len(self.words)}@{digest[:12]}"

    @property
    def size(self) -> int:
        """Number of symbols V, padding and unknown included."""
        return len(self.words) + 2

    @cached_property
    def ids_of_words(self) -> dict[str, int]:
        """Id of each known word."""
        return {word: number for number, word in enumerate(self.words, start=2)}

    def encode(self, lines: Sequence[str]) -> Ragged:
        """Return the ids of lines, one per word."""
        split, ids_of_words = self.rule.splitter(), self.ids_of_words
        rows = [[ids_of_words.get(word, UNKNOWN_ID) for word in split(line)[1]] for line in lines]
        return ragged(rows, id_type(self.size))

    def decode(self, ids: Ids) -> list[str]:
        """Return the lines of ids [lines, seq_len], each up to its first padding.

        Under `punctuation`, words are joined as in published evaluations: by spaces, but none before .,!?;:' and n't.
        Encoding the lines again gives the same ids, but for unknown words and for pairs that join to a contraction, as
        `n` and `'t` do.
        """
        symbols = (PADDING, UNKNOWN, *self.words)
        between = "" if self.rule.words == "characters" else " "
        lines = [between.join([symbols[number] for number in row]) for row in rows_of(ids)]
        return [_JOINED.sub("", line) for line in lines] if self.rule.words == "punctuation" else lines

    def as_json(self) -> dict[str, Any]:
        """Return level, words and word rule as a JSON object."""
        return {"level": self.level, "words": list(self.words), "rule": asdict(self.rule)}


def ragged(rows: Sequence[Sequence[int]], dtype: IdType) -> Ragged:
    """Return lines, given as sequences of ids, as one row."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return Ragged(np.fromiter(chain.from_iterable(rows), dtype, int(lengths.sum())), lengths)


def rows_of(ids: Ids) -> list[list[int]]:
    """Return ids [lines, seq_len] as one list per line, up to the line's first padding."""
    ended = ids == PADDING_ID
    lengths = np.where(ended.any(axis=1), ended.argmax(axis=1), ids.shape[1])
    return [line[:length] for line, length in zip(ids.tolist(), lengths.tolist(), strict=True)]
