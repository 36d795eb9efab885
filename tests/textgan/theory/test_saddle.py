"""The toy saddle: noise-free ends, spreads and times beside the linearised game and a loop written out."""

import json
import math

import numpy as np
import pytest
import torch

from eval.core.tables import render
from textgan.engine.updates import Rule, simultaneous
from textgan.theory.__main__ import main
from textgan.theory.dynamics import first_step, overflowed
from textgan.theory.experiment import Findings, NoisyFlags
from textgan.theory.saddle import (
    DECAYING,
    LARGER,
    LAST,
    POSTER,
    START,
    STEPS,
    Found,
    Row,
    mean_distance,
    measure,
    objective,
    play,
    predicted_spread,
    spread,
    study,
)

FAST, SLOW, TTUR, SWAPPED = POSTER


def loop(row: Row, steps: int = STEPS) -> tuple[float, float]:
    """Return the end without noise, written out; x moves first."""
    x, y = START
    for n in range(1, steps + 1):
        x -= row.x * n**-row.tau_x * 2 * x * (100 - y * y)
        y -= row.y * n**-row.tau_y * 2 * y * (1 + x * x)
    return x, y


@pytest.fixture(scope="module")
def findings() -> Findings:
    return study(NoisyFlags())


@pytest.fixture(scope="module")
def found(findings: Findings) -> dict[str, Found]:
    printed = render("json", findings.blocks, findings.records)  # raises ValueError for NaN and infinity
    records = [Found(**record) for record in json.loads(printed)]
    assert [record.x for record in records[-3:]] == [0.0105, 0.011, 0.012]
    return {record.name: record for record in records[:-2]}


def test_slopes_are_the_gradients_of_the_objective() -> None:
    point = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    by_x, by_y = torch.autograd.grad(objective(point), point)[0].tolist()
    step = play([Row("", 1e-3, 1e-3)], 1, noise=0, steps=1, rule=Rule(simultaneous))[:, 0, 0]
    assert ((step[1] - step[0]) / 1e-3).tolist() == pytest.approx([-by_x, by_y], abs=1e-11)


def test_ends_without_noise(found: dict[str, Found]) -> None:
    # theory.md 1
    assert found[FAST.name].noiseless == pytest.approx(0.468205838, abs=1e-9)  # y is below 1e-50 there
    assert found[SLOW.name].noiseless == pytest.approx(1.80e-5, abs=5e-8)
    assert found[SWAPPED.name].noiseless == pytest.approx(0.145905, abs=5e-7)
    for row in (*POSTER, DECAYING):
        assert found[row.name].noiseless == pytest.approx(math.hypot(*loop(row)), rel=1e-9)


def test_another_rule_does_not_end_there() -> None:
    end = play([FAST], 1, noise=0, every=STEPS, rule=Rule(simultaneous))[-1, 0, 0]
    assert abs(abs(float(end[0])) - 0.468205838) > 1e-5


@pytest.mark.parametrize(("rate", "factor"), [(1e-3, 0.8), (0.01, 0.98), (0.004, 0.2), (0.3, -0.5)])
def test_the_spread_of_a_noisy_linear_recursion(rate: float, factor: float) -> None:
    # The variance of x <- factor x - rate N(0, 1) follows v <- factor^2 v + rate^2.
    variance = 0.0
    for _ in range(5000):
        variance = factor**2 * variance + rate**2
    assert spread(rate, factor) == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert spread(rate, 1.0) == spread(rate, -1.0) == spread(rate, -1.1) == math.inf


def test_the_factors_are_the_slope_of_a_step_at_the_saddle_point() -> None:
    for row in (SLOW, TTUR):
        near = play([row], 1, noise=0, steps=1, begin=(1e-6, 1e-6))[:, 0, 0]
        for rate, factor, predicted in zip((row.x, row.y), near[1] / near[0], predicted_spread(row), strict=True):
            assert predicted == pytest.approx(rate / math.sqrt(1 - float(factor) ** 2), rel=1e-6)


@pytest.mark.parametrize("spreads", [(1.0, 1.0), (0.3, 2.0), (2.0, 0.3), (1.0, 0.0)])
def test_mean_distance_of_two_normal_numbers(spreads: tuple[float, float]) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    grid = np.hypot(spreads[0] * nodes[:, None], spreads[1] * nodes)
    expected = float(weights @ grid @ weights / (2 * math.pi))
    assert mean_distance(*spreads) == pytest.approx(expected, rel=0.01)
    assert mean_distance(2.0, 2.0) == pytest.approx(2 * math.sqrt(math.pi / 2), rel=1e-12)  # Rayleigh
    assert mean_distance(0.0, 2.0) == pytest.approx(2 * math.sqrt(2 / math.pi), rel=1e-12)  # half-normal


