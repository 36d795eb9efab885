"""Two learning rates change nothing on min max x y: for every rule of first derivatives only their product counts.

Dividing x and y by the roots of their rates turns any two rates into one. The rule decides: simultaneous updates
diverge, alternating updates circle, extragradient, optimistic and lookahead updates converge. All spectral radii are
measured on the trainer's own rules, and printed beside closed forms.

    python -m textgan.theory bilinear
    python -m textgan.theory bilinear --output bilinear.svg
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from eval.core.tables import Block
from textgan.engine.updates import Rule, parse_rule
from textgan.runs.plots import COLOURS
from textgan.theory.dynamics import Agent, VectorPlay, constant, simulate, start
from textgan.theory.experiment import Findings, TheoryFlags, panels, run_experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, np.dtype[np.float64]]

RATES = (0.1, 0.3, 0.5, 0.58)
"""The largest is just above 1 / sqrt 3, where the optimistic rule becomes unstable."""
RATE = 0.3
RATIOS = (1 / 25, 1 / 5, 1.0, 5.0, 25.0)
START = (1.0, 0.5)


@dataclass(frozen=True)
class Case:
    """A rule and the closed form of the spectral radius of `period` iterations, a function of the rates of x and y."""

    rule: str
    radius: Callable[[float, float], float]
    period: int = 1


def largest_root(trace: complex, determinant: complex) -> float:
    """Return the largest modulus of the roots of l^2 - trace l + determinant."""
    root = complex(trace**2 - 4 * determinant) ** 0.5
    return max(abs(trace + root), abs(trace - root)) / 2


def rotation(a: float, b: float) -> complex:
    """Return the eigenvalue of simultaneous updates."""
    return 1 + 1j * math.sqrt(a * b)


def circling(a: float, b: float) -> complex:
    """Return the eigenvalue of alternating updates, of modulus 1 while a b <= 4."""
    return (2 - a * b + complex((2 - a * b) ** 2 - 4) ** 0.5) / 2


def optimistic_radius(a: float, b: float) -> float:
    """Return the spectral radius of optimistic updates."""
    eta = 1j * math.sqrt(a * b)
    return largest_root(1 - 2 * eta, -eta)


def corrected_radius(a: float, b: float) -> float:
    """Return the spectral radius of consensus and symplectic updates of weight 1: here both corrections are (x, y)."""
    return largest_root(2 - a - b, (1 - a) * (1 - b) + a * b)


CASES = (
    Case("simultaneous", lambda a, b: abs(rotation(a, b))),
    Case("alternating", lambda a, b: largest_root(2 - a * b, 1)),
    Case("extragradient", lambda a, b: math.sqrt(1 - a * b + (a * b) ** 2)),
    Case("optimistic", optimistic_radius),
    Case("extragradient-past", optimistic_radius),
    Case("lookahead:5:0.5:simultaneous", lambda a, b: abs(1 + rotation(a, b) ** 5) / 2, 5),
    Case("lookahead:20:0.5:simultaneous", lambda a, b: abs(1 + rotation(a, b) ** 20) / 2, 20),
    Case("lookahead:5", lambda a, b: abs(1 + circling(a, b) ** 5) / 2, 5),
    Case("consensus:1", corrected_radius),
    Case("symplectic:1", corrected_radius),
)
"""Closed forms of simultaneous updates to lookahead: Gidel et al. 2019 (arXiv 1802.10551), Daskalakis et al. 2018
(1711.00141), Chavdarova et al. 2021 (2006.14567); of the corrections: Mescheder et al. 2017 (1705.10461)."""


def players(x: Tensor, y: Tensor, a: float | Tensor, b: float | Tensor) -> dict[str, Agent]:
    """Return the players of min max x y at the starts x and y [..., 1], with rates a and b."""
    return {
        "x": Agent(x, lambda weights: weights["y"], constant(a)),
        "y": Agent(y, lambda weights: -weights["x"], constant(b)),
    }


def iteration_matrix(rule: Rule, a: Tensor, b: Tensor, period: int = 1) -> Array:
    """Return the matrices of `period` iterations [rates, n, n] on the weights and the n - 2 numbers that a rule keeps.

    Every unit vector is a path of its own, from which the rule is played.

    Args:
        rule: the update rule.
        a: rates of x [rates].
        b: rates of y [rates].
        period: number of iterations.
    """
    at_rest = _after(rule, torch.zeros(2, len(a), 1, 1, dtype=torch.float64), (), a, b, period)
    kept = sorted(at_rest.state)
    size = 2 + len(kept)
    units = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1).repeat(1, len(a), 1, 1)
    play = _after(rule, units, kept, a, b, period)
    after = [*(play.weights(name)[0].detach() for name in ("x", "y")), *(play.state[name] for name in kept)]
    matrices: Array = torch.cat(after, dim=-1).mT.numpy()
    return matrices


def _after(rule: Rule, begin: Tensor, kept: Sequence[str], a: Tensor, b: Tensor, period: int) -> VectorPlay:
    """Return a play after `period` iterations from x, y and the kept numbers in `begin` [2 + kept, rates, paths, 1]."""
    x, y, *state = (values.clone() for values in begin)
    agents = players(x, y, a.reshape(-1, 1, 1), b.reshape(-1, 1, 1))
    play = VectorPlay(agents, torch.Generator(), state=dict(zip(kept, state, strict=True)))
    for _ in range(period):
        rule.update(play)
        play.next()
    return play


def spectral_radius(matrices: Array) -> Array:
    """Return the largest modulus of the eigenvalues of each matrix [..., n, n].

    Rounding splits a double eigenvalue by 1e-8, the root of the rounding error, but keeps the mean: eigenvalues nearer
    than 1e-6 are averaged.
    """
    values = np.linalg.eigvals(matrices)
    near = np.abs(values[..., :, None] - values[..., None, :]) < 1e-6
    means = (near @ values[..., None])[..., 0] / near.sum(axis=-1)
    radius: Array = np.abs(means).max(axis=-1)
    return radius


def measured_radius(case: Case, a: Sequence[float], b: Sequence[float]) -> Array:
    """Return the spectral radius of a period of the trainer's rule, for each pair of rates."""
    of_x, of_y = torch.tensor([a, b], dtype=torch.float64)
    return spectral_radius(iteration_matrix(parse_rule(case.rule), of_x, of_y, case.period))


