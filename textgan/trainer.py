"""Two-player training with two time scales (TTUR, Heusel et al. 2017, arXiv 1706.08500). Knows no text, no images."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from textgan.losses import Loss, gradient_penalty
from textgan.schedules import Schedule


class NonFiniteError(Exception):
    """A loss or gradient became infinite or NaN; the networks are no longer usable."""


@dataclass(frozen=True)
class Player:
    """A network with its optimiser and its own time scale: a learning rate and a schedule.

    `average` follows the weights from update to update, where it is wanted.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    learning_rate: float
    schedule: Schedule
    average: AveragedModel | None = None

    @property
    def sampler(self) -> nn.Module:
        """The network to draw samples from: the average of the weights where there is one."""
        return self.network if self.average is None else self.average.module

    def update(self, loss: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Take gradient step number n = 0, 1, ...; return the norms of the gradient and of the step taken."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * self.schedule(n)
        parameters = list(self.network.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        # Unlike backward(), this leaves the other player's weight gradients uncomputed.
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            # In the weight's own layout, as backward() would: fused optimisers go wrong on any other without a word.
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        steps = [parameter.detach() - old for parameter, old in zip(parameters, before, strict=True)]
        return nn.utils.get_total_norm(gradients), nn.utils.get_total_norm(steps)


def weight_average(network: nn.Module, decay: float) -> AveragedModel | None:
    """Return an exponential moving average of a network's weights, to be updated by its player; None for decay 0.

    It starts at the weights after the first update (Yazici et al. 2019, arXiv 1806.04498, on why GANs want one).
    """
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class StepStats:
    """What a training step measured; of several critic updates, the last one's values.

    Norms are Euclidean, over all parameters of a player. A value that was not computed is None.
    """

    critic_loss: float | None
    generator_loss: float | None
    gradient_penalty: float | None
    wasserstein: float | None
    critic_gradient_norm: float | None
    generator_gradient_norm: float | None
    critic_update_norm: float | None
    generator_update_norm: float | None


def read_stats(measured: Mapping[str, Tensor], iteration: int, also_finite: Sequence[Tensor] = ()) -> StepStats:
    """Return what was measured, in one transfer from the device.

    Raises:
        NonFiniteError: a value is infinite or NaN, or one of `also_finite`.
    """
    # The sum is finite only if all of them are.
    total = torch.stack([*measured.values(), *also_finite]).sum()
    *values, summed = torch.stack([*measured.values(), total]).tolist()
    stats = dict(zip(measured, values, strict=True))
    if not math.isfinite(summed):
        wrong = [name for name, value in stats.items() if not math.isfinite(value)] or ["critic_loss"]
        raise NonFiniteError(f"iteration {iteration}: {', '.join(wrong)} not finite")
    return StepStats(**{field.name: stats.get(field.name) for field in fields(StepStats)})


class Learner(Protocol):
    """What the loop trains, evaluates and saves: players by name, counters, a step, and a network to sample from."""

    iteration: int
    critic_updates: int
    samples_seen: int

    @property
    def players(self) -> Mapping[str, Player]:
        """The players, under the names they have in checkpoints."""

    @property
    def sampler(self) -> nn.Module:
        """The network to draw samples from."""

    def step(self, real_batches: Sequence[Tensor]) -> StepStats:
        """Train on batches [B, ...] of real samples."""


@dataclass
class Trainer:
    """Alternating updates: one of the generator, then one of the critic per batch of real samples.

    `draw_latent(batch_size, random)` returns noise for the generator. `score_together` lets the critic see real and
    fake samples in one pass, which is faster; a critic with batch normalisation must see them apart. All randomness of
    a step is a function of the seed and the step's number, so `iteration` is all there is to the random state.
    """

    generator: Player
    critic: Player
    loss: Loss
    penalty_weight: float
    score_together: bool
    draw_latent: Callable[[int, torch.Generator], Tensor]
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
        """The network to draw samples from: the generator, or the average of its weights where there is one."""
        return self.generator.sampler

    def step(self, real_batches: Sequence[Tensor]) -> StepStats:
        """Train on batches [B, ...] of real samples, in the published order: iteration 0 has no generator update.

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
        fake = self.generator.network(self.draw_latent(batch_size, random))
        loss = self.loss.generator(self.critic.network(fake))
        gradient_norm, update_norm = self.generator.update(loss, self.iteration - 1)
        return {
            "generator_loss": loss.detach(),
            "generator_gradient_norm": gradient_norm,
            "generator_update_norm": update_norm,
        }

    def _critic_update(self, real: Tensor, random: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.generator.network(self.draw_latent(len(real), random))
        if self.score_together:
            real_scores, fake_scores = self.critic.network(torch.cat([real, fake])).chunk(2)
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


_STREAMS = ("initialise", "step", "batches", "samples")


def stream_seed(seed: int, stream: str, iteration: int) -> int:
    """Return a 64-bit seed for one purpose at one iteration of a run."""
    sequence = np.random.SeedSequence([seed, _STREAMS.index(stream), iteration])
    return int(sequence.generate_state(1, np.uint64)[0])
