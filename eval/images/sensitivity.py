"""How image metrics respond to increasing disturbance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from data.errors import InputError
from eval.core.score import Better, Estimate
from eval.core.sensitivity import SEED
from eval.images.density_coverage import density_of_pairs
from eval.images.disturbances import Disturbance, Images
from eval.images.extractors.choice import metric_name
from eval.images.extractors.extractor import Extractor
from eval.images.features import BATCH_SIZE, extract
from eval.images.fid_infinity import frechet
from eval.images.frechet import FeatureStatistics
from eval.images.inception_score import SPLITS, inception_score
from eval.images.kid import kid_of_pairs
from eval.images.pairs import DENSITY_NEIGHBOURS, NEIGHBOURS, Pairs, PairStatistics, pair_statistics
from eval.images.precision_recall import shares_of_pairs

Features = NDArray[np.float32]
Prepare = Callable[[Features, Extractor], Callable[[Features, Pairs], Estimate]]

EXAMPLES = 6
"""Images shown per level."""


@dataclass(frozen=True)
class ImageMetric:
    """An image metric.

    `prepare(reference_features, extractor)` returns a function from features [N, D], and the statistics of their pairs
    with the reference, to an Estimate.

    `settings` are signature fields: what the values depend on besides images and features.
    """

    better: Better
    unit: str
    settings: Mapping[str, str | int]
    prepare: Prepare


@dataclass(frozen=True)
class SensitivityCurve:
    """Each metric's values at the levels of a disturbance, and example images [levels, n, 3, H, W]."""

    disturbance: Disturbance
    values: Mapping[str, Sequence[Estimate]]
    examples: Images


def _frechet(reference: Features, extractor: Extractor) -> Callable[[Features, Pairs], Estimate]:
    real = FeatureStatistics.of(reference, extractor.signature)
    return lambda features, _pairs: frechet(features, real)


def _of_pairs(read: Callable[[PairStatistics], Estimate]) -> Prepare:
    """Return the `prepare` of a metric that follows from the statistics of all pairs of images."""
    return lambda _reference, _extractor: lambda _features, pairs: read(pairs())


def _inception_score(_reference: Features, extractor: Extractor) -> Callable[[Features, Pairs], Estimate]:
    logits = extractor.logits
    if logits is None:
        raise InputError(f"inception-score: {extractor.signature} has no classes; say --features inception")

    def score(features: Features, _pairs: Pairs) -> Estimate:
        return inception_score(logits(torch.from_numpy(features).to(extractor.device)).cpu().numpy())

    return score


_FRECHET = ImageMetric("lower", "squared distance", {}, _frechet)
_KERNEL = ImageMetric("lower", "squared discrepancy", {"kernel": "cubic"}, _of_pairs(kid_of_pairs))
_NEIGHBOURS = {
    "precision": ImageMetric(
        "higher", "share", {"k": NEIGHBOURS}, _of_pairs(lambda pairs: shares_of_pairs(pairs)["precision"])
    ),
    "recall": ImageMetric(
        "higher", "share", {"k": NEIGHBOURS}, _of_pairs(lambda pairs: shares_of_pairs(pairs)["recall"])
    ),
    "density": ImageMetric(
        "higher", "ratio", {"k": DENSITY_NEIGHBOURS}, _of_pairs(lambda pairs: density_of_pairs(pairs)["density"])
    ),
    "coverage": ImageMetric(
        "higher", "ratio", {"k": DENSITY_NEIGHBOURS}, _of_pairs(lambda pairs: density_of_pairs(pairs)["coverage"])
    ),
}
_CLASSES = ImageMetric("higher", "classes", {"splits": SPLITS}, _inception_score)


def image_metrics(features: str) -> dict[str, ImageMetric]:
    """Return the metrics of a kind of features, or of MODULE:FUNCTION, by name; the default ones come first."""
    kind = "own" if ":" in features else features
    classes = {"inception-score": _CLASSES} if kind == "inception" else {}
    return {metric_name("fid", kind): _FRECHET, **classes, metric_name("kid", kind): _KERNEL, **_NEIGHBOURS}


def default_metrics(features: str) -> Sequence[str]:
    """Return the names of the metrics in the paper's figure: the Fréchet distance and, of Inception, its score."""
    return list(image_metrics(features))[: 2 if features == "inception" else 1]


def measure(
    disturbed: Images,
    reference: Images,
    extractor: Extractor,
    metrics: Mapping[str, ImageMetric],
    disturbances: Sequence[Disturbance],
    batch_size: int = BATCH_SIZE,
) -> list[SensitivityCurve]:
    """Return a curve per disturbance: the metrics' values of the disturbed images at all levels, against the reference.

    Raises:
        InputError: images of several sizes, too few images, or NaN or infinity among the features.
    """
    reference_features = extract(reference, extractor, batch_size)
    score = {name: metric.prepare(reference_features, extractor) for name, metric in metrics.items()}

    def scores(images: Images) -> dict[str, Estimate]:
        features = extract(images, extractor, batch_size)

        @cache
        def pairs() -> PairStatistics:
            return pair_statistics(features, reference_features, device=extractor.device)

        return {name: score[name](features, pairs) for name in metrics}

    undisturbed = scores(disturbed)
    curves = []
    for disturbance in tqdm(disturbances, "disturbing", disable=None, delay=1, leave=False):
        values: list[dict[str, Estimate]] = []
        examples = []
        for level in disturbance.levels:
            images = disturbance.apply(disturbed, level, SEED)
            values.append(scores(images) if level else undisturbed)
            examples.append(images[:EXAMPLES].copy())  # a copy, so that the other images can be freed
        by_metric = {name: [at_level[name] for at_level in values] for name in metrics}
        curves.append(SensitivityCurve(disturbance, by_metric, np.stack(examples)))
    return curves
