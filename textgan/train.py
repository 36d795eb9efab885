"""Train a character WGAN-GP with two learning rates (TTUR) or one, scored by n-gram JSD against wall-clock time.

    python -m textgan.train --preset quickstart
    python -m textgan.train --preset ttur --data lm1b --ngram 6
    python -m textgan.train --preset orig-small --data corpus.txt.gz --minutes 20 --seed 1

The same command continues a run that was stopped. Compare runs with: tensorboard --logdir runs
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from data.command import parse_command, run_command
from data.corpus import Corpus, open_corpus
from data.errors import InputError
from data.files import write_json
from data.vocabulary import Ids, Vocabulary
from eval.jsd import floor_ids, score_ids, signature
from eval.reference import FOLDER_RECORD, open_reference, reference_record
from textgan.checkpoint import load_checkpoint
from textgan.closing import closing_words
from textgan.config import PRESETS, RunConfig
from textgan.loop import run_training
from textgan.losses import WASSERSTEIN
from textgan.maximum_likelihood import LikelihoodTrainer
from textgan.nets import Critic, Sampler, initialise
from textgan.progress import Budget, Clock
from textgan.runlog import RunLog, Samples, begin_or_continue, locked
from textgan.sample import choose_device, draw_samples, make_sampler
from textgan.schedules import assumption_a2, parse_schedule
from textgan.trainer import Learner, NonFiniteError, Player, Trainer, stream_seed, weight_average


@dataclass(frozen=True)
class TrainCommand:
    """Flags of `python -m textgan.train`."""

    config: tyro.conf.OmitArgPrefixes[RunConfig]
    """Settings of the run."""
    dry_run: bool = False
    """Print the resolved settings and stop."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended: with the run's summary, or without one by a signal."""

    folder: Path
    summary: dict[str, Any] | None
    stopped_by: int | None


def train(config: RunConfig, report: Callable[[int, Mapping[str, float]], None] | None = None) -> Outcome:
    """Run, or continue, a training run until its budget is used or a signal asks it to stop.

    Args:
        config: the run's settings.
        report: is told every evaluation's iteration and scores.

    Raises:
        InputError: the data cannot be used, or the folder holds a run with other settings.
        NonFiniteError: a loss or gradient became infinite or NaN; the last checkpoint stays.
    """
    device = choose_device(config.device)
    corpus = open_corpus(config.reference.corpus)
    if len(corpus.train) < config.batch_size:
        raise InputError(
            f"{corpus.name}: {len(corpus.train)} training lines, fewer than --batch-size {config.batch_size}; "
            "lower it or give more lines"
        )
    reference = open_reference(config.reference, corpus)
    scores_of_real_lines = floor_ids(reference, config.eval_samples)
    floor = None if scores_of_real_lines is None else named(scores_of_real_lines)
    trainer = build_trainer(config, corpus.vocabulary, device)
    facts = {
        "data_sha256": corpus.sha256,
        "lines": {"train": len(corpus.train), "held_out": len(corpus.held_out)},
        "characters": corpus.vocabulary.characters,
        "reference": reference_record(config.reference, corpus),
        "signature": str(signature(reference.text, config.eval_samples)),
        "floor": floor,
    }

    def evaluate(iteration: int) -> tuple[Mapping[str, float], Samples]:
        ids = evaluation_samples(config, trainer, iteration, device)
        scores = named(score_ids(ids, reference.text))
        if report is not None:
            report(iteration, scores)
        return scores, as_text(corpus.vocabulary.decode(ids))

    with locked(config.folder):
        begin_or_continue(config.folder, config.as_json(), config.may_change, device, facts)
        write_json(config.folder / "samples" / FOLDER_RECORD, facts["reference"])
        clock = load_checkpoint(config.folder, trainer) or Clock()
        log = RunLog(config.folder, trainer.iteration, floor)
        stopped_by = run_training(
            trainer,
            log,
            clock,
            Budget(config.iterations, config.minutes),
            config.eval_every,
            config.checkpoint_every,
            draw=lambda iteration: real_batches(config, corpus, iteration, device),
            evaluate=evaluate,
        )
        return Outcome(
            config.folder, log.summarise(_about_rates(config, trainer)) if stopped_by is None else None, stopped_by
        )


def _about_rates(config: RunConfig, trainer: Learner) -> dict[str, Any]:
    """Return what a run's summary says of its two time scales: a(n) / b(n) in its first and last update, and A2."""

    if not isinstance(trainer, Trainer):
        return {}
    generator, critic = trainer.generator, trainer.critic

    def ratio(iteration: int) -> float | None:
        a = generator.learning_rate * generator.schedule(iteration)
        b = critic.learning_rate * critic.schedule(iteration * config.critic_steps)
        return a / b if b else None

    holds, why = assumption_a2(config.generator_schedule, config.critic_schedule)
    rates = {"generator_to_critic_start": ratio(0), "generator_to_critic_end": ratio(max(trainer.iteration - 1, 0))}
    return {"rates": {**rates, "assumption_a2": holds, "why": why}}


