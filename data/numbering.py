"""Numbers that stand for symbols until a text is read and ids are known: one pass for characters and for words.

A character's number is the code point, a word's the rank of the first occurrence. Subwords need a pass of their own, to
train the model; then the number is the id, and so it is for a source with words of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.line_ids import Ids, Ragged
from data.tokenizers import (
    CODE_POINTS,
    PADDING,
    UNKNOWN,
    UNKNOWN_ID,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
    code_points,
    id_type,
    ragged,
)
from data.words import WordRule


class Numbering(NamedTuple):
    """How lines are numbered, and how the tokenizer is made at the end.

    `number` returns the numbers of lines. `finish`, given the count of each number in the training lines, returns the
    tokenizer and the id of each number.
    """

    number: Callable[[Sequence[str]], Ragged]
    finish: Callable[[NDArray[np.int64]], tuple[Tokenizer, Ids]]


def number_characters(most: int, seq_len: int) -> Numbering:
    """Number the first `seq_len` characters per line; the tokenizer has the `most` most frequent ones."""

    def number(lines: Sequence[str]) -> Ragged:
        return code_points(without_padding([line[:seq_len] for line in lines]))

    def finish(counts: NDArray[np.int64]) -> tuple[Tokenizer, Ids]:
        tokenizer = CharTokenizer.from_counts(_extended(counts, CODE_POINTS), most)
        return tokenizer, tokenizer.ids_of_code_points

    return Numbering(number, finish)


def number_words(most: int, rule: WordRule) -> Numbering:
    """Number words; the tokenizer has the `most` most frequent ones."""
    numbers: dict[str, int] = {}
    split = rule.splitter()

    def number(lines: Sequence[str]) -> Ragged:
        rows = [[numbers.setdefault(word, len(numbers)) for word in split(line)[1]] for line in lines]
        return ragged(rows, np.uint32)

    def finish(counts: NDArray[np.int64]) -> tuple[Tokenizer, Ids]:
        tokenizer = WordTokenizer.from_counts(list(numbers), _extended(counts, len(numbers)), most, rule)
        ids: Ids = np.full(len(numbers), UNKNOWN_ID, id_type(tokenizer.size))
        ids[[numbers[word] for word in tokenizer.words]] = np.arange(2, tokenizer.size)
        return tokenizer, ids

    return Numbering(number, finish)


def number_known(tokenizer: Tokenizer) -> Numbering:
    """Number symbols by the ids of a tokenizer that exists before the text is read."""
    ids: Ids = np.arange(tokenizer.size, dtype=id_type(tokenizer.size))
    return Numbering(tokenizer.encode, lambda _: (tokenizer, ids))


def count_numbers(counts: NDArray[np.int64], lines: Ragged) -> NDArray[np.int64]:
    """Return the counts of numbers after more lines, which may have larger numbers than all lines before."""
    found = np.bincount(lines.row, minlength=counts.size)
    found[: counts.size] += counts
    return found


def without_padding(lines: Iterable[str]) -> list[str]:
    """Return lines of text with the unknown symbol for the written form of padding, which means no padding there."""
    return [line.replace(PADDING, UNKNOWN) for line in lines]


def _extended(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.pad(counts, (0, size - counts.size))
