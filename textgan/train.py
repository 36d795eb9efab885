"""Train a language GAN with two learning rates (TTUR) or one, or a baseline, on characters, words or subwords.

    python -m textgan.train --preset quickstart
    python -m textgan.train --preset ttur --data lm1b --ngram 6
    python -m textgan.train --preset orig-small --data corpus.txt.gz --minutes 20 --seed 1
    python -m textgan.train --preset mle-small --data corpus.txt.gz --symbols unigram
    python -m textgan.train --preset seqgan-words-ttur --data corpus.txt.gz --minutes 20

The preset chooses the model: WGAN-GP, recurrent WGAN, SeqGAN, MaliGAN, RankGAN, DPGAN, ScratchGAN, Falling Short's GAN,
RelGAN, GSGAN, TextGAN, CoT, JSDGAN or maximum likelihood (table: textgan/models/README.md). The same command continues
a stopped run. Compare runs with: tensorboard --logdir runs
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.batches import EpochOrder, by_epochs, epoch_order, with_replacement
from data.command import run_command
from data.corpus import open_corpus
from data.errors import InputError
from data.line_ids import Ids
from data.naming import as_command, printable
from data.words import WordRule
from eval.core.device import choose_device
from eval.core.score import Score
from eval.sentences.metrics import open_scorer
from eval.text.metrics import HEADLINES, RealText, real_text, score_samples
from eval.text.reference import FOLDER_RECORD, reference_record
from eval.text.samples import SampleLines
from textgan.engine.loop import Experiment
from textgan.engine.processes import world_size
from textgan.engine.rows import DeviceRows, device_rows
from textgan.engine.run_folder import declared, floors_by_name, read_options, values_by_name
from textgan.engine.run_log import SampleFile
from textgan.engine.scoring import Scored, Scoring
from textgan.engine.seeds import stream_seed
from textgan.engine.settings import AdversarialSettings
from textgan.engine.spectral_norm import normalise_spectrally
from textgan.engine.start import start_from
from textgan.engine.trainer import Trainer, make_trainer
from textgan.models import MODELS, PRESETS, settings_of
from textgan.models.common import initialise
from textgan.models.exact import exact_scores, held_out_lines
from textgan.models.line_settings import LineSettings
from textgan.models.lines import LineModel, exclude
from textgan.models.settings import TextSettings
from textgan.runs.program import TrainingProgram, final_lines, run_program
from textgan.sample import sample_ids


def open_experiment(config: TextSettings) -> Experiment:
    """Open the corpus and the reference of a run, and build the trainer.

    Raises:
        InputError: the data cannot be used.
    """
    device = choose_device(config.device)
    corpus = open_corpus(config.corpus)
    if len(corpus.train) < config.batch_size:
        raise InputError(
            f"{corpus.name}: {len(corpus.train)} training lines, fewer than --batch-size {config.batch_size}; "
            "lower it or give more lines"
        )
    scored = corpus if config.symbols == "char" else open_corpus(config.reference.corpus)
    rule = WordRule(config.words, config.lower_case)
    real = real_text(config.scores, config.reference, rule, corpus=scored)
    sentences = open_scorer(config.scores, config.reference.corpus, rule)
    # Real lines tell names, directions, signatures and floors of all scores; their own values are not used.
    some = corpus.train[np.arange(config.eval_samples) % len(corpus.train)]
    real_lines = corpus.tokenizer.decode(some)
    of_real = score_lines(config, real_lines, real) + (sentences.with_floors(real_lines) if sentences else [])
    without_floors = replace(real, held_out=())  # of word metrics, whose floors take as long as the scores
    trainer = build_trainer(config, corpus.tokenizer.size, device)
    record = reference_record(config.reference, scored)
    symbols = {"tokenizer": corpus.tokenizer.as_json()}
    start = start_from(trainer, config, symbols)
    for player in trainer.players.values():
        exclude(player.network, corpus.absent)
        exclude(player.sampler, corpus.absent)
    held_out = held_out_lines(corpus, config.data) if isinstance(trainer.generator.sampler, LineModel) else None

    def score_model(drawn: Ids) -> list[Score]:
        model = trainer.generator.sampler
        return exact_scores(model, held_out, drawn) if held_out is not None and isinstance(model, LineModel) else []

    def evaluate(iteration: int) -> Scoring:
        random = torch.Generator(device).manual_seed(stream_seed(config.seed, "samples", iteration))
        ids = sample_ids(trainer.generator.sampler, config.eval_samples, random)
        of_model = score_model(ids)  # by the present weights

        def score() -> Scored:
            lines = corpus.tokenizer.decode(ids)
            of_lines = score_lines(config, lines, without_floors) + (sentences.score(lines) if sentences else [])
            return values_by_name(of_lines + of_model), as_text(lines)

        return score

    rows = device_rows(corpus.train, np.int32, device)
    order = epoch_order(len(rows), lambda epoch: stream_seed(config.seed, "batches", epoch))
    declared_scores = [*of_real, *score_model(some)]
    return Experiment(
        trainer=trainer,
        device=device,
        next_batches=lambda iteration: real_batches(config, rows, order, iteration, trainer.batches_of(iteration)),
        evaluate=evaluate,
        scores=declared(declared_scores, HEADLINES),
        floor=floors_by_name(declared_scores) or None,
        facts={
            "data_sha256": corpus.sha256,
            "lines": {"train": len(corpus.train), "held_out": len(corpus.held_out), "dropped": corpus.dropped},
            "symbols": corpus.tokenizer.name,
            **symbols,
            "unknown_share": corpus.unknown / max(corpus.train.row.size, 1),
            **start,
            "reference": record,
        },
        beside_samples={FOLDER_RECORD: record},
    )


def score_lines(config: TextSettings, lines: list[str], real: RealText) -> list[Score]:
    """Score lines by the run's metrics of characters and words."""
    return score_samples(SampleLines("samples", lambda: iter([lines])), config.scores, real, quiet=True)


