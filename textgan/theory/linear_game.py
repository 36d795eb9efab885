"""A linear game of a generator and a critic that is stable only if the critic's rate is large enough.

Without noise, the generator's weight moves as theta' = 1.2 theta - 3 w, and the critic's as w' = theta - w. The critic
alone settles at w = theta; there the generator moves as theta' = -1.8 theta. The generator alone runs away. In the
limit of small rates a of the generator and b of the critic, the game is stable if and only if b > 1.2 a.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textgan.engine.schedules import assumption_a2, parse_schedule
from textgan.engine.updates import Rule, parse_rule
from textgan.theory.dynamics import Agent, Rate, Step, Weights, adam, descend, overflowed, simulate, start

GROWTH, PULL = 1.2, 3.0
START = (0.5, 0.5)
NOISE = 0.1
SIMULTANEOUS = parse_rule("simultaneous")
"""The recursion of the theorem: both players move at the same point."""
BETAS = (0.5, 0.9)
"""Adam's numbers in the language experiments of the TTUR paper."""


def generator_slope(weights: Weights) -> Tensor:
    """Return the gradient that the generator descends."""
    return PULL * weights["critic"] - GROWTH * weights["generator"]


def critic_slope(weights: Weights) -> Tensor:
    """Return the gradient that the critic descends."""
    return weights["critic"] - weights["generator"]


def sgd(_weights: Tensor) -> Step:
    """Return gradient descent."""
    return descend


def paper_adam(weights: Tensor) -> Step:
    """Return Adam for these weights."""
    return adam(weights, *BETAS)


OPTIMISERS: dict[str, Callable[[Tensor], Step]] = {"SGD": sgd, "Adam": paper_adam}


@dataclass(frozen=True)
class Case:
    """Rates of generator (a) and critic (b) at the first step, and their schedules (`parse_schedule`)."""

    name: str
    a: float
    b: float
    generator: str = "constant"
    critic: str = "constant"

    def a2(self, exchanged: bool = False) -> tuple[bool, str]:
        """Return whether assumption A2 holds, and why; with `exchanged`, if the generator is the fast player."""
        schedules = (self.critic, self.generator) if exchanged else (self.generator, self.critic)
        return assumption_a2(*schedules)


def play(
    cases: Sequence[Case], paths: int, steps: int, every: int = 1, seed: int = 0, noise: float = NOISE,
    begin: Sequence[float] = START, optimisers: tuple[str, str] = ("SGD", "SGD"), rule: Rule = SIMULTANEOUS,
) -> Tensor:  # fmt: skip
    """Return the points (theta, w) of all paths [1 + steps // every, cases, paths, 2].

    Args:
        cases: rates and schedules.
        paths: number of paths per case.
        steps: number of iterations.
        every: iterations between recorded points.
        seed: seed of the noise.
        noise: standard deviation of the noise on each gradient.
        begin: theta and w at the start.
        optimisers: of generator and critic, keys of `OPTIMISERS`.
        rule: the update rule; if it alternates, the generator moves first.
    """

    def agent(first: float, slope: Callable[[Weights], Tensor], rate: Rate, optimiser: str) -> Agent:
        weights = start([first], len(cases), paths)
        return Agent(weights, slope, rate, noise, OPTIMISERS[optimiser](weights))

    agents = {
        "generator": agent(
            begin[0], generator_slope, rates([(case.a, case.generator) for case in cases]), optimisers[0]
        ),
        "critic": agent(begin[1], critic_slope, rates([(case.b, case.critic) for case in cases]), optimisers[1]),
    }
    path = simulate(agents, rule, steps, seed, every)
    return overflowed(torch.cat([path["generator"], path["critic"]], dim=-1))


def rates(of_cases: Sequence[tuple[float, str]]) -> Rate:
    """Return the rates of all cases [cases, 1, 1] as a function of the update, from first rates and schedules."""
    schedules = [(rate, parse_schedule(spec, None)) for rate, spec in of_cases]

    def at(n: int) -> Tensor:
        return torch.tensor([rate * schedule(n) for rate, schedule in schedules], dtype=torch.float64).view(-1, 1, 1)

    return at


def step_matrices(cases: Sequence[Case], rule: Rule = SIMULTANEOUS) -> Tensor:
    """Return the matrix of one noise-free step of (theta, w) [cases, 2, 2], by playing it from (1, 0) and (0, 1)."""
    columns = [play(cases, 1, 1, noise=0, begin=begin, rule=rule)[-1, :, 0] for begin in ((1, 0), (0, 1))]
    return torch.stack(columns, dim=-1)


def trace_and_determinant(a: float, b: float, alternating: bool = False) -> tuple[float, float]:
    """Return trace and determinant of the matrix of one noise-free step of (theta, w).

    Simultaneous updates have the matrix [[1 + 1.2 a, -3 a], [b, 1 - b]]. If the generator moves first, the critic sees
    the new theta, and the second row is [b (1 + 1.2 a), 1 - b - 3 a b].
    """
    if alternating:
        return 2 + GROWTH * a - b - PULL * a * b, (1 + GROWTH * a) * (1 - b)
    return 2 + GROWTH * a - b, (1 + GROWTH * a) * (1 - b) + PULL * a * b


def radius(a: float, b: float, alternating: bool = False) -> float:
    """Return the spectral radius of a step: what the distance is multiplied by per step in the long run."""
    trace, determinant = trace_and_determinant(a, b, alternating)
    square = trace**2 / 4 - determinant
    return math.sqrt(determinant) if square < 0 else abs(trace) / 2 + math.sqrt(square)


def stable(a: float, b: float, alternating: bool = False) -> bool:
    """Return whether a step shrinks the distance in the long run, by the conditions of Jury on a 2 x 2 matrix.

    They are det < 1, 1 + trace + det > 0, and 1 - trace + det > 0, which always holds: it is 1.8 a b. The first one
    bounds b from below (`threshold`), the second one bounds the rates from above (b = 2 for small a).
    """
    trace, determinant = trace_and_determinant(a, b, alternating)
    return determinant < 1 and 1 + trace + determinant > 0


def threshold(a: float, alternating: bool = False) -> float:
    """Return the least stable rate b of the critic: 1.2 a / (1 - 1.8 a), alternating 1.2 a / (1 + 1.2 a)."""
    return GROWTH * a / (1 + GROWTH * a if alternating else 1 - (PULL - GROWTH) * a)


SIGN_THRESHOLD = math.sqrt(GROWTH / PULL)
"""Least stable ratio b / a of sign descent, which Adam is far from the saddle point: 0.632 in place of 1.2."""


def sign_turn(ratio: float) -> float:
    """Return what sign descent with small rates multiplies the distance by per half turn, for 0.4 < b / a <= 1.

    Every weight moves at constant speed. From (s, s) both fall until the generator turns on the line 3 w = 1.2 theta,
    then the critic turns on the line w = theta at -s times the value returned. It is 1 at `SIGN_THRESHOLD`; at a ratio
    of 1 or more the paths slide along w = theta to the saddle point.
    """
    line = GROWTH / PULL
    generator_turns = (1 - ratio) / (ratio - line)
    return generator_turns * (ratio + line) / (1 + ratio)
