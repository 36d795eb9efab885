"""Networks of games of lines as most people write them in PyTorch: LSTM language model, TextCNN, LSTM on prefixes.

In eager mode, from the papers: all lines take a step per position, ended or not, symbols come from `torch.multinomial`,
and losses from the log-softmax of all positions. Weights are named as in the package's own models, and copied from
them.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.errors import InputError

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Lines(nn.Module):
    """An LSTM over lines of L of V symbols; id 0 ends a line, and the embedding's last row is the start symbol's."""

    def __init__(self, symbols: int, length: int, dim: int, layers: int) -> None:
        super().__init__()
        self.symbols, self.length = symbols, length
        self.embedding = nn.Embedding(symbols + 1, dim)
        self.lstm = nn.LSTM(dim, dim, layers, batch_first=True)
        self.to_symbols = nn.Linear(dim, symbols)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the log-probabilities [B, L, V] of every symbol at each position of lines [B, L]."""
        start = ids.new_full((len(ids), 1), self.symbols)
        features, _ = self.lstm(self.embedding(torch.cat([start, ids[:, :-1]], dim=1)))
        log_probs: Tensor = F.log_softmax(self.to_symbols(features), dim=2)
        return log_probs

    def log_probs(self, ids: Tensor) -> Tensor:
        """Return the log-probabilities [B, L] of the symbols of lines, 0 after their ends."""
        return self(ids).gather(2, ids.unsqueeze(2)).squeeze(2) * in_line(ids)  # type: ignore[no-any-return]

    @torch.no_grad()
    def complete(self, prefixes: Tensor) -> Tensor:
        """Return lines [B, L] that begin with prefixes [B, t]; only padding follows padding."""
        ids = list(prefixes.unbind(1))
        symbol, state = prefixes.new_full((len(prefixes),), self.symbols), None
        for position in range(self.length):
            features, state = self.lstm(self.embedding(symbol).unsqueeze(1), state)
            if position >= len(ids):
                probabilities = F.softmax(self.to_symbols(features.squeeze(1)), dim=1)
                drawn = torch.multinomial(probabilities, 1).squeeze(1)
                ids.append(drawn if position == 0 else torch.where(ids[-1] == 0, 0, drawn))
            symbol = ids[position]
        return torch.stack(ids, dim=1)

    def draw(self, count: int) -> Tensor:
        """Draw lines [count, L]."""
        return self.complete(torch.empty(count, 0, dtype=torch.long, device=self.to_symbols.weight.device))

    def relaxed(self, count: int, beta: float, soft: bool) -> Tensor:
        """Draw rows [count, L, V], softmax(beta (logits + Gumbel noise)); rows are fed back if `soft`, else symbols."""
        weight = self.to_symbols.weight
        padding = F.one_hot(torch.zeros(count, dtype=torch.long, device=weight.device), self.symbols).to(weight)
        ended = torch.zeros(count, dtype=torch.bool, device=weight.device)
        embedded, state = self.embedding.weight[-1].expand(count, -1), None
        rows = []
        for _ in range(self.length):
            features, state = self.lstm(embedded.unsqueeze(1), state)
            noise = torch.rand(count, self.symbols, device=weight.device, dtype=weight.dtype).clamp_min(1e-30)
            row = F.softmax(beta * (self.to_symbols(features.squeeze(1)) - torch.log(-torch.log(noise))), dim=1)
            rows.append(torch.where(ended.unsqueeze(1), padding, row))
            symbol = rows[-1].argmax(dim=1)
            ended = ended | (symbol == 0)
            embedded = rows[-1] @ self.embedding.weight[:-1] if soft else self.embedding(symbol)
        return torch.stack(rows, dim=1)


