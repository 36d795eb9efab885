"""Train a character WGAN-GP (two learning rates, TTUR, or one) or an LSTM, scored by n-gram JSD.

    python -m textgan.train --preset quickstart
    python -m textgan.train --preset ttur --data lm1b --ngram 6
    python -m textgan.train --preset orig-small --data corpus.txt.gz --minutes 20 --seed 1

The same command continues a run that was stopped. Compare runs with: tensorboard --logdir runs
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from data.command import run_command
from data.corpus import Corpus, open_corpus
from data.errors import InputError
from data.naming import as_command, printable
from data.tokenizers import Tokenizer
from eval.core.device import choose_device
from eval.text.jsd import floor_ids, score_ids, signature
from eval.text.reference import FOLDER_RECORD, open_reference, reference_record
from textgan.engine.experiment import TrainingProgram, final_lines, run_program
from textgan.engine.loop import Experiment
from textgan.engine.losses import WASSERSTEIN
from textgan.engine.maximum_likelihood import LikelihoodTrainer
from textgan.engine.players import critic_player, generator_player
from textgan.engine.run_log import SampleFile
from textgan.engine.seeds import stream_seed
from textgan.engine.trainer import Learner, Trainer
from textgan.models import make_sampler
from textgan.models.mle import LanguageModel
from textgan.models.settings import PRESETS, RunConfig
from textgan.models.wgan_gp import Critic, Sampler, initialise
from textgan.sample import sample_ids


def open_experiment(config: RunConfig) -> Experiment:
    """Open the corpus and the reference of a run, and build the trainer.

    Raises:
        InputError: the data cannot be used.
    """
    device = choose_device(config.device)
    corpus = open_corpus(config.reference.corpus)
    if len(corpus.train) < config.batch_size:
        raise InputError(
            f"{corpus.name}: {len(corpus.train)} training lines, fewer than --batch-size {config.batch_size}; "
            "lower it or give more lines"
        )
    reference = open_reference(config.reference, corpus)
    floor = floor_ids(reference, config.eval_samples)
    trainer = build_trainer(config, corpus.tokenizer, device)
    record = reference_record(config.reference, corpus)

    def evaluate(iteration: int) -> tuple[Mapping[str, float], SampleFile]:
        random = torch.Generator(device).manual_seed(stream_seed(config.seed, "samples", iteration))
        ids = sample_ids(cast(Sampler, trainer.sampler), config.eval_samples, random)
        return named(score_ids(ids, reference.text)), as_text(corpus.tokenizer.decode(ids))

    return Experiment(
        trainer=trainer,
        device=device,
        next_batches=lambda iteration: real_batches(config, corpus, iteration, device),
        evaluate=evaluate,
        floor=None if floor is None else named(floor),
        facts={
            "program": TEXT.module,
            "data_sha256": corpus.sha256,
            "lines": {"train": len(corpus.train), "held_out": len(corpus.held_out)},
            **corpus.tokenizer.as_json(),
            "reference": record,
            "signature": str(signature(reference.text, config.eval_samples)),
        },
        beside_samples={FOLDER_RECORD: record},
    )


def build_trainer(config: RunConfig, tokenizer: Tokenizer, device: torch.device) -> Learner:
    """Return the trainer, with initial weights drawn from the run's seed, the same on every device."""
    random = torch.Generator().manual_seed(stream_seed(config.seed, "initialise", 0))
    network = make_sampler(config.model, tokenizer.size, config.seq_len, config.dim, config.latent_dim)
    initialise(network, random)
    generator = generator_player(config, network, device)
    if isinstance(network, LanguageModel):
        return LikelihoodTrainer(generator)
    critic = Critic(tokenizer.size, config.seq_len, config.dim)
    initialise(critic, random)
    return Trainer(
        generator=generator,
        critic=critic_player(config, critic, device),
        loss=WASSERSTEIN,
        penalty_weight=config.penalty_weight,
        score_together=True,
        sample_latent=network.sample_latent,
        seed=config.seed,
        device=device,
    )


def real_batches(config: RunConfig, corpus: Corpus, iteration: int, device: torch.device) -> list[Tensor]:
    """Draw one batch of one-hot training lines [B, L, V] per critic step; the device receives ids and encodes them."""
    random = np.random.default_rng(stream_seed(config.seed, "batches", iteration))
    lines = random.integers(len(corpus.train), size=(config.critic_steps, config.batch_size))
    ids = torch.from_numpy(corpus.train[lines].astype(np.int32)).to(device).long().unsqueeze(-1)  # [steps, B, L, 1]
    one_hot = torch.zeros(*ids.shape[:-1], corpus.tokenizer.size, device=device)  # [steps, B, L, V]
    return list(one_hot.scatter_(-1, ids, 1.0))


def as_text(lines: Sequence[str]) -> SampleFile:
    """Return lines as samples of a run: a text file with all of them, the first 20 in TensorBoard."""
    shown = "\n".join(f"    {line}" for line in lines[:20])
    return SampleFile(
        ".txt",
        "".join(f"{line}\n" for line in lines).encode(),
        lambda events, iteration, time: events.add_text("samples", shown, iteration, walltime=time),
    )


def named(scores: Mapping[int, float]) -> dict[str, float]:
    """Return JSDs by n under their names in `metrics.jsonl`."""
    return {f"jsd_{n}": value for n, value in scores.items()}


def final_report(folder: Path, summary: dict[str, Any]) -> str:
    """Return the text that ends a run: scores, some samples, and commands to try next."""
    samples = folder / "samples" / f"{summary['totals']['iteration']}.txt"
    shown = [
        "n-gram JSD: 0 if samples and training text have the same distribution, 1 if they have no n-gram in common",
        "\nsome of the last samples",
        *(f"    {printable(line)}" for line in samples.read_text("utf-8").split("\n")[:5]),
    ]
    tries = [
        as_command("eval.jsd", samples),
        f"{as_command('textgan.sample', folder)} --count 1000 --output samples.txt",
        "textgan.train --preset orig-small --minutes 20    # the baseline; ttur-small is its rival",
        "textgan.train --preset ttur --data lm1b    # the paper's experiment, for a GPU",
    ]
    return final_lines(folder, summary, "real text", shown, tries)


TEXT = TrainingProgram("textgan.train", RunConfig, PRESETS, open_experiment, final_report)
train = TEXT.train


def main(arguments: list[str]) -> int:
    """Train on text."""
    return run_program(TEXT, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
