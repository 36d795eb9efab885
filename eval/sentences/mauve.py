"""MAUVE and the frontier integral: the divergence frontier of two sets of sentence features.

Both sets are clustered together, and each becomes a histogram over the clusters. The frontier holds the divergences of
both histograms from their mixtures R = w P + (1 - w) Q, 0 <= w <= 1. MAUVE (Pillutla et al. 2021, arXiv 2102.01454) is
the area under the curve (exp(-c KL(Q || R)), exp(-c KL(P || R))), the frontier integral (Liu et al. 2021, arXiv
2106.07898) the mean of 2 w KL(P || R) + 2 (1 - w) KL(Q || R) over w. Clusters depend on the seed of k-means, which
moves MAUVE more than many systems differ: both scores are means over seeds.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.errors import InputError
from eval.core.intervals import SHARE, estimate, group_of_line, student_reach
from eval.core.score import Estimate

Array = NDArray[np.float64]

SEEDS = 5
"""Number of k-means clusterings that the scores are averaged over."""
SCALE = 5.0
"""c, the factor of the divergences in MAUVE."""
MIXTURES = 25
"""Number of mixture weights, evenly spaced from 0 to 1, between which MAUVE's curve is straight."""
EXPLAINED = 0.9
"""Proportion of the variance of the features that their principal components keep."""

_LINES_PER_CLUSTER = 10
_MOST_ROUNDS = 25
_ROWS = 1 << 12


def mauve(p: Array, q: Array, mixtures: int = MIXTURES) -> float:
    """Return MAUVE of two histograms [k] of sum 1: 1 if they are equal, about 0.004 if they share no cluster.

    The curve is extended to (1, 0) and (0, 1), its limits for mixtures with weights beyond 0 and 1.
    """
    curve = [(1.0, 0.0)]
    for weight in np.linspace(0, 1, mixtures):
        mixture = weight * p + (1 - weight) * q
        curve.append((np.exp(-SCALE * _divergence(q, mixture)), np.exp(-SCALE * _divergence(p, mixture))))
    x, y = np.array([*curve, (0.0, 1.0)]).T
    return float(-np.trapezoid(y, x))


def frontier_integral(p: Array, q: Array) -> float:
    """Return the frontier integral of two histograms [k] of sum 1 without zeros: 0 if they are equal, at most 1.

    The integral has the closed form: sum of (p + q) / 2 - p q (log p - log q) / (p - q), with p for the last term where
    p = q.
    """
    difference = p - q
    near = np.abs(difference) < 1e-6 * (p + q)  # where the quotient of two small numbers loses digits
    quotient = np.log(p / q) / np.where(near, 1, difference)
    return float(((p + q) / 2 - np.where(near, (p + q) / 2, p * q * quotient)).sum().clip(0, 1))


def _divergence(p: Array, r: Array) -> float:
    """Return KL(p || r) in nats; infinite if r is 0 where p is not."""
    kept = p > 0
    with np.errstate(divide="ignore"):
        return float((p[kept] * np.log(p[kept] / r[kept])).sum())


def smoothed(counts: Array) -> Array:
    """Return the probabilities of counts [k] by Krichevsky & Trofimov (1981): half a count is added to each."""
    probabilities: Array = (counts + 0.5) / (counts.sum() + counts.size / 2)
    return probabilities


def frontier_scores(
    samples: NDArray[np.floating], reference: NDArray[np.floating]
) -> tuple[dict[str, Estimate], dict[str, float]]:
    """Return MAUVE and frontier integral of features [N, D] and [M, D], and each one's standard deviation over seeds.

    The variance of a mean over seeds is the jackknife's over twenty groups of samples, with clusters fixed, plus a
    fifth of the variance over seeds. The reference is fixed.

    Raises:
        InputError: fewer than two lines in a set.
    """
    lines = min(len(samples), len(reference))
    if lines < 2:
        raise InputError(f"{lines} line in a set has no MAUVE; give at least two, better thousands")
    clusters = cluster_count(len(samples), len(reference))
    joint = principal(np.concatenate([samples, reference]))
    seeds = tqdm(range(SEEDS), "k-means", disable=None, delay=1, leave=False)
    tables = np.array([_left_out(k_means(joint, clusters, seed), len(samples), clusters) for seed in seeds])
    estimates, spreads = {}, {}
    for name, table in zip(("mauve", "frontier-integral"), tables.transpose(1, 0, 2), strict=True):
        estimates[name] = _over_seeds(table)
        spreads[name] = float(table[:, 0].std(ddof=1))
    return estimates, spreads


