"""DiracGAN with R1 converges at the rate of the linearised system, fastest at b / a = 4 / gamma^2."""

import json

import numpy as np
import pytest

from textgan.engine.updates import Play, Rule
from textgan.theory import dirac
from textgan.theory.dirac import GAMMAS, RATIOS, best_ratio, convergence_rate, main, measured_rates, paths, players
from textgan.theory.dynamics import start


@pytest.mark.parametrize(("ratio", "rate"), [(1, 0.500), (3, 0.866), (4, 1.000), (10, 0.356)])
def test_rates_of_the_specification(ratio: float, rate: float) -> None:
    assert convergence_rate(ratio, 1) == pytest.approx(rate, abs=1e-3)


def test_the_closed_form_is_an_eigenvalue_of_the_linearised_system() -> None:
    random = np.random.default_rng(0)
    for ratio, gamma in zip(10 ** random.uniform(-1, 2, 50), random.uniform(0.1, 3, 50), strict=True):
        a, b = ratio**-0.5, ratio**0.5
        values = np.linalg.eigvals([[0, -a], [b, -b * gamma]])
        assert convergence_rate(ratio, gamma) == pytest.approx(-values.real.max(), abs=1e-12)


def test_the_players_descend_on_their_losses() -> None:
    gamma, point, h = 0.7, np.array([0.8, -1.3]), 1e-6

    def f(t: float) -> float:
        return float(-2 * np.log1p(np.exp(-t)))

    def losses(theta: float, psi: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([f(psi * theta), gamma / 2 * psi**2 - f(psi * theta)])

    agents = players(start([point[0]]), start([point[1]]), 1, 1, gamma)
    weights = {name: agent.weights for name, agent in agents.items()}
    for number, name in enumerate(("theta", "psi")):
        unit = h * np.eye(2)[number]
        difference = (losses(*(point + unit)) - losses(*(point - unit)))[number] / (2 * h)
        assert agents[name].gradient(weights).item() == pytest.approx(difference, abs=1e-8)
    assert (f(h) - f(-h)) / (2 * h) == pytest.approx(1)


def test_the_best_ratio_is_four_by_gamma_squared() -> None:
    factors = np.geomspace(0.7, 1.4, 9)
    for gamma in GAMMAS:
        (rates,) = measured_rates((best_ratio(gamma) * factors).tolist(), [gamma], time=3, step=2e-3)
        assert factors[rates.argmax()] == pytest.approx(1, abs=0.1)
        assert rates.max() == pytest.approx(1, rel=0.01)


def test_without_a_penalty_no_ratio_converges() -> None:
    assert measured_rates([0.1, 1, 10], [0.0], time=2) == pytest.approx(np.zeros((1, 3)), abs=1e-3)


def test_from_far_away_the_critical_ratio_arrives_first() -> None:
    below, critical, above = paths([1, 4, 25], 1.0, 15).transpose(1, 0, 2)
    for other in (below, above):
        assert np.hypot(*critical[-1]) < 0.1 * np.hypot(*other[-1])
    turns = [int((np.diff(np.sign(path[:, 0])) != 0).sum()) for path in (below, critical, above)]
    assert turns[0] >= 2
    assert turns[2] == 0


def test_a_broken_rule_misses_the_theory(monkeypatch: pytest.MonkeyPatch) -> None:
    def idle_critic(play: Play) -> None:
        """The critic moves in every second iteration."""
        gradients = [play.gradients(turn) for turn in play.turns]
        for turn, gradient in zip(play.turns, gradients, strict=True):
            if turn.player == "theta" or play.iteration % 2:
                play.apply(turn, gradient)

    def cooperating(play: Play) -> None:
        """The critic climbs on its loss."""
        for turn in play.turns:
            sign = 1 if turn.player == "theta" else -1
            play.apply(turn, [sign * gradient for gradient in play.gradients(turn)])

    theory = np.array([convergence_rate(ratio, 1.0) for ratio in (1, 4, 10)])
    for wrong in (idle_critic, cooperating):
        monkeypatch.setattr(dirac, "parse_rule", lambda _, wrong=wrong: Rule(wrong))
        (rates,) = measured_rates([1, 4, 10], [1.0], time=2)
        assert (np.abs(rates / theory - 1) > 0.05).all()


def test_the_command_prints_closed_forms_beside_measured_rates(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [(record["gamma"], record["ratio"]) for record in records] == [(g, r) for g in GAMMAS for r in RATIOS]
    for record in records:
        assert record["closed_form"] == convergence_rate(record["ratio"], record["gamma"])
        assert record["measured"] == pytest.approx(record["closed_form"], rel=0.01)
