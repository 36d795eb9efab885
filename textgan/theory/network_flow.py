"""Flows and prices on a network, both on one time scale: the noise of their gradients averages out, a bias stays.

A line of four nodes has three links. Flow 0 uses all of them, flows 1 to 3 one link each. Every flow earns log x and
pays the prices of its links; a link raises its price while it is overloaded. Both sides follow noisy gradients with
the same decaying rate. They come to the optimum if the errors of their gradients have mean 0; with a mean b they
come to the optimum of another problem, with utility log x + b x and capacities raised by b. A critic that is not at
its optimum is a bias of this kind in the generator's gradient: small steps do not remove it.

    python -m textgan.theory network-flow
    python -m textgan.theory network-flow --output flow.svg
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor

from eval.core.tables import Block, fixed
from textgan.engine.updates import Rule, simultaneous
from textgan.runs.plots import COLOURS
from textgan.theory.dynamics import Agent, Step, Weights, simulate, start
from textgan.theory.experiment import Findings, NoisyFlags, panels, run_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

# The network and its constants are of our choice.
ROUTES = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]], dtype=torch.float64)
"""Which flow uses which link [links, flows]."""
CAPACITIES = torch.tensor([1, 2, 1], dtype=torch.float64)
FLOW_LIMITS, PRICE_LIMITS = (0.05, 2.0), (0.0, 10.0)
BIASES = (0.0, 0.05, 0.1, 0.3, 0.6, 1.0)
STEPS, EVERY = 20_000, 100
_FIRST = ([0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0])  # flows and prices at the start; the end does not depend on them


def rate(n: int) -> float:
    """Return the learning rate of both players at update n = 0, 1, ..."""
    return float(0.5 * (n + 20) ** -0.75)


def projected(low: float, high: float) -> Step:
    """Return a step of gradient descent that is clipped to an interval."""

    def step(weights: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
        weights.sub_(rate * gradient).clamp_(low, high)

    return step


def agents(biases: Sequence[float], paths: int, noise: float = 1.0) -> dict[str, Agent]:
    """Return the players: flows [biases, paths, 4] and prices [biases, paths, 3].

    Args:
        biases: mean errors of the gradients, the same in every component.
        paths: number of independent paths per bias.
        noise: standard deviation of the errors.
    """
    bias = torch.tensor(biases, dtype=torch.float64)[:, None, None]

    def flows(weights: Weights) -> Tensor:
        return -(1 / weights["flows"] - weights["prices"] @ ROUTES + bias)

    def prices(weights: Weights) -> Tensor:
        return CAPACITIES - weights["flows"] @ ROUTES.T + bias

    flow_start, price_start = (start(first, len(biases), paths) for first in _FIRST)
    return {
        "flows": Agent(flow_start, flows, rate, noise, projected(*FLOW_LIMITS)),
        "prices": Agent(price_start, prices, rate, noise, projected(*PRICE_LIMITS)),
    }


def equilibrium(bias: float = 0.0) -> tuple[Array, Array]:
    """Return flows [4] and prices [3] at which the biased gradients vanish: the optimum if the bias is 0.

    Flow 0 decides: the flow beside it on a link takes the rest of the link, up to the limit of flows. Up to a bias of
    1 this limit concerns the middle link alone, of which the price is what flow 0 earns beyond the other prices.
    """
    capacities = CAPACITIES.numpy() + bias

    def rest(first: float) -> Array:
        flows: Array = np.minimum(capacities - first, FLOW_LIMITS[1])
        return flows

    def excess(first: float) -> float:
        below = capacities - first < FLOW_LIMITS[1]
        return 1 / first + bias - float(np.where(below, 1 / rest(first) + bias, 0.0).sum())

    first = float(brentq(excess, 1e-3, capacities.min() - 1e-3, xtol=1e-14))
    flows = np.array([first, *rest(first)])
    prices = 1 / flows[1:] + bias
    if flows[2] > FLOW_LIMITS[1] - 1e-9:
        prices[1] = 1 / first + bias - prices[0] - prices[2]
    return flows, prices


def spread(steps: int = STEPS) -> float:
    """Return the relative distance (root mean square) from the optimum that the noise leaves after `steps` steps.

    Covariance of the linearised process: P <- (I - e A) P (I - e A)^T + e^2 I with the rate e, A the derivative of the
    players' gradients.
    """
    flows, prices = equilibrium()
    routes, identity = ROUTES.numpy(), np.eye(7)
    derivative = np.block([[np.diag(flows**-2), routes.T], [-routes, np.zeros((3, 3))]])
    covariance = np.zeros((7, 7))
    for n in range(steps):
        factor = identity - rate(n) * derivative
        covariance = factor @ covariance @ factor.T + rate(n) ** 2 * identity
    return float(np.sqrt(np.trace(covariance) / (flows @ flows + prices @ prices)))


def distances(path: Mapping[str, Tensor]) -> Tensor:
    """Return the distance of flows and prices together from the optimum, relative to the optimum's own length."""
    optimum = torch.from_numpy(np.concatenate(equilibrium()))
    away = torch.cat([path["flows"], path["prices"]], -1) - optimum
    relative: Tensor = away.norm(dim=-1) / optimum.norm()
    return relative


