"""Adam as a heavy ball: recursions against each other, the equation against closed forms, balls against energy."""

import contextlib
import io
import json
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.special import hyp0f1
from torch import Tensor

from data.errors import InputError
from textgan.engine.updates import ALTERNATING, Play, Rule
from textgan.theory.balls import (
    BARRIER,
    FLAT,
    SHARP,
    at_rest,
    bowl_slope,
    corrected,
    exponential,
    flow,
    heavy_ball,
    polynomial,
    roll,
    swing_limit,
    well,
    well_slope,
)
from textgan.theory.dynamics import adam, constant, power, start
from textgan.theory.heavyball import (
    BOWL_START,
    adam_difference,
    adam_paths,
    column,
    friction_paths,
    main,
    polynomial_energy,
)

Points = NDArray[np.float64]
H = np.array([1.0, 10.0, 0.1])


Found = dict[str, dict[float, float]]


@pytest.fixture(scope="module")
def found() -> Found:
    """The command's records: quantity -> setting -> value."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["--json"]) == 0
    values: Found = {}
    for record in json.loads(printed.getvalue()):
        values.setdefault(record["quantity"], {})[record["setting"]] = record["value"]
    return values


def drawn_noise(steps: int) -> Points:
    """The noise that a simulation of seed 0 draws [steps, 3]."""
    random = torch.Generator().manual_seed(0)
    return torch.cat([torch.randn(1, 3, generator=random, dtype=torch.float64) for _ in range(steps)]).numpy()


def adams_moment(steps: int, new_moment: bool) -> Points:
    """The recursion as Adam's first moment with beta1 = 1 - a(n+1) r(n), a(n) = .1 n^-.6, r(n) = 3 / sum of a."""
    x, moment, path, time = np.array(BOWL_START), np.zeros(3), [np.array(BOWL_START)], 0.0
    for n, noise in enumerate(drawn_noise(steps)):
        rate = 0.1 * (n + 1) ** -0.6
        beta1 = 1 - min(1.0, rate * 3 / time) if n else 0.0
        new = beta1 * moment + (1 - beta1) * (H * x + noise)
        x = x - rate * (new if new_moment else moment)
        moment, time = new, time + rate
        path.append(x)
    return np.array(path)


def polyak(steps: int) -> Points:
    """The recursion in places alone: Polyak's x + momentum (x - last x) - (step) (last gradient)."""
    last, x, path = np.array(BOWL_START), np.array(BOWL_START), [np.array(BOWL_START)] * 2
    rates = 0.1 * np.arange(1, steps + 1) ** -0.6
    noise, times = drawn_noise(steps), np.cumsum(rates)
    for n in range(1, steps):
        share = min(1.0, rates[n - 1] * 3 / times[n - 2]) if n > 1 else 1.0
        momentum = rates[n] / rates[n - 1] * (1 - share)
        x, last = x + momentum * (x - last) - rates[n] * share * (H * last + noise[n - 1]), x
        path.append(x)
    return np.array(path)


@cache
def gadat_path(steps: int = 2000) -> Points:
    ball = heavy_ball(polynomial(3.0))
    return roll(bowl_slope, start(BOWL_START, 1), power(0.1, 0.6), ball, steps, noise=1)[:, 0].numpy()


def test_gadats_recursion_is_adams_moment_and_polyaks_ball() -> None:
    path = gadat_path()
    assert np.ptp(path[:, 0]) > 1
    assert np.abs(path - adams_moment(2000, new_moment=False)).max() < 1e-13
    assert np.abs(path - polyak(2000)).max() < 1e-11


def test_adams_order_of_the_moments_is_not_gadats() -> None:
    assert np.abs(gadat_path() - adams_moment(2000, new_moment=True)).max() > 0.01


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9, 0.99])
def test_adam_in_one_line_is_torchs_adam(beta1: float) -> None:
    assert adam_difference(beta1) < 1e-12


