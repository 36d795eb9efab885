"""Heavy balls with friction: recursions of optimisers, their differential equation, energy, and two landscapes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from textgan.engine.updates import ALTERNATING
from textgan.theory.dynamics import Agent, Rate, Step, simulate, start

Slope = Callable[[Tensor], Tensor]
"""The gradient of a landscape at points [..., dim]."""
Memory = Callable[[Tensor], Tensor]
"""The memory r(t): the moment follows the gradient at this rate. The time t is the sum of the learning rates so far."""

CURVATURES = torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)
SHARP, BARRIER, FLAT = 1.0180489684, 1.3757272391, 5.0
"""The stationary points of `well`: a sharp minimum, the barrier behind it, a flat minimum."""
_NARROW = -1 / (2 * 0.15**2)


def exponential(r: float | Tensor) -> Memory:
    """Return the memory r(t) = r, which forgets the gradients of long ago at a constant rate."""
    return lambda _t: torch.as_tensor(r, dtype=torch.float64)


def polynomial(r: float | Tensor) -> Memory:
    """Return the memory r(t) = r / t: the moment is a mean over a window that grows with time."""
    return lambda t: r / t


def heavy_ball(memory: Memory, new_moment: bool = False) -> Step:
    """Return the heavy ball's recursion: theta <- theta - a m, m <- m + a r (g - m), with the gradient g at old theta.

    Gadat, Panloup & Saadane 2018 (arXiv 1609.04228) move theta by the old moment; Adam moves it by the new
    one (`new_moment`), and calls 1 - a r beta1. The weight a r of a gradient is 1 at most, as at the start of a
    polynomial memory.
    """
    time, moment = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)

    def step(weights: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
        nonlocal time, moment
        new = moment + (rate * memory(time)).clamp(max=1) * (gradient - moment)
        weights -= rate * (new if new_moment else moment)
        time, moment = time + rate, new

    return step


def adam_in_one_line(beta1: float | Tensor, beta2: float | Tensor) -> Step:
    """Return Adam with each bias-corrected moment as one recursion; betas and rates may differ from path to path."""
    number, first, second = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)

    def step(weights: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
        nonlocal number, first, second
        number += 1
        first = corrected(first, gradient, beta1, number)
        second = corrected(second, gradient.square(), beta2, number)
        weights -= rate * first / (second.sqrt() + 1e-8)

    return step


def corrected(moment: Tensor, value: Tensor, beta: float | Tensor, number: int) -> Tensor:
    """Return a bias-corrected moment after the `number`-th value, from the moment before.

    The weight of the value, (1 - beta) / (1 - beta^n), falls from 1 to 1 - beta, at first like 1 / n: a polynomial
    memory turns into an exponential one.
    """
    return (beta * (1 - beta ** (number - 1)) * moment + (1 - beta) * value) / (1 - beta**number)


def swing_limit(beta1: float) -> float:
    """Return the product of rate and curvature above which a ball swings: (1 - sqrt(beta1)) / (1 + sqrt(beta1)).

    Below, the ball is over-damped, and creeps. It moves by the new moment; in Adam, the curvature is divided by the
    root of the second moment.
    """
    return float((1 - beta1**0.5) / (1 + beta1**0.5))


def roll(slope: Slope, weights: Tensor, rate: Rate, step: Step, steps: int, noise: float = 0, every: int = 1) -> Tensor:
    """Return the path of an optimiser on a landscape [1 + steps // every, ..., dim]; the noise has seed 0."""
    ball = Agent(weights, lambda players: slope(players["ball"]), rate, noise, step)
    return simulate({"ball": ball}, ALTERNATING, steps, every=every)["ball"]


def flow(
    slope: Slope, memory: Memory, state: Tensor, begin: float, step: float | Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Solve x' = -m, m' = r(t) (grad f(x) - m) from time `begin` by the Runge-Kutta method of order 4.

    That is x'' + r(t) x' + r(t) grad f(x) = 0, the limit of `heavy_ball` for small rates.

    Args:
        slope: gradient of f.
        memory: the memory r(t).
        state: place x and moment m at the start [2, rows, dim].
        begin: time at the start.
        step: length of a step; a tensor [rows, 1] gives every row a length.
        steps: number of steps.

    Returns:
        Times [1 + steps, 1 or rows, 1], and states [1 + steps, 2, rows, dim].
    """

    def velocity(t: Tensor, state: Tensor) -> Tensor:
        place, moment = state
        return torch.stack([-moment, memory(t) * (slope(place) - moment)])

    states, half = [state], torch.as_tensor(step, dtype=torch.float64) / 2
    times = begin + 2 * half * torch.arange(1 + steps).reshape(-1, 1, 1)
    for t in times[:-1]:
        first = velocity(t, state)
        second = velocity(t + half, state + half * first)
        third = velocity(t + half, state + half * second)
        fourth = velocity(t + 2 * half, state + 2 * half * third)
        state = state + half / 3 * (first + 2 * (second + third) + fourth)
        states.append(state)
    return times, torch.stack(states)


def energy(landscape: Slope, memory: Memory, times: Tensor, states: Tensor) -> Tensor:
    """Return the energy |x'|^2 / (2 r(t)) + f(x) along paths [points, rows], given those of `flow`.

    It changes at the rate -(1 + r' / (2 r^2)) |x'|^2: it falls if r is constant; for r / t only if r > 1/2. In the time
    sqrt(r) t of constant memory, it is kinetic plus potential energy, and the friction is sqrt(r).
    """
    return (states[:, 1].square() / (2 * memory(times))).sum(-1) + landscape(states[:, 0])


def at_rest(point: Sequence[float], rows: int = 1) -> Tensor:
    """Return the state [2, rows, dim] of balls at rest in a point."""
    place = start(point, rows)
    return torch.stack([place, torch.zeros_like(place)])


def bowl(x: Tensor) -> Tensor:
    """Return a quadratic landscape with curvatures 1, 10 and 0.1 at points [..., 3]."""
    return (CURVATURES * x.square()).sum(-1) / 2


def bowl_slope(x: Tensor) -> Tensor:
    """Return the gradient of `bowl`."""
    return CURVATURES * x


def well(x: Tensor) -> Tensor:
    """Return .05 (x - 5)^2 - .5 exp(-(x - 1)^2 / (2 * .15^2)) at points [..., 1]: a parabola with a sharp well."""
    return (0.05 * (x - FLAT).square() - 0.5 * ((x - 1).square() * _NARROW).exp()).squeeze(-1)


def well_slope(x: Tensor) -> Tensor:
    """Return the derivative of `well`."""
    from_well = x - 1
    return 0.1 * (x - FLAT) - _NARROW * from_well * (from_well * from_well * _NARROW).exp()
