"""Jackknife of n-gram scores: interactions of lines are counted once."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from data.line_ids import Ids
from eval.core.differences import difference
from eval.core.intervals import counted_once, estimate
from eval.core.score import Estimate
from eval.text.diversity import distinct
from eval.text.jsd import estimate_ids, score_ids
from eval.text.left_out import in_blocks
from eval.text.line_ngrams import character_ngrams
from eval.text.reference import Reference
from eval.text.words import Words
from tests.helpers.oracles import dictionary_counts, line_jackknife
from tests.helpers.text import counted_text, toy_lines


def without(values: NDArray[np.float64], blocks: int, mean: bool) -> NDArray[np.float64]:
    """Return the mean or the sum of the values without each block; value i is in block i modulo `blocks`."""
    kept = [values[np.arange(values.size) % blocks != block] for block in range(blocks)]
    return np.array([each.mean() if mean else each.sum() for each in kept])


@pytest.mark.parametrize("mean", [True, False])
def test_means_and_sums_have_no_interactions(mean: bool) -> None:
    values = np.random.default_rng(0).exponential(1, 200)
    blocks, pairs = (without(values, count, mean) for count in (40, 20))
    assert counted_once(blocks, pairs, 40) == pytest.approx(1, abs=1e-12)
    if mean:  # known to be wrong: second differences without the regression
        second = values.mean() - blocks[:20] - blocks[20:] + pairs
        assert second.var() * 40**2 / 39 / blocks.var() > 0.02


def test_the_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(1).normal(3, 2, 200)
    share = counted_once(without(values, 40, True), without(values, 20, True), 40)
    found = estimate(float(values.mean()), (values.sum() - values) / 199, share=share)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 199, values.mean(), stats.sem(values)))


def test_unknown_or_no_spread_leaves_the_jackknife_as_it_is() -> None:
    assert counted_once(np.empty(0), np.empty(0), 40) == 1
    assert counted_once(np.full(40, 0.5), np.full(20, 0.5), 40) == 1
    assert counted_once(np.arange(7.0), np.arange(7.0), 40) == 1  # fewer lines than blocks


@pytest.mark.parametrize("mean_count", [0.5, 1.5])
def test_the_share_is_that_of_poisson_counts(mean_count: float) -> None:
    random, kinds, trials = np.random.default_rng(2), 2000, 60
    errors, shares = [], []
    for _ in range(trials):
        counts = random.poisson(mean_count / 40, (40, kinds))
        total = counts.sum(0)
        blocks = np.array([np.count_nonzero(total - counts[i]) for i in range(40)], float)
        pairs = np.array([np.count_nonzero(total - counts[i] - counts[i + 20]) for i in range(20)], float)
        shares.append(counted_once(blocks, pairs, 40))
        errors.append(39 / 40 * np.square(blocks - blocks.mean()).sum())
    # Kinds with a count above 0: variance e^-m - e^-2m per kind, where the jackknife expects m e^-m.
    truth = kinds * (math.exp(-mean_count) - math.exp(-2 * mean_count))
    corrected = float(np.mean(np.multiply(errors, shares)))
    assert corrected == pytest.approx(truth, rel=0.15)
    assert np.mean(errors) == pytest.approx(truth * mean_count / -math.expm1(-mean_count), rel=0.1)
    if mean_count > 1:
        assert np.mean(errors) > 1.7 * truth  # known to be wrong: interactions counted twice and more


def test_blocks_equal_counts_of_their_lines() -> None:
    ids: Ids = np.random.default_rng(3).integers(0, 4, (47, 8)).astype(np.uint8)
    found = in_blocks(character_ngrams(ids, 2, 4, padding=True), 20)
    assert found.lines == 20
    for block in range(20):
        here = found.line == block
        counted = dict(zip(found.keys[found.index[here]].tolist(), found.count[here].tolist(), strict=True))
        expected = dictionary_counts(ids[block::20], 2, True)
        assert counted == {4 * first + second: count for (first, second), count in expected.items()}


@pytest.mark.parametrize("chunk", [70, 60])
def test_the_interval_is_that_of_a_slow_jackknife(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.text.left_out._CHUNK_LINES", chunk)
    reference = Reference(counted_text(toy_lines(60, 0), 10, 3), None, None)
    ids = reference.text.tokenizer.encode(toy_lines(70, 1)).padded(10)
    for n, found in estimate_ids(ids, reference).items():
        expected = line_jackknife(
            found.value,
            lambda gone: score_ids(np.delete(ids, gone, axis=0), reference.text)[n],  # noqa: B023
            lines=70,
            first=chunk,
        )
        assert (found.low, found.high, found.corrected) == pytest.approx(tuple(np.clip(expected, 0, 1)), abs=1e-11)


def drawn(random: np.random.Generator, chances: NDArray[np.float64]) -> tuple[Estimate, Estimate]:
    """Return distinct-1 of 200 lines of three words, and the same with the plain jackknife."""
    ids = random.choice(chances.size, (200, 3), p=chances).astype(np.uint16)
    ngrams = character_ngrams(ids, 1, chances.size, padding=True)
    counts = ngrams.total().counts
    alone = np.bincount(ngrams.line, ngrams.count == counts[ngrams.index], 200)
    words = Words(ids.ravel().astype(np.uint32) + 1, np.full(200, 3), np.zeros(200, np.uint64))
    return distinct(words, 1), estimate(counts.size / 600, (counts.size - alone) / 597)


def test_differences_of_saturating_scores_cover_as_often_as_they_say() -> None:
    random, trials = np.random.default_rng(4), 400
    rates = [1 / np.arange(1, 401.0), np.full(300, 1.0)]
    chances = [rate / rate.sum() for rate in rates]
    truth = [float((1 - (1 - each) ** 600).sum()) / 600 for each in chances]  # expected distinct words, exactly
    hits = np.zeros(2)
    for _ in range(trials):
        for which, (a, b) in enumerate(zip(drawn(random, chances[0]), drawn(random, chances[1]), strict=True)):
            found = difference(a, b)
            assert found.low is not None
            assert found.high is not None
            hits[which] += found.low <= truth[0] - truth[1] <= found.high
    assert 0.93 <= hits[0] / trials <= 0.97
    assert hits[1] / trials > 0.98  # known to be wrong: interactions counted twice
