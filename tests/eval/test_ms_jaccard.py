import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.core.score import Estimate
from eval.ms_jaccard import main
from eval.text.ms_jaccard import score
from tests.helpers.commands import command_line, value_and_floor
from tests.helpers.oracles import all_windows, jackknife
from tests.helpers.text import coco_lines, numbered, plain_reference, random_lines, sentences

ORDERS = (3, 4, 5)
SAMPLES, REFERENCES = sentences("abé"), sentences("abx").map(lambda lines: [*lines, "a"])  # a reference has words


def plain_index(samples: Sequence[str], references: Sequence[str], ngram: int, per_line: bool) -> Fraction:
    """The obvious way: minima and maxima over the union of the n-grams, as exact fractions."""
    ours, theirs = all_windows(samples, ngram), all_windows(references, ngram)
    lines, others = (len(samples), len(references)) if per_line else (1, 1)
    pairs = [(Fraction(ours[each], lines), Fraction(theirs[each], others)) for each in ours.keys() | theirs.keys()]
    return Fraction(sum(map(min, pairs)), sum(map(max, pairs))) if pairs else Fraction(1)


def plain(samples: Sequence[str], references: Sequence[str], per_line: bool = True) -> list[float]:
    """MS-Jaccard-3 .. 5; without `per_line` the known-wrong variant, whose counts are not divided by lines."""
    indices = [plain_index(samples, references, n, per_line) for n in range(1, 6)]
    return [float(math.prod(indices[:n])) ** (1 / n) for n in ORDERS]


def estimates(samples: Sequence[str], references: Sequence[str]) -> list[Estimate]:
    reference = plain_reference(references)
    (found,) = score(numbered(samples, reference), reference)
    return [found.values[f"ms-jaccard-{n}"] for n in ORDERS]


def scored(samples: Sequence[str], references: Sequence[str]) -> list[float]:
    return [found.value for found in estimates(samples, references)]


@pytest.mark.fuzz
@given(SAMPLES, REFERENCES)
def test_fuzz_equal_to_fractions(samples: list[str], references: list[str]) -> None:
    assert scored(samples, references) == pytest.approx(plain(samples, references), abs=1e-12)


@pytest.mark.fuzz
@given(SAMPLES.map(lambda lines: [*lines, "a"]), REFERENCES)
def test_fuzz_the_two_texts_have_equal_roles(one: list[str], other: list[str]) -> None:
    assert scored(one, other) == scored(other, one)
    assert scored(one, one) == [1.0, 1.0, 1.0]
    assert scored(["x y x", "y"], ["a", *one]) == [0.0, 0.0, 0.0]


@pytest.mark.fuzz
@given(SAMPLES, REFERENCES, st.integers(2, 5))
def test_fuzz_lines_repeated_equally_often_change_nothing(samples: list[str], references: list[str], k: int) -> None:
    once = scored(samples, references)
    assert scored(samples * k, references) == pytest.approx(once, abs=1e-12)
    assert scored(samples, references * k) == pytest.approx(once, abs=1e-12)


def test_the_example_of_the_authors() -> None:
    # README of github.com/IAmS4n/TextGenerationEvaluationMetrics at 377bfc4: .17, .13, .09, not all rounded to nearest.
    references = [
        "It is a guide to action that ensures that the military will forever heed Party commands",
        "It is the guiding principle which guarantees the military forces always being under the command of the Party",
        "It is the practical guide for the army always to heed the directions of the party",
    ]
    samples = [
        "It is a guide to action which ensures that the military always obeys the commands of the party",
        "he read the book because he was interested in world history",
    ]
    published = pytest.approx([0.17, 0.13, 0.09], abs=0.006)
    assert scored(samples, references) == published
    assert scored(samples, references) == pytest.approx(plain(samples, references), abs=1e-15)
    assert plain(samples, references, per_line=False) != published


def test_closed_form() -> None:
    # Counts per line: words 1 1 1 and 1 1 1/2, pairs 1 1 and 1 1/2, "a b c" 1 and 1/2; neither text has longer n-grams.
    samples, references = ["a b c"], ["a b c", "a b"]
    product = 5 / 6 * 3 / 4 * 1 / 2
    assert scored(samples, references) == pytest.approx([product ** (1 / n) for n in ORDERS], abs=1e-15)
    assert plain(samples, references, per_line=False)[0] != pytest.approx(product ** (1 / 3), abs=0.01)


def test_an_empty_line_is_a_line() -> None:
    # Each n-gram once in each of two texts; one has a line more, so its counts per line are half.
    assert scored(["a b c d e", ""], ["a b c d e"]) == pytest.approx([1 / 2] * 3, abs=1e-15)


@pytest.mark.parametrize("lines", [2, 7, 25])
def test_the_interval_leaves_out_each_line(lines: int) -> None:
    references = random_lines(100, seed=3, alphabet="abc")
    samples = ["a b c a b c", *random_lines(lines - 1, seed=lines, alphabet="abcx")]
    left_out = [plain(samples[:i] + samples[i + 1 :], references) for i in range(lines)]
    columns = zip(*left_out, strict=True)
    for found, value, column in zip(estimates(samples, references), plain(samples, references), columns, strict=True):
        low, high, _ = jackknife(value, column)
        assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-12)
        assert found.corrected is None
        assert 0 < value < high


def test_there_is_no_interval_of_one_line_or_without_a_common_ngram() -> None:
    for samples in (["a b c d e"], ["a b x", "c d y"]):
        assert {(found.low, found.high) for found in estimates(samples, ["a b c d e", "b c"])} == {(None, None)}
    assert scored(["a b x", "c d y"], ["a b c d e", "b c"]) == [0.0, 0.0, 0.0]


def test_real_lines() -> None:
    lines = coco_lines(3000)
    assert scored(lines[:300], lines[300:]) == pytest.approx(plain(lines[:300], lines[300:]), abs=1e-12)


def test_the_command_prints_a_list_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references, samples, real = (random_lines(count, seed, "abc") for count, seed in ((80, 4), (30, 5), (30, 6)))
    arguments = command_line(tmp_path, samples, references, real)
    assert main([*arguments, "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert list(printed["scores"]) == [f"ms-jaccard-{n}" for n in ORDERS]
    found = [(each["value"], each["floor"]) for each in printed["scores"].values()]
    for column, lines in zip(zip(*found, strict=True), (samples, real), strict=True):
        assert column == pytest.approx(plain(lines, references), abs=1e-12)
    assert (printed["unit"], printed["better"], printed["samples"]) == ("share", "higher", 30)
    assert printed["signature"].startswith("ms-jaccard|sym:word|n:5|ref-lines:80|ref:text.txt@")
    assert main([*arguments, "--lines", "20"]) == 0
    table = capsys.readouterr().out
    assert "ms-jaccard of 30 samples against text.txt (20 lines), higher is better" in table
    for n, value, floor in zip(ORDERS, plain(samples, references[:20]), plain(real, references[:20]), strict=True):
        assert value_and_floor(table, f"ms-jaccard-{n}") == (f"{value:.4f}", f"{floor:.4f}")
