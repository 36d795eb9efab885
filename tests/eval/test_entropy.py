import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from eval.core.score import Estimate
from eval.report import main
from eval.text.entropy import score
from eval.text.words import number_words
from tests.helpers.commands import command_line
from tests.helpers.oracles import all_windows, pseudo_value_interval
from tests.helpers.text import coco_lines, plain_reference, random_lines, sentences


def plain_unigram(lines: Sequence[str]) -> float:
    """The obvious way: the expected -log p."""
    counts = all_windows(lines, 1)
    return -math.fsum(count / counts.total() * math.log(count / counts.total()) for count in counts.values())


def plain_line(lines: Sequence[str]) -> float:
    return math.fsum(plain_unigram([line]) for line in lines) / len(lines)


PLAIN = {"line-entropy": plain_line, "unigram-entropy": plain_unigram}


def entropies(lines: Sequence[str]) -> dict[str, Estimate]:
    (found,) = score(number_words(lines, {}), plain_reference(["a"]))
    return dict(found.values)


def scored(lines: Sequence[str]) -> tuple[float, float]:
    found = entropies(lines)
    return found["line-entropy"].value, found["unigram-entropy"].value


@pytest.mark.fuzz
@given(sentences("abé猫"))
def test_fuzz_equal_to_the_expected_information(lines: list[str]) -> None:
    assert scored(lines) == pytest.approx((plain_line(lines), plain_unigram(lines)), abs=1e-12)


@pytest.mark.fuzz
@given(sentences("abc"), sentences("abc"))
def test_fuzz_the_mean_over_lines_is_at_most_the_entropy_of_all(one: list[str], other: list[str]) -> None:
    """Entropy is concave in the frequencies: lines of equal length never have more than their mixture."""
    lines = [line for line in [*one, *other, "a b c"] if len(line.split()) == 3]
    of_lines, of_all = scored(lines)
    assert of_lines <= of_all + 1e-12
    assert scored([*lines, *lines]) == pytest.approx((of_lines, of_all), abs=1e-12)


@pytest.mark.parametrize(
    ("lines", "of_lines", "of_all"),
    [
        (["a b c d"], math.log(4), math.log(4)),
        (["a a a", "a"], 0.0, 0.0),
        (["a a b b", "c c d d"], math.log(2), math.log(4)),
        # An empty line is a line. Frequencies 1/2, 1/4, 1/4: in bits 3/2.
        (["a a b c", ""], 0.75 * math.log(2), 1.5 * math.log(2)),
        (["", ""], 0.0, 0.0),
    ],
)
def test_closed_forms(lines: list[str], of_lines: float, of_all: float) -> None:
    assert scored(lines) == pytest.approx((of_lines, of_all), abs=1e-15)


@pytest.mark.parametrize("count", [2, 7, 39])
def test_the_intervals_leave_out_each_line(count: int) -> None:
    lines = ["a b c a", *random_lines(count - 1, seed=count)]
    for name, found in entropies(lines).items():
        left_out = [PLAIN[name]([*lines[:i], *lines[i + 1 :]]) for i in range(count)]
        low, high = pseudo_value_interval(found.value, left_out)
        assert (found.low, found.high) == pytest.approx((max(low, 0.0), high), abs=1e-12)
        corrected = count * found.value - (count - 1) * math.fsum(left_out) / count
        if name == "line-entropy":
            assert corrected == pytest.approx(found.value, abs=1e-12)  # a mean has no bias
            assert found.corrected is None
        else:
            assert found.corrected == pytest.approx(corrected, abs=1e-12)


def test_there_is_no_interval_if_one_line_holds_every_word() -> None:
    found = entropies(["a b", "", ""])["unigram-entropy"]
    assert found.value == pytest.approx(math.log(2), abs=1e-15)
    assert (found.low, found.high) == (None, None)


def test_the_corrected_value_is_near_the_entropy_of_the_distribution() -> None:
    """400 draws of 50 equally probable words: the expected bias is -49 / 800 (Miller 1955)."""
    found = [
        entropies([str(word) for word in np.random.default_rng(seed).integers(0, 50, 400)])["unigram-entropy"]
        for seed in range(20)
    ]
    plain = sum(each.value for each in found) / 20 - math.log(50)
    corrected = sum(each.corrected or 0.0 for each in found) / 20 - math.log(50)
    assert plain == pytest.approx(-49 / 800, abs=0.006)
    assert corrected == pytest.approx(0, abs=0.006)


def test_real_lines() -> None:
    lines = coco_lines(500)
    assert scored(lines) == pytest.approx((plain_line(lines), plain_unigram(lines)), abs=1e-12)
    assert scored(lines)[1] == pytest.approx(stats.entropy(list(all_windows(lines, 1).values())), abs=1e-12)
    # Known to be wrong: pairs of words, the mean over lines, logarithms to base 2.
    wrong = [stats.entropy(list(all_windows(lines, 2).values())), plain_line(lines), plain_unigram(lines) / math.log(2)]
    assert all(abs(scored(lines)[1] - other) > 1 for other in wrong)


def test_a_report_has_it_with_the_floor_of_real_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, real = random_lines(30, seed=5, alphabet="abAB"), random_lines(30, seed=6)
    arguments = [*command_line(tmp_path, samples, ["a", "b"], real), "--metrics", "entropy"]
    assert main([*arguments, "--json"]) == 0
    ((found,),) = json.loads(capsys.readouterr().out).values()
    assert list(found["scores"]) == list(PLAIN)
    for name, value in found["scores"].items():
        assert value["value"] == pytest.approx(PLAIN[name](samples), abs=1e-12)
        assert value["floor"] == pytest.approx(PLAIN[name](real), abs=1e-12)
    assert (found["unit"], found["better"]) == ("nats", "higher")
    assert found["signature"] == "entropy|sym:word|samples:30|words:punctuation|case:as-is|v:1"
    assert main([*arguments, "--lower-case", "--json"]) == 0
    ((lower,),) = json.loads(capsys.readouterr().out).values()
    for name, value in lower["scores"].items():
        assert value["value"] == pytest.approx(PLAIN[name]([line.lower() for line in samples]), abs=1e-12)
    assert "case:lower" in lower["signature"]