def predicted(biases: Sequence[float]) -> Array:
    """Return the relative distances expected at the end: bias and noise added as perpendicular vectors."""
    flows, prices = (torch.from_numpy(np.stack(parts)) for parts in zip(*map(equilibrium, biases), strict=True))
    distance: Array = np.hypot(distances({"flows": flows, "prices": prices}).numpy(), spread())
    return distance


def study(flags: NoisyFlags) -> Findings:
    """Simulate the network at each bias, and compare the distances at the end with theory."""
    path = simulate(agents(BIASES, flags.paths), Rule(simultaneous), STEPS, flags.seed, EVERY)
    distance = distances(path).numpy()  # [points, biases, paths]
    low, middle, high = np.quantile(distance, [0.1, 0.5, 0.9], axis=-1)
    numbers = np.stack([predicted(BIASES), middle[-1], low[-1], high[-1]], -1).tolist()
    records = [
        {"bias": bias, **dict(zip(("predicted", "median", "low", "high"), row, strict=True))}
        for bias, row in zip(BIASES, numbers, strict=True)
    ]
    table = [["bias", "predicted", "median", "10 to 90 %"]]
    table += [
        [f"{row['bias']:g}", fixed(row["predicted"]), fixed(row["median"]), f"{row['low']:.4f} to {row['high']:.4f}"]
        for row in records
    ]
    flows, prices = (", ".join(map(fixed, part)) for part in equilibrium())
    title = f"relative distance from the optimum after {STEPS} steps, {flags.paths} paths"
    return Findings(
        [Block(title, table, [f"optimum: flows {flows}; prices {prices}"])], records, lambda: draw(low, middle, high)
    )


def draw(low: Array, middle: Array, high: Array) -> "Figure":
    """Draw the distances against steps and, at the end, against the bias.

    Args:
        low: 10 % quantile over paths [points, biases].
        middle: median [points, biases].
        high: 90 % quantile [points, biases].
    """
    from matplotlib import colormaps

    figure, (steps_panel, bias_panel) = panels(1, 2, "Network flow: noise averages out, a bias of the gradients stays")
    steps = EVERY * np.arange(1, len(middle))
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(BIASES)))
    for row, (bias, colour) in enumerate(zip(BIASES, colours, strict=True)):
        steps_panel.fill_between(steps, low[1:, row], high[1:, row], color=colour, alpha=0.2, lw=0)
        steps_panel.plot(steps, middle[1:, row], color=colour, lw=1.2, label=f"bias {bias:g}")
    steps_panel.set(xscale="log", yscale="log", xlabel="step", ylabel="relative distance", ylim=(0.004, 0.8))
    steps_panel.set_title("distance from the optimum")
    steps_panel.legend(fontsize=7, frameon=False, ncols=2, loc="lower left")
    grid = np.linspace(0, 1, 101)
    bias_panel.plot(grid, predicted(grid.tolist()), color="black", lw=1, ls="--", label="theory")
    errors = [middle[-1] - low[-1], high[-1] - middle[-1]]
    bias_panel.errorbar(BIASES, middle[-1], errors, fmt="o", color=COLOURS[0], ms=4, label="measured, 10 to 90 %")
    bias_panel.annotate("flow 2 reaches its limit", (0.37, 0.22), (0.45, 0.12), arrowprops={"arrowstyle": "-"}, size=8)
    bias_panel.set(xlabel="bias", ylabel="relative distance")
    bias_panel.set_title(f"after {STEPS:,} steps")
    bias_panel.legend(fontsize=8, frameon=False)
    return figure


def main(arguments: list[str]) -> int:
    """Run the experiment and return its exit status."""
    return run_experiment(NoisyFlags, study, arguments, "network-flow", __doc__)
