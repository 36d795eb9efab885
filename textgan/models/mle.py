"""A language model trained by maximum likelihood: what language GANs are to be compared with."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LanguageModel(nn.Module):
    """Lines [B, L, V], one-hot, to logits [B, L, V] of each symbol given those before it, by an LSTM."""

    def __init__(self, vocabulary_size: int, seq_len: int, dim: int) -> None:
        super().__init__()
        self.seq_len, self.dim = seq_len, dim
        self.recurrent = nn.LSTM(vocabulary_size, dim, batch_first=True)
        self.to_symbols = nn.Linear(dim, vocabulary_size)

    def forward(self, x: Tensor) -> Tensor:
        # Before the first symbol stands none: zeros.
        states, _ = self.recurrent(F.pad(x, (0, 0, 1, 0))[:, :-1])
        logits: Tensor = self.to_symbols(states)
        return logits

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """Return ids [count, L] of lines, symbol by symbol from the model's distribution."""
        symbol = torch.zeros(count, 1, self.to_symbols.out_features, device=random.device)
        state, ids = None, []
        for _ in range(self.seq_len):
            hidden, state = self.recurrent(symbol, state)
            ids.append(torch.multinomial(self.to_symbols(hidden[:, 0]).softmax(dim=-1), 1, generator=random))
            symbol = F.one_hot(ids[-1], symbol.shape[-1]).to(symbol.dtype)
        return torch.cat(ids, dim=1)
