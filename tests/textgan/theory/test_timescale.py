"""The linear game: stability in closed form, ends under constant and decaying rates, SGD and Adam per player."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from eval.core.tables import render
from textgan.engine.updates import Play, Rule, parse_rule
from textgan.theory import linear_game
from textgan.theory.__main__ import main
from textgan.theory.experiment import Findings, NoisyFlags
from textgan.theory.linear_game import (
    BETAS,
    SIGN_THRESHOLD,
    Case,
    play,
    radius,
    sign_turn,
    stable,
    step_matrices,
    threshold,
    trace_and_determinant,
)
from textgan.theory.timescale import CONSTANT, DECAYING, RATIOS, Found, study

RULES = pytest.mark.parametrize("name", ["simultaneous", "alternating"])
RATES = [(a, b) for a in (1e-3, 0.05, 0.3, 0.6) for b in (2e-3, 0.06, 0.5, 1.9, 2.2)]


def matrix(a: float, b: float, alternating: bool) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the matrix of a step as a product of moves of one player."""
    generator = np.array([[1 + 1.2 * a, -3 * a], [0, 1]])
    critic = np.array([[1, 0], [b, 1 - b]])
    return np.asarray(critic @ generator if alternating else generator + critic - np.eye(2))


@RULES
def test_matrix_radius_and_stability_of_a_step(name: str) -> None:
    alternating = name == "alternating"
    played = step_matrices([Case("", a, b) for a, b in RATES], parse_rule(name))
    for (a, b), measured in zip(RATES, played, strict=True):
        expected = matrix(a, b, alternating)
        assert measured.numpy() == pytest.approx(expected, abs=1e-12)
        trace, determinant = trace_and_determinant(a, b, alternating)
        assert (trace, determinant) == pytest.approx((np.trace(expected), np.linalg.det(expected)), abs=1e-12)
        largest = float(torch.linalg.eigvals(measured).abs().max())
        assert radius(a, b, alternating) == pytest.approx(largest, abs=1e-9)
        assert stable(a, b, alternating) == (largest < 1)


@RULES
def test_the_threshold_is_where_the_radius_passes_one(name: str) -> None:
    alternating = name == "alternating"
    for a in (1e-4, 0.01, 0.1, 0.3):
        b = threshold(a, alternating)
        below, above = (
            abs(np.linalg.eigvals(matrix(a, factor * b, alternating))).max() for factor in (1 - 1e-6, 1 + 1e-6)
        )
        assert below > 1 > above
    assert threshold(1e-9, alternating) / 1e-9 == pytest.approx(1.2, abs=1e-8)  # theory.md 2: stable iff b > 1.2 a


def test_a_broken_rule_has_another_radius() -> None:
    def stale_critic(game: Play) -> None:  # the critic moves by the gradient of the generator's turn
        first, second = game.turns
        gradient = game.gradients(first)
        game.apply(first, gradient)
        game.apply(second, gradient)

    case = Case("", 0.01, 0.1)
    broken = torch.linalg.eigvals(step_matrices([case], Rule(stale_critic))[0]).abs().max()
    assert abs(float(broken) - radius(case.a, case.b)) > 1e-3


def test_many_steps_are_a_power_of_the_matrix() -> None:
    end = play([CONSTANT[0]], 1, 1000, 1000, noise=0)[-1, 0, 0]
    expected = np.linalg.matrix_power(matrix(0.01, 0.01, False), 1000) @ (0.5, 0.5)
    assert end.tolist() == pytest.approx(expected.tolist(), abs=1e-9)


@pytest.fixture(scope="module")
def findings() -> Findings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textgan.theory.timescale.PAIR_STEPS", 300)
        return study(NoisyFlags(paths=40))


@pytest.fixture(scope="module")
def found(findings: Findings) -> dict[str, Found]:
    return {row["name"]: Found(**row) for row in findings.records[: len(CONSTANT) + len(DECAYING)]}


