"""Update rules in the trainer, against training written out; closed forms are in tests/textgan/theory."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data.errors import InputError
from data.naming import as_flag
from tests.helpers.oracles import BETA1, BETA2, PlainAdam
from tests.helpers.trainers import BATCH, RATES, SETTINGS, WEIGHT, a_trainer, critic_of, draw, real_batches
from textgan.engine.checkpoint import load_checkpoint, save_checkpoint
from textgan.engine.game import Game, adversarial_game
from textgan.engine.losses import WASSERSTEIN
from textgan.engine.phases import Phase, TimeScale, counters_at
from textgan.engine.players import Player
from textgan.engine.progress import Clock
from textgan.engine.seeds import stream_seed
from textgan.engine.trainer import Trainer
from textgan.engine.updates import ALTERNATING, RULES, parse_rule

ITERATIONS = 7
EXACT_RULES = (
    "simultaneous", "optimistic", "extragradient", "extragradient-past", "lookahead:3", "lookahead:2:0.25:simultaneous",
    "lookahead:3:0.5:extragradient",
)  # fmt: skip
EVERY_RULE = (*EXACT_RULES, "alternating", "consensus:0.5", "symplectic")

Vector = Mapping[str, Tensor]


class Plain:
    """The same game with each player's weights as one vector, and every quantity computed from the start."""

    def __init__(self) -> None:
        trainer = a_trainer()
        self.networks = {"generator": trainer.generator.network, "critic": critic_of(trainer)}
        self.adams = {name: PlainAdam([self.vector(name)]) for name in self.networks}
        self.iteration = 0

    def vector(self, name: str) -> Tensor:
        return torch.cat([parameter.detach().ravel() for parameter in self.networks[name].parameters()])

    def weights(self) -> dict[str, Tensor]:
        return {name: self.vector(name) for name in self.players}

    @property
    def players(self) -> list[str]:
        return ["generator", "critic"] if self.iteration else ["critic"]

    def move_to(self, weights: Vector) -> None:
        for name, vector in weights.items():
            place = 0
            for parameter in self.networks[name].parameters():
                parameter.data = vector[place : place + parameter.numel()].view(parameter.shape).clone()
                place += parameter.numel()

    def loss(self, name: str) -> Tensor:
        """The loss of a player at the present weights, with the random numbers of the iteration."""
        generator, critic = self.networks["generator"], self.networks["critic"]
        random = torch.Generator().manual_seed(stream_seed(11, "step", self.iteration))
        z = draw(BATCH, random) if self.iteration else torch.empty(0)
        if name == "generator":
            return torch.as_tensor(-critic(generator(z)).mean())
        real = real_batches(self.iteration, 1)[0]
        fake = generator(draw(BATCH, random))
        alpha = torch.rand(BATCH, generator=random, dtype=torch.float64)
        x = (real + alpha[:, None, None] * (fake - real)).detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        penalty = (slope.pow(2).sum(dim=(1, 2)).sqrt() - 1).pow(2).mean()
        return torch.as_tensor(critic(fake).mean() - critic(real).mean() + WEIGHT * penalty)

    def gradient(self, name: str) -> Tensor:
        gradients = torch.autograd.grad(self.loss(name), list(self.networks[name].parameters()))
        return torch.cat([gradient.ravel() for gradient in gradients])

    def steps(self) -> dict[str, Tensor]:
        """Adam's steps along the gradients at the present weights; the weights stay."""
        return {name: self.step(name, self.gradient(name)) for name in self.players}

    def step(self, name: str, gradient: Tensor) -> Tensor:
        power = -0.6
        turn = self.iteration - (name == "generator")
        moved = torch.zeros_like(gradient)
        self.adams[name].step([moved], [gradient], RATES[name] * (turn + 1) ** power)
        return -moved


def simultaneous(plain: Plain, _memory: dict[str, Tensor]) -> None:
    start, steps = plain.weights(), plain.steps()
    plain.move_to({name: start[name] - step for name, step in steps.items()})


def alternating(plain: Plain, _memory: dict[str, Tensor]) -> None:
    for name in plain.players:
        plain.move_to({name: plain.vector(name) - plain.step(name, plain.gradient(name))})


def extragradient(plain: Plain, _memory: dict[str, Tensor]) -> None:
    start = plain.weights()
    simultaneous(plain, {})
    steps = plain.steps()
    plain.move_to({name: start[name] - step for name, step in steps.items()})


def optimistic(plain: Plain, memory: dict[str, Tensor]) -> None:
    start, steps = plain.weights(), plain.steps()
    plain.move_to({name: start[name] - 2 * step + memory.get(name, 0) for name, step in steps.items()})
    memory |= steps


def extragradient_past(plain: Plain, memory: dict[str, Tensor]) -> None:
    start = plain.weights()
    plain.move_to({name: weights - memory.get(name, 0) for name, weights in start.items()})
    memory |= plain.steps()
    plain.move_to({name: weights - memory[name] for name, weights in start.items()})