def cluster_count(samples: int, reference: int) -> int:
    """Return the number of clusters: a tenth of the lines of the smaller set, at least 2."""
    return max(2, min(samples, reference) // _LINES_PER_CLUSTER)


def _left_out(labels: NDArray[np.int64], samples: int, clusters: int) -> Array:
    """Return both scores [2, 1 + G] of labels [N + M], samples first: of all samples, then without each of G groups."""
    real = np.bincount(labels[samples:], minlength=clusters).astype(np.float64)
    groups = group_of_line(samples)
    counted = np.bincount(groups * clusters + labels[:samples], minlength=(groups.max() + 1) * clusters)
    parts = counted.reshape(-1, clusters).astype(np.float64)
    whole = parts.sum(0)
    histograms = [whole, *(whole - parts)]
    return np.array([
        [mauve(counts / counts.sum(), real / real.sum()) for counts in histograms],
        [frontier_integral(smoothed(counts), smoothed(real)) for counts in histograms],
    ])  # fmt: skip


def _over_seeds(table: Array) -> Estimate:
    """Return the mean over seeds of a score's table [seeds, 1 + G], with the interval for samples and seeds together.

    The degrees of freedom of both variances are pooled as by Welch & Satterthwaite.
    """
    value, *left_out = table.mean(0)
    found = estimate(float(value), np.array(left_out), SHARE)
    assert found.error is not None
    variances = np.array([found.error**2, table[:, 0].var(ddof=1) / SEEDS])
    error = float(np.sqrt(variances.sum()))
    if not error:
        return Estimate(found.value)
    freedom = int(variances.sum() ** 2 / (variances**2 / [found.freedom, SEEDS - 1]).sum())
    reach = student_reach(error, freedom + 1)
    low, high = np.clip([value - reach, value + reach], *SHARE)
    return replace(found, low=float(low), high=float(high), corrected=None, error=error, freedom=freedom)


def principal(features: NDArray[np.floating], explained: float = EXPLAINED) -> NDArray[np.float32]:
    """Return the first principal components [N, K] of features [N, D] scaled to length 1, with K as small as possible.

    Args:
        features: rows of 0 stay 0.
        explained: proportion of the variance that the components must have.
    """
    rows = np.asarray(features, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, 1)
    rows -= rows.mean(0)
    variances, directions = np.linalg.eigh(rows.T @ rows)
    cumulated = np.cumsum(variances[::-1].clip(0))
    kept = 1 + int(np.argmax(cumulated >= explained * cumulated[-1]))
    components: NDArray[np.float32] = (rows @ directions[:, ::-1][:, :kept]).astype(np.float32)
    return components


def k_means(rows: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.int64]:
    """Return the cluster of each row [N] of [N, D] by Lloyd's algorithm, from random rows as first centres.

    It ends after 25 rounds, or if no row changes its cluster. A cluster that loses all rows keeps its centre.
    """
    random = np.random.default_rng(seed)
    centres = rows[random.choice(len(rows), clusters, replace=False)]
    labels = np.full(len(rows), -1)
    for _ in range(_MOST_ROUNDS):
        before, labels = labels, _nearest(rows, centres)
        if (before == labels).all():
            break
        order = np.argsort(labels, kind="stable")
        used, starts = np.unique(labels[order], return_index=True)
        counts = np.diff([*starts, len(rows)])
        centres[used] = np.add.reduceat(rows[order], starts, axis=0) / counts[:, None]
    return labels


def _nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    half = np.square(centres).sum(1) / 2
    return np.concatenate([
        np.argmin(half - rows[start : start + _ROWS] @ centres.T, axis=1) for start in range(0, len(rows), _ROWS)
    ])  # fmt: skip


def settings(samples: int, reference: int) -> Mapping[str, str | int]:
    """Return the signature fields of both scores of this many samples and reference lines."""
    return {
        "k": cluster_count(samples, reference),
        "seeds": SEEDS,
        "c": int(SCALE),
        "mixtures": MIXTURES,
        "pca": str(EXPLAINED),
    }
