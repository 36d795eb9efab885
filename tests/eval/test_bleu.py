import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import corpus_bleu
from scipy import stats

from data.errors import InputError
from eval.bleu import main
from eval.text import occurrences
from eval.text.bleu import SelfBleu, _closest, bleu, score_bleu, score_self_bleu
from eval.text.words import WordReference, number_words
from tests.helpers.commands import command_line, value_and_floor
from tests.helpers.oracles import METHOD1, WEIGHTS, jackknife, nltk_bleu, nltk_self_bleu
from tests.helpers.text import coco_lines, numbered, plain_reference, random_lines, sentences, without, write_lines

NAMES = [f"bleu-{n}" for n in range(2, 6)]


def bleu_of(samples: Sequence[str], reference: WordReference) -> list[list[float]]:
    found: list[list[float]] = bleu(numbered(samples, reference), dict(reference.largest), reference.lengths).tolist()
    return found


def self_bleu_of(lines: Sequence[str], left_out: int | None = None) -> list[list[float]]:
    found: list[list[float]] = np.concatenate(list(SelfBleu.of(number_words(lines, {})).scores(left_out))).tolist()
    return found


def flat(rows: Sequence[Sequence[float]]) -> list[float]:
    return [each for row in rows for each in row]


def means(rows: Sequence[Sequence[float]]) -> list[float]:
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


@pytest.mark.fuzz
@given(sentences("abcéx"), sentences("abcé"))
def test_fuzz_bleu_is_nltks(samples: list[str], references: list[str]) -> None:
    expected = [nltk_bleu(sample, references) for sample in samples]
    assert flat(bleu_of(samples, plain_reference(references))) == pytest.approx(flat(expected), abs=1e-12)


@pytest.mark.fuzz
@given(sentences("ab猫", least=3), st.none() | st.integers(0, 2), st.integers(0, 3))
def test_fuzz_self_bleu_is_nltks(lines: list[str], left_out: int | None, bits: int) -> None:
    kept = lines if left_out is None else lines[:left_out] + lines[left_out + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occurrences, "_PART_NGRAMS", 1 << bits)
        assert flat(self_bleu_of(lines, left_out)) == pytest.approx(flat(nltk_self_bleu(kept)), abs=1e-12)


def test_bleu_of_real_lines_is_nltks() -> None:
    lines = coco_lines(240)
    samples, references = lines[:40], lines[40:]
    reference = plain_reference(references)
    expected = [nltk_bleu(sample, references) for sample in samples]
    assert flat(bleu_of(samples, reference)) == pytest.approx(flat(expected), abs=1e-12)
    score = score_bleu(numbered(samples, reference), reference)
    assert [score.values[name].value for name in NAMES] == pytest.approx(means(expected), abs=1e-12)
    # A text's score is the mean over sentences, not that of counts added up over sentences.
    pooled = corpus_bleu([[r.split() for r in references]] * 40, [s.split() for s in samples], WEIGHTS, METHOD1)
    assert max(abs(a - b) for a, b in zip(pooled, means(expected), strict=True)) > 1e-3


def test_self_bleu_of_real_lines_is_nltks() -> None:
    lines = coco_lines(40)
    expected = nltk_self_bleu(lines)
    assert flat(self_bleu_of(lines)) == pytest.approx(flat(expected), abs=1e-12)
    score = score_self_bleu(number_words(lines, {}))
    found = [score.values[f"self-{name}"].value for name in NAMES]
    assert found == pytest.approx(means(expected), abs=1e-12)
    # Known to be wrong: each sentence among its own references.
    assert flat([nltk_bleu(line, lines) for line in lines]) == pytest.approx([1.0] * 160, abs=1e-12)
    assert max(found) < 0.9


def test_closed_forms() -> None:
    reference = plain_reference(["the cat is on the mat"])
    clipped, short, copy, unknown, empty = bleu_of(
        ["the the the the the the the", "the cat is", "the cat is on the mat", "a dog", ""], reference
    )
    # Two of seven known words, none of six bigrams, five trigrams, ...: 0.1 each by method1.
    precisions = [2 / 7, 0.1 / 6, 0.1 / 5, 0.1 / 4, 0.1 / 3]
    assert clipped == pytest.approx([math.prod(precisions[:n]) ** (1 / n) for n in range(2, 6)], abs=1e-15)
    # All known, at half the length; where it has no n-gram 0.1 of 1.
    assert short == pytest.approx([math.exp(1 - 6 / 3) * 0.1 ** (max(n - 3, 0) / n) for n in range(2, 6)], abs=1e-15)
    assert copy == pytest.approx([1.0] * 4, abs=1e-15)
    assert unknown == empty == [0.0] * 4


def test_counts_are_clipped_at_one_references_not_at_all_of_them() -> None:
    (found,) = bleu_of(["a a"], plain_reference(["a b", "a c"]))
    # 1 of 2 words and 0.1 of 1 bigram; 2 of 2 words if references' counts were added up.
    assert found[0] == pytest.approx(math.sqrt(1 / 2 * 0.1), abs=1e-15)
    assert found[0] != pytest.approx(math.sqrt(2 / 2 * 0.1), abs=1e-3)


