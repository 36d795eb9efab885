"""Precision, recall and cosine similarity of character n-grams; definitions in `eval.overlap`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from data.line_ids import Ids
from eval.core.intervals import SHARE
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import NgramCounts
from eval.text.left_out import character_chunks, estimates
from eval.text.line_ngrams import LineNgrams
from eval.text.reference import Reference


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


def overlap_left_out(samples: NgramCounts, reference: NgramCounts, chunks: Iterable[LineNgrams]) -> NDArray[np.float64]:
    """Return precision, recall and cosine without each line [3, lines]; no columns if one line holds every n-gram.

    Args:
        samples: the counts of all sample lines.
        reference: the counts of real text.
        chunks: the n-grams of the sample lines, in consecutive parts.
    """
    real = reference.lookup(samples.keys)
    known, found = int(samples.counts[real > 0].sum()), int(real.sum())
    counts = samples.counts.astype(np.float64)
    product, squares = float(counts @ real), float(counts @ counts)
    results = []
    for chunk in chunks:
        others = samples.total - chunk.sizes
        if not others.all():
            return np.empty((len(_METRICS), 0))
        index = chunk.index_in(samples)
        count, total, of_real = chunk.count, samples.counts[index], real[index]
        weights = (count * (of_real > 0), of_real * (count == total), count * of_real, count * (2 * total - count))
        common, gone, shared, square = (np.bincount(chunk.line, each, chunk.lines) for each in weights)
        rows = [
            (known - common) / others,
            (found - gone) / reference.total,
            (product - shared) / (np.sqrt(squares - square) * reference.norm),
        ]
        results.append(np.stack(rows))
    return np.concatenate(results, axis=1)


def _points(samples: NgramCounts, reference: NgramCounts) -> list[float]:
    return [metric(samples, reference) for metric in _METRICS.values()]


def score(ids: Ids, reference: Reference) -> list[Score]:
    """Return the precision, recall and cosine scores of samples' ids [samples, seq_len].

    The floor is the score of the same number of held-out lines; None if there are fewer.
    """
    text, lines = reference.text, len(ids)
    real_lines = reference.real_lines(lines)
    floors = None if real_lines is None else text.count(real_lines)
    values: dict[str, dict[str, Estimate]] = {name: {} for name in _METRICS}
    for n, counted in text.count(ids).items():
        real = text.counts[n]
        left_out = partial(overlap_left_out, counted, real)
        found = estimates(_points(counted, real), left_out, character_chunks(ids, n, text), lines, SHARE)
        floor: Sequence[float | None] = [None] * len(_METRICS) if floors is None else _points(floors[n], real)
        for name, value, of_real in zip(_METRICS, found, floor, strict=True):
            values[name][f"{name}-{n}"] = replace(value, corrected=None, floor=of_real)
    settings = text.settings(lines)
    return [
        Score(name, values[name], "share", "higher", lines, text.title, Signature(name, settings)) for name in _METRICS
    ]
