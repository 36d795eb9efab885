"""What metrics of images say of growing disturbances, and whether they follow them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tqdm import tqdm

from data.errors import InputError
from eval.core.score import Estimate
from eval.images.disturbances import SEED, Disturbance, Images
from eval.images.features import BATCH_SIZE, Extractor, FeatureKind, extract
from eval.images.fid_infinity import frechet
from eval.images.frechet import FeatureStatistics
from eval.images.inception_score import SPLITS, inception_score
from eval.images.kid import kid
from eval.images.precision_recall import NEIGHBOURS, precision_recall

Features = NDArray[np.float32]
Better = Literal["lower", "higher"]

EXAMPLES = 6
"""Images shown of each level."""


@dataclass(frozen=True)
class Metric:
    """`prepare(reference features, extractor)` returns what scores other images' features [N, D].

    `settings` are what its values depend on besides images and features.
    """

    better: Better
    unit: str
    settings: Mapping[str, str | int]
    prepare: Callable[[Features, Extractor], Callable[[Features], Estimate]]


@dataclass(frozen=True)
class SensitivityCurve:
    """The values of each metric at a disturbance's levels, and the first images at these: [levels, n, 3, H, W]."""

    disturbance: Disturbance
    values: Mapping[str, Sequence[Estimate]]
    examples: Images


def _frechet(reference: Features, extractor: Extractor) -> Callable[[Features], Estimate]:
    real = FeatureStatistics.of(reference, extractor.signature)
    return lambda features: frechet(features, real)


def _kernel_distance(reference: Features, _extractor: Extractor) -> Callable[[Features], Estimate]:
    return lambda features: kid(features, reference)


def _precision(reference: Features, _extractor: Extractor) -> Callable[[Features], Estimate]:
    return lambda features: precision_recall(features, reference)["precision"]


def _recall(reference: Features, _extractor: Extractor) -> Callable[[Features], Estimate]:
    return lambda features: precision_recall(features, reference)["recall"]


def _inception_score(_reference: Features, extractor: Extractor) -> Callable[[Features], Estimate]:
    logits = extractor.logits
    if logits is None:
        raise InputError(f"inception-score: {extractor.signature} has no classes; say --features inception")

    def score(features: Features) -> Estimate:
        return inception_score(logits(torch.from_numpy(features).to(extractor.device)).cpu().numpy()).estimate

    return score


_FRECHET = Metric("lower", "squared distance", {}, _frechet)
_KERNEL = Metric("lower", "squared discrepancy", {"kernel": "cubic"}, _kernel_distance)
_NEIGHBOURS = {
    "precision": Metric("higher", "share", {"k": NEIGHBOURS}, _precision),
    "recall": Metric("higher", "share", {"k": NEIGHBOURS}, _recall),
}

METRICS: Mapping[FeatureKind, Mapping[str, Metric]] = {
    "inception": {
        "fid": _FRECHET,
        "inception-score": Metric("higher", "classes", {"splits": SPLITS}, _inception_score),
        "kid": _KERNEL,
        **_NEIGHBOURS,
    },
    "random-conv": {"fd-random": _FRECHET, "kd-random": _KERNEL, **_NEIGHBOURS},
}
"""The metrics of each kind of features, first those of the paper's figure."""
DEFAULT_METRICS: Mapping[FeatureKind, Sequence[str]] = {
    "inception": ("fid", "inception-score"),
    "random-conv": ("fd-random",),
}


def measure(
    disturbed: Images,
    reference: Images,
    extractor: Extractor,
    metrics: Mapping[str, Metric],
    disturbances: Sequence[Disturbance],
    batch_size: int = BATCH_SIZE,
) -> list[SensitivityCurve]:
    """Return the metrics' values of images at all levels of the disturbances, against other images as the reference.

    Raises:
        InputError: images of several sizes, too few of them, or NaN or infinity in their features.
    """
    reference_features = extract(reference, extractor, batch_size)
    score = {name: metric.prepare(reference_features, extractor) for name, metric in metrics.items()}

    def scores(images: Images) -> dict[str, Estimate]:
        features = extract(images, extractor, batch_size)
        return {name: score[name](features) for name in metrics}

    undisturbed = scores(disturbed)
    found = []
    for disturbance in tqdm(disturbances, "disturbing", disable=None, delay=1, leave=False):
        values: list[dict[str, Estimate]] = []
        examples = []
        for level in disturbance.levels:
            images = disturbance.apply(disturbed, level, SEED)
            values.append(scores(images) if level else undisturbed)
            examples.append(images[:EXAMPLES].copy())  # a copy lets go of the others
        by_metric = {name: [each[name] for each in values] for name in metrics}
        found.append(SensitivityCurve(disturbance, by_metric, np.stack(examples)))
    return found


def monotonicity(values: Sequence[float], better: Better) -> tuple[float | None, int]:
    """Return Spearman's correlation of values with their order, and how many are no worse than the one before.

    The correlation is that of growing badness, and None where all values are the same.
    """
    badness = np.array(values) * (1 if better == "lower" else -1)
    violations = int((np.diff(badness) <= 0).sum())
    same = bool((badness == badness[0]).all())
    return None if same else float(spearmanr(np.arange(len(badness)), badness).statistic), violations
