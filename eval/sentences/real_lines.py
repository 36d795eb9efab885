"""Real lines to compare sentences with: a fixed random part of the reference, and held-out lines for the floor."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from data.corpus import CorpusOptions, split_lines
from data.errors import InputError
from data.files import sha256_of_json
from data.readers import InvalidUtf8
from data.sources import open_source
from eval.core.sampling import fixed_sample
from eval.text.words import open_held_out

MOST = 10_000
"""Most lines of a reference that are compared with samples; of a longer one, the same random lines every time."""


@dataclass(frozen=True)
class RealLines:
    """Lines out of the `total` of a reference, with the hash of these lines, and held-out lines."""

    name: str
    sha256: str
    total: int
    lines: list[str]
    held_out: list[str]

    @classmethod
    def of(cls, lines: Sequence[str], held_out: Sequence[str] = (), name: str = "lines") -> "RealLines":
        """Return given lines as real lines."""
        return cls(name, sha256_of_json(list(lines)), len(lines), list(lines), list(held_out))

    def floor_lines(self, count: int) -> list[str] | None:
        """Return `count` held-out lines, always the same ones, or None if there are fewer."""
        if len(self.held_out) < count:
            return None
        return [self.held_out[i] for i in fixed_sample(len(self.held_out), count)]

    @property
    def title(self) -> str:
        """Name and number of lines of the reference."""
        return f"{self.name} ({self.total:,} lines)"


def open_real_lines(options: CorpusOptions, held_out: str | None, invalid_utf8: InvalidUtf8 = "refuse") -> RealLines:
    """Return the real lines that the options choose.

    Args:
        options: which lines of which source.
        held_out: source of the lines for the floor. Default: the held-out lines of the real text.
        invalid_utf8: whether bytes of that source that are not UTF-8 are refused or replaced.

    Raises:
        InputError: a source cannot be read, or has no lines.
    """
    source = open_source(options.data, options.invalid_utf8)
    total = 0
    others: list[str] = []
    for lines, held in split_lines(source, options):
        total += len(lines)
        others += held
    if not total:
        raise InputError(f"{source.name}: no lines; give a source with at least one line of text")
    chosen = set(fixed_sample(total, min(MOST, total)).tolist())
    every = chain.from_iterable(lines for lines, _ in split_lines(source, options))
    kept = [line for number, line in enumerate(every) if number in chosen]
    if held_out is not None:
        others = open_held_out(held_out, invalid_utf8)
    return RealLines(source.name, sha256_of_json(kept), total, kept, others)
