"""MAUVE and the frontier integral against closed forms, numerical integration and plain Python."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import beta, stdtrit

from data.errors import InputError
from eval.sentences.mauve import SEEDS, frontier_integral, frontier_scores, k_means, mauve, principal, smoothed

Array = NDArray[np.float64]


def kl(p: Array, r: Array) -> float:
    return math.fsum(a * math.log(a / b) for a, b in zip(p, r, strict=True) if a)


def integrated_mauve(p: Array, q: Array) -> float:
    """The area under the smooth curve: y dx over the mixture weight w, and the rectangle left of w = 1."""

    def mixture(w: float) -> Array:
        return w * p + (1 - w) * q

    def slope(w: float) -> float:
        x = math.exp(-5 * kl(q, mixture(w)))
        return float(x * -5 * (q * (p - q) / mixture(w)).sum())  # d KL(q || R) / dw = -sum q (p - q) / R

    area = quad(lambda w: math.exp(-5 * kl(p, mixture(w))) * slope(w), 0, 1)[0]
    return math.exp(-5 * kl(q, p)) + float(area)


def integrated_frontier(p: Array, q: Array) -> float:
    def cost(w: float) -> float:
        mixture = w * p + (1 - w) * q
        return w * kl(p, mixture) + (1 - w) * kl(q, mixture)

    return float(2 * quad(cost, 0, 1)[0])


def histogram(weights: Sequence[float]) -> Array:
    return np.array(weights) / math.fsum(weights)


HISTOGRAMS = st.integers(2, 6).flatmap(
    lambda bins: st.tuples(*[st.lists(st.floats(0.05, 1), min_size=bins, max_size=bins).map(histogram)] * 2)
)


@pytest.mark.fuzz
@given(HISTOGRAMS)
def test_equal_to_numerical_integration(pair: tuple[Array, Array]) -> None:
    p, q = pair
    assert mauve(p, q, mixtures=401) == pytest.approx(integrated_mauve(p, q), abs=2e-4)
    assert mauve(p, q) == pytest.approx(integrated_mauve(p, q), abs=0.02)
    assert frontier_integral(p, q) == pytest.approx(integrated_frontier(p, q), abs=1e-9)
    assert mauve(p, q) == pytest.approx(mauve(q, p), abs=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 50])
def test_equal_histograms(bins: int) -> None:
    p = histogram(np.random.default_rng(bins).random(bins).tolist())
    assert mauve(p, p) == pytest.approx(1, abs=1e-12)
    assert frontier_integral(p, p) == pytest.approx(0, abs=1e-12)
    assert frontier_integral(p, p * (1 + 1e-9)) == pytest.approx(0, abs=1e-8)


def test_disjoint_histograms() -> None:
    """The curve is ((1 - w)^5, w^5): the area is 5 B(6, 5), and 25 points are joined by straight lines."""
    p, q = np.array([1.0, 0]), np.array([0, 1.0])
    assert mauve(p, q, mixtures=4001) == pytest.approx(5 * beta(6, 5), rel=1e-4) == pytest.approx(1 / 252, rel=1e-4)
    w = [i / 24 for i in range(25)]
    joined = [(a**5 + b**5) / 2 * ((1 - a) ** 5 - (1 - b) ** 5) for a, b in pairwise(w)]
    assert mauve(p, q) == pytest.approx(math.fsum(joined), abs=1e-12) == pytest.approx(0.004, abs=3e-4)
    assert frontier_integral(np.array([1 - 1e-12, 1e-12]), np.array([1e-12, 1 - 1e-12])) == pytest.approx(1, abs=1e-9)


def test_two_bins() -> None:
    """P in one bin, Q in both: KL(P || R) = -log((1 + w) / 2), KL(Q || R) = -log(1 - w^2) / 2."""
    area = quad(lambda w: ((1 + w) / 2) ** 5 * 5 * w * (1 - w * w) ** 1.5, 0, 1)[0]
    assert mauve(np.array([1.0, 0]), np.array([0.5, 0.5]), mixtures=2001) == pytest.approx(area, rel=1e-5)
    for a in (0.2, 0.49, 0.5 + 1e-5):
        expected = 1 - 2 * a * (1 - a) * math.log(a / (1 - a)) / (2 * a - 1)
        assert frontier_integral(np.array([a, 1 - a]), np.array([1 - a, a])) == pytest.approx(expected, abs=1e-9)


def test_equal_to_a_printed_example() -> None:
    """The partial match of MAUVE's metric card in Hugging Face's `evaluate`: 0.27811372536724027 for two and two lines.

    Its features need GPT-2's weights, but four lines in two clusters leave three values, and this is one of them: one
    file is in both clusters, the other in one.
    """
    halves = [np.array(each) for each in ([1.0, 0], [0, 1.0], [0.5, 0.5])]
    values = {round(mauve(p, q), 8) for p in halves for q in halves}
    assert values == {0.00407210, round(0.27811372536724027, 8), 1.0}


def test_half_a_count_is_added_to_each() -> None:
    assert smoothed(np.array([3.0, 0, 1])).tolist() == pytest.approx([3.5 / 5.5, 0.5 / 5.5, 1.5 / 5.5])


def test_principal_components_are_as_few_as_explain_the_variance() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 7)) * [9, 5, 3, 1, 0.5, 0.1, 0.01]
    unit = features / np.linalg.norm(features, axis=1)[:, None]
    centred = unit - unit.mean(0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    shares = np.cumsum(singular**2) / np.square(centred).sum()
    kept = next(number for number, share in enumerate(shares, start=1) if share >= 0.9)
    found = principal(features)
    assert found.shape == (60, kept)
    assert np.abs(found) == pytest.approx(np.abs(left * singular)[:, :kept], abs=1e-5)
    assert principal(7 * features) == pytest.approx(found, abs=1e-5)  # lengths are 1
    assert principal(np.zeros((4, 3))).tolist() == [[0]] * 4


def slow_k_means(rows: Array, centres: list[Array]) -> list[int]:
    """The obvious algorithm: nearest centre, mean of a centre's rows, until nothing changes."""
    labels: list[int] = []
    while True:
        nearest = [min(range(len(centres)), key=lambda c: math.dist(row, centres[c])) for row in rows]
        if nearest == labels:
            return labels
        labels = nearest
        for c in set(labels):
            centres[c] = rows[[label == c for label in labels]].mean(0)


