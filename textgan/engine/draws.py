"""Random numbers of a step: of one run, of several runs, or in buffers that a CUDA graph reads."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

Draw = Callable[[int, torch.Generator], Tensor]
"""Draws rows of random numbers [rows, ...] from a generator."""


def drawn(draw: Draw, rows: int, random: torch.Generator) -> Tensor:
    """Draw rows of random numbers [rows, ...], with `Streams` and `Buffered` in their own ways."""
    return random.draw(draw, rows) if isinstance(random, Streams | Buffered) else draw(rows, random)


class Streams(torch.Generator):
    """The random numbers of R runs as one generator, from which only `drawn` draws."""

    def __new__(cls, each: Sequence[torch.Generator]) -> Self:
        """Create a generator on the same device."""
        return super().__new__(cls, each[0].device)  # type: ignore[call-arg]

    def __init__(self, each: Sequence[torch.Generator]) -> None:
        self.each = each

    def draw(self, draw: Draw, rows: int) -> Tensor:
        """Draw an equal number of rows per run; row i belongs to run i mod R."""
        return interleaved([draw(rows // len(self.each), random) for random in self.each])

    def get_state(self) -> Tensor:
        """Return the states of all runs [R, ...]."""
        return torch.stack([random.get_state() for random in self.each])

    def set_state(self, new_state: Tensor) -> Self:
        """Set the states of all runs [R, ...]."""
        for random, state in zip(self.each, new_state, strict=True):
            random.set_state(state.clone())  # of a view PyTorch reads the wrong memory
        return self


class Buffered(torch.Generator):
    """Random numbers in buffers, from which only `drawn` draws.

    The first step draws them; `refill` repeats the step's draws from a new source into the same memory.
    """

    def __new__(cls, source: torch.Generator) -> Self:
        """Create a generator on the same device."""
        return super().__new__(cls, source.device)  # type: ignore[call-arg]

    def __init__(self, source: torch.Generator) -> None:
        self._source = source
        self._draws: list[tuple[Draw, int]] = []
        self._numbers: list[Tensor] = []
        self._next = 0

    def draw(self, draw: Draw, rows: int) -> Tensor:
        """Return the step's next buffer."""
        if self._next == len(self._numbers):
            self._draws.append((draw, rows))
            self._numbers.append(drawn(draw, rows, self._source))
        self._next += 1
        return self._numbers[self._next - 1]

    def refill(self, source: torch.Generator) -> None:
        """Draw the numbers of another step, which begins at the first buffer."""
        for (draw, rows), numbers in zip(self._draws, self._numbers, strict=True):
            numbers.copy_(drawn(draw, rows, source))
        self._next = 0

    def get_state(self) -> Tensor:
        """Return the number of the next buffer."""
        return torch.tensor(self._next)

    def set_state(self, new_state: Tensor) -> Self:
        """Go to a buffer."""
        self._next = int(new_state)
        return self


def interleaved(batches: Sequence[Tensor]) -> Tensor:
    """Return R batches [N, ...] as one batch [N * R, ...]; row i is of batch i mod R."""
    return torch.stack(list(batches), dim=1).flatten(0, 1)