def test_of_two_lengths_as_close_the_shorter_counts() -> None:
    # Two words away from both: no penalty by the shorter, e^(1 - 6 / 4) by the longer.
    (found,) = bleu_of(["a b c d"], plain_reference(["a b c d e f", "x y"]))
    assert found == pytest.approx([1.0, 1.0, 1.0, 0.1 ** (1 / 5)], abs=1e-15)
    lengths, sizes = np.array([2, 3, 7, 12, 13]), np.arange(1, 20)
    nearest = lengths[np.abs(lengths - sizes[:, None]).argmin(axis=1)]  # the first of two equally close ones
    assert _closest(lengths, sizes).tolist() == nearest.tolist()
    kept = self_bleu_of(["a b c d", "a b c d e f", "x y"])
    assert kept[0] == pytest.approx([1.0, 1.0, 1.0, 0.1 ** (1 / 5)], abs=1e-15)


def test_a_sentence_said_twice_is_fully_covered_and_one_said_once_not_by_itself() -> None:
    twice, again, once = self_bleu_of(["a b c d e", "a b c d e", "v w x y z"])
    assert twice == again == pytest.approx([1.0] * 4, abs=1e-15)
    assert once == [0.0] * 4


def test_empty_sentences_score_nothing_without_a_warning() -> None:
    assert bleu_of(["", "a"], plain_reference(["", "a b"])) == pytest.approx(
        np.array([nltk_bleu("", ["", "a b"]), nltk_bleu("a", ["", "a b"])])
    )
    assert self_bleu_of(["", "", "a b"]) == [[0.0] * 4] * 3


def test_the_interval_of_bleu_is_that_of_a_mean() -> None:
    references = random_lines(30, seed=0)
    samples = random_lines(57, seed=1, alphabet="abcdx")
    reference = plain_reference(references)
    score = score_bleu(numbered(samples, reference), reference)
    columns = zip(*(nltk_bleu(sample, references) for sample in samples), strict=True)
    for name, column in zip(NAMES, columns, strict=True):
        low, high = stats.t.interval(0.95, len(samples) - 1, loc=np.mean(column), scale=stats.sem(column))
        found = score.values[name]
        assert (found.value, found.low, found.high) == pytest.approx((np.mean(column), low, high), abs=1e-12)
        assert found.corrected is None


def test_a_single_sample_has_a_bleu_without_interval() -> None:
    reference = plain_reference(["a b c", "b"])
    found = score_bleu(numbered(["a b"], reference), reference).values
    for name, expected in zip(NAMES, nltk_bleu("a b", ["a b c", "b"]), strict=True):
        assert found[name].value == pytest.approx(expected, abs=1e-12)
        assert found[name].low is None


def test_the_interval_of_self_bleu_leaves_out_every_twentieth_line() -> None:
    lines = random_lines(27, seed=2, alphabet="abcé")
    score = score_self_bleu(number_words(lines, {}))
    whole = means(nltk_self_bleu(lines))
    left_out = [means(nltk_self_bleu(without(lines, group, 20))) for group in range(20)]
    for n, (value, column) in enumerate(zip(whole, zip(*left_out, strict=True), strict=True), start=2):
        low, high, _ = jackknife(value, column)
        found = score.values[f"self-bleu-{n}"]
        assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-12)
        assert found.low != pytest.approx(value, abs=1e-3)


def test_self_bleu_needs_two_samples(tmp_path: Path) -> None:
    text = write_lines(tmp_path / "text.txt", ["a b c"])
    with pytest.raises(InputError, match="Self-BLEU compares samples with each other: give at least two"):
        main([text, "--reference", text])
    with pytest.raises(InputError, match="at least two"):
        score_self_bleu(number_words(["a b c"], {}))


def test_the_command_prints_nltks_figures_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references, samples, real = random_lines(60, seed=3), random_lines(25, seed=4), random_lines(25, seed=5)
    arguments = command_line(tmp_path, samples, references, real)
    assert main([*arguments, "--json"]) == 0
    against, among = json.loads(capsys.readouterr().out)
    expected = means([nltk_bleu(sample, references) for sample in samples])
    floor = means([nltk_bleu(line, references) for line in real])
    assert [against["scores"][name]["value"] for name in NAMES] == pytest.approx(expected, abs=1e-12)
    assert [against["scores"][name]["floor"] for name in NAMES] == pytest.approx(floor, abs=1e-12)
    self_expected, self_floor = means(nltk_self_bleu(samples)), means(nltk_self_bleu(real))
    assert [among["scores"][f"self-{name}"]["value"] for name in NAMES] == pytest.approx(self_expected, abs=1e-12)
    assert [among["scores"][f"self-{name}"]["floor"] for name in NAMES] == pytest.approx(self_floor, abs=1e-12)
    assert (against["metric"], against["better"], against["reference"]) == ("bleu", "higher", "text.txt (60 lines)")
    assert (among["metric"], among["better"], among["samples"]) == ("self-bleu", "lower", 25)
    assert against["signature"].startswith("bleu|sym:word|n:5|smooth:method1|ref:text.txt@")
    assert "ref:" not in among["signature"]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "bleu of 25 samples against text.txt (60 lines), higher is better" in table
    assert "self-bleu of 25 samples against the samples themselves, lower is better" in table
    for name, value, real_value in zip(NAMES, expected, floor, strict=True):
        assert value_and_floor(table, name) == (f"{value:.4f}", f"{real_value:.4f}")
    assert against["signature"] in table
