"""Extragradient with the gradients of some of the players per step, which costs less. Does it pay?

The extragradient looks one step ahead and then steps from the old point, with the gradients of all players twice per
step. Player sampling (Jelassi et al. 2020) takes the gradients of b of n players, chosen anew for both halves of a
step, and scales them by n/b, which keeps the mean. Variance reduction keeps a table of every player's last gradient,
and moves all players by it. Cyclic sampling takes every ordered pair of player groups once per cycle: one group looks
ahead, the other moves.

The first table has min max xy. The second has random games of 50 players with 5 actions each: the Nash gap of the
averaged strategies, each method at its best learning rate, after equal numbers of gradient evaluations per player. The
third has the evaluations that a method takes to the gap that the extragradient with all players has at the end.

    python -m textgan.theory games
    python -m textgan.theory games --paths 10 --output games.svg
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.core.tables import Block
from textgan.engine.updates import parse_rule
from textgan.runs.plots import COLOURS
from textgan.theory.dynamics import Agent, constant, simulate, start
from textgan.theory.experiment import Findings, NoisyFlags, panels, run_experiment
from textgan.theory.many_players import (
    Method,
    cyclic,
    everyone,
    mirror_step,
    nash_gap,
    play,
    random_game,
    uniform,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

XY_RATE, XY_STEPS = 0.1, 1000
XY_GAME = torch.tensor([[0, 1], [-1, 0]], dtype=torch.float64).view(2, 1, 2, 1)
PLAYERS, ACTIONS = 50, 5
SKEWS = (0.95, 1.0)
RATES = {
    0.0: np.geomspace(0.15, 0.5, 8),
    1.0: np.geomspace(0.1, 0.5, 8),
    10.0: np.geomspace(0.02, 0.3, 8),
    100.0: np.geomspace(0.00003, 0.001, 8),
}
"""Learning rates that are tried, by standard deviation of the noise; times the share of players per evaluation."""
NOISES = tuple(RATES)
EVALUATIONS = 200  # per player

FULL = "all players"
METHODS = {
    FULL: Method(everyone, PLAYERS),
    "sampling, 25": Method(uniform, 25),
    "variance reduction, 25": Method(uniform, 25, keep=True),
    "variance reduction, 10": Method(uniform, 10, keep=True),
    "cyclic sampling, 25": Method(cyclic, 25),
}


@dataclass(frozen=True, kw_only=True)
class GamesFlags(NoisyFlags):
    """Flags of the experiment."""

    paths: int = 3
    """Number of paths, each with its own game of 50 players, noise and sampled players."""


def xy_paths(seed: int) -> dict[str, Tensor]:
    """Return the paths (x, y) [1 + steps, 2] from (1, 1) on min_x max_y xy under three rules and cyclic sampling."""
    paths = {}
    for rule in ("simultaneous", "alternating", "extragradient"):
        agents = {
            "x": Agent(start([1.0]), lambda of: of["y"], constant(XY_RATE)),
            "y": Agent(start([1.0]), lambda of: -of["x"], constant(XY_RATE)),
        }
        path = simulate(agents, parse_rule(rule), XY_STEPS)
        paths[rule] = torch.stack([path["x"], path["y"]], -1).view(-1, 2)
    both = torch.ones(1, 2, 1, dtype=torch.float64)
    cycled = play(XY_GAME, Method(cyclic, 1), both, constant(XY_RATE), XY_STEPS, torch.Generator().manual_seed(seed))
    return paths | {"cyclic sampling": cycled.view(-1, 2)}


def xy_growth() -> dict[str, float]:
    """Return the factor by which theory says the norm grows in all steps; for alternating steps the largest one.

    Alternating steps keep x^2 + y^2 - rate x y. A step of cyclic sampling multiplies areas by 1 - (2 rate)^2.
    """
    square = XY_RATE**2
    return {
        "simultaneous": (1 + square) ** (XY_STEPS / 2),
        "alternating": ((1 + XY_RATE / 2) / (1 - XY_RATE / 2)) ** 0.5,
        "extragradient": (1 - square + square**2) ** (XY_STEPS / 2),
        "cyclic sampling": (1 - 4 * square) ** (XY_STEPS / 2),
    }


def gaps(method: Method, paths: int, seed: int, evaluations: int = EVALUATIONS) -> tuple[Array, Array]:
    """Return evaluations per player [points], and the Nash gap there [points, paths, skews, noises, rates].

    Gaps are relative to the gap of uniform strategies, where every path starts.

    Args:
        method: the method.
        paths: number of paths, each with its own game.
        seed: seed of games and paths.
        evaluations: number of gradient evaluations per player.
    """
    share = method.count / PLAYERS
    rates = constant(torch.from_numpy(np.concatenate(list(RATES.values())) * share)[:, None, None])
    noise = torch.tensor([noise for noise in RATES for _ in RATES[noise]], dtype=torch.float64)[:, None, None]
    every = round(1 / share)  # steps per two evaluations of every player
    points = np.unique(np.geomspace(1, evaluations // 2, 18).astype(int))
    found = []
    for path in range(paths):
        random = torch.Generator().manual_seed(seed + path)
        games = torch.stack([random_game(PLAYERS, ACTIONS, skew, random) for skew in SKEWS])
        weights = torch.full((len(SKEWS), len(noise), PLAYERS, ACTIONS), 1 / ACTIONS, dtype=torch.float64).log()
        logarithms = play(
            games, method, weights, rates, evaluations // 2 * every, random, every=every, noise=noise,
            strategies=torch.exp, step=mirror_step,
        )  # fmt: skip
        averages = logarithms[1:].exp().cumsum(0)[points - 1] / torch.from_numpy(points).view(-1, 1, 1, 1, 1)
        shown = torch.cat([logarithms[:1].exp(), averages])
        gap = torch.stack([nash_gap(game, shown[:, row]) for row, game in enumerate(games)], 1)
        found.append(torch.unflatten(gap[1:] / gap[0], -1, (len(NOISES), -1)))
    return 2.0 * points, torch.stack(found, 1).numpy()


def at_best_rate(found: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return gaps at the rate with the smallest median at the end [points, paths, skews, noises], and its index."""
    best = np.median(found[-1], axis=0).argmin(-1)  # [skews, noises]
    return np.take_along_axis(found, best[None, None, ..., None], -1)[..., 0], best


