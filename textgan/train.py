"""Train a character WGAN-GP with two learning rates (TTUR) or one, scored by n-gram JSD against wall-clock time.

    python -m textgan.train --preset quickstart
    python -m textgan.train --preset ttur --data lm1b --ngram 6
    python -m textgan.train --preset orig-small --data corpus.txt.gz --minutes 20 --seed 1

The same command continues a run that was stopped. Compare runs with: tensorboard --logdir runs
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from data.command import parse_command, run_command
from data.corpus import Corpus, open_corpus
from data.errors import InputError
from data.files import write_json
from data.vocabulary import Ids, Vocabulary
from eval.jsd import FOLDER_RECORD, Reference, open_reference, reference_record
from textgan.checkpoint import Clock, load_checkpoint, save_checkpoint
from textgan.closing import closing_words
from textgan.config import PRESETS, RunConfig, flag
from textgan.losses import WASSERSTEIN
from textgan.nets import Critic, Generator, initialise
from textgan.progress import Progress, budget_used
from textgan.runlog import OPTIONS, Row, RunLog, read_options, write_options
from textgan.sample import choose_device, draw_samples
from textgan.schedules import parse_schedule
from textgan.trainer import NonFiniteError, Player, StepStats, Trainer, stream_seed


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


def train(config: RunConfig) -> Outcome:
    """Run, or continue, a training run until its budget is used or a signal asks it to stop.

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
    floor = reference.floor(config.eval_samples)
    trainer = build_trainer(config, corpus.vocabulary, device)
    begin_or_continue(config, reference, floor, device)
    clock = load_checkpoint(config.folder, trainer) or Clock()
    log = RunLog(config.folder, trainer.iteration, floor)
    saved = trainer.iteration
    started = time.perf_counter() - clock.wall_seconds
    stats: StepStats | None = None
    with (
        stop_signals() as stopped,
        closing(log),
        closing(Progress(config.iterations, config.minutes, trainer.iteration, clock.train_seconds)) as progress,
    ):
        while True:
            finished = budget_used(trainer.iteration, clock.train_seconds, config.iterations, config.minutes) >= 1
            clock.wall_seconds = time.perf_counter() - started
            if (finished or trainer.iteration % config.eval_every == 0) and not log.has(trainer.iteration):
                samples = evaluation_samples(config, trainer)
                row = make_row(config, trainer, clock, stats, reference.score(samples))
                log.log(row, corpus.vocabulary.decode(samples))
                progress.scored(row)
            ends = finished or stopped() is not None
            if (ends or trainer.iteration % config.checkpoint_every == 0) and trainer.iteration != saved:
                save_checkpoint(config.folder, trainer, clock)
                saved = trainer.iteration
            if ends:
                return Outcome(config.folder, log.summarise() if finished else None, stopped())
            tick = time.perf_counter()
            stats = trainer.step(real_batches(config, corpus, trainer))
            clock.train_seconds += time.perf_counter() - tick
            progress.update(trainer.iteration, clock.train_seconds)


def build_trainer(config: RunConfig, vocabulary: Vocabulary, device: torch.device) -> Trainer:
    """Return the players with the weights of the run's seed, the same ones on every device."""
    random = torch.Generator().manual_seed(stream_seed(config.seed, "initialise", 0))

    def player(network: nn.Module, rate: float, schedule: str, steps: int) -> Player:
        initialise(network, random)
        optimiser = torch.optim.Adam(network.to(device).parameters(), lr=rate, betas=(config.beta1, config.beta2))
        updates = None if config.iterations is None else config.iterations * steps
        return Player(network, optimiser, rate, parse_schedule(schedule, updates))

    generator = Generator(vocabulary.size, config.seq_len, config.dim, config.latent_dim)
    critic = Critic(vocabulary.size, config.seq_len, config.dim)
    return Trainer(
        generator=player(generator, config.generator_lr, config.generator_schedule, 1),
        critic=player(critic, config.critic_lr, config.critic_schedule, config.critic_steps),
        loss=WASSERSTEIN,
        penalty_weight=config.penalty_weight,
        draw_latent=lambda size, random: torch.randn(size, config.latent_dim, generator=random, device=device),
        seed=config.seed,
        device=device,
    )


