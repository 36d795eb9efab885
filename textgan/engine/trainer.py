"""Two-player training with two time scales (TTUR, Heusel et al. 2017, arXiv 1706.08500), of text or images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from textgan.engine.losses import Loss, gradient_penalty
from textgan.engine.players import Player, StepStats, read_stats
from textgan.engine.seeds import stream_seed


class Learner(Protocol):
    """The interface of a trainer: players by name, counters, a training step, and a network to sample from."""

    iteration: int
    critic_updates: int
    samples_seen: int

    @property
    def players(self) -> Mapping[str, Player]:
        """Players by the names used in checkpoints."""

    @property
    def sampler(self) -> nn.Module:
        """The network to draw samples from."""

    def step(self, real_batches: Sequence[Tensor]) -> StepStats:
        """Take one training step on batches [B, ...] of real samples."""


@dataclass
class Trainer:
    """Alternating updates: one generator update, then one critic update per batch of real samples.

    `sample_latent(batch_size, random)` returns noise for the generator. `score_together` passes real and fake samples
    through the critic in one batch, which is faster; a critic with batch normalisation needs separate batches. All
    randomness of a step is a function of the seed and `iteration`, which is therefore the whole random state.
    """

    generator: Player
    critic: Player
    loss: Loss
    penalty_weight: float
    score_together: bool
    sample_latent: Callable[[int, torch.Generator], Tensor]
    seed: int
    device: torch.device
    iteration: int = 0
    critic_updates: int = 0
    samples_seen: int = 0

    @property
    def players(self) -> Mapping[str, Player]:
        """Both players, by name."""
        return {"generator": self.generator, "critic": self.critic}

    @property
    def sampler(self) -> nn.Module:
        """The network to draw samples from: the EMA of the generator's weights if there is one, else the generator."""
        return self.generator.sampler

    def step(self, real_batches: Sequence[Tensor]) -> StepStats:
        """Take one training step on batches [B, ...] of real samples; as published, iteration 0 trains the critic only.

        Raises:
            NonFiniteError: a loss or a gradient is infinite or NaN.
        """
        random = torch.Generator(self.device).manual_seed(stream_seed(self.seed, "step", self.iteration))
        measured: dict[str, Tensor] = {}
        if self.iteration > 0:
            measured |= self._generator_update(len(real_batches[0]), random)
        finite = []
        for real in real_batches:
            measured |= self._critic_update(real, random)
            finite += [measured["critic_loss"], measured["critic_gradient_norm"]]
            self.critic_updates += 1
            self.samples_seen += len(real)
        stats = read_stats(measured, self.iteration, finite)
        self.iteration += 1
        return stats

    def _generator_update(self, batch_size: int, random: torch.Generator) -> dict[str, Tensor]:
        fake = self.generator.network(self.sample_latent(batch_size, random))  # [B, ...]
        loss = self.loss.generator(self.critic.network(fake))
        gradient_norm, update_norm = self.generator.update(loss, self.iteration - 1)
        return {
            "generator_loss": loss.detach(),
            "generator_gradient_norm": gradient_norm,
            "generator_update_norm": update_norm,
        }

    def _critic_update(self, real: Tensor, random: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.generator.network(self.sample_latent(len(real), random))  # [B, ...]
        if self.score_together:
            real_scores, fake_scores = self.critic.network(torch.cat([real, fake])).chunk(2)  # [B] each
        else:
            real_scores, fake_scores = self.critic.network(real), self.critic.network(fake)
        loss = self.loss.critic(real_scores, fake_scores)
        measured = {"wasserstein": (real_scores.mean() - fake_scores.mean()).detach()}
        if self.penalty_weight:
            alpha = torch.rand(len(real), generator=random, device=self.device, dtype=real.dtype)
            penalty = gradient_penalty(self.critic.network, real, fake, alpha)
            loss = loss + self.penalty_weight * penalty
            measured["gradient_penalty"] = penalty.detach()
        gradient_norm, update_norm = self.critic.update(loss, self.critic_updates)
        return measured | {
            "critic_loss": loss.detach(),
            "critic_gradient_norm": gradient_norm,
            "critic_update_norm": update_norm,
        }