def test_a_corrected_moment_is_a_weighted_mean() -> None:
    values = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moment = almost_one = printed = torch.zeros(3, dtype=torch.float64)
    for number, value in enumerate(values, 1):
        moment = corrected(moment, value, 0.9, number)
        almost_one = corrected(almost_one, value, 1 - 1e-6, number)
        printed = (0.9 * printed + 0.1 * value) / (1 - 0.9**number)  # corrects the moment before a second time
        weights = 0.9 ** np.arange(number - 1, -1, -1)
        assert np.allclose(moment, weights @ values[:number].numpy() / weights.sum(), rtol=0, atol=1e-14)
    # A memory that forgets nothing is polynomial with r = 1: the mean of all gradients.
    assert torch.allclose(almost_one, values.mean(0), rtol=0, atol=1e-4)
    assert not torch.allclose(printed, moment, rtol=0, atol=0.1)


# Rows 2 and 3 of the specification: the largest difference in any component up to time 5.
ORDERS, LIMITS = (0.438, 0.190, 0.089, 0.043), (0.386, 0.172, 0.082, 0.040)


def test_both_orders_tend_to_the_equation_with_the_rate(found: Found) -> None:
    pairs = ("Gadat - Adam's order", "Gadat - equation", "Adam's order - equation")
    orders, limits, closer = (np.array(list(found[f"distance, {pair}"].values())) for pair in pairs)
    assert orders == pytest.approx(ORDERS, abs=6e-4)
    assert limits == pytest.approx(LIMITS, abs=6e-4)
    for values in (orders, limits, closer):
        assert 1 < np.log2(values[-2] / values[-1]) < 1.07
    assert (closer < limits).all()


def test_the_equation_of_constant_memory_has_its_closed_form() -> None:
    exact = np.array(
        [(expm(5 * np.array([[0, -1], [4 * h, -4]])) @ [x, 0])[0] for h, x in zip(H, BOWL_START, strict=True)]
    )
    errors = []
    for steps in (500, 1000):
        times, states = flow(bowl_slope, exponential(4.0), at_rest(BOWL_START), 0, 5 / steps, steps)
        assert float(times[-1]) == pytest.approx(5)
        errors.append(np.abs(states[-1, 0, 0].numpy() - exact).max())
    assert errors[1] < 1e-8
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)  # the order of the method


@pytest.mark.parametrize("r", [0.5, 3.0])
def test_the_equation_of_polynomial_memory_has_its_closed_form(r: float) -> None:
    """t x'' + r (x' + h x) = 0 has the solution 0F1(r; -r h t), of which the moment -x' is h 0F1(r + 1; -r h t)."""
    state = torch.tensor(np.array([hyp0f1(r, -r * H), H * hyp0f1(r + 1, -r * H)])).unsqueeze(1)
    times, states = flow(bowl_slope, polynomial(r), state, 1, 0.005, 600)
    t = times.numpy()[:, 0]
    assert t[-1, 0] == pytest.approx(4)
    assert np.abs(states[:, 0, 0].numpy() - hyp0f1(r, -r * H * t)).max() < 1e-8
    if r == 0.5:
        assert np.allclose(states[:, 0, 0], np.cos(np.sqrt(2 * H * t)), rtol=0, atol=1e-8)


def test_energy_with_polynomial_memory_falls_only_if_r_exceeds_one_half(found: Found) -> None:
    memories = (0.3, 0.5, 0.6, 1.0, 3.0)
    _, energies, integral = polynomial_energy(memories)
    rises = energies.diff(dim=0)
    assert (rises[:, 0] > 0).all()
    assert energies[:, 1].numpy() == pytest.approx(float(energies[0, 1]), rel=1e-9)
    assert (rises[:, 2:] < 0).all()
    changes, rates = energies - energies[0], torch.tensor([1 / (2 * r) - 1 for r in memories], dtype=torch.float64)
    assert torch.allclose(changes, rates * integral, rtol=0, atol=1e-3)
    assert found["energy change, memory r / t"] == pytest.approx({r: 1 / (2 * r) - 1 for r in memories}, abs=1e-4)


