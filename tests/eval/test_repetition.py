from collections.abc import Sequence

import pytest
from hypothesis import given

from eval.text import words as words_module
from eval.text.repetition import repetition, score
from eval.text.words import number_words
from tests.helpers.oracles import pseudo_value_interval, windows
from tests.helpers.text import coco_lines, plain_reference, random_lines, sentences


def plain_line(line: str, ngram: int) -> float:
    found = windows(line, ngram)
    return 1 - len(found) / found.total() if found else 0.0


def plain(lines: Sequence[str], ngram: int) -> float:
    return sum(plain_line(line, ngram) for line in lines) / len(lines)


@pytest.mark.fuzz
@given(sentences("abé猫"))
def test_fuzz_equal_to_sets_of_each_line(lines: list[str]) -> None:
    words = number_words(lines, {})
    for n in range(1, 6):
        assert repetition(words, n).value == pytest.approx(plain(lines, n), abs=1e-12)


def test_closed_forms() -> None:
    # A word said k times: of k - n + 1 n-grams one is distinct. Of the second line, 2 of 6 words repeat.
    words = number_words(["a a a a a", "a b c a b d", "", "e f"], {})
    found = [repetition(words, n).value * 4 for n in range(1, 6)]
    assert found == pytest.approx([4 / 5 + 2 / 6, 3 / 4 + 1 / 5, 2 / 3, 1 / 2, 0], abs=1e-15)


def test_lines_do_not_repeat_each_other() -> None:
    assert repetition(number_words(["a b c d e"] * 3, {}), 4).value == 0.0


def test_the_interval_leaves_out_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = random_lines(40, seed=3, alphabet="abc")
    expected = pseudo_value_interval(plain(lines, 2), [plain(lines[:i] + lines[i + 1 :], 2) for i in range(40)])
    found = repetition(number_words(lines, {}), 2)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(words_module, "_PART_LINES", 7)
    assert repetition(number_words(lines, {}), 2) == found


def test_real_lines() -> None:
    lines = coco_lines(300)
    (found,) = score(number_words(lines, {}), plain_reference(["a"]))
    assert list(found.values) == [f"seq-rep-{n}" for n in range(1, 5)]
    for n, value in enumerate(found.values.values(), start=1):
        assert value.value == pytest.approx(plain(lines, n), abs=1e-12)
    # Known to be wrong: n-grams of all lines together, as in distinct-n.
    together = windows(" ".join(lines), 1)
    assert 1 - len(together) / together.total() > found.values["seq-rep-1"].value + 0.3
    assert (found.better, found.unit) == ("lower", "share")
