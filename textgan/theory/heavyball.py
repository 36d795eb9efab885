"""Adam is a heavy ball with friction, and rolls through a sharp minimum only if its memory is long.

One recursion is compared with Adam and with the differential equation of a ball. The energy
shows how a ball slows down, and a landscape with a sharp and a flat minimum shows where it stops.

    python -m textgan.theory heavyball
    python -m textgan.theory heavyball --output heavyball.svg
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eval.core.tables import Block
from textgan.runs.plots import COLOURS
from textgan.theory.balls import (
    BARRIER,
    FLAT,
    SHARP,
    adam_in_one_line,
    at_rest,
    bowl,
    bowl_slope,
    energy,
    exponential,
    flow,
    heavy_ball,
    polynomial,
    roll,
    swing_limit,
    well,
    well_slope,
)
from textgan.theory.dynamics import adam, constant, descend, start
from textgan.theory.experiment import Findings, TheoryFlags, panels, run_experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOWL_START = (1.0, -2.0, 3.0)
BOWL_MEMORY = 4.0
BOWL_RATES = (0.04, 0.02, 0.01, 0.005)
POLYNOMIAL = (0.3, 0.5, 0.6, 1.0, 3.0)

WELL_START = -1.0
WELL_STEPS = 4000
DESCENT_RATES = (0.01, 0.02, 0.05)
FRICTIONS = (0.1, 0.2, 0.4, 0.8, 1.0, 1.5, 2.0, 3.0)
SHOWN = (0.2, 0.8, 1.0, 3.0)
MEMORIES = (0.1, 0.2, 0.4, 0.8, 1.0, 1.5, 2.0, 4.0)
BETAS = (0.0, 0.5, 0.9, 0.99)
BETA2 = 0.999
ADAM_RATES = (0.001, 0.003, 0.01, 0.03, 0.1)


def column(numbers: Sequence[float]) -> Tensor:
    """Return a number per row [rows, 1]."""
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)


def adam_difference(beta1: float = 0.9, rate: float = 0.01, steps: int = 200) -> float:
    """Return the largest distance between torch's Adam and Adam in one line, with noise, in the bowl."""
    weights = start(BOWL_START, 1)
    by_torch = roll(bowl_slope, weights, constant(rate), adam(weights, beta1, BETA2), steps, noise=1)
    by_line = roll(bowl_slope, start(BOWL_START, 1), constant(rate), adam_in_one_line(beta1, BETA2), steps, noise=1)
    return float((by_torch - by_line).abs().max())


def bowl_distances(rates: Sequence[float] = BOWL_RATES, time: float = 5.0) -> dict[float, dict[str, float]]:
    """Return the largest distances, in any component up to a time, between three paths in the bowl, by rate and pair.

    The paths are Gadat's recursion, Adam's order of the moments, and the equation, in steps of the last rate.
    """
    memory, fine = exponential(BOWL_MEMORY), rates[-1]
    limit = flow(bowl_slope, memory, at_rest(BOWL_START), 0, fine, round(time / fine))[1][:, 0, 0]
    distances = {}
    for rate in rates:
        old, new = (
            roll(bowl_slope, start(BOWL_START, 1), constant(rate), heavy_ball(memory, new_moment), round(time / rate))
            for new_moment in (False, True)
        )
        at_rate = limit[:: round(rate / fine)].unsqueeze(1)
        pairs = {"Gadat - Adam's order": (old, new), "Gadat - equation": (old, at_rate)}
        pairs["Adam's order - equation"] = (new, at_rate)
        distances[rate] = {name: float((path - other).abs().max()) for name, (path, other) in pairs.items()}
    return distances


def polynomial_energy(memories: Sequence[float], steps: int = 1800) -> tuple[Tensor, Tensor, Tensor]:
    """Return times [points], energy and integral of |x'|^2 [points, rows] in the bowl with memory r / t from time 1."""
    memory, length = polynomial(column(memories)), 0.005
    times, states = flow(bowl_slope, memory, at_rest(BOWL_START, len(memories)), 1, length, steps)
    speed = states[:, 1].square().sum(-1)
    integral = torch.cat([0 * speed[:1], torch.cumulative_trapezoid(speed, dx=length, dim=0)])
    return times.flatten(), energy(bowl, memory, times, states), integral


def friction_paths(frictions: Sequence[float], time: float, step: float) -> tuple[Tensor, Tensor]:
    """Return places and energies [points, frictions] in `well`; times and steps are in the time sqrt(r) t."""
    friction = column(frictions)
    memory, state = exponential(friction**2), at_rest([WELL_START], len(frictions))
    times, states = flow(well_slope, memory, state, 0, step / friction, round(time / step))
    return states[:, 0, :, 0], energy(well, memory, times, states)


