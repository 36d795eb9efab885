from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from eval.text import words as words_module
from eval.text import zipf as zipf_module
from eval.text.words import number_words
from eval.text.zipf import score, zipf, zipf_coefficient
from tests.helpers.oracles import jackknife
from tests.helpers.text import coco_lines, numbered, plain_reference, random_lines, sentences, without


def plain(lines: Sequence[str], most: int = 5000) -> float:
    counts = [count for _, count in Counter(" ".join(lines).split()).most_common(most)]
    if len(counts) < 2:
        return 0.0
    return -float(stats.linregress(np.log(np.arange(len(counts)) + 1), np.log(counts)).slope)


@pytest.mark.fuzz
@given(sentences("abcdeé猫"))
def test_fuzz_equal_to_the_regression(lines: list[str]) -> None:
    assert zipf(number_words(lines, {})).value == pytest.approx(plain(lines), abs=1e-12)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_powers_of_the_rank_have_their_exponent(power: float) -> None:
    counts = np.round(1e12 * np.arange(1.0, 200.0) ** -power).astype(np.int64)
    assert zipf_coefficient(np.random.default_rng(0).permutation(counts)) == pytest.approx(power, abs=1e-6)


def test_equal_counts_have_no_slope_and_two_words_the_obvious_one() -> None:
    assert zipf(number_words(["a b", "c d"], {})).value == pytest.approx(0.0, abs=1e-15)
    assert zipf(number_words(["a a", "a a b"], {})).value == pytest.approx(2.0, abs=1e-12)  # log 4 / log 2


def test_only_the_most_frequent_words_count(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["a a a a a a a a b b b b c c d e f g h"]
    monkeypatch.setattr(zipf_module, "MOST_FREQUENT", 3)
    assert zipf(number_words(lines, {})).value == pytest.approx(plain(lines, 3), abs=1e-12)
    assert abs(plain(lines, 3) - plain(lines)) > 0.05


def test_the_interval_leaves_out_every_twentieth_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{line} a a b" for line in random_lines(50, seed=4)]
    reference = plain_reference(["z y x"])  # the samples' words begin at number 4
    left_out = [plain(without(lines, group, 20)) for group in range(20)]
    low, high, _ = jackknife(plain(lines), left_out)
    found = zipf(numbered(lines, reference))
    assert (found.value, found.low, found.high) == pytest.approx((plain(lines), low, high), abs=1e-12)
    assert found.corrected is None
    monkeypatch.setattr(words_module, "_PART_LINES", 7)
    assert zipf(numbered(lines, reference)) == found


def test_real_lines() -> None:
    lines = coco_lines(500)
    (found,) = score(number_words(lines, {}), plain_reference(["a"]))
    assert found.values["zipf"].value == pytest.approx(plain(lines), abs=1e-12)
    assert str(found.signature).startswith("zipf|top:5000|sym:word|samples:500|")
    # Known to be wrong: a regression of the rank on the count.
    counts = np.sort(list(Counter(" ".join(lines).split()).values()))[::-1]
    inverse = -stats.linregress(np.log(counts), np.log(np.arange(counts.size) + 1)).slope
    assert abs(1 / inverse - found.values["zipf"].value) > 0.03
