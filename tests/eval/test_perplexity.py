"""Perplexity under the n-gram model of another text, against a recursive model of strings."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from data.errors import InputError
from data.words import WHITE_SPACE, WordRule
from eval.core.score import Estimate
from eval.sentences.perplexity import LENGTH, open_ngram_model, score
from tests.helpers.oracles import pseudo_value_interval
from tests.helpers.text import write_lines

OUTSIDE = ["the cat sat", "a cat ran off", "the dog sat on a cat"]
SAMPLES = ["a dog ran", "the the the", "sat on a zebra", ""]


def plain_bits(line: str, text: Sequence[str], order: int) -> float:
    """Bits of a line and its end under Witten & Bell's model; a line end is $, seen once per line; unknown is ?."""
    alphabet = {*"".join(text)}
    follows: dict[str, Counter[str]] = {}
    for known in text:
        for position, symbol in enumerate(known + "$"):
            for length in range(min(order, position + 1)):
                follows.setdefault(known[position - length : position], Counter())[symbol] += 1

    def probability(history: str, symbol: str) -> float:
        shorter = probability(history[1:], symbol) if history else 1 / (len(alphabet) + 2)
        if history not in follows:
            return shorter
        seen = follows[history]
        return (seen[symbol] + len(seen) * shorter) / (seen.total() + len(seen))

    symbols = "".join(letter if letter in alphabet else "?" for letter in line) + "$"
    return -sum(
        math.log2(probability(symbols[max(0, end - order + 1) : end], symbols[end])) for end in range(len(symbols))
    )


def scored(lines: Sequence[str], folder: Path, rule: WordRule = WHITE_SPACE) -> dict[str, Estimate]:
    outside = open_ngram_model(write_lines(folder / "outside.txt", OUTSIDE))
    return {name: value for found in score(lines, outside, rule) for name, value in found.values.items()}


def test_equal_to_a_recursive_model(tmp_path: Path) -> None:
    bits = [plain_bits(line, OUTSIDE, 6) for line in SAMPLES]
    found = scored(SAMPLES, tmp_path)
    characters, words = [len(line) + 1 for line in SAMPLES], [len(line.split()) for line in SAMPLES]
    for name, sizes in (("bits-per-character", characters), ("bits-per-word", words)):
        value = math.fsum(bits) / sum(sizes)
        assert found[name].value == pytest.approx(value, rel=1e-10)
        left_out = [(sum(bits) - b) / (sum(sizes) - s) for b, s in zip(bits, sizes, strict=True)]
        low, high = pseudo_value_interval(value, left_out)
        assert (found[name].low, found[name].high) == pytest.approx((max(low, 0), high), rel=1e-9)
    # Known to be wrong: a model of another order, and lines without their ends.
    for wrong in ([plain_bits(line, OUTSIDE, 3) for line in SAMPLES], [b - 1 for b in bits]):
        assert found["bits-per-character"].value != pytest.approx(math.fsum(wrong) / sum(characters), rel=1e-3)


def test_entropy_in_bits_stands_beside_it(tmp_path: Path) -> None:
    """Of 3 different words log2(3) bits, of one word three times 0, of 4 words 2, of none 0."""
    found = scored(SAMPLES, tmp_path)["sample-entropy"]
    assert found.value == pytest.approx((math.log2(3) + 0 + 2 + 0) / 4, abs=1e-12)
    repeated, varied = scored(["the the the the"], tmp_path), scored(["zebras quack vexing jokes"], tmp_path)
    assert repeated["bits-per-word"].value < varied["bits-per-word"].value
    assert repeated["sample-entropy"].value < varied["sample-entropy"].value


def test_lines_are_cut_and_words_follow_the_rule(tmp_path: Path) -> None:
    long = "a " * LENGTH
    assert scored([long], tmp_path)["bits-per-character"] == scored([long[:LENGTH]], tmp_path)["bits-per-character"]
    # Bits of the first 256 characters are of their words, half of the words of the line.
    assert scored([long], tmp_path)["bits-per-word"] == scored([long[:LENGTH]], tmp_path)["bits-per-word"]
    whole, apart = scored(["sat, ran"], tmp_path), scored(["sat, ran"], tmp_path, WordRule("punctuation"))
    assert whole["bits-per-word"].value * 2 == pytest.approx(apart["bits-per-word"].value * 3)


def test_samples_without_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no words in the samples"):
        scored(["", " "], tmp_path)
    with pytest.raises(InputError, match="no words where the model reads the samples"):
        scored([" " * (LENGTH + 9) + "a"], tmp_path)
