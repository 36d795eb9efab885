"""A model of lines, symbol by symbol: exact log-probabilities, draws, rollouts and relaxed draws.

Id 0 is padding and ends a line: after it only 0 follows, with probability 1. A line of L symbols has no end. The start
symbol has a row of its own in the embedding and is never drawn.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.tokenizers import PADDING_ID
from eval.core.device import at_least_float32
from textgan.models.bodies import Body, BodyName, LstmBody, State, TransformerBody

_LINES_AT_ONCE = 32  # that a CPU computes logits of
_EXCLUDED = -1e4  # bias of a symbol with a probability of exactly 0; finite, since 0 log 0 must be 0


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
        return self._logits(self._features(ids))

    def log_probs(self, ids: Tensor, temperature: float = 1.0) -> Tensor:
        """Return the log-probabilities [B, L], in nats, of the symbols of lines [B, L]; 0 after the end of a line.

        They are the model's at temperature 1; at another one, of the model whose logits are divided by it.
        """
        counted = in_line(ids).flatten()
        kept = counted.nonzero().squeeze(1) if _leaves_out_ends(ids.device) else slice(None)
        logits = self._logits(self._features(ids).flatten(0, 1)[kept])  # [positions, V]
        if temperature != 1:
            logits = logits / temperature
        drawn = -F.cross_entropy(logits, ids.flatten()[kept], reduction="none")
        log_probs = drawn.new_zeros(ids.numel())
        log_probs[kept] = drawn
        return (log_probs * counted).view(ids.shape)

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
                rows.feed(drawn[-1])
            drawn.append(rows.draw(random, temperature, top_p))
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
            rows.feed(symbols)
            rows.repeat_last(batch, count)
            drawn = rows.draw(random)[:-batch]
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
        padding = torch.arange(self.vocabulary_size, device=random.device) == PADDING_ID  # a one-hot row
        for _ in range(self.seq_len):
            if drawn:
                rows.feed(drawn[-1].argmax(dim=-1), drawn[-1] if soft else None)
            logits = self._logits(rows.features)
            shape = count, self.vocabulary_size
            uniform = torch.rand(shape, generator=random, device=random.device, dtype=logits.dtype)[rows.kept]
            gumbel = -(-uniform.clamp_min(torch.finfo(uniform.dtype).tiny).log()).log()
            row = (inverse_temperature * (logits + gumbel)).softmax(dim=-1)
            drawn.append(rows.spread(row, padding.to(row.dtype)))
        return torch.stack(drawn, dim=1)

    def _features(self, ids: Tensor) -> Tensor:
        before = torch.cat([ids.new_full((len(ids), 1), self.vocabulary_size), ids[:, :-1]], dim=1)
        return self.body(self.embedding(before), None)[0]  # [B, L, dim]

    def _logits(self, features: Tensor) -> Tensor:
        bias = self.to_symbols.bias.masked_fill(self.excluded, _EXCLUDED)
        return at_least_float32(F.linear(features, self.to_symbols.weight, bias))


class _Rows:
    """Lines that grow by one symbol per step.

    Attributes:
        kept: the lines that are computed; on a CPU, lines that have ended are left out.
        features: the body's features [lines kept, dim] after the symbols so far.
    """

    def __init__(self, model: LineModel, count: int, device: torch.device) -> None:
        self._model = model
        self._state: State | None = None
        self._going = torch.ones(count, dtype=torch.bool, device=device)
        self.kept: Tensor | slice = slice(None)
        self._step(model.embedding(torch.full((count,), model.vocabulary_size, device=device)))

    def feed(self, symbols: Tensor, soft: Tensor | None = None) -> None:
        """Append a symbol [N] to each line; with rows of probabilities [N, V] the body reads these."""
        going = self._going & (symbols != PADDING_ID)
        if _leaves_out_ends(going.device) and not torch.equal(going, self._going):
            assert self._state is not None
            self._state = tuple(rows[going[self.kept]] for rows in self._state)
            self.kept = going.nonzero().squeeze(1)
        self._going = going
        embedding = self._model.embedding
        self._step(embedding(symbols[self.kept]) if soft is None else soft[self.kept] @ embedding.weight[:-1])

    def _step(self, embedded: Tensor) -> None:
        if len(embedded):
            features, self._state = self._model.body(embedded.unsqueeze(1), self._state)
            self.features = features.squeeze(1)
        else:
            self.features = self.features[:0]

    def draw(self, random: torch.Generator, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
        """Draw a symbol [N] per line, padding where the line has ended; see `LineModel.draw`."""
        uniform = torch.rand(len(self._going), generator=random, device=random.device, dtype=torch.float64)
        # Few lines at once: the logits of all would not fit in the cache of a CPU.
        at_once = _LINES_AT_ONCE if uniform.device.type == "cpu" else len(uniform)
        blocks = zip(torch.split(self.features, at_once), torch.split(uniform[self.kept], at_once), strict=True)
        drawn = [
            pick(_nucleus(self._model._logits(features) / temperature, top_p), numbers) for features, numbers in blocks
        ]
        return self.spread(torch.cat(drawn), self._going.new_full((), PADDING_ID, dtype=torch.long))

    def spread(self, values: Tensor, padding: Tensor) -> Tensor:
        """Return values [lines kept, ...] as [N, ...], with `padding` [...] for lines that have ended."""
        if isinstance(self.kept, slice):
            return torch.where(self._going.view(-1, *[1] * padding.dim()), values, padding)
        return padding.expand(len(self._going), *padding.shape).index_copy(0, self.kept, values)

    def repeat_last(self, lines: int, count: int) -> None:
        """Insert `count` copies of each of the last lines before them."""

        def repeated(rows: Tensor, last: int) -> Tensor:
            ends = rows[len(rows) - last :]
            return torch.cat([rows[: len(rows) - last], ends.repeat(count, *[1] * (rows.dim() - 1)), ends])

        assert self._state is not None
        last = lines if isinstance(self.kept, slice) else int(self._going[-lines:].sum())
        self._state = tuple(repeated(rows, last) for rows in self._state)
        self.features = repeated(self.features, last)
        self._going = repeated(self._going, lines)
        if isinstance(self.kept, Tensor):
            self.kept = self._going.nonzero().squeeze(1)


def _leaves_out_ends(device: torch.device) -> bool:
    """Whether positions after the ends of lines are left out of computations: on a CPU.

    Other devices compute them, because the host would wait for the number of positions that are left.
    """
    return device.type == "cpu"


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


def pick(logits: Tensor, uniform: Tensor) -> Tensor:
    """Draw an id per row of logits [N, V] by the inverse of the cumulative distribution.

    `torch.multinomial` draws V numbers per row and takes several times as long. Symbols of probability 0 are never
    drawn.

    Args:
        logits: logits [N, V].
        uniform: a number per row [N] from [0, 1), of 53 bits: times the total of a row it stays below it, rounded too.
    """
    cumulated = logits.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)  # [N, V]
    return torch.searchsorted(cumulated, uniform.unsqueeze(1) * cumulated[:, -1:], right=True).squeeze(1)


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Exclude all but the most likely symbols that have a share `top_p` of the probability together."""
    if top_p >= 1:
        return logits
    sorted_logits, order = logits.sort(dim=-1, descending=True)
    probabilities = sorted_logits.softmax(dim=-1)
    outside = probabilities.cumsum(dim=-1) - probabilities >= top_p
    return logits.masked_fill(outside.gather(-1, order.argsort(dim=-1)), -torch.inf)