def real_batches(config: RunConfig, corpus: Corpus, trainer: Trainer) -> list[Tensor]:
    """Draw one batch of one-hot training lines [B, L, V] per critic step; one-hot only on the device."""
    random = np.random.default_rng(stream_seed(config.seed, "batches", trainer.iteration))
    lines = random.integers(len(corpus.train), size=(config.critic_steps, config.batch_size))
    ids = torch.from_numpy(corpus.train[lines].astype(np.int32)).to(trainer.device).long().unsqueeze(-1)
    one_hot = torch.zeros(*ids.shape[:-1], corpus.vocabulary.size, device=trainer.device)
    return list(one_hot.scatter_(-1, ids, 1.0))


def evaluation_samples(config: RunConfig, trainer: Trainer) -> Ids:
    """Draw the samples of an evaluation, a function of the weights, the seed and the iteration."""
    seed = stream_seed(config.seed, "samples", trainer.iteration)
    random = torch.Generator(trainer.device).manual_seed(seed)
    assert isinstance(trainer.generator.network, Generator)
    return draw_samples(trainer.generator.network, config.eval_samples, random)


def make_row(
    config: RunConfig, trainer: Trainer, clock: Clock, stats: StepStats | None, scores: Mapping[int, float]
) -> Row:
    """Return a row of metrics; before the first step there are no losses, and they are None."""
    losses = {field.name: None for field in fields(StepStats)} if stats is None else asdict(stats)
    return {
        "iteration": trainer.iteration,
        "critic_updates": trainer.critic_updates,
        "samples_seen": trainer.critic_updates * config.batch_size,
        **asdict(clock),
        **{f"jsd_{n}": value for n, value in scores.items()},
        **losses,
    }


# The budget may grow from one call to the next, and a run's folder may be moved; all else makes another run.
_MAY_CHANGE = {"iterations", "minutes", "run_dir"}


def begin_or_continue(
    config: RunConfig, reference: Reference, floor: Mapping[int, float] | None, device: torch.device
) -> None:
    """Write the options of a new run, or check those of the run that is to be continued.

    Raises:
        InputError: the folder holds a run with another value of an option, which is named, or of another corpus.
    """
    folder, corpus = config.folder, reference.corpus
    record = reference_record(config.reference, corpus)
    if not (folder / OPTIONS).exists():
        write_json(folder / "samples" / FOLDER_RECORD, record)
        facts = {
            "corpus": {
                "name": corpus.name,
                "sha256": corpus.sha256,
                "train_lines": len(corpus.train),
                "held_out_lines": len(corpus.held_out),
                "characters": corpus.vocabulary.characters,
            },
            "reference": record,
            "signature": str(reference.signature(config.eval_samples)),
            "floor": None if floor is None else {str(n): value for n, value in floor.items()},
        }
        write_options(folder, config.as_json(), device, facts)
        return
    options = read_options(folder)
    linear = "linear" in (config.critic_schedule, config.generator_schedule)
    may_change = _MAY_CHANGE - {"iterations"} if linear else _MAY_CHANGE
    for name, value in config.as_json().items():
        before = options["config"].get(name)
        if before != value and name not in may_change:
            raise InputError(
                f"{flag(name)} {value}: the run in {folder} has {before}; "
                "continue it with that, or choose another --run-dir"
            )
    if options["corpus"]["sha256"] != corpus.sha256:
        raise InputError(
            f"--data {config.data}: not the text that the run in {folder} began with; choose another --run-dir"
        )


@contextmanager
def stop_signals() -> Iterator[Callable[[], int | None]]:
    """Turn SIGINT and SIGTERM into a wish to stop, which the yielded function tells; a second one is not held back."""
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, previous[signal.Signals(number)])

    previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


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
        print(f"error: {error}; {config.folder} keeps its last checkpoint; try smaller rates", file=sys.stderr)
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
    preset = words[words.index("--preset") + 1] if "--preset" in words[:-1] else "quickstart"
    default = TrainCommand(PRESETS.get(preset, PRESETS["quickstart"]))
    return parse_command(TrainCommand, arguments, prog, description, default)


if __name__ == "__main__":
    run_command(main)
