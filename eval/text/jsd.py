"""Normalised n-gram Jensen-Shannon divergence of samples against real text.

0 is the same n-gram distribution, 1 a disjoint one. A few hundred samples never reach 0, not even real ones: what real
text of the same sample count scores is the floor. The interval is that of the expected score at this sample count; the
corrected value estimates the score of endless samples from the same model, which lies lower.

By words, n is 1 to 4, and lines are whole: not cut, not padded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.corpus import HELD_OUT_SHARE
from data.vocabulary import Ids
from eval.core.intervals import SHARE, estimate
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import LineNgrams, NgramCounts, character_ngrams
from eval.text.reference import Reference
from eval.text.reference_counts import ReferenceCounts
from eval.text.words import WordReference, Words

_CHUNK_LINES = 1 << 16
_LONGEST_OF_WORDS = 4


def divergence_bits(
    samples: NDArray[np.int64], reference: NDArray[np.int64], samples_total: int, reference_total: int
) -> float:
    """Return JSD(P, Q) = (KL(P || M) + KL(Q || M)) / 2 in bits, M = (P + Q) / 2; between 0 and 1.

    Args:
        samples: counts [K] of the n-grams of P's support, all positive.
        reference: counts [K] of the same n-grams in Q, 0 where they do not occur.
        samples_total: the sum of `samples`.
        reference_total: the sum of all of Q's counts. What Q holds outside P's support needs no more than its mass:
            there M = Q / 2, so it adds one half bit times that mass.
    """
    outside = (reference_total - int(reference.sum())) / reference_total
    divergence = (outside + float(_terms(samples, reference / reference_total, samples_total).sum())) / 2
    return min(max(divergence, 0.0), 1.0)  # rounding


def _terms(counts: NDArray[np.int64], q: NDArray[np.float64], total: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what each n-gram adds to 2 JSD.

    That is p log2(p / m) + q log2(q / m) with m = (p + q) / 2: just p if q = 0, just q if p = 0, and 0 if p = q.
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

    Without a single n-gram in one of them (all padding, left out; all lines too short) they share nothing: 1.
    """
    if not samples.total or not reference.total:
        return 1.0
    return divergence_bits(samples.counts, reference.lookup(samples.keys), samples.total, reference.total)


def jsd_taken_out(samples: NgramCounts, reference: NgramCounts) -> float:
    """Return the JSD of lines that are part of the reference against the reference's other lines."""
    if samples.total in (0, reference.total):
        return 1.0
    others = reference.lookup(samples.keys) - samples.counts
    return divergence_bits(samples.counts, others, samples.total, reference.total - samples.total)


def jsd_left_out(samples: NgramCounts, reference: NgramCounts, chunks: Iterable[LineNgrams]) -> NDArray[np.float64]:
    """Return the JSD of all samples but one, for each [lines], without counting again.

    Leaving out a line changes the total, which every term sees, and the counts of its own n-grams, whose terms are
    replaced. Lines are few sizes, so the first is computed once a size.

    Args:
        samples: the counts of all lines.
        reference: real text's counts.
        chunks: the same lines, in parts.
    """
    if not reference.total:
        return np.empty(0)
    of_reference = reference.lookup(samples.keys)
    q = of_reference / reference.total
    outside = (reference.total - int(of_reference.sum())) / reference.total
    by_total: dict[int, float] = {}
    results = []
    for chunk in chunks:
        others = samples.total - chunk.sizes
        if not others.all():
            return np.empty(0)  # a single line holds every n-gram: nothing is left without it
        for total in np.unique(others).tolist():
            by_total.setdefault(total, float(_terms(samples.counts, q, total).sum()))
        at = np.searchsorted(samples.keys, chunk.keys)[chunk.index]
        total_then = others[chunk.line]
        counts = samples.counts[at]
        change = _terms(counts - chunk.count, q[at], total_then) - _terms(counts, q[at], total_then)
        base = np.array([by_total[total] for total in others.tolist()])
        results.append(np.clip((outside + base + np.bincount(chunk.line, change, chunk.lines)) / 2, 0, 1))
    return np.concatenate(results)


def score_ids(ids: Ids, text: ReferenceCounts) -> dict[int, float]:
    """Return the JSD for each n of samples' ids [samples, seq_len] against a counted text."""
    return {n: jsd(counted, text.counts[n]) for n, counted in text.count(ids).items()}


def floor_ids(reference: Reference, samples: int) -> dict[int, float] | None:
    """Return the JSD for each n of `samples` real lines, or None where there are not so many.

    Without held-out lines, a tenth of the reference's at most is taken out and scored against the others.
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
    """Return the JSD for each n with its interval, bias-corrected value and floor."""
    text = reference.text
    floor = floor_ids(reference, len(ids))

    def chunks(n: int) -> Iterator[LineNgrams]:
        starts = range(0, len(ids), _CHUNK_LINES)
        for start in tqdm(starts, f"leaving out lines, n = {n}", disable=None, delay=1, leave=False):
            yield character_ngrams(ids[start : start + _CHUNK_LINES], n, text.vocabulary.size, text.padding)

    estimates = {}
    for n, counted in text.count(ids).items():
        found = estimate(jsd(counted, text.counts[n]), jsd_left_out(counted, text.counts[n], chunks(n)), SHARE)
        estimates[n] = replace(found, floor=None if floor is None else floor[n])
    return estimates


def signature(text: ReferenceCounts, samples: int) -> Signature:
    """Return what the JSD of so many samples against a counted text depends on."""
    return Signature("jsd", text.settings(samples))


def score(ids: Ids, reference: Reference) -> list[Score]:
    """Return the score of samples' ids [samples, seq_len]."""
    values = {f"jsd-{n}": found for n, found in estimate_ids(ids, reference).items()}
    text = reference.text
    return [Score("jsd", values, "bits", "lower", len(ids), text.title, signature(text, len(ids)))]


def score_sizes(ids: Ids, reference: Reference) -> list[Score]:
    """Return the scores of 10, 20, 40, ... random samples, and of all: the sample-size curve."""
    shuffled = np.random.default_rng(0).permutation(len(ids))
    sizes = [size for size in (10 << step for step in range(64)) if size < len(ids)]
    return [found for size in [*sizes, len(ids)] for found in score(ids[np.sort(shuffled[:size])], reference)]


def score_words(samples: Words, reference: WordReference) -> list[Score]:
    """Return the JSD of words' n-grams for each n with interval and bias-corrected value."""
    values: dict[str, Estimate] = {}
    for n in range(1, _LONGEST_OF_WORDS + 1):
        ngrams = samples.ngrams(n)
        counts = ngrams.total()
        left_out = jsd_left_out(counts, reference.counts[n], [ngrams])
        values[f"word-jsd-{n}"] = estimate(jsd(counts, reference.counts[n]), left_out, SHARE)
    lines = samples.lengths.size
    signed = reference.signature("word-jsd", lines, {"n": _LONGEST_OF_WORDS})
    return [Score("word-jsd", values, "bits", "lower", lines, reference.title, signed)]
