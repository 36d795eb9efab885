"""Normalised n-gram Jensen-Shannon divergence, of characters and of words."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from data.corpus import HELD_OUT_SHARE
from data.line_ids import Ids
from eval.core.intervals import SHARE
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import NgramCounts, merge
from eval.text.left_out import character_chunks, estimates
from eval.text.line_ngrams import LineNgrams
from eval.text.reference import Reference
from eval.text.reference_counts import ReferenceCounts
from eval.text.words import WordReference, Words, known_ngrams

_LONGEST_OF_WORDS = 4


def divergence_bits(
    samples: NDArray[np.int64], reference: NDArray[np.int64], samples_total: int, reference_total: int
) -> float:
    """Return JSD(P, Q) = (KL(P || M) + KL(Q || M)) / 2 in bits, M = (P + Q) / 2; between 0 and 1.

    Args:
        samples: counts [K] of the n-grams of P's support, all positive.
        reference: counts [K] of the same n-grams in Q, 0 if an n-gram does not occur.
        samples_total: the sum of `samples`.
        reference_total: the sum of all counts of Q. Outside P's support M = Q / 2, so the n-grams of Q there add half
            a bit times their probability mass.
    """
    outside = (reference_total - int(reference.sum())) / reference_total
    divergence = (outside + float(_terms(samples, reference / reference_total, samples_total).sum())) / 2
    return min(max(divergence, 0.0), 1.0)  # rounding


def _terms(counts: NDArray[np.int64], q: NDArray[np.float64], total: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the contribution of each n-gram to 2 JSD, p log2(p / m) + q log2(q / m) with m = (p + q) / 2.

    It is p if q = 0, q if p = 0, and 0 if p = q.
    """
    p = counts / total
    terms = p + q
    both = np.flatnonzero((q > 0) & (counts > 0))
    p, q = p[both], q[both]
    middle = (p + q) / 2
    terms[both] = p * np.log2(p / middle) + q * np.log2(q / middle)
    return terms


def jsd(samples: NgramCounts, reference: NgramCounts) -> float:
    """Return the normalised JSD of two n-gram distributions, over the union of their supports.

    It is 1 if either has no n-grams (all padding and padding left out, or all lines too short).
    """
    if not samples.total or not reference.total:
        return 1.0
    return divergence_bits(samples.counts, reference.lookup(samples.keys), samples.total, reference.total)


def jsd_taken_out(samples: NgramCounts, reference: NgramCounts) -> float:
    """Return the JSD between some lines of the reference and its other lines.

    Args:
        samples: the counts of some of the reference's lines.
        reference: the counts of all its lines.
    """
    if samples.total in (0, reference.total):
        return 1.0
    others = reference.lookup(samples.keys) - samples.counts
    return divergence_bits(samples.counts, others, samples.total, reference.total - samples.total)


def jsd_left_out(samples: NgramCounts, reference: NgramCounts, chunks: Iterable[LineNgrams]) -> NDArray[np.float64]:
    """Return the leave-one-out JSDs [lines]: the JSD without each line, computed without counting again.

    Leaving out a line changes the total, which enters every term, and the counts of the line's n-grams, whose terms are
    replaced. Lines have few distinct numbers of n-grams, so the sum of all terms is computed once per number.

    Args:
        samples: the counts of all sample lines.
        reference: the counts of real text.
        chunks: the n-grams of the sample lines, in consecutive parts.

    Returns:
        The JSDs, or an empty array if one line holds every n-gram or the reference has none.
    """
    if not reference.total:
        return np.empty(0)
    of_reference = reference.lookup(samples.keys)
    q = of_reference / reference.total
    outside = (reference.total - int(of_reference.sum())) / reference.total
    sum_by_total: dict[int, float] = {}
    results = []
    for chunk in chunks:
        others = samples.total - chunk.sizes
        if not others.all():
            return np.empty(0)  # without this line no n-gram is left
        for total in np.unique(others).tolist():
            sum_by_total.setdefault(total, float(_terms(samples.counts, q, total).sum()))
        index = chunk.index_in(samples)
        new_total = others[chunk.line]
        counts = samples.counts[index]
        change = _terms(counts - chunk.count, q[index], new_total) - _terms(counts, q[index], new_total)
        base = np.array([sum_by_total[total] for total in others.tolist()])
        results.append(np.clip((outside + base + np.bincount(chunk.line, change, chunk.lines)) / 2, 0, 1))
    return np.concatenate(results)


