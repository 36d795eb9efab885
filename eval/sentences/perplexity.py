"""Perplexity of samples under a model of another text, and the entropy of the words in each sample beside it.

Both together, since either alone rewards a fault: text that repeats a few frequent words has a low perplexity, random
words have a high entropy. The outside model is the n-gram model of characters of `eval.likelihood` (Witten & Bell
1991), in which no word is unknown, an n-gram model of words in a file, or a causal language model of the Hugging Face
hub. Bits per word are the bits of all lines, line ends included, divided by the number of words; 2 to the power of bits
per word is the perplexity.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.corpus import CorpusOptions
from data.errors import InputError
from data.readers import InvalidUtf8
from data.words import WordRule
from eval.core.intervals import POSITIVE, SHARE, estimate_ratio
from eval.core.score import Score, Signature
from eval.text.entropy import line_entropy
from eval.text.likelihood import line_bits, narrow_counts
from eval.text.reference import ReferenceOptions, open_reference
from eval.text.words import number_words

LENGTH = 256
"""Characters per line under an n-gram model; longer lines are cut, of samples and of the outside text."""

_BLOCK = 1 << 12

Array = NDArray[np.float64]


class LineBits(NamedTuple):
    """Bits [N] of lines under a model, and the sizes [N] that they are divided by.

    Attributes:
        bits: bits of each line, line end included.
        sizes: length of each line by the unit that it is counted in. Default of "word": words by the word rule.
        unknown: words of each line that the model lacks; None if the model has all words.
        read: the part of each line that the bits are of; None: whole lines.
    """

    bits: Array
    sizes: Mapping[str, Array]
    unknown: Array | None = None
    read: Sequence[str] | None = None


@dataclass(frozen=True)
class OutsideModel:
    """A model of lines: the function from lines to their bits, and the signature fields that the bits depend on."""

    title: str
    settings: Mapping[str, str | int]
    bits: Callable[[Sequence[str]], LineBits]


def open_ngram_model(data: str, invalid_utf8: InvalidUtf8 = "refuse") -> OutsideModel:
    """Return the n-gram model of all lines of a source, from the cache if they have been counted before.

    Raises:
        InputError: the source cannot be read, or its lines are all shorter than six characters.
    """
    corpus = CorpusOptions(data, seq_len=LENGTH, split=False, invalid_utf8=invalid_utf8)
    text = open_reference(ReferenceOptions(corpus)).text
    counts, tokenizer = narrow_counts(text), text.tokenizer

    def bits(lines: Sequence[str]) -> LineBits:
        blocks = [lines[start : start + _BLOCK] for start in range(0, len(lines), _BLOCK)]
        parts = [line_bits(tokenizer.encode(block).padded(LENGTH), counts, tokenizer.size) for block in blocks]
        found, sizes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return LineBits(found, {"character": sizes}, read=[line[:LENGTH] for line in lines])

    outside = f"{text.name}@{text.sha256[:12]}"
    settings: dict[str, str | int] = {"model": "witten-bell", "n": max(counts), "len": LENGTH, "outside": outside}
    return OutsideModel(text.title, settings, bits)


def score(lines: Sequence[str], outside: OutsideModel, rule: WordRule) -> list[Score]:
    """Return the bits of samples per character and per word, and the entropy of the words in a sample.

    A model that lacks words gives bits per word alone, of the words that it has, and the proportion of the others.

    Raises:
        InputError: no sample has a word.
    """
    words = number_words(lines, {}, rule)
    if not words.row.size:
        raise InputError("no words in the samples; give at least one line with a word")
    found = outside.bits(lines)
    of_rule = {} if "word" in found.sizes else rule.settings
    sizes = dict(found.sizes)
    if of_rule:
        read = words if found.read is None else number_words(found.read, {}, rule)
        if not read.row.size:
            raise InputError("no words where the model reads the samples; give lines that begin with a word")
        sizes["word"] = read.lengths.astype(np.float64)
    values = {f"bits-per-{unit}": estimate_ratio(found.bits, size, POSITIVE) for unit, size in sizes.items()}
    samples = len(lines)
    signature = Signature("perplexity", {**outside.settings, "samples": samples, **of_rule})
    scores = [Score("perplexity", values, "bits", "lower", samples, outside.title, signature)]
    if found.unknown is not None:
        unknown = estimate_ratio(found.unknown, found.unknown + sizes["word"], SHARE)
        of_unknown = Signature("unknown-words", {**outside.settings, "samples": samples})
        scores.append(
            Score(
                "unknown-words", {"unknown-words": unknown}, "proportion", "lower", samples, outside.title, of_unknown
            )
        )
    in_bits = line_entropy(words).scaled(1 / math.log(2))
    entropy = Signature("sample-entropy", {"sym": "word", "samples": samples, **rule.settings})
    return [
        *scores,
        Score(
            "sample-entropy", {"sample-entropy": in_bits}, "bits", "higher", samples, "the samples themselves", entropy
        ),
    ]