def lookahead(inner: Callable[[Plain, dict[str, Tensor]], None], period: int, share: float) -> Callable[..., None]:
    def update(plain: Plain, memory: dict[str, Tensor]) -> None:
        if not memory:
            memory |= {name: plain.vector(name) for name in plain.networks}
        inner(plain, {})
        if plain.iteration % period == period - 1:
            memory |= {name: (1 - share) * slow + share * plain.vector(name) for name, slow in memory.items()}
            plain.move_to(memory)

    return update


WRITTEN_OUT = (
    simultaneous, optimistic, extragradient, extragradient_past, lookahead(alternating, 3, 0.5),
    lookahead(simultaneous, 2, 0.25), lookahead(extragradient, 3, 0.5),
)  # fmt: skip


@cache  # no test trains one further
def trained(rule: str, iterations: int = ITERATIONS) -> Trainer:
    trainer = a_trainer(rule=rule)
    for iteration in range(iterations):
        trainer.step(real_batches(iteration, 1), measure=False)
    return trainer


def all_weights(trainer: Trainer) -> Tensor:
    networks = (trainer.generator.network, critic_of(trainer))
    return torch.cat([parameter.detach().ravel() for network in networks for parameter in network.parameters()])


@pytest.mark.parametrize(("rule", "written_out"), list(zip(EXACT_RULES, WRITTEN_OUT, strict=True)))
def test_a_rule_trains_as_written_out(rule: str, written_out: Callable[[Plain, dict[str, Tensor]], None]) -> None:
    plain, memory = Plain(), dict[str, Tensor]()
    for plain.iteration in range(ITERATIONS):
        written_out(plain, memory)
    expected = torch.cat([plain.vector("generator"), plain.vector("critic")])
    assert (all_weights(trained(rule)) - expected).abs().max().item() < 1e-10


def test_rules_differ() -> None:
    """The comparison above tells rules apart."""
    ends = [all_weights(trained(rule)) for rule in EVERY_RULE]
    apart = [(a - b).abs().max().item() for n, a in enumerate(ends) for b in ends[:n]]
    assert min(apart) > 1e-5


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_resumed_run_is_the_run_that_was_not_stopped(rule: str, tmp_path: Path) -> None:
    stopped = trained(rule, iterations=5)
    save_checkpoint(tmp_path, stopped, Clock())
    resumed = a_trainer(rule=rule)
    load_checkpoint(tmp_path, resumed)
    forgetful = a_trainer(rule=rule)
    load_checkpoint(tmp_path, forgetful)
    forgetful.state.clear()
    for trainer in (resumed, forgetful):
        for iteration in range(5, ITERATIONS):
            trainer.step(real_batches(iteration, 1), measure=False)
    whole = trained(rule)
    assert torch.equal(all_weights(resumed), all_weights(whole))
    keeps = rule.startswith(("optimistic", "extragradient-past", "lookahead"))
    assert torch.equal(all_weights(forgetful), all_weights(whole)) != keeps
    assert bool(whole.state) == keeps


def corrected(rule: str) -> Tensor:
    """The direction that a rule with correction applies in iteration 3, as one vector."""
    trainer = a_trainer(rule=rule)
    trainer.iteration = 3
    play = trainer.play(real_batches(3, 1))
    applied: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(play, "apply", lambda _turn, gradients: applied.extend(gradients))
        trainer.phases[0].rule.update(play)
    return torch.cat([gradient.ravel() for gradient in applied])


def test_corrections_are_products_with_the_matrix_of_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """By finite differences of the whole gradient F: J F along F itself, and v (J^T F) = (J v) F for any v."""
    plain = Plain()
    plain.iteration = 3
    centre = torch.cat(list(plain.weights().values()))
    sizes = [vector.numel() for vector in plain.weights().values()]

    def field(at: Tensor) -> Tensor:
        plain.move_to(dict(zip(plain.players, torch.split(at, sizes), strict=True)))
        return torch.cat([plain.gradient(name) for name in plain.players])

    def product(direction: Tensor) -> Tensor:
        return (field(centre + 1e-6 * direction) - field(centre - 1e-6 * direction)) / 2e-6

    gradient = field(centre)
    random = torch.Generator().manual_seed(5)
    directions = [torch.randn(centre.numel(), generator=random, dtype=torch.float64) for _ in range(5)]
    forward = product(gradient)
    for rule, against in (("consensus", 0.0), ("symplectic", 0.5)):
        correction = (corrected(f"{rule}:0.3") - gradient) / 0.3
        with monkeypatch.context() as patch:  # the known-wrong variant: fakes that do not follow the generator
            patch.setattr("textgan.engine.trainer.replace", lambda turn, **_: turn)
            wrong = (corrected(f"{rule}:0.3") - gradient) / 0.3
        for direction in directions:
            expected = (1 - against) * product(direction) @ gradient - against * direction @ forward
            assert (direction @ correction).item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-4)
            assert (direction @ wrong).item() != pytest.approx(expected.item(), rel=1e-4, abs=1e-3)


