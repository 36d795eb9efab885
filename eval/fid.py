"""Fréchet Inception distance (FID; Heusel et al. 2017, arXiv 1706.08500) and other metrics of images.

    python -m eval.fid samples.npz shapes
    python -m eval.fid samples.npz folder-of-images --size 32 --metrics fid kid precision-recall --json
    python -m eval.fid stats folder-of-images --size 32 --output reference.npz
    python -m eval.fid samples.npz reference.npz
    python -m eval.fid samples.npz folder-of-images --size 32 --nearest nearest.png

Samples and reference are each a source of `data.images` (shapes, cifar10, hub:NAME, a folder or .zip of images, an
.npz, .npy or .parquet file, ...), the folder of a training run on images with samples.npz in it, or a statistics file.
Or both are .npy files of features [N, D], floats that any other program computed.

The floor is the distance of the same number of reference images to the rest of the reference: with few images even real
ones do not reach 0. The confidence interval is for the expected distance at this sample count, against this reference;
the corrected value estimates the distance at infinite sample size. Only the distance of Inception features is called
"fid".
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from torch.distributed import is_initialized

from data.cache import save_array
from data.command import parse_command, run_command
from data.errors import InputError, require_choices, require_numbers
from data.images.dataset import as_grid
from data.inputs import expand_user
from data.naming import printable
from data.outputs import require_output, told_on, write_output
from eval.core.device import Device, Precision
from eval.core.processes import process_group, rank_zero_first
from eval.core.score import Score, show
from eval.core.tables import FormatFlags
from eval.images.feature_files import open_features
from eval.images.features import BATCH_SIZE, shared_statistics
from eval.images.flags import ExtractorFlags
from eval.images.image_sets import ImageSet, dataset_set, open_images, open_sets
from eval.images.inception import Resize
from eval.images.influence import influences
from eval.images.nearest import SHOWN, nearest_rows, paired_images
from eval.images.scores import SCORES, Metric, score_sets


@dataclass(frozen=True, kw_only=True)
class FidCommand(FormatFlags, ExtractorFlags):
    """Flags of `python -m eval.fid`."""

    samples: tyro.conf.Positional[str]
    """Images to score: a source of `python -m data.images`, a run's folder, or a statistics file."""
    reference: tyro.conf.Positional[str]
    """Real images: a source, a run's folder, or a statistics file."""
    metrics: Annotated[tuple[Metric, ...], tyro.conf.arg(metavar="NAME...")] = ("fid",)
    """Metrics to print: fid, kid, precision-recall, density-coverage, inception-score."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Maximum number of samples (the first ones). The reference is used whole."""
    influence: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None
    """Write how much each sample raises the Fréchet distance: the distance minus the distance without the sample."""
    nearest: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Draw the first 32 samples, each above the real image whose features are nearest."""


@dataclass(frozen=True, kw_only=True)
class StatsCommand(ExtractorFlags):
    """Flags of `python -m eval.fid stats`."""

    source: tyro.conf.Positional[str]
    """Images: a source of `python -m data.images`, or a run's folder."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE.npz")]
    """File for the count, mean and covariance of the features."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Maximum number of images (the first ones)."""


def main(arguments: list[str]) -> int:
    """Print the scores of images, or with `stats` save the statistics of a reference."""
    if arguments[:1] == ["stats"]:
        return _save(parse_command(StatsCommand, arguments[1:], "eval.fid stats", __doc__))
    command = parse_command(FidCommand, arguments, "eval.fid", __doc__)
    require_output("--influence", command.influence, (".csv",), (command.samples, command.reference))
    require_output("--nearest", command.nearest, (".png",), (command.samples, command.reference))
    samples, reference = _sets(command)
    if command.nearest is not None:
        _require_images(samples, reference)
    scores = score_sets(samples, reference, command.metrics, command.device)
    if command.influence is not None:
        _write_influences(samples, reference, command.influence)
    if command.nearest is not None:  # last: it has no further reason to fail, so that no command fails after a file
        _draw_nearest(samples, reference, command.nearest)
    show(scores, command.output_format)
    return 0


