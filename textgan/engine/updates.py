"""Update rules: how the gradients of two or more players become their new weights.

With weights w of all players, F(w) is the gradient of each player's own loss by its own weights, and J the matrix of
derivatives of F. A step of rate eta below stands for a step of the player's optimiser at the player's own rate. A rule
takes gradients and applies them, and needs no networks, so that theory and training share it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from data.errors import InputError

Gradients = Sequence[Tensor]


@dataclass(frozen=True)
class Turn:
    """An update of a player: its number n = 0, 1, ... in the phase, the phase's number of updates, random numbers.

    `of` is None if the phase has no limit in iterations. `second_order` asks for a loss of which the gradient can be
    differentiated by the weights of every player.
    """

    player: str
    n: int
    of: int | None
    random: torch.Generator
    second_order: bool = False


class Play(Protocol):
    """One iteration of a game. Random numbers and data of a turn are the same at every evaluation of its gradients.

    Attributes:
        iteration: number of the iteration in the phase.
        turns: the turns of the iteration, in order.
        players: names of all players of the phase.
        state: tensors that a rule keeps from one iteration to the next, by name; empty at the start of a phase.
    """

    iteration: int
    turns: Sequence[Turn]
    players: Sequence[str]
    state: dict[str, Tensor]

    def gradients(self, turn: Turn, second_order: bool = False) -> Gradients:
        """Return the gradients of the player's loss at the present weights; with a graph if `second_order`."""
        ...

    def apply(self, turn: Turn, gradients: Gradients) -> None:
        """Take a step of the player's optimiser."""
        ...

    def weights(self, player: str) -> Sequence[Tensor]:
        """Return a player's weights, which are leaves of the graph; writing to them moves the player."""
        ...


@dataclass(frozen=True)
class Rule:
    """An update rule.

    Attributes:
        update: makes the updates of an iteration.
        evaluations: number of gradient evaluations per turn.
        final: whether each application of gradients completes an update; else only the whole rule does.
        second_order: whether it takes gradients of gradients.
    """

    update: Callable[[Play], None]
    evaluations: int = 1
    final: bool = False
    second_order: bool = False


def alternating(play: Play) -> None:
    """Move one player after the other, each at the weights that the players before it moved to."""
    for turn in play.turns:
        play.apply(turn, play.gradients(turn))


def simultaneous(play: Play) -> None:
    """Move all players at once: w <- w - eta F(w)."""
    _apply_all(play, [play.gradients(turn) for turn in play.turns])


def extragradient(play: Play) -> None:
    """Look ahead, then step from the old weights: w' = w - eta F(w), w <- w - eta F(w').

    Korpelevich 1976; with Adam, whose moments both steps update, Gidel et al. 2019, arXiv 1802.10551, algorithm 4.
    """
    start = _copies(play)
    simultaneous(play)
    gradients = [play.gradients(turn) for turn in play.turns]
    _write(play, start)
    _apply_all(play, gradients)


def extragradient_past(play: Play) -> None:
    """Look ahead by the last step, without further gradients: w' = w - s, s <- eta F(w'), w <- w - s.

    Popov 1980; Gidel et al. 2019, arXiv 1802.10551, equation 19. The points w' are the weights of `optimistic`.
    """
    start = _copies(play)
    _write(play, {name: weight - play.state.get(f"step.{name}", 0) for name, weight in start.items()})
    gradients = [play.gradients(turn) for turn in play.turns]
    _write(play, start)
    _apply_all(play, gradients)
    play.state |= {f"step.{name}": start[name] - weight for name, weight in _copies(play).items()}


def optimistic(play: Play) -> None:
    """Step twice ahead and once back by the last step: s = eta F(w), w <- w - 2 s + (s of the last iteration).

    Daskalakis et al. 2018, arXiv 1711.00141; with Adam, s is its bias-corrected step (algorithm 1).
    """
    start = _copies(play)
    simultaneous(play)
    steps = {name: start[name] - weight for name, weight in _copies(play).items()}
    past = {name: play.state.get(f"step.{name}", 0) for name in steps}
    _write(play, {name: start[name] - 2 * step + past[name] for name, step in steps.items()})
    play.state |= {f"step.{name}": step for name, step in steps.items()}


def lookahead(play: Play, inner: Callable[[Play], None], period: int, share: float) -> None:
    """Every `period` iterations of a rule go back to a mean of old and new weights: w <- s + share (w - s), s <- w.

    All players go back at once (Chavdarova et al. 2021, arXiv 2006.14567, algorithm 1); s are the slow weights.
    """
    if not play.state:
        play.state |= {f"slow.{name}": weight for name, weight in _copies(play).items()}
    inner(play)
    if (play.iteration + 1) % period == 0:
        slow = {name.removeprefix("slow."): weight for name, weight in play.state.items() if name.startswith("slow.")}
        mean = {name: slow[name] + share * (weight - slow[name]) for name, weight in _copies(play).items()}
        _write(play, mean)
        play.state |= {f"slow.{name}": weight for name, weight in mean.items()}


def consensus(play: Play, weight: float) -> None:
    """Also descend on the gradients' length: w <- w - eta (F + weight J^T F) (Mescheder et al. 2017, 1705.10461)."""
    _apply_corrected(play, weight, _transposed_product)