def path(rule: str, steps: int, a: float = RATE, b: float = RATE) -> Array:
    """Return the path of (x, y) [1 + steps, 2] from `START`, stretched by the roots of the rates."""
    stretched = start([START[0] * math.sqrt(a / RATE)]), start([START[1] * math.sqrt(b / RATE)])
    weights = simulate(players(*stretched, a, b), parse_rule(rule), steps)
    points: Array = torch.cat([weights["x"], weights["y"]], dim=-1).numpy()
    return points


def ratio_rates(ratio: float) -> tuple[float, float]:
    """Return the rates of x and y with the product `RATE`^2, and b / a = ratio."""
    return RATE / math.sqrt(ratio), RATE * math.sqrt(ratio)


def study(_flags: TheoryFlags) -> Findings:
    """Measure all spectral radii, over ratios of the rates and over one rate."""
    by_ratio = [_row(case, [ratio_rates(ratio) for ratio in RATIOS]) for case in CASES]
    by_rate = [_row(case, [(rate, rate) for rate in RATES]) for case in CASES]
    blocks = [
        _block(
            f"Two rates: spectral radius over b/a at fixed a b = {RATE**2:g} (closed form, then measured)",
            [f"{ratio:g}" for ratio in RATIOS],
            by_ratio,
            ["Consensus and symplectic depend on the ratio: their second derivatives act like a penalty."],
        ),
        _block(
            "One rate for both players: spectral radius over the rate (closed form, then measured)",
            [f"{rate:g}" for rate in RATES],
            by_rate,
            ["Below 1 a rule converges. Lookahead: per period of 5 or 20 iterations; all others: per iteration."],
        ),
    ]
    return Findings(blocks, [record for row in (*by_ratio, *by_rate) for record in row], draw)


