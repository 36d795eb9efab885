"""With a gradient penalty, a faster critic helps up to critical damping, and then hurts.

DiracGAN: the generator places a point at theta, real data lie at 0, and the critic psi x is linear. With the R1 penalty
gamma/2 psi^2, rate a of the generator and rate b of the critic, theta'' + b gamma theta' + a b theta = 0 near the
optimum: a spring whose friction is the critic's. At fixed a b convergence is fastest at b / a = 4 / gamma^2.

    python -m textgan.theory dirac
    python -m textgan.theory dirac --output dirac.svg
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from eval.core.tables import Block
from textgan.engine.updates import parse_rule
from textgan.runs.plots import COLOURS
from textgan.theory.dynamics import Agent, constant, simulate, start
from textgan.theory.experiment import Findings, TheoryFlags, panels, run_experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, np.dtype[np.float64]]

GAMMAS = (0.5, 1.0, 2.0)
RATIOS = (1.0, 3.0, 4.0, 10.0, 16.0)
SHOWN = (1.0, 4.0, 25.0)
"""Below, at and above the best ratio for gamma = 1."""


def players(
    theta: Tensor, psi: Tensor, a: float | Tensor, b: float | Tensor, gamma: float | Tensor
) -> dict[str, Agent]:
    """Return generator and critic at the starts theta and psi [..., 1], with rates a and b.

    The generator descends on f(psi theta), the critic on gamma/2 psi^2 - f(psi theta), where f(t) = -2 log(1 + e^-t) is
    the logistic loss scaled to f'(0) = 1 (Mescheder, Geiger & Nowozin 2018, arXiv 1801.04406, definition 2.1).
    """

    def slope(t: Tensor) -> Tensor:
        return 2 * torch.sigmoid(-t)

    return {
        "theta": Agent(theta, lambda w: slope(w["psi"] * w["theta"]) * w["psi"], constant(a)),
        "psi": Agent(psi, lambda w: gamma * w["psi"] - slope(w["psi"] * w["theta"]) * w["theta"], constant(b)),
    }


def convergence_rate(ratio: float, gamma: float) -> float:
    """Return the rate of convergence per unit of time 1 / sqrt(a b) at b / a = ratio.

    The linearised system has the eigenvalues -b gamma/2 +- sqrt(b^2 gamma^2/4 - a b); the larger one decides.
    """
    friction = math.sqrt(ratio) * gamma / 2
    return friction - math.sqrt(max(friction**2 - 1, 0))


def best_ratio(gamma: float) -> float:
    """Return the b / a of critical damping, at which convergence is fastest."""
    return 4 / gamma**2


def measured_rates(
    ratios: Sequence[float], gammas: Sequence[float], time: float = 4.0, step: float = 1e-3, near: float = 1e-4
) -> Array:
    """Return the rates of convergence [gammas, ratios] of two paths that start at right angles beside the optimum.

    Updates are simultaneous: small alternating steps shift the best ratio a little, and near it the rate changes by the
    root of the shift.

    Args:
        ratios: b / a, with a b = 1.
        gammas: weights of the penalty.
        time: length of the paths.
        step: time per update.
        near: distance of the starts from the optimum.
    """
    root = torch.tensor(ratios, dtype=torch.float64).sqrt().reshape(-1, 1, 1)
    gamma = torch.tensor(gammas, dtype=torch.float64).reshape(-1, 1, 1, 1)
    theta, psi = (start(unit, len(gammas), len(ratios)).unsqueeze(-1) for unit in ([near, 0], [0, near]))
    steps = round(time / step)
    agents = players(theta, psi, step / root, step * root, gamma)
    ends = simulate(agents, parse_rule("simultaneous"), steps, every=steps)
    growth = np.abs(np.linalg.eigvals(torch.cat([ends["theta"][-1], ends["psi"][-1]], dim=-1).numpy() / near))
    rates: Array = -np.log(growth.max(axis=-1)) / time
    return rates


def paths(ratios: Sequence[float], gamma: float, time: float, step: float = 0.005, every: int = 20) -> Array:
    """Return the paths of (theta, psi) [points, ratios, 2] from (1, 0), one point per `every` updates."""
    root = torch.tensor(ratios, dtype=torch.float64).sqrt().unsqueeze(-1)
    agents = players(start([1], len(ratios)), start([0], len(ratios)), step / root, step * root, gamma)
    points = simulate(agents, parse_rule("simultaneous"), round(time / step), every=every)
    found: Array = torch.cat([points["theta"], points["psi"]], dim=-1).numpy()
    return found


def study(_flags: TheoryFlags) -> Findings:
    """Measure the rates of convergence, and draw them over finer ratios."""
    records = [
        {"gamma": gamma, "ratio": ratio, "closed_form": convergence_rate(ratio, gamma), "measured": float(rate)}
        for gamma, row in zip(GAMMAS, measured_rates(RATIOS, GAMMAS), strict=True)
        for ratio, rate in zip(RATIOS, row, strict=True)
    ]
    rows = [
        [f"{gamma:g}", f"{best_ratio(gamma):g}"]
        + [f"{r[key]:.3f}" for r in records if r["gamma"] == gamma for key in ("closed_form", "measured")]
        for gamma in GAMMAS
    ]
    block = Block(
        "DiracGAN with R1: rate of convergence over b/a at a b = 1 (closed form, then measured)",
        [["gamma", "best b/a", *(cell for ratio in RATIOS for cell in (f"{ratio:g}", "measured"))], *rows],
        ["At the best ratio, 4 / gamma^2, the rate is sqrt(a b) = 1 with every penalty."],
    )
    return Findings([block], records, draw)


def main(arguments: list[str]) -> int:
    """Run the experiment."""
    return run_experiment(TheoryFlags, study, arguments, "dirac", __doc__)


def draw() -> "Figure":
    """Draw the rate of convergence over the ratio, and paths below, at and above the best ratio."""
    figure, axes = panels(1, 3, "DiracGAN with R1: a faster critic helps up to critical damping, then hurts", 3.7, 3.2)
    _draw_rates(axes[0])
    found, step = paths(SHOWN, 1.0, 15.0), 0.1
    for (theta, psi), ratio, colour, word in zip(
        found.transpose(1, 2, 0), SHOWN, COLOURS, ("under-damped", "critical", "over-damped"), strict=False
    ):
        axes[1].semilogy(step * np.arange(len(theta)), np.hypot(theta, psi), lw=1.2, color=colour)
        axes[2].plot(theta, psi, lw=1.2, color=colour, label=f"b/a = {ratio:g}, {word}")
    axes[1].set(
        title=r"Distance to the optimum, $\gamma = 1$",
        xlabel=r"time $\times \sqrt{ab}$",
        ylabel="distance",
        ylim=(1e-5, 3),
    )
    axes[2].plot(0, 0, "k+", ms=9)
    axes[2].plot(1, 0, "k^", ms=5)
    axes[2].set(title=r"The same paths, from $\theta = 1$", xlabel=r"generator $\theta$", ylabel=r"critic $\psi$")
    axes[2].legend(fontsize=7.5)
    for panel in axes:
        panel.minorticks_off()  # hundreds of marks, large in an SVG file
    return figure


def _draw_rates(axes: "Axes") -> None:
    ratios, dots = np.geomspace(0.25, 100, 157), np.geomspace(0.25, 100, 14).tolist()
    for gamma, colour, measured in zip(GAMMAS, COLOURS[3:], measured_rates(dots, GAMMAS), strict=False):
        axes.plot(ratios, [convergence_rate(ratio, gamma) for ratio in ratios], lw=1.2, color=colour)
        axes.plot(dots, measured, "o", ms=3.5, color=colour, label=rf"$\gamma$ = {gamma:g}")
        axes.axvline(best_ratio(gamma), color=colour, lw=0.9, ls=":")
    axes.set(title=r"Best ratio $4/\gamma^2$ (dotted); dots are measured", xlabel="b / a at fixed a b", xscale="log")
    axes.set(ylabel=r"rate of convergence $/ \sqrt{ab}$", ylim=(0, 1.2))
    axes.legend(fontsize=7.5, loc="upper center", ncols=3)
