"""Show an image data set: its name, number of images, size and hash, and a grid of its first images.

python -m data.images shapes --grid shapes.png
python -m data.images folder-of-images --size 64 --count 1000
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.images.dataset import GRID_IMAGES, ImageOptions, as_grid, open_dataset
from data.outputs import require_output, told_on, write_output


@dataclass(frozen=True)
class ImagesCommand:
    """Flags of `python -m data.images`."""

    source: tyro.conf.Positional[str]
    """shapes; celeba, cifar10, svhn, lsun-bedrooms, or one of these as NAME:PATH; hub:NAME[:COLUMN];
    a file, - for standard input, or a folder (with subfolders, without hidden files)."""
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Side of the images after a centre crop. Default: the source's size, or unchanged."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Use at most this many images, the first ones."""
    grid: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Write a grid of the first 64 images to this file."""


def main(arguments: list[str]) -> int:
    """Print name, number, size and hash; write a grid if asked."""
    command = parse_command(ImagesCommand, arguments, "data.images", __doc__)
    require_output("--grid", command.grid, (".png",), [command.source])
    dataset = open_dataset(ImageOptions(command.source, command.size, command.count))
    count, _, height, width = dataset.images.shape
    classes = "" if dataset.labels is None else f", {len(np.unique(dataset.labels))} classes"
    stream = sys.stdout if command.grid is None else told_on(command.grid)
    print(
        f"{dataset.name}: {count:,} images of {width} x {height} pixels{classes}\nsha256 {dataset.sha256}", file=stream
    )
    if command.grid is not None:
        with write_output(command.grid) as file:
            as_grid(dataset.images[:GRID_IMAGES]).save(file, "PNG")
        print(f"wrote {command.grid}", file=stream)
    return 0


if __name__ == "__main__":
    run_command(main)
