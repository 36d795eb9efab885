"""Time the Inception features in each arithmetic, eager and compiled, and measure how far each moves the distance.

    python -m eval.feature_bench shapes --count 2000
    python -m eval.feature_bench cifar10 --count 10000 --batch-size 256 --device cuda

The images are halved at random, and one half is blurred by a pixel. `FID` is the halves' distance with both in the same
arithmetic, `moved` how far that lies from plain float32's, and `mixed` the distance of the same images in this
arithmetic and in float32: what is added where statistics of both are compared, which signatures forbid. The first batch
of each is not timed: it compiles, and picks kernels.
"""

import time
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from data.command import parse_command, run_command
from data.errors import InputError
from data.images.dataset import PictureOptions, open_pictures
from eval.device import choose_device
from eval.disturb import split
from eval.disturbances import gaussian_blur
from eval.features import Precision, extract, inception_extractor
from eval.frechet import FeatureStatistics, distance
from eval.image_sets import InceptionFlags
from eval.tables import Block, FormatFlags, render


@dataclass(frozen=True, kw_only=True)
class FeatureBenchCommand(FormatFlags, InceptionFlags):
    """Flags of `python -m eval.feature_bench`."""

    source: tyro.conf.Positional[str]
    """Images: a source as `python -m data.images` takes it."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Use this many images at most, the first ones."""


@dataclass(frozen=True)
class Way:
    """A way to compute features: its speed, and the distances that come out."""

    precision: Precision
    compiled: bool
    images_per_second: float
    fid: float
    mixed: float


def measure(command: FeatureBenchCommand, device: torch.device) -> list[Way]:
    """Return the ways on this device, plain float32 first.

    Raises:
        InputError: the weights or the images cannot be had, or they do not fill two batches.
    """
    pictures = open_pictures(PictureOptions(command.source, command.size, command.count))
    first, second = split(pictures)
    if len(first) < 2 * command.batch_size:
        raise InputError(f"{pictures.name}: halves of {len(first)} images do not fill two batches; lower --batch-size")
    halves = first, gaussian_blur(second, 1)
    precisions: tuple[Precision, ...] = ("float32", "tf32", "bf16") if device.type == "cuda" else ("float32", "bf16")
    plain: list[NDArray[np.float32]] = []
    found = []
    for precision in precisions:
        for compiled_for in (None, command.batch_size):
            extractor = inception_extractor(command.weights, command.resize, device, precision, compiled_for)
            extract(first[: command.batch_size], extractor, command.batch_size)
            start = time.perf_counter()
            features = [extract(half, extractor, command.batch_size) for half in halves]
            seconds = time.perf_counter() - start
            plain = plain or features
            ours, blurred, exact = (FeatureStatistics.of(each, "") for each in (*features, plain[0]))
            rate = sum(map(len, halves)) / seconds
            found.append(Way(precision, compiled_for is not None, rate, distance(ours, blurred), distance(ours, exact)))
    return found


def main(arguments: list[str]) -> int:
    """Print a row for each way."""
    command = parse_command(FeatureBenchCommand, arguments, "eval.feature_bench", __doc__)
    device = choose_device(command.device)
    ways = measure(command, device)
    rows = [["arithmetic", "", "images/s", "times", "FID", "moved", "mixed"]]
    for way in ways:
        rate, moved = way.images_per_second / ways[0].images_per_second, way.fid / ways[0].fid - 1
        cells = [f"{way.images_per_second:.4g}", f"{rate:.2f}", f"{way.fid:.6g}", f"{moved:+.2e}", f"{way.mixed:.2e}"]
        rows.append([way.precision, "compiled" if way.compiled else "eager", *cells])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    about = f"{name}, torch {torch.__version__}, batches of {command.batch_size}"
    print(render(command.output_format, [Block("", rows, [about])], [asdict(way) for way in ways]))
    return 0


if __name__ == "__main__":
    run_command(main)