def test_constant_and_decaying_rates(found: dict[str, Found]) -> None:
    for name, fails in (("b = a", 12_600), ("a = 10 b", 155), ("exchanged", 1600)):  # theory.md 2
        assert found[name].fails == pytest.approx(fails, rel=0.15)
        assert found[name].distance is None
    for name, low, high in (
        ("b = 1.5 a", 0.02, 0.05),
        ("b = 10 a", 0.01, 0.05),
        ("a = o(b)", 0.001, 0.005),
        ("equal", 5, 7),
    ):
        distance = found[name].distance
        assert found[name].fails is None
        assert distance is not None and low < distance < high
    for case in CONSTANT:
        assert stable(case.a, case.b) == (found[case.name].fails is None)


def test_stationary_distance_at_constant_rates(found: dict[str, Found]) -> None:
    # The covariance C of z <- M z + noise solves C = M C M' + N; the mean distance follows from its eigenvalues.
    for case in CONSTANT[1:3]:
        step = matrix(case.a, case.b, False)
        covariance, noise = np.zeros((2, 2)), np.diag([0.1 * case.a, 0.1 * case.b]) ** 2
        for _ in range(20_000):
            covariance = step @ covariance @ step.T + noise
        draws = np.random.default_rng(0).normal(size=(100_000, 2)) @ np.linalg.cholesky(covariance).T
        assert found[case.name].distance == pytest.approx(np.hypot(*draws.T).mean(), rel=0.1)


def test_assumption_a2_beside_the_outcome(found: dict[str, Found]) -> None:
    assert {
        name: (result.a2, result.a2_exchanged) for name, result in found.items() if name in {c.name for c in DECAYING}
    } == {
        "a = o(b)": (True, False),
        "equal": (False, False),
        "exchanged": (False, True),
    }
    assert not any(found[case.name].a2 for case in CONSTANT)
    assert "not o(b(n))" in found["exchanged"].reason
    # A4, which is not symmetric: alone the critic settles, and the generator runs away.
    critic_alone, generator_alone = play([Case("", 0, 0.1)], 1, 200, noise=0), play([Case("", 0.1, 0)], 1, 200, noise=0)
    assert critic_alone[-1, 0, 0].tolist() == pytest.approx([0.5, 0.5], abs=1e-8)
    assert abs(float(generator_alone[-1, 0, 0, 0])) > 1e6


def adam_loop(a: float, b: float, steps: int) -> tuple[float, float]:
    """Return the end of Adam for both players without noise, written out."""
    point, first, second = np.array([0.5, 0.5]), np.zeros(2), np.zeros(2)
    for n in range(1, steps + 1):
        gradient = np.array([3 * point[1] - 1.2 * point[0], point[1] - point[0]])
        first = BETAS[0] * first + (1 - BETAS[0]) * gradient
        second = BETAS[1] * second + (1 - BETAS[1]) * gradient**2
        scaled = first / (1 - BETAS[0] ** n) / (np.sqrt(second / (1 - BETAS[1] ** n)) + 1e-8)
        point = point - np.array([a, b]) * scaled
    return float(point[0]), float(point[1])


def test_adam_with_a_rate_per_case_is_adam() -> None:
    cases = [Case("", 0.01, 0.03), Case("", 0.03, 0.01)]
    ends = play(cases, 1, 100, noise=0, optimisers=("Adam", "Adam"))[-1, :, 0]
    for case, end in zip(cases, ends, strict=True):
        assert end.tolist() == pytest.approx(adam_loop(case.a, case.b, 100), abs=1e-10)


def distances(
    ratios: Sequence[float], generator: str, critic: str, begin: tuple[float, float] = (0.5, 0.5), steps: int = 800
) -> Tensor:
    """Return the median distance every 20 steps [points, ratios], at sqrt(a b) = 0.02."""
    cases = [Case("", 0.02 / math.sqrt(ratio), 0.02 * math.sqrt(ratio)) for ratio in ratios]
    path = play(cases, 50, steps, 20, begin=begin, optimisers=(generator, critic))
    return path.norm(dim=-1).median(dim=-1).values  # type: ignore[no-any-return]


def test_adam_drifts_where_sgd_explodes() -> None:
    adam = distances([1 / 9, 1.0, 3.0], "Adam", "Adam")
    # At b = a / 9 the generator moves at constant speed a.
    assert float(adam[40, 0] - adam[20, 0]) == pytest.approx(400 * 0.06, rel=0.05)
    # At b = a Adam circles closer than the start.
    assert float(adam[20:, 1].mean()) < 0.2
    assert float(adam[20:, 2].mean()) < 0.1
    assert float(distances([1 / 9], "SGD", "SGD")[-1, 0]) > 1e6