def evaluations_to(target: float, evaluations: Array, gaps: Array) -> float | None:
    """Return the evaluations after which the gap stays at or below `target`, or None if it ends above.

    Between points, logarithms are interpolated.

    Args:
        target: the gap.
        evaluations: evaluations per player [points].
        gaps: gaps [points].
    """
    above = np.flatnonzero(gaps > target)
    if not len(above):
        return float(evaluations[0])
    if above[-1] == len(gaps) - 1:
        return None
    crossing = slice(above[-1], above[-1] + 2)
    return float(np.exp(np.interp(-np.log(target), -np.log(gaps[crossing]), np.log(evaluations[crossing]))))


def study(flags: GamesFlags) -> Findings:
    """Play both games with every method, and return the tables."""
    xy = xy_paths(flags.seed)
    xy_table = [["method", "norm at the end / at the start", "theory", "norm of the average / at the start"]]
    for name, theory in xy_growth().items():
        growth, average = (float(x) / 2**0.5 for x in (xy[name][-1].norm(), xy[name].mean(0).norm()))
        xy_table.append(
            [name, f"{growth:.4g}", f"{'at most ' * (name == 'alternating')}{theory:.4g}", f"{average:.4g}"]
        )
    found = {name: gaps(method, flags.paths, flags.seed) for name, method in METHODS.items()}
    records = _records(found)
    head = ["skew, noise", *METHODS]
    gap_table, cost_table = [head], [head]
    for first in range(0, len(records), len(METHODS)):
        rows = records[first : first + len(METHODS)]
        name = f"{rows[0]['skew']:g}, {rows[0]['noise']:g}"
        gap_table.append([name, *(f"{row['gap']:.3g}" for row in rows)])
        costs = (row["evaluations"] for row in rows)
        cost_table.append([name, *("not reached" if cost is None else f"{cost:.0f}" for cost in costs)])
    blocks = [
        Block(f"min max xy: {XY_STEPS} steps of rate {XY_RATE:g}", xy_table),
        Block(
            f"{PLAYERS} players: Nash gap after {EVALUATIONS} evaluations per player / at the start, "
            f"median of {flags.paths} games",
            gap_table,
        ),
        Block(f"evaluations per player to the gap of {FULL} at the end", cost_table),
    ]
    return Findings(blocks, records, lambda: draw(xy, found))


