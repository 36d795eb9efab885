from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data.corpus import CorpusOptions
from data.words import WordRule
from eval.text import classifier, lengths, ms_jaccard
from eval.text.lengths import length_distance, score
from eval.text.words import open_word_reference
from tests.helpers.oracles import pseudo_value_interval
from tests.helpers.text import coco_lines, numbered, plain_reference, write_lines

LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=12)


def distance(samples: list[int], reference: list[int]) -> float:
    return length_distance(np.array(samples), np.array(reference)).value


@pytest.mark.fuzz
@given(LENGTHS, LENGTHS)
def test_fuzz_equal_to_scipys_with_the_interval_of_each_line_left_out(samples: list[int], reference: list[int]) -> None:
    expected = float(stats.wasserstein_distance(samples, reference))
    found = length_distance(np.array(samples), np.array(reference))
    assert found.value == pytest.approx(expected, abs=1e-12)
    if len(samples) == 1:
        assert (found.low, found.high) == (None, None)
        return
    left_out = [distance(samples[:i] + samples[i + 1 :], reference) for i in range(len(samples))]
    low, high = pseudo_value_interval(expected, left_out)
    assert (found.low, found.high) == pytest.approx((max(low, 0.0), high), abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "reference", "expected"),
    [
        ([5, 5, 9], [5, 5, 9], 0.0),
        ([7, 8, 9], [2, 3, 4], 5.0),  # a shift costs the shift
        ([0, 10], [5], 5.0),  # and not |5 - 5|, the difference of the means
        ([1, 1, 1, 5], [1], 1.0),
        ([3] * 1000, [3, 4], 0.5),
    ],
)
def test_closed_forms(samples: list[int], reference: list[int], expected: float) -> None:
    assert distance(samples, reference) == pytest.approx(expected, abs=1e-12)
    assert distance(reference, samples) == pytest.approx(expected, abs=1e-12)


def test_lengths_are_words_or_characters_by_the_rule(tmp_path: Path) -> None:
    options = CorpusOptions(write_lines(tmp_path / "text.txt", ["ab cd", "abcd e"]), split=False)
    for rule, expected in (("whitespace", 1.0), ("characters", 2.5)):  # 1 and 2 words, 2 and 3 characters
        reference = open_word_reference(options, WordRule("characters" if rule == "characters" else "whitespace"))
        assert reference.text.lengths.tolist() == ([2, 2] if rule == "whitespace" else [4, 5])
        samples = ["x", "xx"] if rule == "characters" else ["x", "x"]
        lengths = np.array([len(sample) for sample in samples])
        found = length_distance(lengths, reference.text.lengths).value
        assert found == pytest.approx(expected + 0.5 * (rule == "characters"), abs=1e-12)


def test_signatures_differ_with_the_lines_that_lengths_or_their_order_come_from(tmp_path: Path) -> None:
    """One hash of all statistics of words, and scores that depend on more: empty lines and the order of lines."""
    texts = [["a b c", ""], ["a b c", "", ""], ["", "a b c"]]
    for number in range(3):
        (tmp_path / str(number)).mkdir()
    places = [
        CorpusOptions(write_lines(tmp_path / f"{i}" / "text.txt", text), split=False) for i, text in enumerate(texts)
    ]
    references = [open_word_reference(place, WordRule("whitespace")) for place in places]
    assert len({reference.sha256 for reference in references}) == 1
    for metric, different in ((ms_jaccard, 2), (lengths, 3), (classifier, 3)):
        found = [str(metric.score(numbered(["a b c", "a"], each), each)[0].signature) for each in references]
        assert len(set(found)) == different, metric


def test_real_lines() -> None:
    samples, real = coco_lines(600)[:200], coco_lines(600)[200:]
    reference = plain_reference(real)
    (found,) = score(numbered(samples, reference), reference)
    expected = stats.wasserstein_distance([len(s.split()) for s in samples], [len(s.split()) for s in real])
    assert found.values["length-distance"].value == pytest.approx(expected, abs=1e-12)
    assert (found.unit, found.better) == ("words", "lower")
