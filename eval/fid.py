"""Fréchet Inception distance of images (Heusel et al. 2017, arXiv 1706.08500), and what else compares images.

    python -m eval.fid samples.npz shapes
    python -m eval.fid samples.npz folder-of-images --size 32 --metrics fid kid precision-recall --json
    python -m eval.fid stats folder-of-images --size 32 --output reference.npz
    python -m eval.fid samples.npz reference.npz

Samples and reference are each a source of `data.images` (shapes, cifar10, hub:NAME, a folder of images, an .npz, .npy
or .parquet file, ...), the folder of a training run on images with samples.npz in it, or a file of statistics.

Few images never reach 0, not even real ones: what as many of the reference's images score against its others is the
floor. The interval is that of the expected distance at this sample count, against this reference; the corrected value
estimates the distance of endless samples. Only that of Inception's features is called "fid".
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from torch.distributed import is_initialized

from data.command import parse_command, run_command
from data.errors import InputError, note
from data.images.dataset import ImageDataset
from data.naming import printable
from data.outputs import require_output, told_on
from eval.core.processes import process_group, rank_zero_first
from eval.core.score import Estimate, Score, Signature, show
from eval.core.tables import FormatFlags
from eval.images.features import Extractor, metric_name, shared_statistics
from eval.images.fid_infinity import frechet
from eval.images.frechet import distance
from eval.images.image_sets import ExtractorFlags, ImageSet, dataset_set, open_images, open_sets
from eval.images.inception_score import SPLITS, inception_score
from eval.images.kid import kid
from eval.images.precision_recall import NEIGHBOURS, precision_recall

Metric = Literal["fid", "kid", "precision-recall", "inception-score"]

_LEAST: Mapping[Metric, int] = {"fid": 2, "kid": 2, "precision-recall": NEIGHBOURS + 1, "inception-score": SPLITS}
_ESTIMATOR: Mapping[str, str | int] = {"cov": "unbiased"}


def floor(pictures: ImageDataset, extractor: Extractor, samples: int) -> float | None:
    """Return the distance of so many of the pictures to the others; None where more than half would be taken."""
    return _floor(dataset_set(pictures, extractor), samples)


def signature(
    reference: ImageDataset, extractor: Extractor, samples: int, settings: Mapping[str, str | int]
) -> Signature:
    """Return what the distance of so many samples to the reference depends on."""
    name = metric_name("fid", extractor.signature)
    return dataset_set(reference, extractor).signature(name, samples, {**_ESTIMATOR, **settings})


def score_fid(samples: ImageSet, reference: ImageSet) -> Score:
    """Return the Fréchet distance; without an interval where only the statistics of the samples are known."""
    count, statistics = _count(samples), reference.statistics()
    if count < statistics.mean.size:
        note(
            f"{samples.name}: {count:,} images for {statistics.mean.size:,} features: the distance is "
            "far from that of endless samples; compare it with the floor, and only at this count"
        )
    if samples.features is None:
        found = Estimate(distance(samples.statistics(), statistics))
    else:
        found = frechet(samples.features(), statistics)
    name = metric_name("fid", reference.feature_signature)
    values = {name: replace(found, floor=_floor(reference, count))}
    return _score(name, values, "squared distance", "lower", samples, reference, _ESTIMATOR)


def score_kid(samples: ImageSet, reference: ImageSet) -> Score:
    """Return the kernel distance, in thousandths, as it is usually printed.

    Raises:
        InputError: too few images, or only the statistics of one set are known.
    """
    found = kid(samples.required_features("kid"), reference.required_features("kid"))
    low, high = (None if bound is None else 1000 * bound for bound in (found.low, found.high))
    name = metric_name("kid", reference.feature_signature)
    values = {f"1000 {name}": Estimate(1000 * found.value, low, high)}
    return _score(name, values, "1e-3", "lower", samples, reference, {"kernel": "cubic"})


def score_precision_recall(samples: ImageSet, reference: ImageSet) -> Score:
    """Return improved precision and recall.

    Raises:
        InputError: too few images, or only the statistics of one set are known.
    """
    metric = "precision-recall"
    values = precision_recall(samples.required_features(metric), reference.required_features(metric))
    return _score(metric, values, "share", "higher", samples, reference, {"k": NEIGHBOURS})


def score_inception(samples: ImageSet, _reference: ImageSet) -> Score:
    """Return the Inception Score of the samples in random order: mean of ten splits, with Student's interval.

    Raises:
        InputError: features without classes, or only the statistics of the samples are known.
    """
    if samples.logits is None:
        raise InputError(f"{samples.name}: inception-score needs images and --features inception")
    logits = samples.logits()
    values = {"inception-score": inception_score(np.random.default_rng(0).permutation(logits)).estimate}
    settings = {**samples.settings(), "splits": SPLITS, "seed": 0, "samples": len(logits)}
    signature = Signature("inception-score", settings)
    return Score("inception-score", values, "classes", "higher", len(logits), "no reference", signature)


SCORES: Mapping[Metric, Callable[[ImageSet, ImageSet], Score]] = {
    "fid": score_fid,
    "kid": score_kid,
    "precision-recall": score_precision_recall,
    "inception-score": score_inception,
}


@dataclass(frozen=True, kw_only=True)
class FidCommand(FormatFlags, ExtractorFlags):
    """Flags of `python -m eval.fid`."""

    samples: tyro.conf.Positional[str]
    """Images to score: a source as `python -m data.images` takes it, a run's folder, or a file of statistics."""
    reference: tyro.conf.Positional[str]
    """Real images, likewise."""
    metrics: Annotated[tuple[Metric, ...], tyro.conf.arg(metavar="NAME...")] = ("fid",)
    """fid, kid, precision-recall, inception-score."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Samples at most, the first ones. The reference is used whole."""


