"""A model of lines, symbol by symbol: exact log-probabilities, draws, rollouts and relaxed draws.

Id 0 is padding and ends a line: after it only 0 follows, with probability 1. A line of L symbols has no end. The start
symbol has a row of its own in the embedding and is never drawn.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.tokenizers import PADDING_ID
from eval.core.device import at_least_float32, without_autocast

State = tuple[Tensor, ...]
"""Tensors [N, ...] that a body keeps of the symbols so far, one row per line."""
BodyName = Literal["lstm", "transformer"]

HEADS = 4
"""Heads of the transformer; they divide the width."""
_EXCLUDED = -1e4  # bias of a symbol with a probability of exactly 0; finite, since 0 log 0 must be 0


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


class LineModel(nn.Module):
    """A distribution over lines of at most L symbols out of V.

    Args:
        vocabulary_size: V, padding and unknown included.
        seq_len: L.
        dim: width of embedding and body.
        layers: layers of the body.
        body: the network between embedding and logits.
    """

    excluded: Tensor
    """Which symbols [V] have probability 0; see `exclude`."""

    def __init__(
        self, vocabulary_size: int, seq_len: int, dim: int, layers: int = 1, body: BodyName = "lstm"
    ) -> None:  # fmt: skip
        super().__init__()
        self.vocabulary_size, self.seq_len = vocabulary_size, seq_len
        self.embedding = nn.Embedding(vocabulary_size + 1, dim)
        self.body: Body = LstmBody(dim, layers) if body == "lstm" else TransformerBody(dim, layers, seq_len)
        self.to_symbols = nn.Linear(dim, vocabulary_size)
        self.register_buffer("excluded", torch.zeros(vocabulary_size, dtype=torch.bool))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits [B, L, V] of each symbol of lines [B, L], given the symbols before it."""
        before = torch.cat([ids.new_full((len(ids), 1), self.vocabulary_size), ids[:, :-1]], dim=1)
        return self._logits(self.body(self.embedding(before), None)[0])

    def log_probs(self, ids: Tensor, temperature: float = 1.0) -> Tensor:
        """Return the log-probabilities [B, L], in nats, of the symbols of lines [B, L]; 0 after the end of a line.

        They are the model's at temperature 1; at another one, of the model whose logits are divided by it.
        """
        logits: Tensor = self(ids) / temperature
        return logits.log_softmax(dim=-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1) * in_line(ids)

    @torch.no_grad()
    def draw(self, count: int, random: torch.Generator, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
        """Draw lines, ids [count, L].

        Args:
            count: number of lines.
            random: source of one uniform number per symbol; the lines are on its device.
            temperature: divides the logits.
            top_p: share of the probability to draw from, the most likely symbols first (Holtzman et al. 2020, arXiv
                1904.09751); 1: all symbols.
        """
        rows = _Rows(self, count, random.device)
        drawn: list[Tensor] = []
        for _ in range(self.seq_len):
            if drawn:
                rows.feed(drawn[-1], self.embedding(drawn[-1]))
            drawn.append(rows.draw(_nucleus(rows.logits / temperature, top_p), random))
        return torch.stack(drawn, dim=1)

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """Draw lines, ids [count, L], from the model's distribution."""
        return self.draw(count, random)

    @torch.no_grad()
    def rollouts(self, ids: Tensor, count: int, random: torch.Generator) -> Tensor:
        """Complete the first t symbols of each line, for t = 1 .. L - 1; an ended line is its own completion.

        All prefixes grow in one batch, so that a completion costs one step per position.

        Args:
            ids: lines [B, L].
            count: number N of completions per prefix.
            random: source of one uniform number per drawn symbol.

        Returns:
            Lines [L - 1, N, B, L].
        """
        batch, length = ids.shape
        completed = ids.expand(length - 1, count, batch, length).clone()
        # The last rows are the lines themselves; the rows before them are completions of t = 1, 2, ...
        rows, symbols = _Rows(self, batch, ids.device), ids[:, 0]
        for position in range(1, length):
            rows.feed(symbols, self.embedding(symbols))
            rows.repeat_last(batch, count)
            drawn = rows.draw(rows.logits, random)[:-batch]
            completed[:position, :, :, position] = drawn.view(position, count, batch)
            symbols = torch.cat([drawn, ids[:, position]])
        return completed

    def relaxed(self, count: int, random: torch.Generator, inverse_temperature: float, soft: bool) -> Tensor:
        """Draw lines by the Gumbel-softmax relaxation, rows of probabilities [count, L, V].

        A row is softmax(beta (logits + Gumbel noise)) (Jang et al. 2017, arXiv 1611.01144), and a one-hot row of
        padding after the end of a line.

        Args:
            count: number of lines.
            random: source of the noise.
            inverse_temperature: beta; the rows tend to one-hot rows as it grows.
            soft: whether the row itself is fed back (Kusner & Hernandez-Lobato 2016, arXiv 1611.04051), or its most
                likely symbol, through which no gradient passes (RelGAN, Nie et al. 2019).
        """
        rows = _Rows(self, count, random.device)
        drawn: list[Tensor] = []
        padding = F.one_hot(torch.tensor(PADDING_ID, device=random.device), self.vocabulary_size)
        for _ in range(self.seq_len):
            if drawn:
                symbols = drawn[-1].argmax(dim=-1)
                rows.feed(symbols, drawn[-1] @ self.embedding.weight[:-1] if soft else self.embedding(symbols))
            uniform = torch.rand(rows.logits.shape, generator=random, device=random.device, dtype=rows.logits.dtype)
            gumbel = -(-uniform.clamp_min(torch.finfo(uniform.dtype).tiny).log()).log()
            row = (inverse_temperature * (rows.logits + gumbel)).softmax(dim=-1)  # [count, V]
            drawn.append(torch.where(rows.alive.unsqueeze(-1), row, padding.to(row.dtype)))
        return torch.stack(drawn, dim=1)

    def _logits(self, features: Tensor) -> Tensor:
        bias = self.to_symbols.bias.masked_fill(self.excluded, _EXCLUDED)
        return at_least_float32(F.linear(features, self.to_symbols.weight, bias))


class _Rows:
    """Lines that grow by one symbol per step: the logits [N, V] of their next symbols, and which have not ended."""

    def __init__(self, model: LineModel, count: int, device: torch.device) -> None:
        self._model = model
        self._state: State | None = None
        self.alive = torch.ones(count, dtype=torch.bool, device=device)
        self._step(model.embedding(torch.full((count,), model.vocabulary_size, device=device)))

    def feed(self, symbols: Tensor, embedded: Tensor) -> None:
        """Append a symbol [N] to each line; the body reads it as a vector [N, E]."""
        self.alive = self.alive & (symbols != PADDING_ID)
        self._step(embedded)

    def _step(self, embedded: Tensor) -> None:
        features, self._state = self._model.body(embedded.unsqueeze(1), self._state)
        self.logits = self._model._logits(features.squeeze(1))

    def draw(self, logits: Tensor, random: torch.Generator) -> Tensor:
        """Draw a symbol [N] per line from logits [N, V]; padding where the line has ended."""
        return pick(logits, random) * self.alive

    def repeat_last(self, lines: int, count: int) -> None:
        """Insert `count` copies of each of the last lines before them."""

        def repeated(rows: Tensor) -> Tensor:
            last = rows[-lines:]
            return torch.cat([rows[:-lines], last.repeat(count, *[1] * (last.dim() - 1)), last])

        assert self._state is not None
        self._state = tuple(map(repeated, self._state))
        self.logits, self.alive = repeated(self.logits), repeated(self.alive)


def exclude(network: nn.Module, ids: Sequence[int]) -> None:
    """Give these symbols, and no others, the probability 0 in every line model in a network.

    Padding, where every line is full, and the unknown symbol may stand in no training line; a model with a softmax
    would give them some probability all the same. Weights that are saved contain the choice.
    """
    for module in network.modules():
        if isinstance(module, LineModel):
            module.excluded.zero_()
            module.excluded[list(ids)] = True


def in_line(ids: Tensor) -> Tensor:
    """Return which positions of lines [..., L] are symbols, or the first padding, the end of a line."""
    padding = ids == PADDING_ID
    return padding.cumsum(dim=-1) - padding.long() == 0


def pick(logits: Tensor, random: torch.Generator) -> Tensor:
    """Draw an id per row of logits [N, V] by the inverse of the cumulative distribution.

    One uniform number per row; `torch.multinomial` draws V and takes several times as long. Symbols of probability 0
    are never drawn.
    """
    cumulated = logits.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)  # [N, V]
    # Numbers below 1 of 53 bits: times the total of a row they stay below it, rounded too.
    uniform = torch.rand(len(logits), 1, generator=random, device=random.device, dtype=torch.float64)
    return torch.searchsorted(cumulated, uniform * cumulated[:, -1:], right=True).squeeze(-1)


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Exclude all but the most likely symbols that have a share `top_p` of the probability together."""
    if top_p >= 1:
        return logits
    sorted_logits, order = logits.sort(dim=-1, descending=True)
    probabilities = sorted_logits.softmax(dim=-1)
    outside = probabilities.cumsum(dim=-1) - probabilities >= top_p
    return logits.masked_fill(outside.gather(-1, order.argsort(dim=-1)), -torch.inf)