def score_images(
    images: str | Path | NDArray[np.uint8],
    reference: str | Path | NDArray[np.uint8],
    metrics: Sequence[Metric] = ("fid",),
    *,
    features: str = "inception",
    weights: Path | None = None,
    resize: Resize = "tensorflow1",
    size: int | None = None,
    count: int | None = None,
    precision: Precision = "float32",
    device: Device = "auto",
    batch_size: int = BATCH_SIZE,
) -> list[Score]:
    """Return the scores of images against real ones, as the command prints them; settings are the command's flags.

    Args:
        images: uint8 [N, 3, H, W], or a source, path or statistics file as the command takes it. An array scores like a
            file `images.npy`.
        reference: real images, in the same forms.
        metrics: any of fid, kid, precision-recall, density-coverage, inception-score.
        features: of a network (inception, inception-spatial, random-conv, efficientnet-lite0, dinov2-vitl14), or of a
            function of images, as MODULE:FUNCTION.
        weights: file of the network's weights. Default: Inception's are downloaded once.
        resize: resizing for Inception.
        size: side in pixels after a centre crop. Default: the source's, or no cropping.
        count: maximum number of images scored (the first ones). The reference is used whole.
        precision: of Inception.
        device: that computes the features, KID, precision and recall.
        batch_size: images per batch.

    Raises:
        InputError: images cannot be used, do not compare, or are too few for a metric; or a setting is impossible.
    """
    with TemporaryDirectory() as folder:
        command = FidCommand(
            samples=_named(images, Path(folder, "samples")), reference=_named(reference, Path(folder, "reference")),
            metrics=tuple(metrics), features=features, weights=weights, resize=resize, size=size, count=count,
            precision=precision, device=device, batch_size=batch_size,
        )  # fmt: skip
        require_numbers(command)
        require_choices(command)
        return score_sets(*_sets(command), command.metrics, command.device)


def _named(images: str | Path | NDArray[np.uint8], folder: Path) -> str:
    """Return images as a command takes them; an array is written to a file `images.npy` in the folder.

    Raises:
        InputError: the array is not uint8 [N, 3, H, W].
    """
    if isinstance(images, str):
        return images
    if isinstance(images, Path):
        return str(expand_user(images).absolute())  # a folder `shapes` is not the embedded data set
    pixels = np.asarray(images)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(f"{folder.name}: {pixels.dtype} {list(pixels.shape)}; give uint8 [N, 3, H, W]")
    folder.mkdir()
    path = folder / "images.npy"
    save_array(path, pixels)
    return str(path)


def _sets(command: FidCommand) -> tuple[ImageSet, ImageSet]:
    """Return the samples and the reference that a command names."""
    if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("torchrun works only with eval.fid stats; compare the saved statistics without torchrun")
    if not command.metrics:
        raise InputError(f"--metrics: name at least one of {', '.join(SCORES)}")
    return open_sets(command.samples, command.reference, command.count, command)


def _require_images(samples: ImageSet, reference: ImageSet) -> None:
    for images in (samples, reference):
        if images.images is None:
            raise InputError(f"--nearest: {images.name} holds no images; give images for both")


def _draw_nearest(samples: ImageSet, reference: ImageSet, path: Path) -> None:
    """Write a grid of the first samples above their nearest real images."""
    assert samples.images is not None
    assert reference.images is not None
    shown = samples.required_features("--nearest")[:SHOWN]
    nearest = nearest_rows(shown, reference.required_features("--nearest"))
    with write_output(path) as file:
        as_grid(paired_images(samples.images[:SHOWN], reference.images, nearest)).save(file, "PNG")


def _write_influences(samples: ImageSet, reference: ImageSet, path: Path) -> None:
    """Write a CSV file with a row per sample, numbered from 0: its influence on the Fréchet distance."""
    values = influences(samples.required_features("--influence"), reference.statistics())
    rows = (f"{index},{value!r}\n" for index, value in enumerate(values.tolist()))
    with write_output(path) as file:
        file.write("".join(["image,influence\n", *rows]).encode())


def _save(command: StatsCommand) -> int:
    require_output("--output", command.output, (".npz",), [command.source])
    if open_features(expand_user(command.source), None) is not None:
        raise InputError(f"{command.source}: features, which need no statistics; give the file to eval.fid itself")
    with process_group() as rank:
        dataset, extractor = rank_zero_first(
            lambda: (open_images(command.source, command.size, command.count), command.open_extractor())
        )
        images = dataset_set(dataset, extractor, command.batch_size)
        if is_initialized():
            shared = shared_statistics(dataset.images, extractor, command.batch_size)
            statistics = replace(shared, extractor=images.feature_signature)
        else:
            statistics = images.statistics()
        if rank == 0:
            statistics.save(command.output)
            wrote = printable(f"wrote statistics of {images.title} to {command.output}")
            print(f"{wrote}\n{images.feature_signature}", file=told_on(command.output))
    return 0


if __name__ == "__main__":
    run_command(main)
