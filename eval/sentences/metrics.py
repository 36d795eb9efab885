"""The names of the metrics of sentence features, and scores by features that need no download."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.corpus import CorpusOptions
from data.words import WordRule
from eval.core.score import Score, with_floor
from eval.sentences.real_lines import open_real_lines

if TYPE_CHECKING:
    from eval.sentences.scores import FeatureReference

FEATURE_METRICS = ("sentence-frechet", "sentence-kid", "sentence-precision-recall", "mauve")
"""Metrics of sentence features."""
FEATURE_SIGNATURES = (*FEATURE_METRICS, "frontier-integral", "seed-sd")
"""First words of the signatures of their scores, which hold a hash of weights: another machine may have another."""


@dataclass(frozen=True)
class FeatureScorer:
    """Scores of lines by metrics of sentence features, against one reference."""

    metrics: Sequence[str]
    reference: "FeatureReference"

    def score(self, lines: Sequence[str]) -> list[Score]:
        """Return the scores of lines, at least four."""
        from eval.sentences.scores import score_features  # needs torch

        return score_features(self.reference.encoder.encode(lines), self.metrics, self.reference)

    def with_floors(self, lines: Sequence[str]) -> list[Score]:
        """Return the scores of lines; the floor is the score of the same number of held-out lines, if there are any."""
        scores, held_out = self.score(lines), self.reference.real.floor_lines(len(lines))
        if held_out is None:
            return scores
        return [with_floor(found, floor) for found, floor in zip(scores, self.score(held_out), strict=True)]


def open_scorer(names: Sequence[str], options: CorpusOptions, rule: WordRule) -> FeatureScorer | None:
    """Return the scorer of the metrics of sentence features among some names; None if there is none.

    The features are states of a small language model, which is trained on the real lines at the first call.

    Args:
        names: names of metrics.
        options: the real lines.
        rule: how the language model splits lines into words.

    Raises:
        InputError: the real lines cannot be read.
    """
    metrics = [name for name in FEATURE_METRICS if name in names]
    if not metrics:
        return None
    from eval.sentences.language_model import open_language_model
    from eval.sentences.scores import FeatureReference

    real = open_real_lines(options, None)
    return FeatureScorer(metrics, FeatureReference.of(real, open_language_model(real.lines, rule)))
