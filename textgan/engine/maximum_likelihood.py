"""Training by maximum likelihood, the baseline for GANs: one network, one loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from textgan.engine.players import Player, StepStats, read_stats


@dataclass
class LikelihoodTrainer:
    """Gradient steps on the cross-entropy of real samples; the one player is called generator in logs and checkpoints.

    The network maps one-hot samples [B, L, V] to logits [B, L, V] of each position given the previous positions.
    """

    generator: Player
    iteration: int = 0
    critic_updates: int = 0
    samples_seen: int = 0

    @property
    def players(self) -> Mapping[str, Player]:
        """The one player."""
        return {"generator": self.generator}

    @property
    def sampler(self) -> nn.Module:
        """The network to draw samples from: the EMA of the weights if there is one, else the model."""
        return self.generator.sampler

    def step(self, real_batches: Sequence[Tensor]) -> StepStats:
        """Take one step on the concatenated batches [B, L, V]; the loss is in nats per position.

        Raises:
            NonFiniteError: the loss or its gradient is infinite or NaN.
        """
        real = torch.cat(list(real_batches))  # [steps * B, L, V]
        loss = -(real * self.generator.network(real).log_softmax(dim=-1)).sum(dim=-1).mean()
        gradient_norm, update_norm = self.generator.update(loss, self.iteration)
        measured = {
            "generator_loss": loss.detach(),
            "generator_gradient_norm": gradient_norm,
            "generator_update_norm": update_norm,
        }
        stats = read_stats(measured, self.iteration)
        self.iteration += 1
        self.samples_seen += len(real)
        return stats