def build_trainer(config: TextSettings, symbols: int, device: torch.device) -> Trainer:
    """Return the trainer of a run on a vocabulary of this many symbols.

    Initial weights are drawn from the run's seed, the same on every device.
    """
    model = MODELS[config.model]
    if world_size() > 1 and not model.mean_over_lines:
        raise InputError(
            f"--preset {config.preset}: a loss of {config.model} couples the lines of a batch; start one process"
        )
    networks = model.networks(config, symbols)
    random = torch.Generator().manual_seed(stream_seed(config.seed, "initialise", 0))
    for network in (networks.generator, networks.critic):
        if network is not None:
            initialise(network, random)
    if isinstance(config, AdversarialSettings) and config.spectral_norm == "on":
        normalise_spectrally(networks.require_critic(), random)
    return make_trainer(config, model.phases(config, networks), networks, device)


def real_batches(
    config: TextSettings, rows: DeviceRows, order: EpochOrder, iteration: int, batches: range
) -> list[Tensor]:
    """Draw the batches of training lines with these numbers, ids [B, L]; `order` permutes the lines of an epoch."""
    count, size = len(rows), config.batch_size
    if config.order == "epochs":
        lines = by_epochs(count, size, batches, order)
    else:
        lines = with_replacement(count, size, len(batches), stream_seed(config.seed, "batches", iteration))
    return list(rows.take(lines).long())


def as_text(lines: Sequence[str]) -> SampleFile:
    """Return lines as samples of a run: a text file with all of them, the first 20 in TensorBoard."""
    shown = "\n".join(f"    {line}" for line in lines[:20])
    return SampleFile(
        ".txt",
        "".join(f"{line}\n" for line in lines).encode(),
        lambda events, iteration, time: events.add_text("samples", shown, iteration, walltime=time),
    )


def final_report(folder: Path, summary: dict[str, Any]) -> str:
    """Return the text that ends a run: scores, some samples, and commands to try next."""
    samples = folder / "samples" / f"{summary['totals']['iteration']}.txt"
    jsd = "n-gram JSD: 0 if samples and training text have the same distribution, 1 if they have no n-gram in common\n"
    shown = [
        *([jsd] if any(name.startswith(("jsd_", "word_jsd_")) for name in summary["best"]) else []),
        "some of the last samples",
        *(f"    {printable(line)}" for line in samples.read_text("utf-8").split("\n")[:5]),
    ]
    tries = [
        as_command("eval.jsd", samples),
        f"{as_command('textgan.sample', folder)} --count 1000 --output samples.txt",
        *next_commands(folder, settings_of(read_options(folder)["config"])),
    ]
    return final_lines(folder, summary, "real text", shown, tries)


def next_commands(folder: Path, config: TextSettings) -> list[str]:
    """Return commands that compare a run with others: its rival with other time scales, a sweep over temperatures."""
    game, _, ending = config.preset.rpartition("-")
    has_density = isinstance(config, LineSettings)
    if not has_density and f"{game}-ttur" not in PRESETS:
        return [
            "textgan.train --preset orig-small --minutes 20    # the baseline; ttur-small is its rival",
            "textgan.train --preset ttur --data lm1b    # the paper's experiment, for a GPU",
        ]
    others = {"ttur": f"{game}-orig", "orig": f"{game}-ttur", "control": f"{game}-ttur"}
    rival = others.get(ending, f"mle-{ending}")  # JSDGAN has no critic
    commands = [f"{as_command('textgan.train', '--preset', rival, '--data', config.data)}    # its rival"]
    sweep = f"{as_command('textgan.sweep', folder)}    # quality against diversity, by temperature"
    return [*(commands if rival != config.preset else []), *([sweep] if has_density else [])]


TEXT = TrainingProgram("textgan.train", PRESETS, open_experiment, final_report)
train = TEXT.train


def main(arguments: list[str]) -> int:
    """Train on text."""
    return run_program(TEXT, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
