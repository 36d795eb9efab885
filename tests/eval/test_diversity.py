import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given

from eval.diversity import main
from eval.text.diversity import distinct, duplicates, score
from eval.text.words import number_words
from tests.helpers.commands import command_line, value_and_floor
from tests.helpers.oracles import all_windows, line_jackknife
from tests.helpers.text import coco_lines, plain_reference, random_lines, sentences


def plain_distinct(lines: Sequence[str], ngram: int) -> float:
    counts = all_windows(lines, ngram)
    return len(counts) / counts.total() if counts else 1.0


def plain_duplicates(lines: Sequence[str]) -> float:
    return sum(line in lines[:number] for number, line in enumerate(lines)) / len(lines)


@pytest.mark.fuzz
@given(sentences("abé猫"))
def test_fuzz_distinct_and_duplicates_equal_sets(lines: list[str]) -> None:
    words = number_words(lines, {})
    for n in range(1, 6):
        assert distinct(words, n).value == pytest.approx(plain_distinct(lines, n), abs=1e-12)
    assert duplicates(words).value == pytest.approx(plain_duplicates(lines), abs=1e-12)


def test_closed_forms() -> None:
    words = number_words(["a b c", "a b d", "a b c", ""], {})
    shares = [distinct(words, n).value for n in range(1, 5)]
    # 4 of 9 words, 3 of 6 bigrams, 2 of 3 trigrams; across line ends there would be a bigram (c, a).
    assert shares == pytest.approx([4 / 9, 3 / 6, 2 / 3, 1.0], abs=1e-15)
    assert duplicates(words).value == pytest.approx(1 / 4, abs=1e-15)


@pytest.mark.parametrize("copies", [2, 5, 21, 60])
def test_copies_of_one_line(copies: int) -> None:
    words = number_words(["a b c d"] * copies, {})
    assert duplicates(words).value == pytest.approx(1 - 1 / copies, abs=1e-15)
    for n in range(1, 5):
        assert distinct(words, n).value == pytest.approx(1 / copies, abs=1e-15)


def test_lines_of_the_same_words_are_no_duplicates_unless_equal() -> None:
    words = number_words(["a b", "a  b", "b a", "a b "], {})
    assert duplicates(words).value == 0.0
    assert distinct(words, 1).value == pytest.approx(2 / 8, abs=1e-15)


@pytest.mark.parametrize("lines", [2, 13, 64])
def test_the_interval_of_distinct_leaves_out_each_line(lines: int) -> None:
    text = [f"a {line}" for line in random_lines(lines, seed=lines)]
    for n in (1, 2):
        value = plain_distinct(text, n)
        low, high, _ = line_jackknife(value, lambda gone: plain_distinct(others(text, gone), n), lines)  # noqa: B023
        found = distinct(number_words(text, {}), n)
        expected = (value, max(low, 0.0), min(high, 1.0))
        assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-12)
        assert found.corrected is None


def test_the_interval_of_duplicates_leaves_out_each_line() -> None:
    text = random_lines(70, seed=0, alphabet="ab", longest=4)
    value = plain_duplicates(text)
    low, high, _ = line_jackknife(value, lambda gone: plain_duplicates(others(text, gone)), 70)
    found = duplicates(number_words(text, {}))
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-12)
    assert low < value - 0.01


def others(text: Sequence[str], gone: list[int]) -> list[str]:
    return [line for number, line in enumerate(text) if number not in gone]


def test_without_any_ngram_nothing_repeats() -> None:
    found = distinct(number_words(["a b c", "", "d"], {}), 4)
    assert (found.value, found.low, found.high) == (1.0, None, None)


def test_there_is_no_interval_where_one_line_holds_every_ngram() -> None:
    # The other lines say nothing of the spread; an interval of no width would say that there is none.
    found = distinct(number_words(["a b a b", "", ""], {}), 1)
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_real_lines_equal_sets() -> None:
    lines = coco_lines(500)
    ours, repeats = score(number_words(lines, {}), plain_reference(["a"]))
    for n in range(1, 5):
        assert ours.values[f"distinct-{n}"].value == pytest.approx(plain_distinct(lines, n), abs=1e-12)
    assert repeats.values["duplicates"].value == pytest.approx(plain_duplicates(lines), abs=1e-12)


def test_the_command_prints_a_list_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, real = random_lines(50, seed=1, longest=3), random_lines(50, seed=2)
    arguments = command_line(tmp_path, lines, ["a", "b"], real)
    assert main([*arguments, "--json"]) == 0
    ours, repeats = json.loads(capsys.readouterr().out)
    assert list(ours["scores"]) == [f"distinct-{n}" for n in range(1, 5)]
    for n, found in enumerate(ours["scores"].values(), start=1):
        assert found["value"] == pytest.approx(plain_distinct(lines, n), abs=1e-12)
        assert found["floor"] == pytest.approx(plain_distinct(real, n), abs=1e-12)
    assert repeats["scores"]["duplicates"]["value"] == pytest.approx(plain_duplicates(lines), abs=1e-12)
    assert repeats["scores"]["duplicates"]["floor"] == pytest.approx(plain_duplicates(real), abs=1e-12)
    assert (ours["better"], repeats["better"]) == ("higher", "lower")
    assert ours["signature"].startswith("distinct|n:4|sym:word|samples:50|")
    assert repeats["signature"].startswith("duplicates|sym:word|samples:50|")
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "duplicates of 50 samples against the samples themselves, lower is better" in table
    assert value_and_floor(table, "distinct-3")[0] == f"{plain_distinct(lines, 3):.4f}"
    assert value_and_floor(table, "duplicates")[0] == f"{plain_duplicates(lines):.4f}"
