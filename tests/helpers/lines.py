"""Small line models, and all lines of a small vocabulary."""

import math
from itertools import product
from typing import Any

import torch
from torch import Tensor

from textgan.models.bodies import BodyName
from textgan.models.common import initialise
from textgan.models.lines import LineModel


def a_line_model(
    symbols: int, seq_len: int, body: BodyName = "lstm", layers: int = 1, dim: int = 8, seed: int = 1, **options: Any
) -> LineModel:
    """Return a line model in double precision whose distributions are far from uniform."""
    model = LineModel(symbols, seq_len, dim, layers, body, **options).double()
    random = torch.Generator().manual_seed(seed)
    initialise(model, random)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.4 * torch.randn(weight.shape, generator=random, dtype=weight.dtype))
    return model


def all_lines(symbols: int, length: int) -> Tensor:
    """Return all lines [N, length]: after an id 0 follows 0 only."""
    lines = [line for line in product(range(symbols), repeat=length) if 0 not in line or not any(line[line.index(0) :])]
    return torch.tensor(lines)


def counts_of(drawn: Tensor, lines: Tensor) -> Tensor:
    """Count how often each of all lines was drawn."""
    numbers = {line: number for number, line in enumerate(map(tuple, lines.tolist()))}
    return torch.bincount(torch.tensor([numbers[line] for line in map(tuple, drawn.tolist())]), minlength=len(lines))


def require_counts(counts: Tensor, chance: Tensor) -> None:
    """Require counts that fit probabilities: chi-squared within 4 standard deviations, and nothing of probability 0."""
    expected = chance.double() * counts.sum()
    possible = expected > 0
    assert counts[~possible].sum() == 0
    freedom = int(possible.sum()) - 1
    chi_squared = ((counts - expected)[possible].square() / expected[possible]).sum().item()
    assert chi_squared - freedom <= 4 * math.sqrt(2 * freedom), (chi_squared, freedom)
