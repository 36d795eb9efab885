"""Precision, recall and cosine similarity of character n-grams; definitions in `eval.overlap`."""

from collections.abc import Callable

import numpy as np

from data.line_ids import Ids
from eval.core.intervals import SHARE, interval
from eval.core.score import Estimate, Score, Signature, with_floor
from eval.text.counts import NgramCounts, merge
from eval.text.reference import Reference
from eval.text.reference_counts import ReferenceCounts, count_groups


def precision(samples: NgramCounts, reference: NgramCounts) -> float:
    """Return the proportion of the samples' n-grams that occur in the reference; 0 if the samples have none."""
    known = reference.lookup(samples.keys) > 0
    return float(samples.counts[known].sum()) / samples.total if samples.total else 0.0


def recall(samples: NgramCounts, reference: NgramCounts) -> float:
    """Return the proportion of the reference's n-grams that occur in the samples."""
    return float(reference.lookup(samples.keys).sum()) / reference.total


def cosine(samples: NgramCounts, reference: NgramCounts) -> float:
    """Return the cosine of the angle between the two vectors of counts; 0 if the samples have no n-grams."""
    if not samples.total:
        return 0.0
    product = samples.counts.astype(np.float64) @ reference.lookup(samples.keys)
    return float(product) / (samples.norm * reference.norm)


_METRICS: dict[str, Callable[[NgramCounts, NgramCounts], float]] = {
    "precision": precision,
    "recall": recall,
    "cosine": cosine,
}


def _values(samples: NgramCounts, reference: NgramCounts) -> dict[str, float]:
    """Return the value of each metric by name; none if the samples have no n-grams."""
    return {name: metric(samples, reference) for name, metric in _METRICS.items()} if samples.total else {}


def _without_floor(ids: Ids, text: ReferenceCounts) -> list[Score]:
    """Return the scores of samples' ids [samples, seq_len] with intervals, but without floor."""
    groups = count_groups(ids, text)
    values: dict[str, dict[str, Estimate]] = {name: {} for name in _METRICS}
    for n, reference in text.counts.items():
        counted = merge(group[n] for group in groups)
        left_out = [_values(counted.minus(group[n]), reference) for group in groups]
        for name, metric in _METRICS.items():
            # If one group holds every n-gram, none are left without it, and the error is unknown.
            others = [value[name] for value in left_out] if all(left_out) else []
            values[name][f"{name}-{n}"] = interval(metric(counted, reference), others, SHARE)
    settings = text.settings(len(ids))
    return [
        Score(name, values[name], "share", "higher", len(ids), text.title, Signature(name, settings))
        for name in _METRICS
    ]


def score(ids: Ids, reference: Reference) -> list[Score]:
    """Return the precision, recall and cosine scores of samples' ids [samples, seq_len].

    The floor is the score of the same number of held-out lines; None if there are fewer.
    """
    scores = _without_floor(ids, reference.text)
    real = reference.real_lines(len(ids))
    if real is None:
        return scores
    return [with_floor(ours, floor) for ours, floor in zip(scores, _without_floor(real, reference.text), strict=True)]
