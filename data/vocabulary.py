"""Vocabulary: the symbols of a character corpus; encodes lines of text as ids, and decodes ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

PADDING = "\u2400"
"""Written form of padding inside a line; padding at the end of a line is dropped."""

UNKNOWN = "\ufffd"
"""Written form of the unknown symbol: Unicode's replacement character."""

PADDING_ID, UNKNOWN_ID = 0, 1

CODE_POINTS = 0x110000

# Never ordinary characters: the two marks above, line ends, and the byte order mark, which readers drop.
_RESERVED = (PADDING, UNKNOWN, "\n", "\r", "\ufeff")

Ids = NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True)
class Vocabulary:
    """Symbols of a corpus: id 0 is padding, id 1 unknown, ids 2, 3, ... the characters, most frequent first."""

    characters: str

    @classmethod
    def from_counts(cls, counts: NDArray[np.int64], most: int) -> "Vocabulary":
        """Build the vocabulary of the `most` most frequent characters from a count per code point [0x110000].

        Of equally frequent characters, the one with the lower code point comes first.
        """
        counts = counts.copy()
        counts[[ord(character) for character in _RESERVED]] = 0
        ranked = np.argsort(-counts, kind="stable")[:most]
        return cls("".join(chr(code) for code in ranked if counts[code]))

    @property
    def size(self) -> int:
        """Number of symbols V, padding and unknown included."""
        return len(self.characters) + 2

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Smallest unsigned type that holds every id."""
        return np.uint8 if self.size <= 256 else np.uint16

    @cached_property
    def _ids_of_code_points(self) -> Ids:
        table: Ids = np.full(CODE_POINTS, UNKNOWN_ID, self.dtype)
        table[ord(PADDING)] = PADDING_ID
        table[[ord(character) for character in self.characters]] = np.arange(2, self.size)
        return table

    def encode(self, lines: Sequence[str], seq_len: int) -> Ids:
        """Return ids [lines, seq_len] of lines cut or padded to `seq_len`. PADDING in a line becomes padding."""
        return self.encode_code_points(code_points(lines, seq_len))

    def encode_code_points(self, codes: NDArray[np.uint32]) -> Ids:
        """Return the ids of Unicode code points, in the same shape."""
        return self._ids_of_code_points[codes]

    def decode(self, ids: Ids) -> list[str]:
        """Return the lines of ids [lines, seq_len], without padding at their ends. Inverse of `encode`."""
        symbols = np.array([ord(character) for character in PADDING + UNKNOWN + self.characters], "<u4")
        text = symbols[ids].tobytes().decode("utf-32-le")
        seq_len = ids.shape[1]
        return [text[start : start + seq_len].rstrip(PADDING) for start in range(0, len(text), seq_len)]


def code_points(lines: Sequence[str], seq_len: int) -> NDArray[np.uint32]:
    """Return the code points [lines, seq_len] of lines cut or padded to `seq_len` characters."""
    text = "".join([line[:seq_len].ljust(seq_len, PADDING) for line in lines])
    return np.frombuffer(text.encode("utf-32-le"), "<u4").reshape(-1, seq_len)
