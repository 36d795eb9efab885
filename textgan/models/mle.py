"""LSTM language model trained by maximum likelihood, the baseline for language GANs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eval.core.device import at_least_float32, without_autocast
from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, generator_scale
from textgan.engine.updates import Turn
from textgan.models.common import one_hot
from textgan.models.settings import TextSettings


class LanguageModel(nn.Module):
    """An LSTM that maps one-hot lines [B, L, V] to logits [B, L, V] of each symbol given the previous symbols."""

    def __init__(self, vocabulary_size: int, seq_len: int, dim: int) -> None:
        super().__init__()
        self.seq_len, self.dim = seq_len, dim
        self.recurrent = nn.LSTM(vocabulary_size, dim, batch_first=True)
        self.to_symbols = nn.Linear(dim, vocabulary_size)

    def forward(self, x: Tensor) -> Tensor:
        previous = F.pad(x, (0, 0, 1, 0))[:, :-1]  # [B, L, V], zeros before the first symbol
        with without_autocast(x.device):
            states, _ = self.recurrent(previous)  # [B, L, dim]
        logits: Tensor = self.to_symbols(states)  # [B, L, V]
        return at_least_float32(logits)

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """Draw ids [count, L] of lines, symbol by symbol from the model's distribution."""
        symbol = torch.zeros(count, 1, self.to_symbols.out_features, device=random.device)  # [count, 1, V]
        state, ids = None, []
        for _ in range(self.seq_len):
            hidden, state = self.recurrent(symbol, state)  # [count, 1, dim]
            probabilities = self.to_symbols(hidden[:, 0]).softmax(dim=-1)  # [count, V]
            ids.append(torch.multinomial(probabilities, 1, generator=random))  # [count, 1]
            symbol = F.one_hot(ids[-1], symbol.shape[-1]).to(symbol.dtype)  # [count, 1, V]
        return torch.cat(ids, dim=1)  # [count, L]


@dataclass(frozen=True)
class MleSettings(TextSettings):
    """Settings of the LSTM. The defaults are the preset `mle`, with common values for an LSTM of this size."""

    preset: str = "mle"
    model: Literal["mle"] = "mle"
    generator_lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999


def networks(config: MleSettings, vocabulary_size: int) -> Networks:
    """Return the LSTM, with uninitialised weights."""
    return Networks(LanguageModel(vocabulary_size, config.seq_len, config.dim))


def phases(config: MleSettings, players: Networks) -> Sequence[Phase]:
    """Return the one phase: steps on the mean cross-entropy of real lines, in nats per position."""
    model = players.generator
    assert isinstance(model, LanguageModel)

    def cross_entropy(networks: Networks, real: Tensor, _turn: Turn) -> Mapping[str, Tensor]:
        lines = one_hot(real, model.to_symbols.weight)  # [B, L, V]
        return {"loss": -(lines * networks.generator(lines).log_softmax(dim=-1)).sum(dim=-1).mean()}

    return [Phase("likelihood", Game(cross_entropy), generator_scale(config, config.iterations), None)]


_MLE = MleSettings()
PRESETS = (_MLE, replace(_MLE, preset="mle-small", data="grammar", dim=256, batch_size=32))