def descent_ends(rates: Sequence[float]) -> Tensor:
    """Return the last places of gradient descent in `well`, by rate."""
    weights = start([WELL_START], len(rates))
    return roll(well_slope, weights, constant(column(rates)), descend, 1000)[-1, :, 0]


def memory_ends(memories: Sequence[float], rate: float = 0.01) -> Tensor:
    """Return the last places of Gadat's recursion in `well`, by exponential memory."""
    weights, ball = start([WELL_START], len(memories)), heavy_ball(exponential(column(memories)))
    return roll(well_slope, weights, constant(rate), ball, 2 * WELL_STEPS, every=WELL_STEPS)[-1, :, 0]


def adam_paths(betas: Sequence[float], rates: Sequence[float], every: int = WELL_STEPS) -> Tensor:
    """Return Adam's paths in `well` [points, betas, rates]; beta2 is 0.999."""
    weights, ball = start([WELL_START], len(betas), len(rates)), adam_in_one_line(column(betas).unsqueeze(2), BETA2)
    return roll(well_slope, weights, constant(column(rates)), ball, WELL_STEPS, every=every)[..., 0]


def study(_flags: TheoryFlags) -> Findings:
    """Compare the recursions, follow the energy, and drop balls into the landscape of two minima."""
    times, energies, integral = polynomial_energy(POLYNOMIAL)
    changes = ((energies[-1] - energies[0]) / integral[-1]).tolist()
    losses = dict(zip(POLYNOMIAL, changes, strict=True))
    distances, (places, levels) = bowl_distances(), friction_paths(FRICTIONS, 40, 0.02)
    ends = {
        "gradient descent, rate": _by(DESCENT_RATES, descent_ends(DESCENT_RATES)),
        "differential equation, friction": _by(FRICTIONS, places[-1]),
        "Gadat's recursion at rate 0.01, r": _by(MEMORIES, memory_ends(MEMORIES)),
    }
    for rate, by_beta1 in zip(ADAM_RATES, adam_paths(BETAS, ADAM_RATES)[-1].T, strict=True):
        ends[f"Adam at rate {rate}, beta1"] = _by(BETAS, by_beta1)
    pairs = list(distances[BOWL_RATES[0]])
    blocks = [
        Block(
            f"Quadratic bowl, constant memory r = {BOWL_MEMORY:g}: largest distance of two paths, by rate",
            [["", *map(str, BOWL_RATES)]]
            + [[pair, *(f"{distances[rate][pair]:.3f}" for rate in BOWL_RATES)] for pair in pairs],
            [f"torch's Adam - Adam in one line: {adam_difference():.0e}"],
        ),
        Block(
            "Memory r / t: change of the energy per integral of the squared speed",
            [["r", "measured", "1 / (2 r) - 1"]]
            + [[str(r), f"{loss:.6f}", f"{1 / (2 * r) - 1:.6f}"] for r, loss in losses.items()],
        ),
        Block(
            f"Where balls end: sharp minimum {SHARP:.3f}, barrier {BARRIER:.3f}, flat minimum {FLAT:.0f}; by setting",
            [["ball", "flat minimum", "sharp minimum"]]
            + [[ball, *(_listed(ends[ball], flat) for flat in (True, False))] for ball in ends],
            [f"The paper's beta1 = 0.5 is over-damped for rate x curvature / |gradient| < {swing_limit(0.5):.3f}."],
        ),
    ]
    records = [
        *(_record(f"distance, {pair}", rate, distances[rate][pair]) for pair in pairs for rate in BOWL_RATES),
        *(_record("energy change, memory r / t", r, loss, 1 / (2 * r) - 1) for r, loss in losses.items()),
        *(_record(f"end, {ball}", setting, end) for ball in ends for setting, end in ends[ball].items()),
    ]
    return Findings(blocks, records, lambda: draw(distances, times, energies, places, levels))


def main(arguments: list[str]) -> int:
    """Run the experiment."""
    return run_experiment(TheoryFlags, study, arguments, "heavyball", __doc__)


def draw(
    distances: Mapping[float, Mapping[str, float]], times: Tensor, energies: Tensor, places: Tensor, levels: Tensor
) -> "Figure":
    """Draw the results of `bowl_distances`, `polynomial_energy`, `friction_paths`, and Adam's paths and ends."""
    figure, axes = panels(2, 3, "Adam is a heavy ball with friction, and friction decides where it stops", height=3.0)
    _draw_distances(axes[0], distances)
    _draw_energies(axes[1], times, energies)
    _draw_levels(axes[2], places, levels)
    _draw_places(axes[3], places)
    _draw_adam(axes[4])
    _draw_border(axes[5])
    for panel in axes:
        panel.minorticks_off()
        if panel is not axes[2]:  # its colours are the next panel's
            panel.legend(fontsize=7, framealpha=0.8)
    return figure


