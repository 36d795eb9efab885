"""Two time-scales decide whether a game converges: a linear game that is stable only if the critic is fast enough.

theta' = 1.2 theta - 3 w (generator, rate a), w' = theta - w (critic, rate b), noise on every gradient. The theorem
behind TTUR (Borkar 1997; Heusel et al. 2017, arXiv 1706.08500, theorem 1), in plain words: let both rates fall to 0,
but slowly enough that training can go any distance (A2: infinite sums, finite sums of squares), and the generator's
rate a(n) faster than the critic's b(n), so that a(n) / b(n) falls to 0. If the critic settles against every fixed
generator, and the generator settles against a critic that has (A4), then the noise averages out and both settle,
almost surely. Gradients must be Lipschitz (A1), noise must have mean 0 and bounded variance (A3), and weights must stay
bounded (A5).

Here the critic settles alone, and the generator alone runs away. Exchanged rates diverge: rates and players may be
exchanged in A2, not in A4.

    python -m textgan.theory timescale
    python -m textgan.theory timescale --output timescale.svg
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from eval.core.tables import Block
from textgan.engine.updates import parse_rule
from textgan.runs.plots import COLOURS
from textgan.theory.dynamics import first_step
from textgan.theory.experiment import Findings, NoisyFlags, band, panels, run_experiment
from textgan.theory.linear_game import GROWTH, PULL, SIGN_THRESHOLD, START, Case, play, radius, step_matrices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONSTANT = (
    Case("b = a", 0.01, 0.01),
    Case("b = 1.5 a", 0.01, 0.015),
    Case("b = 10 a", 0.01, 0.1),
    Case("a = 10 b", 0.1, 0.01),
)
DECAYING = (
    Case("a = o(b)", 0.5, 0.5, "power:0.9", "power:0.6"),
    Case("equal", 0.5, 0.5, "power:0.75", "power:0.75"),
    Case("exchanged", 0.5, 0.5, "power:0.6", "power:0.9"),
)
STEPS = 20_000
EVERY = 10
FAR = 1e6
"""A path has failed when its distance exceeds this number."""

RATIOS = (1 / 27, 1 / 9, 1 / 3, 1.0, 3.0, 9.0, 27.0)
"""b / a at sqrt(a b) = 0.01, as in the suite of controls."""
BY_RATIO = tuple(Case(f"b / a = {ratio:.3g}", 0.01 / math.sqrt(ratio), 0.01 * math.sqrt(ratio)) for ratio in RATIOS)
PAIRS = (("SGD", "SGD"), ("Adam", "Adam"), ("Adam", "SGD"), ("SGD", "Adam"))
"""Optimisers of generator and critic."""
PAIR_STEPS = 3000


@dataclass(frozen=True)
class Found:
    """The results of a case with optimisers of generator and critic; None stands for infinity, or for no value.

    Attributes:
        a2: whether assumption A2 holds.
        a2_exchanged: whether it holds if the generator counts as the fast player.
        reason: why A2 holds or does not.
        radius: the spectral radius of a step, if rates are constant and both players use SGD.
        fails: median over paths of the first recorded step with a distance above `FAR`.
        distance: median over paths of the mean distance in the last tenth.
    """

    name: str
    a: float
    b: float
    generator: str
    critic: str
    optimisers: str
    a2: bool
    a2_exchanged: bool
    reason: str
    radius: float | None
    fails: float | None
    distance: float | None


def measure(case: Case, norm: Tensor, optimisers: tuple[str, str] = ("SGD", "SGD")) -> Found:
    """Return the results of a case from the distances of its paths every `EVERY` steps [points, paths]."""
    fails = EVERY * np.median(first_step(norm > FAR))
    distance = np.median(norm[-(len(norm) // 10) :].mean(dim=0))
    holds, reason = case.a2()
    linear = optimisers == ("SGD", "SGD") and case.generator == case.critic == "constant"
    return Found(
        **asdict(case),
        optimisers=", ".join(optimisers),
        a2=holds,
        a2_exchanged=case.a2(exchanged=True)[0],
        reason=reason,
        radius=radius(case.a, case.b) if linear else None,
        fails=float(fails) if math.isfinite(fails) else None,
        distance=float(distance) if math.isinf(fails) else None,
    )


def outcome(found: Found) -> str:
    """Return the distance at the end, or the step at which most paths have failed."""
    return f"fails at {found.fails:.0f}" if found.distance is None else f"{found.distance:.2g}"


def study(flags: NoisyFlags) -> Findings:
    """Play the game with constant and decaying rates, and with SGD and Adam per player."""
    cases = (*CONSTANT, *DECAYING)
    norm = play(cases, flags.paths, STEPS, EVERY, flags.seed).norm(dim=-1)
    found = [measure(case, norm[:, number]) for number, case in enumerate(cases)]
    by_pair = {
        pair: play(BY_RATIO, flags.paths, PAIR_STEPS, EVERY, flags.seed, optimisers=pair).norm(dim=-1) for pair in PAIRS
    }
    by_ratio = [
        [measure(case, distances[:, number], pair) for number, case in enumerate(BY_RATIO)]
        for pair, distances in by_pair.items()
    ]
    blocks = [
        Block(
            f"Linear game, simultaneous SGD, {STEPS} steps, {flags.paths} paths",
            [
                ("", "a(n)", "b(n)", "factor per step", "A2", "A2, roles exchanged", "distance at the end"),
                *(
                    [
                        result.name,
                        rate(result.a, result.generator),
                        rate(result.b, result.critic),
                        "" if result.radius is None else f"{result.radius:.6f}",
                        *("holds" if holds else "no" for holds in (result.a2, result.a2_exchanged)),
                        outcome(result),
                    ]
                    for result in found
                ),
            ],
            [
                "factor per step: closed form; below 1 if and only if b > 1.2 a / (1 - 1.8 a)",
                *(f"{result.name}: {result.reason}" for result in found if result.generator != "constant"),
                f"A4 holds if the critic is fast: it settles alone (rate -1), then the generator ({GROWTH - PULL:g})",
                f"A4 fails if the generator is fast, even where A2 holds: alone it runs away (rate {GROWTH:+g})",
            ],
        ),
        Block(
            f"Distance at the end by b / a at sqrt(a b) = 0.01, {PAIR_STEPS} steps",
            [
                ("generator, critic", *(f"{ratio:.3g}" for ratio in RATIOS)),
                *([row[0].optimisers, *map(outcome, row)] for row in by_ratio),
            ],
            [
                "SGD for both: stable if b > 1.2 a / (1 - 1.8 a)",
                f"Adam for both: far from (0, 0) it is sign descent, which drifts away if b < {SIGN_THRESHOLD:.3f} a",
                "and near (0, 0) it is SGD at rates divided by the noise, which circles if b < 1.2 a",
                "Adam, SGD: far away the generator is slow beside the critic, so paths stay on a cycle of size a / b",
                "SGD, Adam: far away the critic is slow beside the generator, so a path that gets far is lost",
            ],
        ),
    ]
    records = [asdict(result) for result in (*found, *(result for row in by_ratio for result in row))]
    return Findings(blocks, records, lambda: draw(norm, by_ratio, by_pair[("Adam", "Adam")]))


def rate(first: float, schedule: str) -> str:
    """Return a rate as text."""
    return f"{first:g}" + (f" n^-{schedule.partition(':')[2]}" if schedule != "constant" else "")


def draw(norm: Tensor, by_ratio: Sequence[Sequence[Found]], adam: Tensor) -> "Figure":
    """Draw six panels from distances by case [points, cases, paths], results by ratio, and distances under Adam."""
    figure, axes = panels(2, 3, "A linear game in which the ratio of the two learning rates decides", 3.9, 3.1)
    verdicts = [f"{case.name}: A2 {'holds' if case.a2()[0] else 'does not hold'}" for case in DECAYING]
    draw_distances(axes[0], norm[:, : len(CONSTANT)], [case.name for case in CONSTANT])
    axes[0].set_title("constant rates: only a faster critic settles")
    draw_distances(axes[1], norm[:, len(CONSTANT) :], verdicts)
    axes[1].set_title("decaying rates: only a = o(b) converges")
    draw_plane(axes[2])
    draw_radius(axes[3])
    draw_pairs(axes[4], by_ratio)
    draw_distances(axes[5], adam[:, 1:5], [f"b / a = {ratio:.3g}" for ratio in RATIOS[1:5]])
    axes[5].set(ylim=(1e-2, 1e3), title="Adam for both: a drift in place of an explosion")
    for panel in axes:
        panel.minorticks_off()
        panel.legend(fontsize=8, frameon=False)
    return figure


def draw_distances(panel: "Axes", norm: Tensor, names: Sequence[str]) -> None:
    """Draw distances [points, cases, paths] against steps."""
    shown = np.unique(np.geomspace(1, len(norm) - 1, 60).astype(int))
    for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        band(panel, EVERY * shown, norm[shown, number].clamp(max=100 * FAR), colour, label=name)
    panel.set(xscale="log", yscale="log", ylim=(1e-3, FAR), xlabel="step", ylabel="distance")


def draw_plane(panel: "Axes") -> None:
    """Draw a path without noise for a fast critic, and one for a fast generator, with a dot every 20 steps."""
    line = np.array([-2.0, 2.0])
    panel.plot(line, line, color="grey", lw=1, label="the critic rests")
    panel.plot(line, GROWTH / PULL * line, color="grey", lw=1, ls="--", label="the generator rests")
    path = play(CONSTANT[2:], 1, 400, noise=0)[:, :, 0]
    for number, case in enumerate(CONSTANT[2:]):
        colour = COLOURS[2 + number]
        panel.plot(*path[:, number].T, color=colour, label=case.name)
        panel.plot(*path[::20, number].T, ".", color=colour, ms=4)
    panel.plot(*START, "o", color="black", ms=4)
    panel.set(xlim=(-1.2, 1.2), ylim=(-0.8, 0.8), xlabel="theta (generator)", ylabel="w (critic)")
    panel.set_title("a fast critic leads in, a fast generator out")


def draw_radius(panel: "Axes") -> None:
    """Draw growth per step by b / a in closed form, and as measured on one step of each rule."""
    scale = 0.1
    ratios = np.geomspace(1 / 27, 27, 61)
    cases = [Case("", scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for ratio in ratios]
    for name, colour in (("simultaneous", COLOURS[0]), ("alternating", COLOURS[1])):
        theory = [radius(case.a, case.b, name == "alternating") for case in cases]
        panel.plot(ratios, theory, color=colour, label=f"{name}, theory")
        measured = torch.linalg.eigvals(step_matrices(cases[::6], parse_rule(name))).abs().amax(-1)
        panel.plot(ratios[::6], measured, "o", color=colour, ms=4, mfc="white", label="measured")
    panel.axhline(1, color="black", lw=0.8)
    panel.axvline(GROWTH, color="black", lw=1, ls=":", label=f"b = {GROWTH:g} a")
    panel.set(xscale="log", xlabel=f"b / a at sqrt(a b) = {scale:g}", ylabel="factor per step")
    panel.set_title("spectral radius: below 1 is stable")


def draw_pairs(panel: "Axes", by_ratio: Sequence[Sequence[Found]]) -> None:
    """Draw the distance at the end by b / a, for SGD and Adam per player; failed runs stand at the top."""
    for row, colour in zip(by_ratio, COLOURS, strict=False):
        ends = [FAR if found.distance is None else found.distance for found in row]
        panel.plot(RATIOS, ends, ".-", color=colour, lw=1, label=row[0].optimisers)
    failed = [found.b / found.a for row in by_ratio for found in row if found.distance is None]
    panel.plot(failed, [FAR] * len(failed), "kx", label="fails")
    panel.axvline(GROWTH, color="black", lw=1, ls=":", label=f"b = {GROWTH:g} a")
    panel.axvline(SIGN_THRESHOLD, color="black", lw=1, ls="--", label=f"b = {SIGN_THRESHOLD:.3f} a")
    panel.set(xscale="log", yscale="log", ylim=(1e-2, 2 * FAR), xlabel="b / a at sqrt(a b) = 0.01")
    panel.set(ylabel=f"distance after {PAIR_STEPS} steps")
    panel.set_title("optimisers of generator, critic")


def main(arguments: list[str]) -> int:
    """Run the command."""
    return run_experiment(NoisyFlags, study, arguments, "timescale", __doc__)