def test_a_second_evaluation_takes_the_same_random_numbers() -> None:
    trainer = trained("alternating", 2)
    play = trainer.play(real_batches(2, 1))
    first = [play.gradients(turn) for turn in play.turns]
    second = [play.gradients(turn) for turn in play.turns]
    for once, again in zip(first, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    others = trainer.play(real_batches(2, 1))
    out_of_order = others.gradients(others.turns[1])  # the critic's first, with the numbers of the generator's turn
    assert not all(torch.equal(a, b) for a, b in zip(first[1], out_of_order, strict=True))


def test_gradient_evaluations_are_counted_as_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Tensor] = []
    gradients = Player.gradients

    def counted(player: Player, loss: Tensor, second_order: bool = False) -> Any:
        made.append(loss)
        return gradients(player, loss, second_order)

    monkeypatch.setattr(Player, "gradients", counted)
    for rule, per_turn in (("optimistic", 1), ("extragradient", 2), ("lookahead:2:0.5:extragradient", 2)):
        trainer = a_trainer(rule=rule)
        made.clear()
        for iteration in range(5):
            trainer.step(real_batches(iteration, 1), measure=False)
        assert len(made) == trainer.counters["gradient_evaluations"] == 9 * per_turn
    products = {"consensus": 2, "symplectic": 3}
    for rule, per_turn in products.items():
        assert counters_at(a_trainer(rule=rule).phases, 5, BATCH)["gradient_evaluations"] == 9 * per_turn


def test_a_new_phase_forgets_the_state_of_the_rule() -> None:
    game = adversarial_game(WASSERSTEIN, WEIGHT, draw, True)
    scales = TimeScale(1e-3, lambda n: 1.0), TimeScale(1e-3, lambda n: 1.0)
    trainer = a_trainer()
    rule = parse_rule("lookahead:100")
    trainer.phases = [Phase("first", game, *scales, 2, rule), Phase("second", game, *scales, None, rule)]
    kept = []
    for iteration in range(4):
        before = all_weights(trainer)
        trainer.step(real_batches(iteration, 1), measure=False)
        slow = torch.cat([tensor.ravel() for tensor in trainer.state.values()])
        kept.append(torch.equal(slow, before))
    assert kept == [True, False, True, False]  # slow weights begin at the start of each phase


@pytest.mark.parametrize("rule", ["extragradient", "optimistic", "lookahead:2"])
def test_the_average_follows_the_weights_after_the_whole_rule(rule: str) -> None:
    trainer, expected = a_trainer(rule=rule, generator_ema=0.7), None
    for iteration in range(5):
        trainer.step(real_batches(iteration, 1), measure=False)
        new = [parameter.detach().clone() for parameter in trainer.generator.network.parameters()]
        if iteration:
            expected = new if expected is None else [0.7 * a + 0.3 * b for a, b in zip(expected, new, strict=True)]
    assert expected is not None
    for ours, theirs in zip(trainer.generator.sampler.parameters(), expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("beta1", [-0.5, 0.0, 0.9])
def test_momentum_may_be_negative(beta1: float) -> None:
    random = torch.Generator().manual_seed(3)
    parameter = torch.nn.Parameter(torch.randn(4, generator=random, dtype=torch.float64))
    player = Player(torch.nn.ParameterList([parameter]), replace(SETTINGS, beta1=beta1), torch.device("cpu"))
    expected, m, v = parameter.detach().clone(), torch.zeros(4, dtype=torch.float64), torch.zeros(4).double()
    for t in range(1, 6):
        gradient = torch.randn(4, generator=random, dtype=torch.float64)
        player.apply([gradient], 0.1)
        m, v = beta1 * m + (1 - beta1) * gradient, BETA2 * v + (1 - BETA2) * gradient**2
        expected -= 0.1 * (m / (1 - beta1**t)) / ((v / (1 - BETA2**t)).sqrt() + 1e-8)
    assert torch.allclose(parameter, expected, rtol=0, atol=1e-12)
    assert beta1 != BETA1


@pytest.mark.parametrize(
    "spec",
    ["", "nothing", "extragradient:2", "lookahead:0", "lookahead:2:0", "lookahead:2:1.5", "lookahead:x", "consensus:0",
     "consensus:nan", "consensus:inf", "symplectic:1:2", "lookahead:2:0.5:lookahead", "lookahead:2:0.5:alternating:1"],
)  # fmt: skip
def test_a_wrong_rule_is_named(spec: str) -> None:
    with pytest.raises(InputError, match=f"^--rule {spec}: choose alternating, simultaneous"):
        replace(SETTINGS, rule=spec)


@pytest.mark.parametrize("change", [{"critic_steps": 2}, {"generator_steps": 2}])
def test_rules_other_than_alternating_move_each_player_once(change: dict[str, Any]) -> None:
    message = f"^--rule optimistic: moves each player once per iteration; set {as_flag(*change)} 1$"
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, rule="optimistic", **change)
    assert replace(SETTINGS, rule="alternating", **change).rule == "alternating"


def test_every_listed_rule_is_one() -> None:
    assert [parse_rule(name.partition("[")[0]).evaluations for name in RULES] == [1, 1, 1, 2, 1, 1, 2, 3]
    assert Phase("a", Game(lambda *_: {}), None, None).rule is ALTERNATING is parse_rule("alternating")
