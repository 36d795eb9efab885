"""Draw images from a trained generator.

    python -m images.sample runs/quickstart-shapes-seed0 --count 1000 --output samples.npz
    python -m images.sample runs/quickstart-shapes-seed0 --grid grid.png

The generator comes from the run's newest checkpoint. The .npz file holds `images`, uint8 [N, 3, H, W], and the
checkpoint's `iteration`; score it with: python -m eval.fid samples.npz shapes
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from data.command import parse_command, run_command
from data.errors import InputError, require_at_least
from data.images.dataset import GRID_IMAGES, as_grid
from data.naming import printable
from data.outputs import require_output, told_on, write_output
from eval.core.device import Device, choose_device
from images.config import ImageConfig
from images.networks import ImageGenerator, make_networks, sample_images
from textgan.engine.checkpoint import sampler_weights
from textgan.engine.run_folder import read_options
from textgan.engine.seeds import stream_seed


@dataclass(frozen=True)
class SampleCommand:
    """Flags of `python -m images.sample`."""

    run: tyro.conf.Positional[Path]
    """Folder of a run."""
    output: Path | None = None
    """File (.npz) for the images."""
    grid: Path | None = None
    """File (.png) for a grid of the first 64 images, eight per row."""
    count: int = 1000
    """Number of images to draw."""
    seed: int = 0
    """Seed of the noise."""
    device: Device = "auto"
    """Device to draw the images on; auto takes CUDA if available."""


def load_generator(run: Path) -> tuple[ImageGenerator, int]:
    """Return the generator of a run's newest checkpoint, and the checkpoint's iteration.

    Raises:
        InputError: the folder holds no run on images, or there are no checkpoints, or all are damaged.
    """
    config = read_options(run)["config"]
    if "compat" not in config:
        raise InputError(f"{run}: not a run on images; for text say python -m textgan.sample")
    known = {
        name: config[name] for name in ("size", "model", "upsampling", "dim", "latent_dim", "compat", "batch_size")
    }
    generator, _ = make_networks(ImageConfig(**known), torch.Generator())
    weights, iteration = sampler_weights(run)
    generator.load_state_dict(weights)
    return generator, iteration


def main(arguments: list[str]) -> int:
    """Draw images, and write them and their grid to files."""
    command = parse_command(SampleCommand, arguments, "images.sample", __doc__)
    require_at_least("--count", command.count, 1)
    require_at_least("--seed", command.seed, 0)
    if command.output is None and command.grid is None:
        raise InputError("nothing to write: give --output FILE.npz, --grid FILE.png, or both")
    require_output("--output", command.output, (".npz",))
    require_output("--grid", command.grid, (".png",))
    device = choose_device(command.device)
    random = torch.Generator(device).manual_seed(stream_seed(command.seed, "samples", 0))
    generator, iteration = load_generator(command.run)
    images = sample_images(generator.to(device), command.count, random)
    if command.output is not None:
        with write_output(command.output) as file:
            np.savez_compressed(file, images=images, iteration=iteration)
        wrote = f"wrote {command.count:,} images to {printable(command.output)}"
        print(wrote, file=told_on(command.output))
    if command.grid is not None:
        with write_output(command.grid) as file:
            as_grid(images[:GRID_IMAGES]).save(file, "PNG")
        print(f"wrote {printable(command.grid)}", file=told_on(command.grid))
    return 0


if __name__ == "__main__":
    run_command(main)