def test_stationary_points_of_the_well() -> None:
    def slope(x: float) -> float:
        return float(well_slope(torch.tensor([x], dtype=torch.float64)))

    roots = [brentq(slope, *bracket, xtol=1e-13) for bracket in ((0.9, 1.1), (1.2, 1.6), (4.0, 6.0))]
    assert roots == pytest.approx([SHARP, BARRIER, FLAT], abs=1e-9)
    x = torch.linspace(-2, 8, 101, dtype=torch.float64).unsqueeze(1).requires_grad_()
    (by_autograd,) = torch.autograd.grad(well(x).sum(), x)
    assert torch.allclose(by_autograd, well_slope(x), rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def by_friction() -> tuple[list[float], Tensor, Tensor]:
    frictions = [0.1, 0.2, 0.4, 0.8, 0.88, 0.885, 1.0, 1.5, 2.0, 3.0]
    return frictions, *friction_paths(frictions, 16, 0.005)


def test_friction_decides_where_a_ball_ends(by_friction: tuple[list[float], Tensor, Tensor], found: Found) -> None:
    """A ball behind the barrier, with less energy than the barrier, can only end in the flat minimum."""
    frictions, places, levels = by_friction
    barrier = float(well(torch.tensor([BARRIER], dtype=torch.float64)))
    assert (levels[-1] < barrier).all()
    passed = [friction for friction, place in zip(frictions, places[-1], strict=True) if place > BARRIER]
    assert passed == [0.1, 0.2, 0.4, 0.8, 0.88]
    assert places[-1, 6:].numpy() == pytest.approx(SHARP, abs=1e-3)
    ends = found["end, differential equation, friction"]
    assert [friction for friction, end in ends.items() if end > BARRIER] == [0.1, 0.2, 0.4, 0.8]
    assert [ends[0.4], ends[0.8]] == pytest.approx([FLAT, FLAT], abs=0.02)


def test_energy_never_rises(by_friction: tuple[list[float], Tensor, Tensor]) -> None:
    _, _, levels = by_friction
    assert float(levels[0].max()) == pytest.approx(1.8, abs=1e-12)
    assert float(levels.diff(dim=0).max()) < 1e-12


def test_friction_paths_solve_the_ball_of_mass_one(by_friction: tuple[list[float], Tensor, Tensor]) -> None:
    """SciPy solves x'' + friction x' + f' = 0 directly, in the time sqrt(r) t."""
    frictions, places, levels = by_friction
    for row in (1, 3, 6):

        def ball(_t: float, state: Points, friction: float = frictions[row]) -> list[float]:
            x, speed = state
            pull = 0.1 * (x - 5) + 0.5 * (x - 1) / 0.0225 * np.exp(-((x - 1) ** 2) / 0.045)
            return [speed, -friction * speed - pull]

        solved = solve_ivp(ball, (0, 16), [-1, 0], "DOP853", [4, 8, 16], rtol=1e-11, atol=1e-12)
        x, speed = solved.y
        assert places[[800, 1600, 3200], row].numpy() == pytest.approx(x, abs=1e-6)
        potential = 0.05 * (x - 5) ** 2 - 0.5 * np.exp(-((x - 1) ** 2) / 0.045)
        assert levels[[800, 1600, 3200], row].numpy() == pytest.approx(speed**2 / 2 + potential, abs=1e-6)


def test_gradient_descent_stops_in_the_sharp_minimum(found: Found) -> None:
    ends = found["end, gradient descent, rate"]
    assert ends == pytest.approx(dict.fromkeys((0.01, 0.02, 0.05), SHARP), abs=1e-9)


def test_exponential_memory_reaches_the_flat_minimum_if_long(found: Found) -> None:
    ends = found["end, Gadat's recursion at rate 0.01, r"]
    assert ends == pytest.approx(
        {0.1: FLAT, 0.2: FLAT, 0.4: FLAT, 0.8: FLAT, 1.0: SHARP, 1.5: SHARP, 2.0: SHARP, 4.0: SHARP}, abs=0.2
    )
    assert [ends[r] for r in (1.0, 1.5, 2.0, 4.0)] == pytest.approx([SHARP] * 4, abs=1e-9)


@pytest.mark.parametrize("rate", [0.001, 0.003, 0.01, 0.03, 0.1])
def test_adams_beta1_decides_where_it_ends(found: Found, rate: float) -> None:
    """Near the sharp minimum Adam with a large rate goes on swinging, yet stays in front of the barrier."""
    ends = found[f"end, Adam at rate {rate}, beta1"]
    assert ends[0.99] == pytest.approx(FLAT if rate > 0.01 else SHARP, abs=0.05)
    assert [ends[beta1] for beta1 in (0.0, 0.5, 0.9)] == pytest.approx([SHARP] * 3, abs=max(0.02, rate))


@pytest.mark.parametrize(
    ("betas", "rate", "end"), [((0.99, 0.999), 0.1, FLAT), ((0.5, 0.9), 0.03, SHARP), ((0.5, 0.999), 0.1, SHARP)]
)
def test_torchs_adam_ends_there_too(betas: tuple[float, float], rate: float, end: float) -> None:
    weights = start([-1.0], 1)
    path = roll(well_slope, weights, constant(rate), adam(weights, *betas), 1000)[:, 0, 0]
    assert float(path[-1]) == pytest.approx(end, abs=0.1)
    assert bool((path > BARRIER).any()) == (end == FLAT)


def test_swings_begin_at_the_limit() -> None:
    """The roots of the recursion on h x^2 / 2 turn complex, and the ball crosses the minimum."""
    betas, factors, rate = [0.5, 0.9, 0.99] * 2, [0.9] * 3 + [1.5] * 3, 0.1
    curvatures = [factor * swing_limit(beta1) / rate for factor, beta1 in zip(factors, betas, strict=True)]
    swings = [False] * 3 + [True] * 3
    roots = [
        np.roots([1, -(1 + beta1 - rate * (1 - beta1) * h), beta1]) for beta1, h in zip(betas, curvatures, strict=True)
    ]
    assert [bool(np.abs(pair.imag).max() > 0) for pair in roots] == swings
    ball = heavy_ball(exponential((1 - column(betas)) / rate), new_moment=True)
    path = roll(lambda x: column(curvatures) * x, start([1.0], 6), constant(rate), ball, 1500)
    assert (path < 0).any(0).flatten().tolist() == swings


def test_beta1_of_the_paper_is_over_damped() -> None:
    """In the parabola, curvature 0.1 is divided by the root of the mean square of slopes between 0.4 and 0.6."""
    assert swing_limit(0.5) == pytest.approx(0.1716, abs=1e-4)
    for rate in (0.001, 0.03, 0.1):
        assert rate * 0.1 / 0.4 < swing_limit(0.5) / 6
    assert swing_limit(0.99) < 0.1 * 0.1 / 0.6
    overshoot = adam_paths([0.5, 0.99], [0.001, 0.003], every=1).amax(0) - SHARP
    assert (overshoot[0] < 1e-6).all()
    assert (overshoot[1] > 0.06).all()


def test_a_broken_rule_breaks_the_theory(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(update: Callable[[Play], None], play: Play) -> None:
        update(play)
        play.iteration += 1
        update(play)

    monkeypatch.setattr("textgan.theory.balls.ALTERNATING", Rule(partial(twice, ALTERNATING.update)))
    assert np.abs(gadat_path(50) - adams_moment(50, new_moment=False)).max() > 0.01


def test_a_flag_that_changes_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="--paths"):
        main(["--paths", "3"])
