"""LSTM language model trained by maximum likelihood, the baseline for language GANs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LanguageModel(nn.Module):
    """An LSTM that maps one-hot lines [B, L, V] to logits [B, L, V] of each symbol given the previous symbols."""

    def __init__(self, vocabulary_size: int, seq_len: int, dim: int) -> None:
        super().__init__()
        self.seq_len, self.dim = seq_len, dim
        self.recurrent = nn.LSTM(vocabulary_size, dim, batch_first=True)
        self.to_symbols = nn.Linear(dim, vocabulary_size)

    def forward(self, x: Tensor) -> Tensor:
        previous = F.pad(x, (0, 0, 1, 0))[:, :-1]  # [B, L, V], zeros before the first symbol
        states, _ = self.recurrent(previous)  # [B, L, dim]
        logits: Tensor = self.to_symbols(states)  # [B, L, V]
        return logits

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
