"""Show a data set of images: its name, number, size and hash, and a grid of its first images.

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
    """shapes, celeba, cifar10, svhn, lsun-bedrooms, NAME:PATH of these, hub:NAME[:COLUMN], a file, -
    (standard input), or a folder (with subfolders, without hidden files; links are followed once)."""
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Side after a centre crop; without it the source's own, or as the images are."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Use this many images at most, the first ones."""
    grid: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Write the first 64 images here."""


def main(arguments: list[str]) -> int:
    """Print name, number, size and hash; write a grid if asked."""
    command = parse_command(ImagesCommand, arguments, "data.images", __doc__)
    require_output("--grid", command.grid, (".png",), [command.source])
    pictures = open_dataset(ImageOptions(command.source, command.size, command.count))
    count, _, height, width = pictures.images.shape
    classes = "" if pictures.labels is None else f", {len(np.unique(pictures.labels))} classes"
    told = sys.stdout if command.grid is None else told_on(command.grid)
    print(
        f"{pictures.name}: {count:,} images of {width} x {height} pixels{classes}\nsha256 {pictures.sha256}", file=told
    )
    if command.grid is not None:
        with write_output(command.grid) as file:
            as_grid(pictures.images[:GRID_IMAGES]).save(file, "PNG")
        print(f"wrote {command.grid}", file=told)
    return 0


if __name__ == "__main__":
    run_command(main)
