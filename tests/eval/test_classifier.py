import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import csr_array

from data.line_ids import Ragged
from eval.text import classifier
from eval.text.classifier import fit, score, told_apart
from tests.helpers.oracles import windows
from tests.helpers.text import coco_lines, numbered, plain_reference, random_lines


def newton(features: NDArray[np.float64], samples: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Newton's method on the whole Hessian, with the constant as a last column without penalty."""
    x = np.column_stack([features, np.ones(len(features))])
    penalty = np.diag([1.0] * features.shape[1] + [0.0])
    weights = np.zeros(x.shape[1])
    for _ in range(15):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (p - samples) + penalty @ weights
        weights -= np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + penalty, gradient)
    return weights


def plain(samples: Sequence[str], reference: Sequence[str]) -> float:
    """The test with dictionaries: equal numbers of lines, the first half in a random order for training."""
    count = min(len(samples), len(reference), classifier.MOST_LINES)
    texts = [[lines[i] for i in np.random.default_rng(0).permutation(len(lines))] for lines in (samples, reference)]
    train = [line for lines in texts for line in lines[: count // 2]]
    held_out = [line for lines in texts for line in lines[count // 2 : count]]
    grams: list[Counter[tuple[str, ...]]] = [windows(line, 1) + windows(line, 2) for line in train]
    names = sorted(set().union(*grams))
    matrix = np.array([[each[name] for name in names] for each in grams], float)
    weights = newton(matrix, np.arange(len(train)) < len(train) // 2)
    called = [
        sum(weight * (windows(line, 1) + windows(line, 2))[name] for name, weight in zip(names, weights, strict=False))
        + weights[-1]
        > 0
        for line in held_out
    ]
    half = len(held_out) // 2
    right = int(sum(called[:half])) + half - int(sum(called[half:]))
    return right / len(held_out)


def accuracy(samples: Sequence[str], reference: Sequence[str]) -> float:
    real = plain_reference(reference)
    words = numbered(samples, real)
    return told_apart(Ragged(words.row, words.lengths), real.text).value


@pytest.mark.fuzz
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 9))
def test_fuzz_weights_are_newtons(seed: int, columns: int, lines: int) -> None:
    random = np.random.default_rng(seed)
    features = random.integers(0, 3, (lines, columns)).astype(float)
    samples = np.arange(lines) < (lines + 1) // 2
    found = fit(csr_array(features), samples)
    assert found == pytest.approx(newton(features, samples), abs=1e-4)


def test_the_smallest_regression_is_a_closed_form() -> None:
    """One sample and one real line of one word each: w solves w = 1 - expit(w), and the constant is 0."""
    weights = fit(csr_array(np.eye(2)), np.array([True, False]))
    root = 0.401058137541547  # by bisection
    assert 1 / (1 + math.exp(root)) == pytest.approx(root, abs=1e-12)
    assert weights == pytest.approx([root, -root, 0], abs=1e-6)


@pytest.mark.parametrize(("samples", "reference"), [(40, 40), (31, 50), (60, 25)])
def test_equal_to_dictionaries(samples: int, reference: int) -> None:
    ours = random_lines(samples, seed=1, alphabet="abcde")
    theirs = random_lines(reference, seed=2, alphabet="bcdef")
    assert accuracy(ours, theirs) == pytest.approx(plain(ours, theirs), abs=1e-12)
    assert accuracy(ours, theirs) > 0.55


def test_only_so_many_lines_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MOST_LINES", 20)
    ours, theirs = random_lines(60, seed=1, alphabet="abcde"), random_lines(70, seed=2, alphabet="bcdef")
    assert accuracy(ours, theirs) == pytest.approx(plain(ours, theirs), abs=1e-12)


def test_texts_without_a_common_word_are_told_apart_and_equal_texts_are_not() -> None:
    random = np.random.default_rng(5)
    ours, same, others = (
        [" ".join(random.choice(list(alphabet), 6)) for _ in range(400)] for alphabet in ("abcd", "abcd", "wxyz")
    )
    assert accuracy(ours, others) == 1.0
    # 400 held-out lines: a fair coin stays within 4 standard deviations of 1/2.
    assert abs(accuracy(ours, same) - 0.5) < 4 * 0.5 / math.sqrt(400)
    # The order of words is seen in pairs of words alone.
    assert accuracy(["a b a b a b"] * 60, ["a a a b b b"] * 60) == 1.0
    assert accuracy(["a b"] * 60, ["a b"] * 60) == 0.5  # all are called real: a lead of 0 calls nothing a sample


def test_the_interval_is_the_exact_one_of_a_proportion() -> None:
    ours, theirs = random_lines(41, seed=1, alphabet="abcde"), random_lines(45, seed=2, alphabet="bcdef")
    reference = plain_reference(theirs)
    (found,) = score(numbered(ours, reference), reference)
    value = found.values["c2st"]
    right = round(value.value * 42)
    assert value.value == pytest.approx(right / 42, abs=1e-12)  # 41 - 20 held-out lines of each
    low, high = stats.binomtest(right, 42).proportion_ci(method="exact")
    assert (value.low, value.high) == pytest.approx((low, high), abs=1e-9)
    assert str(found.signature).startswith("c2st|sym:word|n:2|most:10000|seed:0|ref-text:|ref:lines@")
    assert found.better == "lower"


@pytest.mark.parametrize("samples", [["a"], [""], ["", ""]])
def test_too_few_lines_or_no_words_tell_nothing(samples: list[str]) -> None:
    assert accuracy(samples, ["a", "b"]) == 0.5


def test_real_lines() -> None:
    lines = coco_lines(80)
    ours, theirs = lines[:40], lines[40:]
    assert accuracy(ours, theirs) == pytest.approx(plain(ours, theirs), abs=1e-12)
