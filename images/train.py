"""Train DCGAN or WGAN-GP on images (two learning rates, TTUR, or one), scored by Fréchet distance.

    python -m images.train --preset quickstart
    python -m images.train --preset ttur-small --data folder-of-images --minutes 20
    python -m images.train --preset dcgan-celeba-ttur

The same command continues a run that was stopped. Compare runs with: tensorboard --logdir runs
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.command import run_command
from data.errors import InputError
from data.images.dataset import GRID_IMAGES, as_grid, open_dataset
from data.naming import as_command, printable
from eval.core.device import choose_device
from eval.images.extractors.choice import open_extractor
from eval.images.feature_cache import dataset_statistics
from eval.images.features import statistics_of
from eval.images.frechet import distance
from eval.images.scores import floor, signature
from images.config import PRESETS, ImageConfig
from images.networks import make_networks, sample_images
from textgan.engine.game import Networks, adversarial_game
from textgan.engine.loop import Experiment
from textgan.engine.losses import LOSSES
from textgan.engine.phases import gan_phases
from textgan.engine.processes import world_size
from textgan.engine.rows import DeviceRows, device_rows, uploaded
from textgan.engine.run_folder import DeclaredScore, score_name
from textgan.engine.run_log import SampleFile
from textgan.engine.scoring import Scoring
from textgan.engine.seeds import stream_seed
from textgan.engine.start import start_from
from textgan.engine.trainer import Trainer, make_trainer
from textgan.runs.program import TrainingProgram, final_lines, run_program


def open_experiment(config: ImageConfig) -> Experiment:
    """Open the images of a run and its features, and build the trainer.

    Raises:
        InputError: the images or the Inception weights cannot be used.
    """
    refuse_to_share(config)
    device = choose_device(config.device)
    extractor = open_extractor(config.features, config.weights, config.resize, device, config.precision)
    dataset = open_dataset(config.pictures)
    if len(dataset.images) < max(2, config.batch_size):
        raise InputError(
            f"{dataset.name}: {len(dataset.images)} images, fewer than --batch-size {config.batch_size}; "
            "lower it or give more images"
        )
    reference = dataset_statistics(dataset, extractor)
    trainer = build_trainer(config, device)
    scored_as = signature(dataset, extractor, config.eval_samples, {})
    name = score_name(scored_as.metric)
    of_real = floor(dataset, extractor, config.eval_samples)

    def evaluate(iteration: int) -> Scoring:
        random = torch.Generator(device).manual_seed(stream_seed(config.seed, "samples", iteration))
        images = sample_images(trainer.generator.sampler, config.eval_samples, random)
        statistics = statistics_of(images, extractor)  # features come from the training's device, before further steps
        return lambda: ({name: distance(statistics, reference)}, as_picture(images))

    rows = device_rows(dataset.images, np.uint8, device)
    return Experiment(
        trainer=trainer,
        device=device,
        next_batches=lambda iteration: real_batches(config, rows, iteration, len(trainer.batches_of(iteration))),
        evaluate=evaluate,
        scores={name: DeclaredScore("lower", True, str(scored_as))},
        floor=None if of_real is None else {name: of_real},
        facts={
            "data_sha256": dataset.sha256,
            "images": len(dataset.images),
            **start_from(trainer, config, {}),
        },
        beside_samples={},
    )


def refuse_to_share(config: ImageConfig) -> None:
    """Refuse several processes if a critic's score, or a gradient penalty, takes more than one image.

    Raises:
        InputError: names the flag.
    """
    if world_size() > 1 and config.folds:
        raise InputError("--compat paper: one critic score per four images; leave it out, or start one process")
    if world_size() > 1 and config.model == "dcgan" and config.critic_norm == "batch" and config.penalty_weight:
        raise InputError(
            "--penalty-weight: several processes need a critic without batch normalisation; add --critic-norm none"
        )


def build_trainer(config: ImageConfig, device: torch.device) -> Trainer:
    """Return the trainer, with initial weights drawn from the run's seed, the same on every device."""
    random = torch.Generator().manual_seed(stream_seed(config.seed, "initialise", 0))
    generator, critic = make_networks(config, random)
    # The critic of DCGAN has batch normalisation.
    together = config.model == "wgan-gp"
    game = adversarial_game(
        LOSSES[config.loss], config.penalty_weight, generator.sample_latent, together, penalty=config.penalty
    )
    return make_trainer(config, gan_phases(config, game), Networks(generator, critic), device)


def real_batches(config: ImageConfig, rows: DeviceRows, iteration: int, batches: int) -> list[Tensor]:
    """Draw batches of training images [B, 3, H, W] in [-1, 1], with replacement."""
    random = np.random.default_rng(stream_seed(config.seed, "batches", iteration))
    chosen = random.integers(len(rows), size=(batches, config.batch_size))
    drawn = []
    for numbers in chosen:
        images = rows.take(numbers)  # uint8 [B, 3, H, W]
        if config.flips == "on":
            mirrored = uploaded(random.random((len(images), 1, 1, 1)) < 0.5, rows.device)
            images = torch.where(mirrored, images.flip(-1), images)
        # As `data.images.dataset.batch_floats`.
        drawn.append(images.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1)
    return drawn


def as_picture(images: NDArray[np.uint8]) -> SampleFile:
    """Return images as samples of a run: a PNG file with the first 64 in a grid, also shown in TensorBoard."""
    grid = as_grid(images[:GRID_IMAGES])
    content = io.BytesIO()
    grid.save(content, "PNG")
    shown = np.asarray(grid)
    return SampleFile(
        ".png",
        content.getvalue(),
        lambda events, iteration, time: events.add_image("samples", shown, iteration, walltime=time, dataformats="HWC"),
    )


def final_report(folder: Path, summary: dict[str, Any]) -> str:
    """Return the text that ends a run: scores, the file with samples, and commands to try next."""
    samples = folder / "samples" / f"{summary['totals']['iteration']}.png"
    tries = [
        f"{as_command('images.sample', folder)} --count 1000 --output samples.npz",
        "images.train --preset orig-small --minutes 20    # the baseline; ttur-small is its rival",
        "images.train --preset dcgan-celeba-ttur    # the paper's experiment, for a GPU",
    ]
    return final_lines(folder, summary, "real images", [f"look at {printable(samples)}"], tries)


IMAGES = TrainingProgram("images.train", PRESETS, open_experiment, final_report)
train = IMAGES.train


def main(arguments: list[str]) -> int:
    """Train on images."""
    return run_program(IMAGES, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