def symplectic(play: Play, weight: float) -> None:
    """Also turn against the rotation: w <- w - eta (F + weight A^T F), A = (J - J^T) / 2.

    Symplectic gradient adjustment (Balduzzi et al. 2018, arXiv 1802.05642, proposition 4), without sign alignment.
    """

    def adjustment(gradients: Gradients, weights: Sequence[Tensor]) -> Gradients:
        back = _transposed_product(gradients, weights)
        return [(b - f) / 2 for b, f in zip(back, _product(gradients, weights), strict=True)]

    _apply_corrected(play, weight, adjustment)


ALTERNATING = Rule(alternating, final=True)

_WITHOUT_NUMBERS = {
    "alternating": ALTERNATING,
    "simultaneous": Rule(simultaneous),
    "optimistic": Rule(optimistic),
    "extragradient": Rule(extragradient, 2),
    "extragradient-past": Rule(extragradient_past),
}
# A product with J or J^T costs about as much as a gradient, and counts as one evaluation.
_CORRECTED = {"consensus": (consensus, 2), "symplectic": (symplectic, 3)}
RULES = (*_WITHOUT_NUMBERS, "lookahead[:PERIOD[:SHARE[:INNER]]]", *(f"{name}[:WEIGHT]" for name in _CORRECTED))
"""Names of the rules, and their numbers."""


def parse_rule(spec: str) -> Rule:
    """Return the rule named by a flag's value, one of `RULES`.

    `lookahead` has a period of 5 iterations, a share of 0.5, and alternating updates, unless the value says otherwise;
    a correction has the weight 1.

    Raises:
        InputError: the name is unknown, or a number is missing or out of range.
    """
    name, *numbers = spec.split(":")
    try:
        if name in _WITHOUT_NUMBERS and not numbers:
            return _WITHOUT_NUMBERS[name]
        if name in _CORRECTED and len(numbers) <= 1:
            update, evaluations = _CORRECTED[name]
            weight = float(numbers[0]) if numbers else 1.0
            if 0 < weight < math.inf:
                return Rule(partial(update, weight=weight), evaluations, second_order=True)
        if name == "lookahead" and len(numbers) <= 3:
            period, share, inner = [*numbers, *("5", "0.5", "alternating")[len(numbers) :]]
            rule = _WITHOUT_NUMBERS[inner]
            if int(period) >= 1 and 0 < float(share) <= 1:
                repeated = partial(lookahead, inner=rule.update, period=int(period), share=float(share))
                return Rule(repeated, rule.evaluations)
    except (ValueError, KeyError):
        pass
    raise InputError(f"--rule {spec}: choose {', '.join(RULES)}")


def _apply_all(play: Play, gradients: Sequence[Gradients]) -> None:
    for turn, gradient in zip(play.turns, gradients, strict=True):
        play.apply(turn, gradient)


def _copies(play: Play) -> dict[str, Tensor]:
    """Return a copy of every weight, by player and number."""
    return {
        f"{player}.{number}": weight.detach().clone()
        for player in play.players
        for number, weight in enumerate(play.weights(player))
    }


@torch.no_grad()
def _write(play: Play, weights: Mapping[str, Tensor]) -> None:
    for player in play.players:
        for number, weight in enumerate(play.weights(player)):
            weight.copy_(weights[f"{player}.{number}"])


def _apply_corrected(play: Play, weight: float, correction: Callable[[Gradients, Sequence[Tensor]], Gradients]) -> None:
    """Apply the gradients of all players plus `weight` times a correction, a function of F and the weights."""
    by_turn = [play.gradients(turn, second_order=True) for turn in play.turns]
    weights = [tensor for turn in play.turns for tensor in play.weights(turn.player)]
    gradients = [gradient for of_turn in by_turn for gradient in of_turn]
    corrections = iter(correction(gradients, weights))
    _apply_all(play, [[(g + weight * next(corrections)).detach() for g in of_turn] for of_turn in by_turn])


def _transposed_product(gradients: Gradients, weights: Sequence[Tensor]) -> Gradients:
    """Return J^T F, the gradient of |F|^2 / 2."""
    return _gradient_of(gradients, weights, [gradient.detach() for gradient in gradients])


def _product(gradients: Gradients, weights: Sequence[Tensor]) -> Gradients:
    """Return J F as the derivative of J^T u by u in the direction F."""
    u = [torch.zeros_like(gradient, requires_grad=True) for gradient in gradients]
    back = _gradient_of(gradients, weights, u, create_graph=True)
    return _gradient_of(back, u, [gradient.detach() for gradient in gradients])


def _gradient_of(outputs: Gradients, inputs: Sequence[Tensor], along: Gradients, **options: Any) -> Gradients:
    """Return the gradients of sum(outputs * along); outputs that depend on no input add nothing."""
    pairs = [(output, direction) for output, direction in zip(outputs, along, strict=True) if output.requires_grad]
    if not pairs:
        return [torch.zeros_like(tensor) for tensor in inputs]
    return torch.autograd.grad(
        [output for output, _ in pairs], inputs, [direction for _, direction in pairs], retain_graph=True,
        materialize_grads=True, **options,
    )  # fmt: skip