@dataclass(frozen=True, kw_only=True)
class StatsCommand(ExtractorFlags):
    """Flags of `python -m eval.fid stats`."""

    source: tyro.conf.Positional[str]
    """Images: a source as `python -m data.images` takes it, or a run's folder."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE.npz")]
    """File for count, mean and covariance of their features."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Use this many images at most, the first ones."""


def main(arguments: list[str]) -> int:
    """Print the scores of images, or with `stats` first save the statistics of a reference."""
    if arguments[:1] == ["stats"]:
        return _save(parse_command(StatsCommand, arguments[1:], "eval.fid stats", __doc__))
    command = parse_command(FidCommand, arguments, "eval.fid", __doc__)
    if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("torchrun serves eval.fid stats; compare the statistics that it makes without torchrun")
    if not command.metrics:
        raise InputError(f"--metrics: name at least one of {', '.join(SCORES)}")
    samples, reference = open_sets(command.samples, command.reference, command.count, command)
    for metric in command.metrics:
        _require_enough(metric, samples)
        if metric != "inception-score":
            _require_enough(metric, reference)
        if metric in ("kid", "precision-recall"):
            reference.required_features(metric)  # before its statistics, which are then made of them
    show([SCORES[metric](samples, reference) for metric in dict.fromkeys(command.metrics)], command.output_format)
    return 0


def _save(command: StatsCommand) -> int:
    require_output("--output", command.output, (".npz",), [command.source])
    with process_group() as rank:
        pictures, extractor = rank_zero_first(
            lambda: (open_images(command.source, command.size, command.count), command.open_extractor())
        )
        found = dataset_set(pictures, extractor, command.batch_size)
        if is_initialized():
            shared = shared_statistics(pictures.images, extractor, command.batch_size)
            statistics = replace(shared, extractor=found.feature_signature)
        else:
            statistics = found.statistics()
        if rank == 0:
            statistics.save(command.output)
            wrote = f"{printable(f'wrote statistics of {found.title} to {command.output}')}\n{found.feature_signature}"
            print(wrote, file=told_on(command.output))
    return 0


def _require_enough(metric: Metric, images: ImageSet) -> None:
    least = _LEAST[metric]
    if images.count is not None and images.count < least:
        raise InputError(f"{images.name}: {metric} of {images.count} image(s); give at least {least}, better 50,000")


def _floor(reference: ImageSet, samples: int) -> float | None:
    if reference.part is None or reference.count is None or not 2 <= samples <= reference.count // 2:
        return None
    part = reference.part(samples)
    return distance(part, reference.statistics().without(part))


def _count(samples: ImageSet) -> int:
    if samples.count is None:
        raise InputError(f"{samples.name}: does not say of how many images it is; give it as the reference, second")
    return samples.count


def _score(
    metric: str,
    values: Mapping[str, Estimate],
    unit: str,
    better: Literal["lower", "higher"],
    samples: ImageSet,
    reference: ImageSet,
    settings: Mapping[str, str | int],
) -> Score:
    count = _count(samples)
    signature = reference.signature(metric, count, settings)
    return Score(metric, values, unit, better, count, reference.title, signature)


if __name__ == "__main__":
    run_command(main)
