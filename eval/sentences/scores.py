"""Scores of sentence features: Fréchet distance, kernel distance, precision and recall, MAUVE, frontier integral.

The first three are the image metrics (`eval.images`), of features of lines in place of images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.cache import cache_folder, open_arrays, open_cached, read_manifest, save_array, write_manifest
from data.errors import InputError
from data.files import sha256_of_json
from eval.core.score import Better, Estimate, Score, Signature
from eval.images.fid_infinity import frechet
from eval.images.frechet import FeatureStatistics
from eval.images.kid import kid_of_pairs
from eval.images.pairs import NEIGHBOURS, NOT_FINITE, Pairs, PairStatistics, pair_statistics, require_one_width
from eval.images.precision_recall import shares_of_pairs
from eval.sentences import mauve
from eval.sentences.batches import Encoder
from eval.sentences.real_lines import RealLines

Features = NDArray[np.float32]

_MANIFEST = "features.json"


@dataclass(frozen=True)
class FeatureReference:
    """The features [M, D] of real lines, and the encoder that computes those of samples."""

    real: RealLines
    encoder: Encoder
    features: Features

    @classmethod
    def of(cls, real: RealLines, encoder: Encoder) -> "FeatureReference":
        """Return the reference of these real lines; the features are read from the cache or added to it."""
        folder = cache_folder() / "sentence-features" / sha256_of_json([real.sha256, encoder.signature])[:20]

        def build(folder: Path) -> None:
            save_array(folder / "features.npy", encoder.encode(real.lines))
            write_manifest(folder, _MANIFEST, {"name": real.name, "features": encoder.signature})

        def load(folder: Path) -> Features:
            return open_arrays(folder, read_manifest(folder, _MANIFEST))["features"]

        return cls(real, encoder, open_cached(folder, load, build))

    @property
    def scale(self) -> float:
        """sqrt(D) / root mean square of the lengths: times this, features have a mean squared length of D.

        The kernel (x.y / D + 1)^3 then does not depend on the scale of the features.
        """
        features = self.features.astype(np.float64)
        return float(np.sqrt(features.shape[1] / np.square(features).sum(1).mean()))

    def score(
        self,
        metric: str,
        values: Mapping[str, Estimate],
        unit: str,
        better: Better,
        samples: int,
        settings: Mapping[str, str | int],
    ) -> Score:
        """Return a score of samples against this reference, with its signature."""
        fields = {
            "features": self.encoder.signature, **settings, "ref": f"{self.real.name}@{self.real.sha256[:12]}",
            "real-lines": len(self.features), "samples": samples,
        }  # fmt: skip
        return Score(metric, values, unit, better, samples, self.real.title, Signature(metric, fields))


def score_frechet(features: Features, reference: FeatureReference, _pairs: Pairs) -> list[Score]:
    """Return the Fréchet distance of features [N, D] from the reference's (Semeniuta et al. 2018, arXiv 1806.04936)."""
    statistics = FeatureStatistics.of(reference.features, reference.encoder.signature)
    values = {"sentence-frechet": frechet(features, statistics)}
    return [
        reference.score(
            "sentence-frechet", values, "squared distance", "lower", len(features), {"cov": "unbiased"}
        )
    ]  # fmt: skip


def score_kernel(features: Features, reference: FeatureReference, pairs: Pairs) -> list[Score]:
    """Return the kernel distance of features scaled to a mean squared length of D, in thousandths."""
    values = {"1000 sentence-kid": kid_of_pairs(pairs()).scaled(1000)}
    return [reference.score("sentence-kid", values, "1e-3", "lower", len(features), {"kernel": "cubic-scaled"})]


def score_precision_recall(features: Features, reference: FeatureReference, pairs: Pairs) -> list[Score]:
    """Return improved precision and recall of features [N, D] against the reference's."""
    values = {f"sentence-{name}": value for name, value in shares_of_pairs(pairs()).items()}
    name = "sentence-precision-recall"
    return [reference.score(name, values, "proportion", "higher", len(features), {"k": NEIGHBOURS})]


def score_mauve(features: Features, reference: FeatureReference, _pairs: Pairs) -> list[Score]:
    """Return MAUVE, the frontier integral, and the standard deviation of both over seeds of k-means."""
    values, spreads = mauve.frontier_scores(features, reference.features)
    settings, count = mauve.settings(len(features), len(reference.features)), len(features)
    deviations = {f"{name}-seed-sd": Estimate(spread) for name, spread in spreads.items()}
    return [
        reference.score("mauve", {"mauve": values["mauve"]}, "area", "higher", count, settings),
        reference.score("frontier-integral", {"frontier-integral": values["frontier-integral"]}, "nats", "lower",
                        count, {**settings, "smooth": "kt"}),
        reference.score("seed-sd", deviations, "standard deviation over seeds", "lower", count, settings),
    ]  # fmt: skip


FEATURE_SCORES: Mapping[str, Callable[[Features, FeatureReference, Pairs], list[Score]]] = {
    "sentence-frechet": score_frechet,
    "sentence-kid": score_kernel,
    "sentence-precision-recall": score_precision_recall,
    "mauve": score_mauve,
}
"""Scores of sentence features by the name of their metric."""


def score_features(features: Features, metrics: Sequence[str], reference: FeatureReference) -> list[Score]:
    """Return the scores of samples' features [N, D] by the named metrics; scores of pairs of lines share one pass.

    Raises:
        InputError: too few lines for a metric, features of another size than the reference's, or NaN, infinity or
            overflow.
    """

    @cache
    def pairs() -> PairStatistics:
        scale = reference.scale
        return pair_statistics(scale * features.astype(np.float64), scale * reference.features.astype(np.float64))

    for rows, of_what in ((features, "the samples"), (reference.features, "the reference")):
        if len(rows) <= NEIGHBOURS:
            raise InputError(f"{len(rows)} line(s) in {of_what}; give at least {NEIGHBOURS + 1}, better thousands")
        if not np.isfinite(rows).all():
            raise InputError(NOT_FINITE)
    require_one_width(features, reference.features)
    return [score for name in metrics for score in FEATURE_SCORES[name](features, reference, pairs)]