def _row(case: Case, rates: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    measured = measured_radius(case, [a for a, _ in rates], [b for _, b in rates])
    return [
        {
            "rule": case.rule, "rate_x": a, "rate_y": b, "iterations": case.period,
            "evaluations": case.period * parse_rule(case.rule).evaluations,
            "closed_form": case.radius(a, b), "measured": float(found),
        }
        for (a, b), found in zip(rates, measured, strict=True)
    ]  # fmt: skip


def _block(title: str, columns: Sequence[str], rows: Sequence[list[dict[str, Any]]], notes: Sequence[str]) -> Block:
    head = ["rule", *(cell for column in columns for cell in (column, "measured"))]
    cells = [
        [row[0]["rule"], *(f"{record[key]:.4f}" for record in row for key in ("closed_form", "measured"))]
        for row in rows
    ]
    return Block(title, [head, *cells], notes)


def main(arguments: list[str]) -> int:
    """Run the experiment."""
    return run_experiment(TheoryFlags, study, arguments, "bilinear", __doc__)


_DRAWN = (
    ("simultaneous", "simultaneous"),
    ("alternating", "alternating"),
    ("extragradient", "extragradient"),
    ("optimistic", "optimistic = extragradient from the past"),
    ("consensus:1", "consensus = symplectic"),
    ("lookahead:5:0.5:simultaneous", "lookahead every 5, simultaneous inside"),
    ("lookahead:20:0.5:simultaneous", "lookahead every 20"),
)
_COLOUR = dict(zip([rule for rule, _ in _DRAWN], COLOURS, strict=True))


def draw() -> "Figure":
    """Draw what two rates do, and each rule's paths, distances and spectral radii."""
    figure, axes = panels(2, 3, "min max x y: the ratio of the rates changes nothing, the rule everything", 3.7, 3.1)
    _draw_stretched(axes[0])
    _draw_paths(axes[1], ("simultaneous", "alternating", "extragradient", "consensus:1"), 26)
    _draw_paths(axes[2], ("optimistic", "lookahead:5:0.5:simultaneous", "lookahead:20:0.5:simultaneous"), 26)
    axes[1].set(title=f"Paths at rate {RATE:g}: out, around, in")
    axes[2].set(title="Memory pulls in; every 20 is too rare")
    _draw_ratios(axes[3])
    _draw_distances(axes[4], 80)
    _draw_radii(axes[5])
    for panel in axes:
        panel.minorticks_off()  # hundreds of marks, large in an SVG file
    axes[0].legend(fontsize=7.5, loc="upper left")
    handles, labels = axes[5].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    return figure


def _draw_stretched(axes: "Axes") -> None:
    for ratio, style in zip((1 / 9, 1.0, 9.0), (":", "-", "--"), strict=True):
        for rule, steps in (("alternating", 21), ("simultaneous", 17)):
            x, y = path(rule, steps, *ratio_rates(ratio)).T
            name = f"b/a = {'1/9' if ratio < 1 else f'{ratio:g}'}" if rule == "alternating" else None
            axes.plot(x, y, style, lw=1.2, color=_COLOUR[rule], label=name)
    axes.set(title="Two rates stretch paths, no more", xlabel="x", ylabel="y", aspect="equal")
    axes.set(xlim=(-4, 4), ylim=(-4, 4))


def _draw_ratios(axes: "Axes") -> None:
    ratios = np.geomspace(1 / 30, 30, 201)
    for case in CASES:
        if colour := _COLOUR.get(case.rule):
            line = [case.radius(*ratio_rates(ratio)) ** (1 / case.period) for ratio in ratios]
            axes.plot(ratios, line, lw=1.2, color=colour)
            dots = measured_radius(case, *zip(*map(ratio_rates, RATIOS), strict=True)) ** (1 / case.period)
            axes.plot(RATIOS, dots, "o", ms=4, color=colour)
    axes.set(title=f"The ratio matters only to consensus (a b = {RATE**2:g})", xlabel="b / a", xscale="log")
    axes.set_ylabel("spectral radius per iteration")


def _draw_paths(axes: "Axes", rules: Sequence[str], steps: int) -> None:
    for rule in rules:
        x, y = path(rule, steps).T
        axes.plot(x, y, lw=1.2, color=_COLOUR[rule])
    axes.plot(*START, "k^", ms=5)
    axes.plot(0, 0, "k+", ms=9)
    axes.set(xlabel="x", ylabel="y", xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")


def _draw_distances(axes: "Axes", evaluations: int) -> None:
    for rule, name in _DRAWN:
        cost = parse_rule(rule).evaluations
        distances = np.hypot(*path(rule, evaluations // cost).T)
        axes.semilogy(cost * np.arange(len(distances)), distances, lw=1.2, color=_COLOUR[rule], label=name)
    axes.set(title=f"The price of a rule, at rate {RATE:g}", ylabel="distance to (0, 0)", ylim=(1e-4, 1e2))
    axes.set_xlabel("gradient evaluations per player")


def _draw_radii(axes: "Axes") -> None:
    rates = np.linspace(0.01, 0.7, 70)
    cases = {case.rule: case for case in CASES}
    for rule, name in _DRAWN:
        case = cases[rule]
        line = [case.radius(rate, rate) ** (1 / case.period) for rate in rates]
        axes.plot(rates, line, lw=1.2, color=_COLOUR[rule], label=name)
        axes.plot(RATES, measured_radius(case, RATES, RATES) ** (1 / case.period), "o", ms=4, color=_COLOUR[rule])
    axes.axhline(1, color="#555555", lw=0.8)
    axes.set(title="Measured (dots) on the closed forms (lines)", xlabel="rate of both players")
    axes.set_ylabel("spectral radius per iteration")
