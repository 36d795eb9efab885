"""Networks between the embedding of a line's symbols and their logits: an LSTM and a causal transformer."""

from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eval.core.device import at_least_float32, without_autocast

State = tuple[Tensor, ...]
"""Tensors [N, ...] that a body keeps of the symbols so far, one row per line."""
BodyName = Literal["lstm", "transformer"]

HEADS = 4
"""Heads of the transformer; they divide the width."""


class Body(Protocol):
    """Maps embedded symbols [N, T, dim] to features [N, T, dim]; with a state, of one symbol (T = 1) that follows."""

    def __call__(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return the features of each position, and the state after the last one."""
        ...


class LstmBody(nn.Module):
    """An LSTM (Hochreiter & Schmidhuber 1997)."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, layers, batch_first=True)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        # nn.LSTM wants states [layers, N, dim]
        before = (
            None if state is None else (state[0].transpose(0, 1).contiguous(), state[1].transpose(0, 1).contiguous())
        )
        with without_autocast(x.device):
            features, (hidden, cell) = self.lstm(at_least_float32(x), before)  # [N, T, dim]
        return features, (hidden.transpose(0, 1), cell.transpose(0, 1))


class TransformerBody(nn.Module):
    """A causal transformer with layer normalisation before each part (Vaswani et al. 2017, arXiv 1706.03762).

    The state holds keys and values [N, T, dim] of each layer, so that a draw computes each position once.
    """

    def __init__(self, dim: int, layers: int, seq_len: int) -> None:
        super().__init__()
        self.positions = nn.Embedding(seq_len, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2 * layers + 1))
        self.projections = nn.ModuleList(nn.Linear(dim, 3 * dim) for _ in range(layers))
        self.mixers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        self.wideners = nn.ModuleList(nn.Linear(dim, 4 * dim) for _ in range(layers))
        self.narrowers = nn.ModuleList(nn.Linear(4 * dim, dim) for _ in range(layers))

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        past, length = 0 if state is None else state[0].shape[1], x.shape[1]
        x = x + self.positions.weight[past : past + length]  # [N, T, dim]
        after: list[Tensor] = []
        for layer, project in enumerate(self.projections):
            query, key, value = project(self.norms[2 * layer](x)).chunk(3, dim=-1)  # [N, T, dim] each
            if state is not None:
                key, value = torch.cat([state[2 * layer], key], 1), torch.cat([state[2 * layer + 1], value], 1)
            after += [key, value]
            q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (query, key, value))  # [N, H, T, d]
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=state is None)
            x = x + self.mixers[layer](mixed.transpose(1, 2).flatten(2))
            x = x + self.narrowers[layer](F.gelu(self.wideners[layer](self.norms[2 * layer + 1](x))))
        return self.norms[-1](x), tuple(after)