def test_the_poster(found: dict[str, Found]) -> None:
    # theory.md 1, medians over 200 paths.
    for row, reached, distance in (
        (FAST, 3122, 0.479),
        (SLOW, 673, 0.0112),
        (TTUR, 88, 0.0397),
        (SWAPPED, None, 0.253),
    ):
        assert found[row.name].distance == pytest.approx(distance, rel=0.15)
        assert found[row.name].reached == (None if reached is None else pytest.approx(reached, rel=0.15))
    assert found[FAST.name].never == pytest.approx(0.37, abs=0.1)  # standard error 0.034
    assert found[SLOW.name].never == found[TTUR.name].never == 0
    assert found[SWAPPED.name].never == 1


def test_measured_spread_is_the_stationary_one(found: dict[str, Found]) -> None:
    for row in (SLOW, TTUR):
        result = found[row.name]
        assert result.spread_x == pytest.approx(result.predicted_spread_x, rel=0.05)
        assert result.spread_y == pytest.approx(result.predicted_spread_y, rel=0.05)
        assert result.distance == pytest.approx(result.predicted_distance, rel=0.15)
    # A factor of -1 keeps x^2 and adds noise: no stationary spread.
    for row in (FAST, SWAPPED):
        assert found[row.name].predicted_spread_x is found[row.name].predicted_distance is None
    # At one fast rate x^2 is about 0.2, not 0, which raises the curvature of y: a narrower spread than linearised.
    fast = found[FAST.name]
    assert fast.spread_y is not None and fast.predicted_spread_y is not None
    assert 0.8 < fast.spread_y / fast.predicted_spread_y < 0.95


def test_decaying_rates_shrink_the_distance(found: dict[str, Found]) -> None:
    # x is negligible, so y <- (1 - 2 b) y - b N(0, 1), b = 0.3 n^-0.6, of which mean and variance have recursions.
    mean, variance, medians = START[1], 0.0, {}
    for n in range(1, 50_001):
        rate = DECAYING.y * n**-DECAYING.tau_y
        mean, variance = (1 - 2 * rate) * mean, (1 - 2 * rate) ** 2 * variance + rate**2
        medians[n] = 0.6745 * math.sqrt(variance)
    assert abs(mean) < 1e-9
    assert medians[STEPS] == pytest.approx(0.0145, rel=0.15)  # theory.md 1, 40 paths
    assert medians[50_000] == pytest.approx(0.0071, rel=0.15)
    result = found[DECAYING.name]
    assert result.spread_y is not None
    assert 0.6745 * result.spread_y == pytest.approx(medians[STEPS - LAST // 2], rel=0.03)
    assert result.distance == pytest.approx(result.predicted_distance, rel=0.1)


def test_larger_equal_rates_overflow_and_no_output_is_nan(found: dict[str, Found]) -> None:
    points = play(LARGER, 20, steps=200)
    assert not points.isnan().any()
    for number, row in enumerate(LARGER):
        result = measure(row, points[:, number], points[-1, number, 0])
        assert result.overflow is not None and result.overflow < 100
        assert result.distance is result.spread_x is result.noiseless is result.reached is None
        with pytest.raises((OverflowError, AssertionError)):
            assert all(map(math.isfinite, loop(row)))
    assert found["one rate, larger"].noiseless is None
    # The rate of the poster's first row is the largest without an overflow.
    assert found[FAST.name].overflow is None


def test_the_figure_shows_the_records(findings: Findings, found: dict[str, Found]) -> None:
    axes = findings.draw().axes
    for number, row in enumerate(POSTER):
        values, distance, path = axes[3 * number : 3 * number + 3]
        assert row.name in values.get_title(loc="left")
        assert ("not reached" in distance.get_title(loc="left")) == (found[row.name].reached is None)
        lines = {line.get_label(): np.array(line.get_ydata()) for line in distance.lines}
        ends = [np.array(line.get_ydata())[-1] for line in distance.lines if len(np.array(line.get_xdata())) > 2]
        assert any(end == pytest.approx(found[row.name].distance, rel=0.2) for end in ends)
        if found[row.name].predicted_distance is not None:
            assert lines["mean distance, theory"].tolist() == [found[row.name].predicted_distance] * 2
        assert len(path.collections[0].get_paths()) > 10


def test_command_prints_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textgan.theory.saddle.play", lambda rows, paths, *_, **__: play(rows, paths, steps=1500))
    assert main(["saddle", "--paths", "2"]) == 0
    printed = capsys.readouterr().out
    assert "one rate, larger" in printed and "overflow at step" in printed and "0.0158)" in printed
    assert "nan" not in printed.lower()


def test_a_path_that_overflowed_stays_at_infinity() -> None:
    inf, nan = math.inf, math.nan
    path = torch.tensor([[[1.0, 2.0], [1.0, 2.0]], [[-inf, 3.0], [4.0, 5.0]], [[nan, 0.0], [6.0, 7.0]]])
    kept = overflowed(path)
    assert kept.tolist() == [[[1, 2], [1, 2]], [[inf, inf], [4, 5]], [[inf, inf], [6, 7]]]
    assert first_step(kept.norm(dim=-1).isinf()).tolist() == [1, inf]
