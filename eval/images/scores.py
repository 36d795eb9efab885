"""The scores of images by metric, each with its signature and, if known, its floor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np

from data.errors import InputError, note
from data.images.dataset import ImageDataset
from eval.core.device import Device, choose_device
from eval.core.score import Better, Estimate, Score, Signature
from eval.images.density_coverage import density_of_pairs
from eval.images.extractors.choice import metric_name
from eval.images.extractors.extractor import Extractor
from eval.images.fid_infinity import frechet
from eval.images.frechet import distance
from eval.images.image_sets import ImageSet, dataset_set
from eval.images.inception_score import SPLITS, inception_score
from eval.images.kid import kid_of_pairs
from eval.images.pairs import DENSITY_NEIGHBOURS, NEIGHBOURS, Pairs, PairStatistics, pair_statistics
from eval.images.precision_recall import shares_of_pairs

Metric = Literal["fid", "kid", "precision-recall", "density-coverage", "inception-score"]

_LEAST: Mapping[Metric, int] = {
    "fid": 2, "kid": 2, "precision-recall": NEIGHBOURS + 1, "density-coverage": DENSITY_NEIGHBOURS + 1,
    "inception-score": SPLITS,
}  # fmt: skip
_OF_PAIRS = ("kid", "precision-recall", "density-coverage")
_ESTIMATOR: Mapping[str, str | int] = {"cov": "unbiased"}


def floor(dataset: ImageDataset, extractor: Extractor, samples: int) -> float | None:
    """Return the distance of `samples` of the images to the rest; None if that is one image, or more than half."""
    return _floor(dataset_set(dataset, extractor), samples)


def signature(
    reference: ImageDataset, extractor: Extractor, samples: int, settings: Mapping[str, str | int]
) -> Signature:
    """Return the signature of the distance of `samples` images to the reference."""
    name = metric_name("fid", extractor.signature)
    return dataset_set(reference, extractor).signature(name, samples, {**_ESTIMATOR, **settings})


def score_fid(samples: ImageSet, reference: ImageSet, _pairs: Pairs) -> Score:
    """Return the Fréchet distance of two image sets; no interval if only the statistics of the samples are known."""
    count, statistics = _count(samples), reference.statistics()
    if count < statistics.mean.size:
        note(
            f"{samples.name}: {count:,} images for {statistics.mean.size:,} features: the distance is far from "
            "its value at infinite sample size; compare it with the floor, and only at this count"
        )
    if samples.features is None:
        estimate = Estimate(distance(samples.statistics(), statistics))
    else:
        estimate = frechet(samples.features(), statistics)
    name = metric_name("fid", reference.feature_signature)
    values = {name: replace(estimate, floor=_floor(reference, count))}
    return _score(name, values, "squared distance", "lower", samples, reference, _ESTIMATOR)


def score_kid(samples: ImageSet, reference: ImageSet, pairs: Pairs) -> Score:
    """Return the kernel distance of samples and reference, in thousandths as in publications.

    Raises:
        InputError: too few images, or NaN, infinity or overflow in their features.
    """
    name = metric_name("kid", reference.feature_signature)
    values = {f"1000 {name}": kid_of_pairs(pairs()).scaled(1000)}
    return _score(name, values, "1e-3", "lower", samples, reference, {"kernel": "cubic"})


def score_precision_recall(samples: ImageSet, reference: ImageSet, pairs: Pairs) -> Score:
    """Return improved precision and recall of samples against the reference.

    Raises:
        InputError: too few images, or NaN, infinity or overflow in their features.
    """
    values = shares_of_pairs(pairs())
    return _score("precision-recall", values, "share", "higher", samples, reference, {"k": NEIGHBOURS})


def score_density_coverage(samples: ImageSet, reference: ImageSet, pairs: Pairs) -> Score:
    """Return density and coverage of samples against the reference.

    Raises:
        InputError: too few images, or NaN, infinity or overflow in their features.
    """
    values = density_of_pairs(pairs())
    return _score("density-coverage", values, "ratio", "higher", samples, reference, {"k": DENSITY_NEIGHBOURS})


def score_inception(samples: ImageSet, _reference: ImageSet, _pairs: Pairs) -> Score:
    """Return the Inception Score of the samples in random order: mean of ten splits, with a Student t interval.

    Raises:
        InputError: features without classes, or only the statistics of the samples are known.
    """
    if samples.logits is None:
        raise InputError(f"{samples.name}: inception-score needs images and --features inception")
    logits = samples.logits()
    values = {"inception-score": inception_score(np.random.default_rng(0).permutation(logits))}
    settings = {**samples.settings(), "splits": SPLITS, "seed": 0, "samples": len(logits)}
    signature = Signature("inception-score", settings)
    return Score("inception-score", values, "classes", "higher", len(logits), "no reference", signature)


SCORES: Mapping[Metric, Callable[[ImageSet, ImageSet, Pairs], Score]] = {
    "fid": score_fid,
    "kid": score_kid,
    "precision-recall": score_precision_recall,
    "density-coverage": score_density_coverage,
    "inception-score": score_inception,
}


def score_sets(
    samples: ImageSet, reference: ImageSet, metrics: Sequence[Metric], device: Device = "auto"
) -> list[Score]:
    """Score images by the named metrics; those of pairs of images are computed on the device, from one pass.

    Raises:
        InputError: too few images for a metric, or only the statistics of a set are known.
    """
    for metric in metrics:
        _require_enough(metric, samples)
        if metric != "inception-score":
            _require_enough(metric, reference)
    # Features come before the statistics of FID, which are then computed from them.
    of_pairs = [metric for metric in metrics if metric in _OF_PAIRS]
    features = [images.required_features(metric) for metric in of_pairs for images in (samples, reference)]

    @cache
    def pairs() -> PairStatistics:
        return pair_statistics(features[0], features[1], device=choose_device(device))

    return [SCORES[metric](samples, reference, pairs) for metric in dict.fromkeys(metrics)]


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
        raise InputError(f"{samples.name}: holds no count of images; give it as the reference, second")
    return samples.count


def _score(
    metric: str,
    values: Mapping[str, Estimate],
    unit: str,
    better: Better,
    samples: ImageSet,
    reference: ImageSet,
    settings: Mapping[str, str | int],
) -> Score:
    count = _count(samples)
    signature = reference.signature(metric, count, settings)
    return Score(metric, values, unit, better, count, reference.title, signature)