def test_k_means_is_the_obvious_algorithm() -> None:
    rows = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    for seed in range(3):
        first = np.random.default_rng(seed).choice(40, 5, replace=False)
        assert k_means(rows, 5, seed).tolist() == slow_k_means(rows.astype(np.float64), list(rows[first]))
    assert k_means(rows, 5, 0).tolist() != k_means(rows, 5, 1).tolist()
    two = np.concatenate([rows, rows + 100])  # either both centres are in one half and part, or one is in each
    assert Counter(k_means(two, 2, 0).tolist()) == {0: 40, 1: 40}


@pytest.mark.fuzz
@given(st.integers(2, 20), st.integers(1, 3), st.integers(2, 5), st.integers(0, 10**6))
def test_fuzz_k_means_is_the_obvious_algorithm(count: int, size: int, clusters: int, seed: int) -> None:
    clusters = min(clusters, count)
    rows = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    first = np.random.default_rng(seed).choice(count, clusters, replace=False)
    assert k_means(rows, clusters, seed).tolist() == slow_k_means(rows.astype(np.float64), list(rows[first]))


def slow_scores(samples: Array, reference: Array) -> dict[str, tuple[float, float, float]]:
    """Mean over seeds, half-width and standard deviation over seeds of each score, in plain Python."""
    clusters = max(2, min(len(samples), len(reference)) // 10)
    labels = [
        k_means(principal(np.concatenate([samples, reference])), clusters, seed).tolist() for seed in range(SEEDS)
    ]

    def scored(seed: int, left_out: int | None, name: str) -> float:
        kept = [label for i, label in enumerate(labels[seed][: len(samples)]) if i % 20 != left_out]
        counts = [Counter(kept), Counter(labels[seed][len(samples) :])]
        half = 0.5 if name == "frontier-integral" else 0.0
        p, q = (histogram([count[c] + half for c in range(clusters)]) for count in counts)
        return mauve(p, q) if name == "mauve" else integrated_frontier(p, q)

    found = {}
    for name in ("mauve", "frontier-integral"):
        values = [scored(seed, None, name) for seed in range(SEEDS)]
        others = [sum(scored(seed, group, name) for seed in range(SEEDS)) / SEEDS for group in range(20)]
        of_lines = 19 / 20 * sum((other - sum(others) / 20) ** 2 for other in others)
        of_seeds = float(np.var(values, ddof=1)) / SEEDS
        freedom = int((of_lines + of_seeds) ** 2 / (of_lines**2 / 19 + of_seeds**2 / 4))
        reach = float(stdtrit(freedom, 0.975)) * math.sqrt(of_lines + of_seeds)
        found[name] = (sum(values) / SEEDS, reach, float(np.std(values, ddof=1)))
    return found


def test_scores_are_means_over_seeds_with_the_variance_of_lines_and_seeds() -> None:
    random = np.random.default_rng(4)
    samples, reference = random.normal(size=(60, 4)), random.normal(0.4, 1, (90, 4))
    estimates, spreads = frontier_scores(samples, reference)
    for name, (value, reach, spread) in slow_scores(samples, reference).items():
        found = estimates[name]
        assert (found.value, spreads[name]) == pytest.approx((value, spread), abs=1e-9)
        assert (found.low, found.high) == pytest.approx((max(value - reach, 0), min(value + reach, 1)), abs=1e-9)
        assert spread > 0
        assert found.corrected is None


def test_equal_and_separate_sets() -> None:
    features = np.random.default_rng(5).normal(size=(80, 6))
    estimates, spreads = frontier_scores(features, features)
    assert (estimates["mauve"].value, estimates["frontier-integral"].value) == pytest.approx((1, 0), abs=1e-6)
    assert spreads["mauve"] == pytest.approx(0, abs=1e-6)
    shift = np.array([50, 0, 0, 0, 0, 0])
    away = frontier_scores(features + shift, features - shift)[0]
    assert away["mauve"].value == pytest.approx(1 / 252, abs=3e-4)
    assert away["frontier-integral"].value > 0.8


def test_too_few_lines_are_refused() -> None:
    with pytest.raises(InputError, match="1 line in a set has no MAUVE"):
        frontier_scores(np.ones((1, 2)), np.ones((5, 2)))


def test_equal_to_the_authors_package_on_histograms() -> None:
    """A development extra: mauve-text 0.4.0 (GPL; only called, never read or copied)."""
    package = pytest.importorskip("mauve.compute_mauve")
    random = np.random.default_rng(6)
    for _ in range(5):
        p, q = (histogram(random.random(30).tolist()) for _ in range(2))
        curve = package.get_divergence_curve_for_multinomials(p, q, np.linspace(1e-6, 1 - 1e-6, 25), 5)
        x, y = curve.T
        order = np.lexsort((-y, x))
        assert mauve(p, q) == pytest.approx(float(np.trapezoid(y[order], x[order])), abs=1e-4)
        assert frontier_integral(p, q) == pytest.approx(package.get_fronter_integral(p, q), abs=1e-4)
