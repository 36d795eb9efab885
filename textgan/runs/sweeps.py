"""Curves of quality against diversity over temperatures, and the excess of a model over a curve.

Caccia et al. 2020 (arXiv 1811.02549): a temperature below 1 buys quality for diversity without any training, so two
models are compared along their whole curves.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from textgan.engine.run_folder import DeclaredScore

SEQGANS_ORACLE = "b4c35ed9778b"
"""First digits of the hash of the weights that SeqGAN's authors published, as in signatures."""
FEWEST_DISTINCT = 0.5
"""A generator with a smaller share of distinct lines among its samples has collapsed."""


@dataclass(frozen=True)
class Point:
    """The scores of samples at one temperature and share of the probability (top-p), by name.

    `distinct` is the share of distinct lines among the samples. `temperature` is None if the generator has no density.
    """

    temperature: float | None
    top_p: float
    scores: Mapping[str, float]
    distinct: float


@dataclass(frozen=True)
class Curve:
    """The points of a run, in the order of the sweep; `symbols` is the number of symbols that it draws from."""

    name: str
    points: Sequence[Point]
    declared: Mapping[str, DeclaredScore]
    symbols: int


def collapsed(point: Point, symbols: int) -> str | None:
    """Return why a generator has collapsed at a point, or None if it has not.

    It has if fewer than half of its lines are distinct, or if uniform symbols, whose loss is ln V per symbol, are more
    likely to give the held-out lines than the generator is.
    """
    if point.distinct < FEWEST_DISTINCT:
        return f"{point.distinct:.0%} of its lines are distinct"
    for name in ("nll_test", "nll_token"):
        if point.scores.get(name, 0) > math.log(symbols):
            return f"{name} {point.scores[name]:.2f} is above {math.log(symbols):.2f} of uniform symbols"
    return None


def excess(point: Point, curve: Curve, quality: str, diversity: str) -> float | None:
    """Return the diversity score of a point minus the curve's at an equal quality score; below 0 is a gain.

    Both scores are better if lower. The curve is linear between its points of the whole distribution (top-p 1); if it
    is convex, its chords lie above it, so that few temperatures flatter the point. None: the point lacks a score, or
    its quality lies beyond the ends of the curve.
    """
    if not {quality, diversity} <= point.scores.keys():
        return None
    known = [
        (each.scores[quality], each.scores[diversity])
        for each in curve.points
        if each.top_p == 1 and {quality, diversity} <= each.scores.keys()
    ]
    of_curve = _interpolated(point.scores[quality], known)
    return None if of_curve is None else point.scores[diversity] - of_curve


def temperature_of(value: float, curve: Curve, quality: str) -> float | None:
    """Return the temperature at which a curve has a quality score, linear between its points; None beyond its ends."""
    known = [
        (point.scores[quality], point.temperature)
        for point in curve.points
        if point.top_p == 1 and point.temperature is not None and quality in point.scores
    ]
    return _interpolated(value, known)


def _interpolated(at: float, points: Sequence[tuple[float, float]]) -> float | None:
    """Return y at x = `at`, linear between points (x, y) in any order; None beyond their ends."""
    if not points:
        return None
    x, y = np.array(sorted(points)).T
    return float(np.interp(at, x, y)) if x[0] <= at <= x[-1] else None
