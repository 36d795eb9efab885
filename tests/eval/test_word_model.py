"""Bits under an n-gram model of words: probabilities by hand, a recursive model of dictionaries, PocketSphinx."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from data.errors import InputError
from data.words import WHITE_SPACE, WordRule
from eval.sentences.cli import SentenceFlags, open_outside
from eval.sentences.perplexity import LineBits, OutsideModel, score
from eval.sentences.word_model import open_word_model, spoken_words, word_bits
from tests.helpers.oracles import pseudo_value_interval

# Logarithms to base 10 of probability and of backoff weight, as in an ARPA file.
NGRAMS: dict[tuple[str, ...], tuple[float, float]] = {
    ("<s>",): (-99.0, -0.3),
    ("</s>",): (-0.7, 0.0),
    ("the",): (-0.8, -0.4),
    ("cat",): (-1.1, -0.2),
    ("sat",): (-0.9, -0.1),
    ("<s>", "the"): (-0.25, -0.15),
    ("the", "cat"): (-0.35, -0.05),
    ("cat", "sat"): (-0.45, 0.0),
    ("sat", "</s>"): (-0.5, 0.0),
    ("<s>", "the", "cat"): (-0.11, 0.0),
    ("the", "cat", "sat"): (-0.22, 0.0),
}
LINES = ["The cat sat.", "the sat", "the zebra cat", ""]
# Of "the" -0.25, "cat" -0.11, "sat" -0.22, the end after "cat sat" 0.0 - 0.5;
# "the" -0.25, "sat" -0.15 - 0.4 - 0.9, the end after "the sat" -0.5;
# "the" -0.25, "cat" after an unknown word -1.1, the end after "cat" -0.2 - 0.7; the end after the start -0.3 - 0.7.
BY_HAND = [1.08, 2.2, 2.25, 1.0]
LOG2_OF_10 = math.log2(10)


def plain(word: str, history: Sequence[str]) -> float | None:
    """Katz's recursion in base 2: the longest known n-gram, times the weights of the histories that lack the word."""
    if (word,) not in NGRAMS:
        return None
    if (*history, word) in NGRAMS:
        return NGRAMS[*history, word][0] * LOG2_OF_10
    shorter = plain(word, history[1:])
    assert shorter is not None
    return shorter + NGRAMS.get(tuple(history), (0.0, 0.0))[1] * LOG2_OF_10


def arpa(path: Path) -> Path:
    """Write the n-grams as an ARPA file, the longest without backoff weights."""
    sections = []
    for n in (1, 2, 3):
        rows = [(*numbers, " ".join(words)) for words, numbers in NGRAMS.items() if len(words) == n]
        lines = [f"{p} {words} {weight}" if n < 3 else f"{p} {words}" for p, weight, words in rows]
        sections.append("\n".join([f"\\{n}-grams:", *lines, ""]))
    counts = [f"ngram {n}={sum(len(words) == n for words in NGRAMS)}" for n in (1, 2, 3)]
    path.write_text("\n".join(["\\data\\", *counts, "", *sections, "\\end\\", ""]), "utf-8")
    return path


def scored(bits: LineBits) -> dict[str, float]:
    model = OutsideModel("by hand", {"model": "arpa", "n": 3, "outside": "x"}, lambda _lines: bits)
    return {name: value.value for found in score(LINES, model, WHITE_SPACE) for name, value in found.values.items()}


def test_bits_are_the_probabilities_by_hand() -> None:
    found = word_bits(LINES, plain, 3)
    assert found.bits.tolist() == pytest.approx([number * LOG2_OF_10 for number in BY_HAND], abs=1e-12)
    assert found.sizes["word"].tolist() == [3, 2, 2, 0]
    assert found.unknown is not None and found.unknown.tolist() == [0, 0, 1, 0]
    # Known to be wrong: a bigram model; a history that an unknown word does not end ("the cat" costs 0.35, not 1.1).
    assert word_bits(LINES, plain, 2).bits[0] == pytest.approx((0.25 + 0.35 + 0.45 + 0.5) * LOG2_OF_10, abs=1e-12)
    assert word_bits(["the cat"], plain, 3).bits[0] < found.bits[2] - 1


