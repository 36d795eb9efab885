"""Measure the assumptions A1 to A5 of the two time-scale theorem (TTUR paper, theorem 1) on a copy of the trainer.

Minibatch gradients of deep networks cannot prove the assumptions; the numbers show how far a training is from them.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import islice
from statistics import median

import torch
from torch import Tensor, nn

from textgan.engine.phases import phase_at
from textgan.engine.trainer import Trainer, TrainerPlay
from textgan.engine.updates import Turn

_ITERATIONS, _UPDATES = 4, 20

NextBatches = Callable[[int], Sequence[Tensor]]


def diagnose(trainer: Trainer, next_batches: NextBatches) -> dict[str, float]:
    """Return the diagnostics of a trainer, which stays as it is; norms are Euclidean, over all weights of a player.

    The first four are medians over the next 4 iterations of the phase, on a copy. Let w be the weights of all players,
    w' the weights one iteration later, and g(w) a player's gradient at fixed samples and random numbers.

    PLAYER_lipschitz: |g(w') - g(w)| / |w' - w|, a lower bound of the Lipschitz constant (A1).
    PLAYER_gradient_noise: |g1 - g2| / sqrt(2), the gradients at equal weights of the samples and random numbers of two
        iterations: an estimate of the root mean square of the noise (A3).
    critic_gradient_shift: |g(w'') - g(w)| / |g(w)| of the critic, where w'' has the new generator and the old critic
        (A4: to a fast critic, the generator stands still).
    critic_tracking_loss: fall of the critic's loss, on fixed samples and random numbers, by 20 further critic updates
        on later samples, while the generator stands still: a lower bound of the distance in loss from the attractor
        lambda(theta) (A4).
    critic_tracking_gradient: fall of the norm of the critic's gradient by these updates, as a share of the norm (A4).
    generator_to_critic_rate: a(n) / b(n), the ratio of the learning rates now (A2 wants it to tend to 0).
    PLAYER_weight_norm: |w| of the player (A5 wants it bounded).

    A number is left out if it is not defined: there is no critic, a player does not move, or the copy overflows.

    Args:
        trainer: the trainer before an iteration.
        next_batches: returns the real batches of an iteration.
    """
    index, n = phase_at(trainer.phases, trainer.iteration)
    ratio = trainer.phases[index].rate_ratio(n)
    found = {
        **_along_path(deepcopy(trainer), next_batches),
        **_tracking(deepcopy(trainer), next_batches),
        **({} if ratio is None else {"generator_to_critic_rate": ratio}),
        **{f"{name}_weight_norm": _norm(player.network.parameters()) for name, player in trainer.players.items()},
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _along_path(trainer: Trainer, next_batches: NextBatches) -> dict[str, float]:
    """Train for a few iterations of the phase, and return medians of the numbers that compare gradients."""
    found = defaultdict(list)
    phase, later = phase_at(trainer.phases, trainer.iteration)[0], dict[str, Tensor]()
    networks = nn.ModuleDict({name: player.network for name, player in trainer.players.items()})
    for _ in range(_ITERATIONS):
        if phase_at(trainer.phases, trainer.iteration)[0] != phase:
            break
        real = next_batches(trainer.iteration)
        play = trainer.play(real)
        turns = {turn.player: turn for turn in play.turns}  # the last one of each player
        gradients = {name: _vector(play.gradients(turn)) for name, turn in turns.items()}
        for name in turns:
            if name in later:
                found[f"{name}_gradient_noise"].append(_distance(gradients[name], later[name]) / math.sqrt(2))
        before = deepcopy(networks.state_dict())
        weights = _vector(networks.parameters())
        trainer.step(real, measure=False)
        moved = _distance(_vector(networks.parameters()), weights)
        later = {name: _vector(play.gradients(turn)) for name, turn in turns.items()}
        for name in turns if moved else ():
            found[f"{name}_lipschitz"].append(_distance(later[name], gradients[name]) / moved)
        if len(turns) == 2 and (norm := _norm([gradients["critic"]])):
            after = deepcopy(networks.state_dict())
            old_critic = {name: tensor for name, tensor in before.items() if name.startswith("critic.")}
            networks.load_state_dict(after | old_critic)
            shifted = _vector(play.gradients(turns["critic"]))
            networks.load_state_dict(after)
            found["critic_gradient_shift"].append(_distance(shifted, gradients["critic"]) / norm)
    return {name: median(values) for name, values in found.items()}


def _tracking(trainer: Trainer, next_batches: NextBatches) -> dict[str, float]:
    """Train the critic alone, and return the falls of loss and gradient on the samples of the present iteration."""
    fixed = trainer.play(next_batches(trainer.iteration), measure=True)
    turns = [turn for turn in fixed.turns if turn.player == "critic"]
    if not turns:
        return {}
    fixed.gradients(turns[-1])
    before = fixed.measured()
    for play, turn in islice(_critic_turns(trainer, next_batches), _UPDATES):
        play.apply(turn, play.gradients(turn))
    fixed.gradients(turns[-1])
    after = fixed.measured()
    fall = {name: before[name] - after[name] for name in ("critic_loss", "critic_gradient_norm")}
    share = fall["critic_gradient_norm"] / before["critic_gradient_norm"]
    return {"critic_tracking_loss": fall["critic_loss"].item(), "critic_tracking_gradient": share.item()}


def _critic_turns(trainer: Trainer, next_batches: NextBatches) -> Iterator[tuple[TrainerPlay, Turn]]:
    """Yield the critic's turns of the later iterations, one iteration after the other."""
    for _ in range(_UPDATES):
        trainer.iteration += 1
        play = trainer.play(next_batches(trainer.iteration))
        yield from ((play, turn) for turn in play.turns if turn.player == "critic")


def _vector(tensors: Iterable[Tensor]) -> Tensor:
    """Return tensors as one vector, a copy."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm())


def _norm(tensors: Iterable[Tensor]) -> float:
    return float(_vector(tensors).norm())