class Cnn(nn.Module):
    """A TextCNN (Kim 2014, arXiv 1408.5882) whose embedding has parts that the filters share (RelGAN)."""

    def __init__(self, symbols: int, dim: int, filters: Sequence[tuple[int, int]], parts: int, scores: bool) -> None:
        super().__init__()
        self.parts, self.widest = parts, max(width for _, width in filters)
        self.embedding = nn.Embedding(symbols, dim)
        self.convolutions = nn.ModuleList(nn.Conv2d(1, count, (width, dim // parts)) for count, width in filters)
        if scores:
            self.to_score = nn.Linear(sum(count for count, _ in filters), 1)

    def features(self, x: Tensor) -> Tensor:
        """Return the features [B parts, F] of lines: ids [B, L] or rows of probabilities [B, L, V]."""
        embedded = x @ self.embedding.weight if x.is_floating_point() else self.embedding(x)  # [B, L, dim]
        embedded = F.pad(embedded, (0, 0, 0, max(0, self.widest - x.shape[1])))
        parts = embedded.view(*embedded.shape[:2], self.parts, -1)  # [B, L, parts, dim / parts]
        images = parts.transpose(1, 2).flatten(0, 1).unsqueeze(1)
        return torch.cat([F.relu(layer(images)).squeeze(3).max(dim=2).values for layer in self.convolutions], dim=1)

    def score(self, features: Tensor) -> Tensor:
        """Return the scores [B] of lines with features [B parts, F]."""
        scores: Tensor = self.to_score(features).view(-1, self.parts).mean(dim=1)
        return scores

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores [B] of lines."""
        return self.score(self.features(x))


class PrefixLstm(nn.Module):
    """An LSTM that scores every prefix of a line."""

    def __init__(self, symbols: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, dim)
        self.lstm = nn.LSTM(dim, dim, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.to_score = nn.Linear(dim, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the scores [B, L] of the prefixes of lines [B, L]."""
        scores: Tensor = self.to_score(self.norm(self.lstm(self.embedding(ids))[0])).squeeze(2)
        return scores


class OneHotLstm(nn.Module):
    """An LSTM over one-hot symbols of lines [B, L], with zeros before the first one; returns logits [B, L, V]."""

    def __init__(self, symbols: int, dim: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(symbols, dim, batch_first=True)
        self.to_symbols = nn.Linear(dim, symbols)

    def forward(self, ids: Tensor) -> Tensor:
        rows = F.one_hot(ids, self.to_symbols.out_features).to(self.to_symbols.weight)
        before = torch.cat([torch.zeros_like(rows[:, :1]), rows[:, :-1]], dim=1)
        logits: Tensor = self.to_symbols(self.recurrent(before)[0])
        return logits


def in_line(ids: Tensor) -> Tensor:
    """Return which positions of lines [B, L] are symbols, or the first padding, the end of a line."""
    after_padding = torch.cumsum(ids == 0, dim=1)
    return (after_padding == 0) | ((after_padding == 1) & (ids == 0))


def lines_like(network: nn.Module) -> Lines:
    """Return a language model with sizes and weights of the package's own.

    Raises:
        InputError: the package's own has no LSTM.
    """
    weights = _weights(network)
    if "lstm.weight_hh_l0" not in weights:
        raise InputError("--body transformer: the peer's language model is an LSTM; leave it out")
    symbols, dim = weights["to_symbols.weight"].shape
    length = network.seq_len
    assert isinstance(length, int)
    return copied(Lines(symbols, length, dim, sum("weight_hh" in name for name in weights)), network)


def cnn_like(network: nn.Module) -> Cnn:
    """Return a TextCNN with sizes and weights of the package's own."""
    weights = _weights(network)
    symbols, dim = weights["embedding.weight"].shape
    shapes = [value.shape for name, value in weights.items() if name.startswith("convolutions.") and value.dim() == 4]
    filters = [(shape[0], shape[2]) for shape in shapes]
    return copied(Cnn(symbols, dim, filters, dim // shapes[0][3], "to_score.weight" in weights), network)


def prefix_lstm_like(network: nn.Module) -> PrefixLstm:
    """Return an LSTM critic of prefixes with sizes and weights of the package's own."""
    return copied(PrefixLstm(*_weights(network)["embedding.weight"].shape), network)


def one_hot_lstm_like(network: nn.Module) -> OneHotLstm:
    """Return an LSTM over one-hot symbols with sizes and weights of the package's own."""
    return copied(OneHotLstm(*_weights(network)["to_symbols.weight"].shape), network)


def copied(peer: ModuleT, network: nn.Module) -> ModuleT:
    """Return the peer with weights, device and type of the package's own network."""
    peer.to(next(network.parameters())).load_state_dict(_weights(network))
    return peer


def _weights(network: nn.Module) -> Mapping[str, Tensor]:
    """Return weights by the peer's names."""
    state = network.state_dict()
    return {name.removeprefix("body."): value for name, value in state.items() if name != "excluded"}
