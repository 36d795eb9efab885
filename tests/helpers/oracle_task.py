"""A small oracle of lines, short trainings on its lines, and exact divergences between it and a line model."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from data.batches import by_epochs
from data.oracle import Oracle, own_oracle
from tests.helpers.runs import PRESETS
from textgan.engine.trainer import Trainer, make_trainer
from textgan.models import MODELS
from textgan.models.common import initialise
from textgan.models.lines import LineModel

SYMBOLS, LENGTH, FIRST = 20, 6, 2
"""Symbols of the oracle, symbols per line, and the id of the first one: 0 and 1 stay padding and unknown."""


@dataclass(frozen=True)
class OracleTask:
    """Lines of an oracle, ids [N, L]: 1,000 for training, 2,000 held out."""

    oracle: Oracle
    train: Tensor
    held_out: Tensor

    def log_probs(self, ids: Tensor) -> Tensor:
        """Return the oracle's log-probabilities [N] of lines; -inf of lines with other symbols."""
        known = (ids >= FIRST).all(dim=1)
        log_probs = torch.full((len(ids),), -math.inf, dtype=torch.float64)
        if known.any():
            log_probs[known] = torch.from_numpy(self.oracle.log_probs((ids[known] - FIRST).numpy()).sum(axis=1))
        return log_probs


@cache
def oracle_task(width: int = 8, seed: int = 1) -> OracleTask:
    """Return the lines of an oracle; the wider it is, the fewer lines have most of the probability."""
    oracle = own_oracle(seed, SYMBOLS, width)
    train, held_out = (
        torch.from_numpy(oracle.draw(count, LENGTH, seed)) + FIRST for count, seed in ((1000, 1), (2000, 2))
    )
    return OracleTask(oracle, train, held_out)


def oracle_trainer(preset: str, **changes: Any) -> Trainer:
    """Return the trainer of a preset for lines of the oracle, of width 16 unless `changes` have another."""
    config = replace(PRESETS[preset], **{"dim": 16, "seq_len": LENGTH, **changes})
    model = MODELS[config.model]
    networks = model.networks(config, SYMBOLS + FIRST)
    random = torch.Generator().manual_seed(config.seed)
    for network in (networks.generator, networks.critic):
        if network is not None:
            initialise(network, random)
    return make_trainer(config, model.phases(config, networks), networks, torch.device("cpu"))


def train_on(task: OracleTask, trainer: Trainer, iterations: int, batch_size: int = 64) -> None:
    """Train by epochs, up to an iteration."""
    while trainer.iteration < iterations:
        batches = trainer.batches_of(trainer.iteration)
        trainer.step(list(task.train[by_epochs(len(task.train), batch_size, batches, lambda epoch: epoch)]), False)
    trainer.require_finite()


@torch.no_grad()
def forward_kl(task: OracleTask, generator: nn.Module) -> float:
    """Return KL(oracle || model) in nats per line, the mean over held-out lines."""
    assert isinstance(generator, LineModel)
    return (task.log_probs(task.held_out) - generator.log_probs(task.held_out).sum(dim=1)).mean().item()


@torch.no_grad()
def line_jsd(task: OracleTask, generator: nn.Module) -> float:
    """Return the JSD of oracle and model over whole lines, in nats, from 2,000 lines of each."""
    assert isinstance(generator, LineModel)

    def halves() -> Iterator[Tensor]:
        for ids, own in ((task.held_out, 0), (generator.draw(2000, torch.Generator().manual_seed(5)), 1)):
            log_probs = torch.stack([task.log_probs(ids), generator.log_probs(ids).sum(dim=1).double()])
            yield (log_probs[own] - log_probs.logsumexp(dim=0) + math.log(2)).mean() / 2

    return sum(halves(), torch.zeros(())).item()