def test_adam_for_one_player() -> None:
    # Adam only for the generator: a cycle of size a / b, reached from near and from far.
    for begin in ((0.01, 0.01), (3.0, 3.0)):
        size = distances([1.0, 3.0], "Adam", "SGD", begin)[20:].mean(dim=0)
        assert float(size[0] / size[1]) == pytest.approx(3, rel=0.25)
    # Adam only for the critic: the noise 0.1 in its second moment makes it ten times as fast near (0, 0), at b = a far
    # above 1.2 a; from far away it is too slow.
    assert float(distances([1.0], "SGD", "Adam")[-1]) < 0.05
    assert float(distances([1.0], "SGD", "Adam", (50.0, 50.0))[-1]) > 1e3


def test_half_a_turn_of_sign_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    def descend_by_sign(weights: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
        weights -= rate * gradient.sign()

    monkeypatch.setitem(linear_game.OPTIMISERS, "sign", lambda _weights: descend_by_sign)
    ratios = (0.5, SIGN_THRESHOLD, 0.8)
    cases = [Case("", 2e-3, 2e-3 * ratio) for ratio in ratios]
    path = play(cases, 1, 5000, noise=0, begin=(1.0, 1.0), optimisers=("sign", "sign"))
    for ratio, (theta, w) in zip(ratios, path[:, :, 0].permute(1, 2, 0), strict=True):
        crossing = int(torch.nonzero((theta > w) & (theta < -0.01))[0])  # the line w = theta again, beyond (0, 0)
        assert float(-theta[crossing]) == pytest.approx(sign_turn(ratio), abs=0.01)
    assert sign_turn(0.5) > 1 > sign_turn(0.8)
    assert sign_turn(math.sqrt(0.4)) == pytest.approx(1, abs=1e-12)
    assert math.sqrt(0.4) == SIGN_THRESHOLD


def test_records_by_optimisers(findings: Findings) -> None:
    records = json.loads(render("json", findings.blocks, findings.records))  # raises ValueError for NaN and infinity
    assert len(records) == len(CONSTANT) + len(DECAYING) + 4 * len(RATIOS)
    assert records[3]["radius"] == pytest.approx(1.09, abs=1e-9)  # a = 10 b: eigenvalues 1.09 and 1.02
    for row in records[7:]:
        assert (row["radius"] is not None) == (row["optimisers"] == "SGD, SGD")
        assert row["a"] * row["b"] == pytest.approx(1e-4, rel=1e-12)
        if row["radius"] is not None and row["b"] / row["a"] < 0.1:  # fails within 300 steps, as the radius says
            steps = math.log(1e6 / math.hypot(0.5, 0.5)) / math.log(row["radius"])
            assert row["fails"] == pytest.approx(steps, rel=0.15)


def test_the_figure_shows_the_records(findings: Findings, found: dict[str, Found]) -> None:
    axes = findings.draw().axes
    for panel, cases in ((axes[0], CONSTANT), (axes[1], DECAYING)):
        for case, line in zip(cases, panel.lines, strict=True):
            end, distance = float(np.array(line.get_ydata())[-1]), found[case.name].distance
            assert end > 1e6 if distance is None else end == pytest.approx(distance, rel=0.3)
    theory, measured = (np.array(line.get_ydata()) for line in axes[3].lines[:2])
    assert measured == pytest.approx(theory[::6], abs=1e-9)
    assert [line.get_label() for line in axes[1].lines] == [
        "a = o(b): A2 holds", "equal: A2 does not hold", "exchanged: A2 does not hold"
    ]  # fmt: skip


def test_command_prints_the_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textgan.theory.timescale.STEPS", 1000)
    monkeypatch.setattr("textgan.theory.timescale.PAIR_STEPS", 100)
    assert main(["timescale", "--paths", "2"]) == 0
    printed = capsys.readouterr().out
    assert "1.001089" in printed and "fails at 160" in printed and "assumption A2 holds" in printed
    assert "nan" not in printed.lower()
