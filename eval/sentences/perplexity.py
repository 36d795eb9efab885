"""Perplexity of samples under an n-gram model of another text, and the entropy of the words in each sample beside it.

Both together, since either alone rewards a fault: text that repeats a few frequent words has a low perplexity, random
words have a high entropy. The model is the n-gram model of characters of `eval.likelihood` (Witten & Bell 1991), in
which no word is unknown. Bits per word are the bits of all lines, line ends included, divided by the number of words; 2
to the power of bits per word is the perplexity per word.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.corpus import CorpusOptions
from data.errors import InputError
from data.readers import InvalidUtf8
from data.words import WordRule
from eval.core.intervals import POSITIVE, estimate_ratio
from eval.core.score import Score, Signature
from eval.text.entropy import line_entropy
from eval.text.likelihood import line_bits, narrow_counts
from eval.text.reference import ReferenceOptions, open_reference
from eval.text.reference_counts import ReferenceCounts
from eval.text.words import number_words

LENGTH = 256
"""Characters per line; longer lines are cut, of samples and of the outside text."""

_BLOCK = 1 << 12

Array = NDArray[np.float64]


def open_outside(data: str, invalid_utf8: InvalidUtf8 = "refuse") -> ReferenceCounts:
    """Return the n-gram counts of all lines of a source, from the cache if they have been counted before.

    Raises:
        InputError: the source cannot be read, or its lines are all shorter than six characters.
    """
    corpus = CorpusOptions(data, seq_len=LENGTH, split=False, invalid_utf8=invalid_utf8)
    return open_reference(ReferenceOptions(corpus)).text


def outside_bits(lines: Sequence[str], outside: ReferenceCounts) -> tuple[Array, Array]:
    """Return the bits of each line [lines] under the model, and its number of characters [lines], line end included."""
    counts, tokenizer = narrow_counts(outside), outside.tokenizer
    blocks = [lines[start : start + _BLOCK] for start in range(0, len(lines), _BLOCK)]
    parts = [line_bits(tokenizer.encode(block).padded(LENGTH), counts, tokenizer.size) for block in blocks]
    return np.concatenate([bits for bits, _ in parts]), np.concatenate([characters for _, characters in parts])


def score(lines: Sequence[str], outside: ReferenceCounts, rule: WordRule) -> list[Score]:
    """Return the bits of samples per character and per word, and the entropy of the words in a sample.

    Raises:
        InputError: no sample has a word.
    """
    bits, characters = outside_bits(lines, outside)
    words = number_words(lines, {}, rule)
    if not words.row.size:
        raise InputError("no words in the samples; give at least one line with a word")
    values = {
        "bits-per-character": estimate_ratio(bits, characters, POSITIVE),
        "bits-per-word": estimate_ratio(bits, words.lengths.astype(np.float64), POSITIVE),
    }
    samples = len(lines)
    settings = {
        "n": max(narrow_counts(outside)), "model": "witten-bell", "len": LENGTH,
        "outside": f"{outside.name}@{outside.sha256[:12]}", "samples": samples, **rule.settings,
    }  # fmt: skip
    in_bits = line_entropy(words.ngrams(1)).scaled(1 / math.log(2))
    entropy = Signature("sample-entropy", {"sym": "word", "samples": samples, **rule.settings})
    return [
        Score("perplexity", values, "bits", "lower", samples, outside.title, Signature("perplexity", settings)),
        Score(
            "sample-entropy", {"sample-entropy": in_bits}, "bits", "higher", samples, "the samples themselves", entropy
        ),
    ]
