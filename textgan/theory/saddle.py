"""Two learning rates reach a saddle point that one rate circles, or approaches slowly: the poster's figure.

min over x, max over y of (1 + x^2)(100 - y^2), with noise on every gradient. The curvatures at the saddle point (0, 0)
are 200 in x and 2 in y, so one rate for both is too large for x or too small for y. A small rate for x and a large one
for y reach the point directly; exchanged, they do not. The spread around the point is predicted by the linearised game.

    python -m textgan.theory saddle
    python -m textgan.theory saddle --output saddle.svg --paths 500
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy
import torch
from torch import Tensor

from eval.core.tables import Block
from textgan.engine.updates import ALTERNATING, Rule
from textgan.runs.plots import COLOURS
from textgan.theory.dynamics import Agent, Weights, first_step, overflowed, simulate, start
from textgan.theory.experiment import Findings, NoisyFlags, band, panels, run_experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

START = (0.5, -0.4)
STEPS = 5000
NEAR = 0.1
"""Distance from the saddle point at which a path has reached it."""
LAST = 1000
"""Number of last steps over which distances and spreads are taken."""


@dataclass(frozen=True)
class Row:
    """Learning rates x n^-tau_x and y n^-tau_y of the two players at step n = 1, 2, ..."""

    name: str
    x: float
    y: float
    tau_x: float = 0.0
    tau_y: float = 0.0


POSTER = (
    Row("one rate, fast", 0.01, 0.01),
    Row("one rate, slow", 0.001, 0.001),
    Row("two rates, x slow", 1e-4, 0.01),
    Row("two rates, y slow", 0.01, 1e-4),
)
"""The rows of the poster to arXiv 1706.08500 (NIPS 2017)."""
DECAYING = Row("decaying rates", 0.005, 0.3, 0.9, 0.6)
LARGER = tuple(Row("one rate, larger", rate, rate) for rate in (0.0105, 0.011, 0.012))


def objective(points: Tensor) -> Tensor:
    """Return f(x, y) of points [..., 2]."""
    x, y = points.unbind(-1)
    return (1 + x**2) * (100 - y**2)


def slope_x(weights: Weights) -> Tensor:
    """Return the gradient by x of f, which x minimises."""
    return 2 * weights["x"] * (100 - weights["y"] ** 2)


def slope_y(weights: Weights) -> Tensor:
    """Return the gradient by y of -f: y maximises f."""
    return 2 * weights["y"] * (1 + weights["x"] ** 2)


def play(
    rows: Sequence[Row], paths: int, seed: int = 0, noise: float = 1.0, steps: int = STEPS, every: int = 1,
    rule: Rule = ALTERNATING, begin: tuple[float, float] = START,
) -> Tensor:  # fmt: skip
    """Return the points (x, y) of all paths [1 + steps // every, rows, paths, 2]; x moves first."""

    def column(name: str) -> Tensor:
        return torch.tensor([getattr(row, name) for row in rows], dtype=torch.float64).reshape(-1, 1, 1)

    def rate(factor: Tensor, tau: Tensor, n: int) -> Tensor:
        return factor * (n + 1.0) ** -tau

    agents = {
        name: Agent(
            start([first], len(rows), paths), slope, partial(rate, column(name), column(f"tau_{name}")), noise
        )
        for name, first, slope in (("x", begin[0], slope_x), ("y", begin[1], slope_y))
    }  # fmt: skip
    path = simulate(agents, rule, steps, seed, every)
    return overflowed(torch.cat([path["x"], path["y"]], dim=-1))


def predicted_spread(row: Row) -> tuple[float, float]:
    """Return the stationary standard deviations of x and y in the linearised game, at the rates of the last step.

    A step multiplies x and y by 1 - rate times curvature near the saddle point, and adds rate times noise.
    """
    last_x, last_y = row.x * STEPS**-row.tau_x, row.y * STEPS**-row.tau_y
    return spread(last_x, 1 - 200 * last_x), spread(last_y, 1 - 2 * last_y)


def spread(rate: float, factor: float) -> float:
    """Return the stationary standard deviation of x <- factor x - rate N(0, 1); infinite unless |factor| < 1."""
    return rate / math.sqrt(1 - factor**2) if abs(factor) < 1 else math.inf


def mean_distance(spread_x: float, spread_y: float) -> float:
    """Return the mean distance from (0, 0) of two independent normal numbers with mean 0 and these deviations."""
    large, small = max(spread_x, spread_y), min(spread_x, spread_y)
    if math.isinf(large):
        return math.inf
    return math.sqrt(2 / math.pi) * large * float(scipy.special.ellipe(1 - (small / large) ** 2))


@dataclass(frozen=True)
class Found:
    """The results of a row; None stands for infinity.

    Attributes:
        reached: median over paths of the first step at a distance below `NEAR` of the saddle point.
        never: proportion of paths that never come so near.
        overflow: median over paths of the first step beyond all numbers.
        distance: median over paths of the mean distance over the last steps.
        predicted_distance: this distance in the linearised game.
        spread_x: standard deviation of x over paths, in the last steps.
        predicted_spread_x: this deviation in the linearised game.
        spread_y: standard deviation of y over paths, in the last steps.
        predicted_spread_y: this deviation in the linearised game.
        noiseless: distance at the end without noise.
    """

    name: str
    x: float
    y: float
    tau_x: float
    tau_y: float
    reached: float | None
    never: float
    overflow: float | None
    distance: float | None
    predicted_distance: float | None
    spread_x: float | None
    predicted_spread_x: float | None
    spread_y: float | None
    predicted_spread_y: float | None
    noiseless: float | None


def measure(row: Row, points: Tensor, noiseless: Tensor) -> Found:
    """Return the results of a row: points of every step [1 + steps, paths, 2], the last point without noise [2]."""
    norm = points.norm(dim=-1)
    reached, overflow = first_step(norm < NEAR), first_step(norm.isinf())
    last = points[-LAST:]
    spreads = last.var(dim=1).mean(dim=0).sqrt() if last.isfinite().all() else torch.full((2,), torch.inf)
    predicted = predicted_spread(row)

    def finite(number: float | Tensor) -> float | None:
        return float(number) if math.isfinite(number) else None

    return Found(
        **asdict(row),
        reached=finite(np.median(reached)),
        never=float(reached.isinf().double().mean()),
        overflow=finite(np.median(overflow)),
        distance=finite(np.median(norm[-LAST:].mean(dim=0))),
        predicted_distance=finite(mean_distance(*predicted)),
        spread_x=finite(spreads[0]),
        predicted_spread_x=finite(predicted[0]),
        spread_y=finite(spreads[1]),
        predicted_spread_y=finite(predicted[1]),
        noiseless=finite(noiseless.norm()),
    )


def arrival(found: Found) -> str:
    """Return when paths came near the saddle point, or overflowed."""
    if found.overflow is not None:
        return f"overflow at step {found.overflow:.0f}"
    return "not reached" if found.reached is None else f"reached at step {found.reached:.0f}"


def cells(found: Found) -> list[str]:
    """Return a row of the table."""
    rates = ((found.x, found.tau_x), (found.y, found.tau_y))
    pairs = [
        (getattr(found, name), getattr(found, f"predicted_{name}")) for name in ("distance", "spread_x", "spread_y")
    ]
    return [
        found.name,
        *(f"{rate:g} n^-{tau:g}" if tau else f"{rate:g}" for rate, tau in rates),
        arrival(found),
        f"{found.never:.0%}",
        *(
            "diverged" if measured is None else f"{measured:.3g} ({theory or math.inf:.3g})"
            for measured, theory in pairs
        ),
        "diverged" if found.noiseless is None else f"{found.noiseless:.3g}",
    ]


def study(flags: NoisyFlags) -> Findings:
    """Play the game with all rates, with and without noise."""
    rows = (*POSTER, DECAYING, *LARGER)
    points = play(rows, flags.paths, flags.seed)
    noiseless = play(rows, 1, noise=0, every=STEPS)[-1, :, 0]
    found = [measure(row, points[:, number], noiseless[number]) for number, row in enumerate(rows)]
    block = Block(
        f"Noisy saddle, {STEPS} steps, {flags.paths} paths",
        [
            ("", "rate of x", "rate of y", f"distance {NEAR:g}", "never", "distance", "sd of x", "sd of y", "no noise"),
            *map(cells, found),
        ],
        [
            f"distance {NEAR:g}: median over paths of the first step below it; never: proportion of paths without one",
            f"distance, sd: in the last {LAST} steps, measured (theory); no noise: distance at the end",
            "theory: sd = rate / sqrt(1 - factor^2), factor = 1 - rate x curvature, in the linearised game",
            "inf: a factor of -1 turns x around at every step, and noise adds up; below -1 the path overflows",
        ],
    )
    return Findings([block], [asdict(result) for result in found], lambda: draw(points, found))


def draw(points: Tensor, found: Sequence[Found]) -> "Figure":
    """Draw the rows of the poster from points [1 + steps, rows, paths, 2]: objective, distance, and a path of each."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    title = "One learning rate or two on a noisy saddle: median and 10-90 % of all paths (left), one path (right)"
    figure, axes = panels(len(POSTER), 3, title, width=3.5, height=2)
    colouring = ScalarMappable(LogNorm(1, STEPS), "viridis_r")
    shown = np.unique(np.geomspace(1, STEPS, 60).astype(int))
    overflow = points[shown, len(POSTER) + 1].norm(dim=-1).median(dim=-1).values
    axes[1].plot(shown, overflow, color="black", lw=1, ls=":", label=f"both rates {LARGER[0].x:g}: overflow")
    for number, (row, colour) in enumerate(zip(POSTER, COLOURS, strict=False)):
        values, distance, path = axes[3 * number : 3 * number + 3]
        band(values, shown, objective(points[shown, number]), colour)
        values.set(xscale="log", ylim=(95, 160), ylabel="objective")
        values.set_title(f"{row.name}: rates {row.x:g}, {row.y:g}", loc="left")
        band(distance, shown, points[shown, number].norm(dim=-1), colour)
        distance.axhline(NEAR, color="grey", lw=0.8)
        draw_path(path, points[:, number, 0], colouring)
        predicted = found[number].predicted_distance
        if predicted is not None:
            distance.axhline(predicted, color="black", lw=1, ls="--", label="mean distance, theory")
            draw_ends(path, points[-1, number], predicted_spread(row), colour)
        distance.set(xscale="log", yscale="log", ylim=(3e-3, 3), ylabel="distance")
        distance.set_title(f"distance {NEAR:g} {arrival(found[number])}", loc="left")
    for panel in axes[1:9:3]:
        panel.legend(fontsize=8, frameon=False, loc="lower left")
    for panel, name in zip(axes, ("step", "step", "x") * len(POSTER), strict=True):
        panel.minorticks_off()
        panel.tick_params(labelbottom=panel in axes[-3:])
        panel.set_xlabel(name if panel in axes[-3:] else "")
    figure.colorbar(colouring, ax=axes[2::3], label="step", aspect=40)
    return figure


def draw_path(panel: "Axes", points: Tensor, colouring: "ScalarMappable") -> None:
    """Draw a path [1 + steps, 2], coloured by step, and a cross at the saddle point."""
    from matplotlib.collections import LineCollection

    edges = np.unique(np.geomspace(1, len(points), 30).astype(int)) - 1
    pieces = [points[first : last + 1].numpy() for first, last in pairwise(edges)]
    panel.add_collection(LineCollection(pieces, colors=colouring.to_rgba(edges[1:]), lw=0.6, rasterized=True))
    panel.plot(0, 0, "+", color="black")
    panel.set(xlim=(-0.8, 0.8), ylim=(-0.55, 0.55), ylabel="y")


def draw_ends(panel: "Axes", ends: Tensor, spreads: tuple[float, float], colour: str) -> None:
    """Draw the ends of all paths [paths, 2] in a corner, and the ellipse of two predicted standard deviations."""
    from matplotlib.patches import Ellipse

    corner = panel.inset_axes((0.64, 0.56, 0.36, 0.44))
    corner.spines[:].set_visible(True)
    corner.scatter(ends[:, 0], ends[:, 1], 1, color=colour, rasterized=True)
    corner.add_patch(Ellipse((0, 0), 4 * spreads[0], 4 * spreads[1], fill=False, color="black", lw=1))
    corner.set(xticks=[], yticks=[], xlim=(-4 * spreads[0], 4 * spreads[0]), ylim=(-4 * spreads[1], 4 * spreads[1]))
    corner.set_xlabel("ends of all paths; 2 sd", fontsize=7)


def main(arguments: list[str]) -> int:
    """Run the command."""
    return run_experiment(NoisyFlags, study, arguments, "saddle", __doc__)
