"""Training by maximum likelihood, what GANs are to be compared with: one network, one loss. Knows no text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from textgan.engine.players import Player, StepStats, read_stats


@dataclass
class LikelihoodTrainer:
    """Gradient steps on the cross-entropy of real samples; in logs and checkpoints its player is the generator.

    The network maps samples [B, L, V], one-hot, to logits [B, L, V] of each position given those before it.
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
        """The network to draw samples from: the model, or the average of its weights where there is one."""
        return self.generator.sampler

    def step(self, real_batches: Sequence[Tensor]) -> StepStats:
        """Train on batches [B, L, V] as one; the loss is in nats a position.

        Raises:
            NonFiniteError: the loss or its gradient is infinite or NaN.
        """
        real = torch.cat(list(real_batches))
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