def test_the_end_of_a_line_is_no_unknown_word() -> None:
    def without_ends(word: str, history: Sequence[str]) -> float | None:
        return None if word == "</s>" else plain(word, history)

    found = word_bits(LINES, without_ends, 3)
    assert found.unknown is not None and found.unknown.tolist() == [0, 0, 1, 0]


def test_scores_are_per_known_word_with_the_proportion_of_others() -> None:
    found = word_bits(LINES, plain, 3)
    values = scored(found)
    assert list(values) == ["bits-per-word", "unknown-words", "sample-entropy"]
    assert values["bits-per-word"] == pytest.approx(sum(BY_HAND) * LOG2_OF_10 / 7, abs=1e-12)
    assert values["unknown-words"] == pytest.approx(1 / 8, abs=1e-15)
    model = OutsideModel("by hand", {"model": "arpa"}, lambda _lines: found)
    perplexity, unknown, _ = score(LINES, model, WordRule("punctuation"))
    assert str(perplexity.signature) == "perplexity|model:arpa|samples:4|v:1"  # of any word rule
    sums, sizes = found.bits.tolist(), found.sizes["word"].tolist()
    left_out = [(sum(sums) - b) / (sum(sizes) - s) for b, s in zip(sums, sizes, strict=True)]
    low, high = pseudo_value_interval(values["bits-per-word"], left_out)
    interval = perplexity.values["bits-per-word"]
    assert (interval.low, interval.high) == pytest.approx((max(low, 0.0), high), abs=1e-9)
    assert (unknown.unit, unknown.better) == ("proportion", "lower")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("The cat 's 2 dogs do n't , he said .", ["the", "cat's", "2", "dogs", "don't", "he", "said"]),
        ("It\N{RIGHT SINGLE QUOTATION MARK}s a well-known 'trick'", ["it's", "a", "well-known", "trick"]),
        ("in the U.S. and U.S.'s , Mr. B.", ["in", "the", "u.", "s.", "and", "u.", "s.'s", "mr", "b."]),
        ("... - `` ''", []),
        ("we 'll 've 'em", ["we'll've", "em"]),
    ],
)
def test_words_are_written_as_they_are_spoken(line: str, words: list[str]) -> None:
    assert spoken_words(line) == words


def test_a_model_without_any_word_of_the_samples_is_refused() -> None:
    with pytest.raises(InputError, match="has no word of the samples"):
        word_bits(["zebra", ""], plain, 3)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    for path, flag in ((None, "pocketsphinx"), ("a.lm", "arpa:a.lm")):
        with pytest.raises(InputError, match=f"--outside {flag}: .*pip install 'textgan\\[perplexity\\]'"):
            open_word_model(path)
    with pytest.raises(InputError, match="'arpa:': nothing after the colon"):
        open_outside("arpa:", SentenceFlags())


def test_pocketsphinx_reads_the_same_probabilities(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    path = arpa(tmp_path / "tiny.lm")
    model = open_outside(f"arpa:{path}", SentenceFlags())
    found = model.bits(LINES)
    assert found.bits.tolist() == pytest.approx([number * LOG2_OF_10 for number in BY_HAND], abs=2e-3)
    assert found.unknown is not None and found.unknown.tolist() == [0, 0, 1, 0]
    assert model.title == "tiny.lm (3-gram model of words)"
    for damaged in ("", "\\data\\\nngram 1=", "no model"):
        path.write_text(damaged, "utf-8")
        with pytest.raises(InputError, match=r"--outside arpa:.*tiny\.lm: no n-gram model"):
            open_word_model(str(path))
    with pytest.raises(InputError, match="no such file"):
        open_word_model(str(tmp_path / "none.lm"))


def test_the_model_of_english_prefers_a_news_sentence_to_its_words_shuffled() -> None:
    pytest.importorskip("pocketsphinx")
    model = open_word_model(None)
    news = "the president said on tuesday that the government would not raise taxes this year"
    shuffled = " ".join(sorted(news.split()))
    bits = [float(found.bits[0] / found.sizes["word"][0]) for found in map(model.bits, ([news], [shuffled]))]
    # 14 words; PocketSphinx 5.1.1, model/en-us/en-us.lm.bin.
    assert bits[0] == pytest.approx(6.2489, abs=1e-3)
    assert bits[1] > bits[0] + 3