def _draw_distances(axes: "Axes", distances: Mapping[float, Mapping[str, float]]) -> None:
    rates = list(distances)
    for pair, colour in zip(distances[rates[0]], COLOURS, strict=False):
        axes.loglog(rates, [distances[rate][pair] for rate in rates], "o-", ms=4, lw=1.2, color=colour, label=pair)
    axes.loglog(rates, [4 * rate for rate in rates], ":", color="#555555", label="proportional to the rate")
    axes.set_xticks(rates, map(str, rates))
    axes.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    axes.set(title="Both recursions have one limit", xlabel="learning rate", ylabel="largest distance of paths")


def _draw_energies(axes: "Axes", times: Tensor, energies: Tensor) -> None:
    for values, r, colour in zip((energies / energies[0]).T, POLYNOMIAL, COLOURS, strict=False):
        axes.plot(times[::40], values[::40], lw=1.2, color=colour, label=f"r = {r:g}")
    axes.set(
        title="Memory r / t: energy falls only if r > 1/2", xlabel="time", ylabel="energy (start: 1)", yscale="log"
    )


def _draw_levels(axes: "Axes", places: Tensor, levels: Tensor) -> None:
    line = torch.linspace(-1.5, 8.5, 101, dtype=torch.float64)
    axes.fill_between(line, well(line.unsqueeze(1)), -0.1, color="#DDDDDD", lw=0)
    for friction, colour in zip(SHOWN, COLOURS, strict=False):
        row = FRICTIONS.index(friction)
        axes.plot(places[::8, row], levels[::8, row], lw=1.2, color=colour)
    axes.set(title="Friction 1 loses too much energy to pass", xlabel="x", ylabel="energy; landscape (grey)")
    axes.set(xlim=(-1.5, 8.5), ylim=(-0.1, 2))


def _draw_places(axes: "Axes", places: Tensor) -> None:
    time = torch.linspace(0, 40, len(places))
    for friction, colour in zip(SHOWN, COLOURS, strict=False):
        path = places[:, FRICTIONS.index(friction)]
        axes.plot(time[::8], path[::8], lw=1.2, color=colour, label=f"friction {friction:g}")
    axes.axhline(BARRIER, color="#555555", lw=1, ls="--", label="barrier")
    axes.set(title="The same balls in time", xlabel="time", ylabel="x")


def _draw_adam(axes: "Axes") -> None:
    paths = adam_paths(BETAS, [0.03], every=1)[:, :, 0]
    detail = axes.inset_axes((0.42, 0.42, 0.55, 0.4), xlim=(60, 140), ylim=(0.9, 1.45), xticks=[], yticks=[])
    detail.spines[:].set_visible(True)
    for view, steps, every in ((axes, 800, 8), (detail, 150, 1)):
        for path, beta1, colour in zip(paths.T, BETAS, COLOURS, strict=False):
            shown = range(0, steps + 1, every)
            view.plot(shown, path[list(shown)], lw=1.2, color=colour, label=f"beta1 = {beta1:g}")
        view.axhline(BARRIER, color="#555555", lw=1, ls="--", label="barrier")
    axes.indicate_inset_zoom(detail, edgecolor="#555555")
    axes.set(title="Adam at rate 0.03: long memory passes", xlabel="step", ylabel="x")


def _draw_border(axes: "Axes") -> None:
    memories, rates = torch.logspace(0, 3, 37).tolist(), torch.logspace(-3, -1, 25).tolist()
    ends = adam_paths([1 - 1 / steps for steps in memories], rates)[-1]
    axes.contourf(memories, rates, (ends > BARRIER).T, levels=[-0.5, 0.5, 1.5], colors=["#F3D3C0", "#BFDCEC"])
    axes.text(120, 0.03, "flat minimum", fontsize=8)
    axes.text(4, 0.004, "sharp minimum", fontsize=8)
    axes.axvline(2, color="#555555", lw=1, ls="--", label="beta1 = 0.5 (TTUR paper): over-damped")
    axes.set(title="Where Adam ends, by memory and rate", xlabel="memory 1 / (1 - beta1) in steps")
    axes.set(ylabel="learning rate", xscale="log", yscale="log")


def _by(settings: Sequence[float], places: Tensor) -> dict[float, float]:
    return dict(zip(settings, places.tolist(), strict=True))


def _listed(places: Mapping[float, float], flat: bool) -> str:
    return " ".join(str(setting) for setting, place in places.items() if (place > BARRIER) == flat) or "-"


def _record(quantity: str, setting: float, value: float, theory: float | None = None) -> dict[str, str | float | None]:
    return {"quantity": quantity, "setting": setting, "value": value, "theory": theory}