def build_trainer(config: RunConfig, vocabulary: Vocabulary, device: torch.device) -> Learner:
    """Return what is trained, with the weights of the run's seed, the same ones on every device."""
    random = torch.Generator().manual_seed(stream_seed(config.seed, "initialise", 0))

    def player(network: nn.Module, rate: float, schedule: str, steps: int, decay: float = 0.0) -> Player:
        initialise(network, random)
        optimiser = torch.optim.Adam(network.to(device).parameters(), lr=rate, betas=(config.beta1, config.beta2))
        updates = None if config.iterations is None else config.iterations * steps
        return Player(network, optimiser, rate, parse_schedule(schedule, updates), weight_average(network, decay))

    network = make_sampler(config.model, vocabulary.size, config.seq_len, config.dim, config.latent_dim)
    generator = player(network, config.generator_lr, config.generator_schedule, 1, config.generator_average)
    if config.model == "lstm":
        return LikelihoodTrainer(generator)
    critic = Critic(vocabulary.size, config.seq_len, config.dim)
    return Trainer(
        generator=generator,
        critic=player(critic, config.critic_lr, config.critic_schedule, config.critic_steps),
        loss=WASSERSTEIN,
        penalty_weight=config.penalty_weight,
        score_together=True,
        draw_latent=lambda size, random: torch.randn(size, config.latent_dim, generator=random, device=device),
        seed=config.seed,
        device=device,
    )


def real_batches(config: RunConfig, corpus: Corpus, iteration: int, device: torch.device) -> list[Tensor]:
    """Draw one batch of one-hot training lines [B, L, V] per critic step; one-hot only on the device."""
    random = np.random.default_rng(stream_seed(config.seed, "batches", iteration))
    lines = random.integers(len(corpus.train), size=(config.critic_steps, config.batch_size))
    ids = torch.from_numpy(corpus.train[lines].astype(np.int32)).to(device).long().unsqueeze(-1)
    one_hot = torch.zeros(*ids.shape[:-1], corpus.vocabulary.size, device=device)
    return list(one_hot.scatter_(-1, ids, 1.0))


def evaluation_samples(config: RunConfig, trainer: Learner, iteration: int, device: torch.device) -> Ids:
    """Draw the samples of an evaluation, a function of the weights, the seed and the iteration."""
    random = torch.Generator(device).manual_seed(stream_seed(config.seed, "samples", iteration))
    return draw_samples(cast(Sampler, trainer.sampler), config.eval_samples, random)


def as_text(lines: Sequence[str]) -> Samples:
    """Return lines as a run keeps them: a text file, and some of them in TensorBoard."""
    shown = "\n".join(f"    {line}" for line in lines[:20])
    return Samples(
        ".txt",
        "".join(f"{line}\n" for line in lines).encode(),
        lambda events, iteration, time: events.add_text("samples", shown, iteration, walltime=time),
    )


def named(scores: Mapping[int, float]) -> dict[str, float]:
    """Return scores by n under the names they have in the metrics."""
    return {f"jsd_{n}": value for n, value in scores.items()}


def main(arguments: list[str]) -> int:
    """Train, then say what happened and what to try next."""
    command = parse_train(arguments, "textgan.train", __doc__)
    config = command.config
    if command.dry_run:
        print(json.dumps(config.as_json(), indent=2))
        return 0
    try:
        outcome = train(config)
    except NonFiniteError as error:
        print(f"error: {error}; the last checkpoint in {config.folder} stays; try smaller rates", file=sys.stderr)
        return 1
    if outcome.summary is None:
        print(f"stopped; the same command continues {outcome.folder}", file=sys.stderr)
        return 128 + (outcome.stopped_by or 0)
    print(closing_words(outcome.folder, outcome.summary))
    return 0


def parse_train(arguments: list[str], prog: str, description: str | None) -> TrainCommand:
    """Parse flags; `--preset` decides what the others start from.

    Raises:
        InputError: a wrong flag or value.
    """
    words = [word for argument in arguments for word in argument.split("=", 1)]
    presets = [word for flag, word in pairwise(words) if flag == "--preset"]
    preset = presets[-1] if presets else "quickstart"
    default = TrainCommand(PRESETS.get(preset, PRESETS["quickstart"]))
    return parse_command(TrainCommand, arguments, prog, description, default)


if __name__ == "__main__":
    run_command(main)
