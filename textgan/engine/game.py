"""A game of a generator and a critic: two pure functions, the players' moves.

A move computes one loss from the networks and a batch of real samples; a trainer plays moves in turn. Maximum
likelihood is a game without a critic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from textgan.engine.draws import drawn
from textgan.engine.losses import Loss, gradient_penalty, squared_gradient_norm
from textgan.engine.processes import own_draw
from textgan.engine.settings import PenaltyName
from textgan.engine.updates import Turn

SampleLatent = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class Networks:
    """The networks of a game's players; games without a critic have None."""

    generator: nn.Module
    critic: nn.Module | None = None

    def require_critic(self) -> nn.Module:
        """Return the critic of a game that has one."""
        assert self.critic is not None
        return self.critic


Move = Callable[[Networks, Tensor, Turn], Mapping[str, Tensor]]
"""Computes scalars from real samples [B, ...]: `loss`, which the player minimises, and others, which are logged."""


@dataclass(frozen=True)
class Game:
    """The moves of both players; `critic` is None if there is no critic.

    `unpenalised` is the critic's move without its gradient penalty, to measure the penalty's time; None: no penalty.
    """

    generator: Move
    critic: Move | None = None
    unpenalised: Move | None = None


def _unchanged(real: Tensor) -> Tensor:
    return real


def uniform(rows: int, random: torch.Generator, like: Tensor) -> Tensor:
    """Draw numbers [rows] from U(0, 1), of the type and on the device of a tensor."""
    return torch.rand(rows, generator=random, device=like.device, dtype=like.dtype)


def adversarial_game(
    loss: Loss,
    penalty_weight: float,
    sample_latent: SampleLatent,
    score_together: bool,
    encode: Callable[[Tensor], Tensor] = _unchanged,
    penalty: PenaltyName = "wgan-gp",
) -> Game:
    """Return the game of a generator fed by noise and a critic (Goodfellow et al. 2014, arXiv 1406.2661).

    Args:
        loss: losses of both players.
        penalty_weight: weight of the gradient penalty; 0: none.
        sample_latent: draws noise for a number of samples.
        score_together: whether the critic scores real and fake samples in one batch, which is faster; a critic with
            batch normalisation needs separate batches.
        encode: maps real samples to the form of the generator's samples.
        penalty: gradient penalty of the critic.
    """

    def fake_of(networks: Networks, real: Tensor, turn: Turn) -> Tensor:
        fake: Tensor = networks.generator(own_draw(lambda rows: drawn(sample_latent, rows, turn.random), len(real)))
        return fake  # [B, ...]

    def generator(networks: Networks, real: Tensor, turn: Turn) -> dict[str, Tensor]:
        score = networks.require_critic()
        scores = score(fake_of(networks, real, turn))  # [B]
        return {"loss": loss.generator(scores - score(encode(real)) if loss.relative else scores)}

    def critic(networks: Networks, real: Tensor, turn: Turn, weight: float) -> dict[str, Tensor]:
        score = networks.require_critic()
        real = encode(real).detach()  # not the caller's tensor, which must not require gradients
        with torch.set_grad_enabled(turn.second_order):
            fake = fake_of(networks, real, turn)
        penalised = ([real] * ("r1" in penalty) + [fake] * ("r2" in penalty)) if weight else []
        for samples in penalised:
            samples.requires_grad_()
        if score_together:
            real_scores, fake_scores = score(torch.cat([real, fake])).chunk(2)  # [B] each
        else:
            real_scores, fake_scores = score(real), score(fake)
        value = loss.critic(real_scores, fake_scores)
        measured = {"wasserstein": real_scores.mean() - fake_scores.mean()}
        if weight:
            if penalised:
                size = squared_gradient_norm(torch.cat([real_scores, fake_scores]), penalised)
            else:
                alpha = own_draw(lambda rows: drawn(partial(uniform, like=real), rows, turn.random), len(real))
                size = gradient_penalty(score, real, fake, alpha)
            measured["gradient_penalty"] = size
            value = value + weight * size
        return {"loss": value, **measured}

    unpenalised = partial(critic, weight=0.0) if penalty_weight else None
    return Game(generator, partial(critic, weight=penalty_weight), unpenalised)
