"""Synthetic oracles: LSTMs with fixed weights, whose lines have exact probabilities.

Yu et al. 2017 (SeqGAN, arXiv 1609.05473) introduced the task: a model learns from lines that an oracle has drawn, and
both give any line a probability. `data.oracle_lines` makes text of the lines.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.cache import DAMAGED_ARRAYS
from data.errors import InputError
from data.readers import first_line

Floats = NDArray[np.float64]
Symbols = NDArray[np.int64]

SYMBOLS, WIDTH = 5000, 32
"""Number of symbols and width of our own oracles, as in SeqGAN's."""

_BLOCK_LOGITS = 1 << 17  # they fit the processor's cache
# SeqGAN's arrays by the names of their published files: embedding, then input weights, recurrent weights and bias of
# input gate, forget gate, output gate and candidate, then the output layer.
_GATES = ("i", "f", "og", "c")
_REMEDY = "give a folder with SeqGAN's 15 arrays (embedding, wi, ui, bi, ...; .npy or .npz)"
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
        """Draw lines [count, seq_len]; the first ones are the same whatever the count."""
        # Not the generator of our own weights, whose stream with the same seed would steer the lines.
        uniform = np.random.Generator(np.random.Philox(seed)).random((count, seq_len))
        lines = np.zeros((count, seq_len), np.int64)
        for block in self._blocks(count, "drawing lines of an oracle"):
            for position, logits in enumerate(self._logits(lines[block])):
                cumulated = np.exp(logits, out=logits).cumsum(axis=1, out=logits)
                below = uniform[block, position] * cumulated[:, -1]
                chosen = (cumulated <= below[:, None]).sum(axis=1)
                lines[block, position] = np.minimum(chosen, self.size - 1)  # products round up to the total
        return lines

    def log_probs(self, lines: Symbols) -> Floats:
        """Return the log-probabilities [N, L], in nats, of the symbols of lines [N, L]."""
        log_probs = np.zeros(lines.shape)
        for block in self._blocks(len(lines), "probabilities of lines under an oracle"):
            for position, logits in enumerate(self._logits(lines[block])):
                log_probs[block, position] = logits[np.arange(len(logits)), lines[block, position]]
                log_probs[block, position] -= np.log(np.exp(logits, out=logits).sum(axis=1))
        return log_probs

    def _blocks(self, count: int, what: str) -> Iterator[slice]:
        size = max(1, _BLOCK_LOGITS // self.size)
        starts = tqdm(range(0, count, size), what, disable=None, delay=1, leave=False)
        return (slice(start, min(start + size, count)) for start in starts)

    def _logits(self, lines: Symbols) -> Iterator[Floats]:
        """Yield the logits [N, V] of each position of lines [N, L], shifted so that the largest is 0.

        The symbols of a position are read after the position's logits are used; all logits share one array.
        """
        count, width = len(lines), len(self.recurrent)
        hidden, cell = np.zeros((count, width)), np.zeros((count, width))
        before, logits = np.zeros(count, np.int64), np.empty((count, self.size))
        for position in range(lines.shape[1]):
            gates = self.embedding[before] @ self.inputs + hidden @ self.recurrent + self.bias
            into, keep, out, candidate = np.split(gates, 4, axis=1)
            cell = _sigmoid(keep) * cell + _sigmoid(into) * np.tanh(candidate)
            hidden = _sigmoid(out) * np.tanh(cell)
            np.matmul(hidden, self.output, out=logits)
            logits += self.output_bias
            logits -= logits.max(axis=1, keepdims=True)
            yield logits
            before = lines[:, position]


def own_oracle(seed: int, size: int = SYMBOLS, width: int = WIDTH) -> Oracle:
    """Return an oracle with weights from N(0, 1), in single precision, drawn in the order of `Oracle`'s attributes."""
    random = np.random.Generator(np.random.PCG64(seed))
    shapes = ((size, width), (width, 4 * width), (width, 4 * width), (4 * width,), (width, size), (size,))
    return Oracle(*(random.standard_normal(shape, np.float32).astype(np.float64) for shape in shapes))


def read_oracle(folder: Path) -> Oracle:
    """Return the oracle in a folder of 15 arrays (NAME.npy or NAME.npz) by the names of SeqGAN's published weights.

    Nothing is unpickled.

    Raises:
        InputError: the folder or an array is missing, cannot be read, or has the wrong shape.
    """
    if not folder.is_dir():
        raise InputError(f"oracle:{folder}: no such folder; {_REMEDY}")
    arrays = {name: _read_array(folder, name) for name in _FILES}
    size, embedded = np.atleast_2d(arrays["embedding"]).shape[:2]
    width = len(np.atleast_1d(arrays["wo"]))
    shapes = {"embedding": (size, embedded), "wo": (width, size), "bo": (size,)}
    for gate in _GATES:
        shapes |= {f"w{gate}": (embedded, width), f"u{gate}": (width, width), f"b{gate}": (width,)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape or 0 in shape:
            raise InputError(f"{folder}: {name} has shape {arrays[name].shape}, expected {shape}; {_REMEDY}")
    inputs, recurrent, bias = (np.concatenate([arrays[f"{kind}{gate}"] for gate in _GATES], axis=-1) for kind in "wub")
    return Oracle(arrays["embedding"], inputs, recurrent, bias, arrays["wo"], arrays["bo"])


def _read_array(folder: Path, name: str) -> Floats:
    """Return an array; of an .npz file the only one in it."""
    path = next((path for path in (folder / f"{name}.npy", folder / f"{name}.npz") if path.exists()), None)
    if path is None:
        raise InputError(f"{folder}: no {name}.npy or {name}.npz; {_REMEDY}")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            (array,) = [loaded] if isinstance(loaded, np.ndarray) else loaded.values()
            array = np.asarray(array, np.float64)
    except (*DAMAGED_ARRAYS, TypeError) as error:
        raise InputError(f"{path}: not an array of numbers ({first_line(error)}); {_REMEDY}") from error
    if not np.isfinite(array).all():
        raise InputError(f"{path}: holds NaN or infinity; {_REMEDY}")
    return array


def _sigmoid(x: Floats) -> Floats:
    return (1 + np.tanh(x / 2)) / 2  # no overflow