def score_ids(ids: Ids, text: ReferenceCounts) -> dict[int, float]:
    """Return the JSD of samples' ids [samples, seq_len] against a reference, for each n."""
    return {n: jsd(counted, text.counts[n]) for n, counted in text.count(ids).items()}


def floor_ids(reference: Reference, samples: int) -> dict[int, float] | None:
    """Return the JSD of `samples` real lines for each n, or None if there are too few real lines.

    If none are held out, lines of the reference are scored against its other lines, at most a tenth of all.
    """
    text = reference.text
    if reference.held_out is not None:
        real = reference.real_lines(samples)
        return None if real is None else score_ids(real, text)
    taken = reference.reference_lines(samples)
    if taken is None or samples * HELD_OUT_SHARE > text.lines:
        return None
    return {n: jsd_taken_out(counted, text.counts[n]) for n, counted in text.count(taken).items()}


def estimate_ids(ids: Ids, reference: Reference) -> dict[int, Estimate]:
    """Return the JSD of samples' ids [samples, seq_len] for each n, with interval, corrected value and floor."""
    text = reference.text
    floor = floor_ids(reference, len(ids))

    found = {}
    for n, counted in text.count(ids).items():
        value = _estimate(counted, text.counts[n], character_chunks(ids, n, text), len(ids))
        found[n] = replace(value, floor=None if floor is None else floor[n])
    return found


def _estimate(samples: NgramCounts, reference: NgramCounts, chunks: Iterable[LineNgrams], lines: int) -> Estimate:
    """Return the JSD of `lines` sample lines, given their n-gram counts in total and by chunks of lines."""
    (value,) = estimates([jsd(samples, reference)], partial(jsd_left_out, samples, reference), chunks, lines, SHARE)
    return value


def signature(text: ReferenceCounts, samples: int) -> Signature:
    """Return the signature of the JSD of `samples` lines against a reference."""
    return Signature("jsd", text.settings(samples))


def score(ids: Ids, reference: Reference) -> list[Score]:
    """Return the JSD score of samples' ids [samples, seq_len]."""
    values = {f"jsd-{n}": value for n, value in estimate_ids(ids, reference).items()}
    text = reference.text
    return [Score("jsd", values, "bits", "lower", len(ids), text.title, signature(text, len(ids)))]


def score_sizes(ids: Ids, reference: Reference) -> list[Score]:
    """Return the sample-size curve: the scores of 10, 20, 40, ... random samples, and of all."""
    shuffled = np.random.default_rng(0).permutation(len(ids))
    sizes = [size for size in (10 << step for step in range(64)) if size < len(ids)]
    return [point for size in [*sizes, len(ids)] for point in score(ids[np.sort(shuffled[:size])], reference)]


def score_words(samples: Words, reference: WordReference) -> list[Score]:
    """Return the JSD of word n-grams for each n, with interval and corrected value."""
    values: dict[str, Estimate] = {}
    lines = samples.lengths.size
    for n in range(1, _LONGEST_OF_WORDS + 1):
        real = reference.counts[n]
        counts = merge(part.total() for part in known_ngrams(samples, n, real))
        values[f"word-jsd-{n}"] = _estimate(counts, real, known_ngrams(samples, n, real), lines)
    word_signature = reference.signature("word-jsd", lines, {"n": _LONGEST_OF_WORDS})
    return [Score("word-jsd", values, "bits", "lower", lines, reference.title, word_signature)]
