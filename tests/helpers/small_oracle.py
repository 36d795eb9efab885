"""Training of games of lines on a small oracle, without files, and divergences between oracle and model."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.batches import by_epochs, epoch_order
from data.oracle import Oracle, own_oracle
from textgan.engine.trainer import Trainer
from textgan.models.line_settings import LineSettings
from textgan.models.lines import LineModel
from textgan.train import build_trainer

SYMBOLS, LENGTH, LINES = 20, 6, 1000


@dataclass(frozen=True)
class Divergences:
    """Estimates from lines of an oracle o and a model g, with exact probabilities of each line, in nats per line.

    KL(g || o) is infinite: the model may draw padding and the unknown symbol, which the oracle does not have.
    """

    kl: float
    """KL(o || g)."""
    jsd: float


@cache
def an_oracle(seed: int, width: int = 16) -> Oracle:
    """Return an oracle of 20 symbols; the wider it is, the fewer lines have most of the probability."""
    return own_oracle(seed, SYMBOLS, width)


@torch.no_grad()
def divergences(model: nn.Module, oracle: Oracle) -> Divergences:
    """Measure a model on 2,000 lines of an oracle, which no training has seen, and 2,000 of its own."""
    assert isinstance(model, LineModel)
    held_out = oracle.draw(2000, LENGTH, seed=99) + 2
    own = model.draw(2000, torch.Generator().manual_seed(98)).numpy()
    log_g = [model.log_probs(torch.from_numpy(ids)).sum(dim=1).double().numpy() for ids in (held_out, own)]
    log_o = [oracle.log_probs(np.maximum(ids - 2, 0)).sum(axis=1) for ids in (held_out, own)]
    log_o[1][(own < 2).any(axis=1)] = -np.inf  # padding and unknown
    log_m = [np.logaddexp(g, o) - np.log(2) for g, o in zip(log_g, log_o, strict=True)]
    jsd = ((log_o[0] - log_m[0]).mean() + (log_g[1] - log_m[1]).mean()) / 2
    return Divergences(float((log_o[0] - log_g[0]).mean()), float(jsd))


def learner(config: LineSettings, oracle: Oracle, **changes: Any) -> tuple[Trainer, Tensor]:
    """Return the trainer of a preset on lines of an oracle, with narrow networks, and its training lines [N, 6]."""
    config = replace(config, seq_len=LENGTH, dim=32, **changes)
    lines = torch.from_numpy(oracle.draw(LINES, LENGTH, seed=config.seed) + 2)
    return build_trainer(config, SYMBOLS + 2, torch.device("cpu")), lines


def train_to(trainer: Trainer, lines: Tensor, iteration: int) -> None:
    """Train up to an iteration, on lines by epochs."""
    order = epoch_order(len(lines), lambda epoch: epoch)
    while trainer.iteration < iteration:
        batches = by_epochs(len(lines), 64, trainer.batches_of(trainer.iteration), order)
        trainer.step([lines[torch.from_numpy(batch)] for batch in batches], measure=False)
    trainer.require_finite()