def _records(found: Mapping[str, tuple[Array, Array]]) -> list[dict[str, Any]]:
    """Return a row per game, noise and method: rate, gap at the end, evaluations to the gap of the full method."""
    best = {name: at_best_rate(gap) for name, (_, gap) in found.items()}
    records = []
    for row, skew in enumerate(SKEWS):
        for column, noise in enumerate(NOISES):
            medians = {name: np.median(gap[:, :, row, column], axis=1) for name, (gap, _) in best.items()}
            for name, median in medians.items():
                rate = RATES[noise][best[name][1][row, column]] * METHODS[name].count / PLAYERS
                cost = evaluations_to(medians[FULL][-1], found[name][0], median)
                records.append({
                    "skew": skew, "noise": noise, "method": name, "rate": float(rate), "gap": float(median[-1]),
                    "evaluations": cost,
                })  # fmt: skip
    return records


def draw(xy: Mapping[str, Tensor], found: Mapping[str, tuple[Array, Array]]) -> "Figure":
    """Draw the norm on min max xy, median Nash gaps of the large games, and the range of their ratios at the end.

    Args:
        xy: paths by method [1 + steps, 2].
        found: evaluations per player and gaps by method, as from `gaps`.
    """
    shown = NOISES[:-1]  # at the largest noise no method comes far
    columns = 2 + len(shown)
    title = "Extragradient with the gradients of some players: Nash gap of averaged strategies at the best rate"
    figure, axes = panels(2, columns, title, width=2.7)
    _draw_xy(axes[0], axes[columns], xy)
    colours = dict(zip(found, COLOURS, strict=False))
    best = {name: at_best_rate(gap)[0] for name, (_, gap) in found.items()}  # [points, paths, skews, noises]
    for row, skew in enumerate(SKEWS):
        for column, noise in enumerate(shown):
            panel = axes[row * columns + 1 + column]
            for name, (evaluations, _) in found.items():
                gap = np.median(best[name][:, :, row, column], axis=1)
                panel.plot(evaluations, gap, color=colours[name], lw=1.2, label=name)
            panel.set(xscale="log", yscale="log", ylim=(0.002, 3), ylabel="" if column else "gap / at the start")
            panel.set(xlabel="evaluations per player" if row else "")
            panel.minorticks_off()
            panel.tick_params(labelbottom=bool(row), labelleft=column == 0)
            panel.set_title(f"skew {skew:g}, noise {noise:g}")
        panel = axes[row * columns + columns - 1]
        for place, (name, gap) in enumerate(best.items()):
            ratio = gap[-1, :, row] / best[FULL][-1, :, row]  # [paths, noises]
            middle = np.median(ratio, axis=0)
            errors = [middle - ratio.min(0), ratio.max(0) - middle]
            x = np.arange(len(NOISES)) + 0.13 * (place - 2)
            panel.errorbar(x, middle, errors, fmt="o", ms=3, lw=1, color=colours[name])
        panel.axhline(1, color="black", lw=0.8, ls="--")
        panel.set_xticks(range(len(NOISES)), [f"{noise:g}" for noise in NOISES])
        panel.set(xlabel="noise" if row else "", ylabel=f"gap / {FULL}", yscale="log", ylim=(0.7, 3.5))
        panel.set_yticks([0.7, 1, 1.5, 2, 3], ["0.7", "1", "1.5", "2", "3"])
        panel.minorticks_off()
        panel.tick_params(labelbottom=bool(row))
        panel.set_title(f"skew {skew:g}, at the end")
    axes[1].legend(fontsize=7, frameon=False, loc="lower left")
    return figure


def _draw_xy(norm: "Axes", average: "Axes", xy: Mapping[str, Tensor]) -> None:
    steps = np.arange(XY_STEPS + 1)
    colours = ("black", "#999999", COLOURS[0], COLOURS[4])  # the last two are methods of the other panels too
    for colour, (name, path) in zip(colours, xy.items(), strict=True):
        averages = path.cumsum(0) / torch.arange(1, len(path) + 1)[:, None]
        norm.plot(steps[::10], path[::10].norm(dim=-1), color=colour, lw=1.2, label=name)
        average.plot(steps[::10], averages[::10].norm(dim=-1), color=colour, lw=1.2)
    for panel, label in ((norm, "norm of (x, y)"), (average, "norm of the average")):
        panel.set(yscale="log", ylim=(1e-4, 1e3), ylabel=label)
        panel.minorticks_off()
    norm.set_title("min max xy")
    norm.tick_params(labelbottom=False)
    average.set_xlabel("step")
    norm.legend(fontsize=7, frameon=False, loc="lower left")


def main(arguments: list[str]) -> int:
    """Run the experiment and return its exit status."""
    return run_experiment(GamesFlags, study, arguments, "games", __doc__)
