"""Synthetic oracles: LSTMs with fixed weights that draw lines and know their exact probabilities.

Yu et al. 2017 (SeqGAN, arXiv 1609.05473) introduced the task: a model learns from lines that an oracle has drawn, and both
can be asked for the probability of any line. Symbols are written as numbers from 0, so an oracle's lines are text.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError

Floats = NDArray[np.float64]
Symbols = NDArray[np.int64]
State = tuple[Floats, Floats]

SYMBOLS, WIDTH = 5000, 32
"""Number of symbols and width of our own oracles, as in SeqGAN's."""

_BLOCK_LINES = 100  # logits of a block fit the processor's cache
# SeqGAN's arrays by the names of their published files: embedding, then input weights, recurrent weights and bias of the
# input, forget and output gate and of the candidate, then the output layer.
_GATES = ("i", "f", "og", "c")
_FILES = ("embedding", *(f"{kind}{gate}" for gate in _GATES for kind in "wub"), "wo", "bo")


@dataclass(frozen=True)
class Oracle:
    """An LSTM over symbols 0 .. V - 1; the first symbol follows symbol 0.

    Attributes:
        embedding: [V, E].
        inputs: input weights [E, 4 H] of input gate, forget gate, output gate and candidate.
        recurrent: recurrent weights [H, 4 H] of the same.
        bias: [4 H].
        output: [H, V].
        output_bias: [V].
    """

    embedding: Floats
    inputs: Floats
    recurrent: Floats
    bias: Floats
    output: Floats
    output_bias: Floats

    @property
    def size(self) -> int:
        """Number of symbols V."""
        return len(self.embedding)

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights, in single precision."""
        arrays = (self.embedding, self.inputs, self.recurrent, self.bias, self.output, self.output_bias)
        return hashlib.sha256(b"".join(array.astype("<f4").tobytes() for array in arrays)).hexdigest()

    def draw(self, count: int, seq_len: int, seed: int) -> Symbols:
        """Draw lines [count, seq_len]."""
        random = np.random.default_rng(seed)
        blocks = []
        for start in range(0, count, _BLOCK_LINES):
            lines = min(_BLOCK_LINES, count - start)
            drawn, state = [np.zeros(lines, np.int64)], self._start(lines)
            for _ in range(seq_len):
                exponentials, _, state = self._step(drawn[-1], state)
                cumulated = exponentials.cumsum(axis=1, out=exponentials)
                below = random.random(lines) * cumulated[:, -1]
                chosen = [np.searchsorted(row, value, "right") for row, value in zip(cumulated, below, strict=True)]
                drawn.append(np.minimum(chosen, self.size - 1))
            blocks.append(np.stack(drawn[1:], axis=1))
        return np.concatenate(blocks)

    def log_probs(self, lines: Symbols) -> Floats:
        """Return the log-probabilities [N, L], in nats, of the symbols of lines [N, L]."""
        return np.concatenate([self._log_probs(lines[i : i + _BLOCK_LINES]) for i in range(0, len(lines), _BLOCK_LINES)])

    def _log_probs(self, lines: Symbols) -> Floats:
        before, state, columns = np.zeros(len(lines), np.int64), self._start(len(lines)), []
        for symbols in lines.T:
            exponentials, logits, state = self._step(before, state)
            columns.append(logits[np.arange(len(lines)), symbols] - np.log(exponentials.sum(axis=1)))
            before = symbols
        return np.stack(columns, axis=1)

    def _start(self, lines: int) -> State:
        return np.zeros((lines, len(self.recurrent))), np.zeros((lines, len(self.recurrent)))

    def _step(self, symbols: Symbols, state: State) -> tuple[Floats, Floats, State]:
        """Take a symbol per line [N]; return exp(logits) and logits [N, V] of the next one, and the state.

        The logits are shifted so that the largest is 0.
        """
        hidden, cell = state
        gates = self.embedding[symbols] @ self.inputs + hidden @ self.recurrent + self.bias
        into, keep, out, candidate = np.split(gates, 4, axis=1)
        cell = _sigmoid(keep) * cell + _sigmoid(into) * np.tanh(candidate)
        hidden = _sigmoid(out) * np.tanh(cell)
        logits = hidden @ self.output + self.output_bias
        logits -= logits.max(axis=1, keepdims=True)
        return np.exp(logits), logits, (hidden, cell)


def own_oracle(seed: int, size: int = SYMBOLS, width: int = WIDTH) -> Oracle:
    """Return an oracle with weights from N(0, 1), in single precision, drawn in the order of `Oracle`'s attributes."""
    random = np.random.Generator(np.random.PCG64(seed))
    shapes = ((size, width), (width, 4 * width), (width, 4 * width), (4 * width,), (width, size), (size,))
    return Oracle(*(random.standard_normal(shape, np.float32).astype(np.float64) for shape in shapes))


def read_oracle(folder: Path) -> Oracle:
    """Return the oracle in a folder of 15 arrays (NAME.npy or NAME.npz) by the names of SeqGAN's published weights.

    Nothing is unpickled.

    Raises:
        InputError: an array is missing, cannot be read, or has the wrong shape.
    """
    arrays = {name: _read_array(folder, name) for name in _FILES}
    inputs, recurrent, bias = (np.concatenate([arrays[f"{kind}{gate}"] for gate in _GATES], axis=-1) for kind in "wub")
    oracle = Oracle(arrays["embedding"], inputs, recurrent, bias, arrays["wo"], arrays["bo"])
    (size, embedded), width = oracle.embedding.shape, len(oracle.recurrent)
    expected = ((embedded, 4 * width), (width, 4 * width), (4 * width,), (width, size), (size,))
    found = tuple(array.shape for array in (inputs, recurrent, bias, oracle.output, oracle.output_bias))
    if found != expected:
        raise InputError(f"{folder}: no oracle: shapes {found}, expected {expected}; give SeqGAN's 15 arrays")
    return oracle


def _read_array(folder: Path, name: str) -> Floats:
    for path in (folder / f"{name}.npy", folder / f"{name}.npz"):
        if path.exists():
            try:
                loaded = np.load(path, allow_pickle=False)
                array = loaded if isinstance(loaded, np.ndarray) else loaded[loaded.files[0]]
                return np.asarray(array, np.float64)
            except (ValueError, OSError, IndexError) as error:
                raise InputError(f"{path}: not an array ({error}); give SeqGAN's 15 arrays") from error
    raise InputError(f"{folder}: no {name}.npy or {name}.npz; give a folder with SeqGAN's 15 arrays")


def as_lines(symbols: Symbols) -> Iterator[str]:
    """Yield lines of symbols [N, L] as text: numbers with spaces between."""
    return (" ".join(map(str, line)) for line in symbols.tolist())


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))
