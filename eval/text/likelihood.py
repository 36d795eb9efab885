"""Quality and coverage in bits per character; definitions in `eval.likelihood`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.errors import InputError
from data.line_ids import Ids, Lines, blocks
from data.tokenizers import PADDING_ID
from eval.core.intervals import POSITIVE, estimate_ratio, interval
from eval.core.sampling import fixed_sample
from eval.core.score import Estimate, Score, Signature
from eval.text.counts import NgramCounts, merge, narrow, pack
from eval.text.reference import Reference
from eval.text.reference_counts import ReferenceCounts, count_groups

_REAL_LINES = 2000
_BLOCK_LINES = 1 << 14


def line_bits(
    ids: Ids, counts: Mapping[int, NgramCounts], vocabulary_size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bits of each line [lines] under an n-gram model, and its number of characters [lines].

    Args:
        ids: lines [lines, seq_len].
        counts: n-gram counts, padding included, for n = 1, 2, ... up to the order of the model; keys must fit 64 bits.
        vocabulary_size: V, the base of the keys.
    """
    probability = np.full(ids.shape, 1 / vocabulary_size)
    for n, counted in _with_line_ends(counts, vocabulary_size).items():
        keys = cast(NDArray[np.uint64], pack(ids, n, vocabulary_size))
        first = keys // np.uint64(vocabulary_size) * np.uint64(vocabulary_size)
        start, stop = counted.continuations(first, vocabulary_size)
        kinds = stop - start
        weight = counted.up_to[stop] - counted.up_to[start] + kinds
        count = counted.lookup(keys.ravel()).reshape(keys.shape)
        shorter = probability[:, n - 1 :]
        probability[:, n - 1 :] = np.where(kinds > 0, (count + kinds * shorter) / np.maximum(weight, 1), shorter)
    # Score all characters, and the end of the line if it is not cut.
    position = np.arange(ids.shape[1])
    last = np.where(ids != PADDING_ID, position, -1).max(axis=1)
    scored = position <= last[:, None] + 1
    return -np.where(scored, np.log2(probability), 0.0).sum(axis=1), scored.sum(axis=1).astype(np.float64)


def _with_line_ends(counts: Mapping[int, NgramCounts], vocabulary_size: int) -> dict[int, NgramCounts]:
    """Count padding once per line in the 1-grams, after the last character; further padding carries no information."""
    singles = counts[1]
    if singles.keys[0] != PADDING_ID:
        return dict(counts)
    before, last = np.divmod(cast(NDArray[np.uint64], counts[2].keys), np.uint64(vocabulary_size))
    line_ends = counts[2].counts[(last == PADDING_ID) & (before != PADDING_ID)].sum()
    changed = np.concatenate([[line_ends], singles.counts[1:]])
    return {**counts, 1: NgramCounts(singles.keys[changed > 0], changed[changed > 0])}


def quality(ids: Ids, text: ReferenceCounts) -> Estimate:
    """Return the bits per character of samples' ids [samples, seq_len] under the n-gram model of the reference."""
    counts = narrow_counts(text)
    parts = [line_bits(block, counts, text.tokenizer.size) for block in blocks(ids, _BLOCK_LINES)]
    bits, characters = (np.concatenate(column) for column in zip(*parts, strict=True))
    return estimate_ratio(bits, characters, POSITIVE)


def coverage(ids: Ids, text: ReferenceCounts, real: Ids) -> Estimate:
    """Return the bits per character of real lines' ids under the n-gram model of samples' ids, both [lines, seq_len].

    The jackknife interval is over 20 groups of samples; the real lines are fixed.
    """
    groups = count_groups(ids, text)
    counted = {n: merge(group[n] for group in groups) for n in narrow_counts(text)}

    def bits_per_character(counts: Mapping[int, NgramCounts]) -> float:
        bits, characters = line_bits(real, counts, text.tokenizer.size)
        return float(bits.sum() / characters.sum())

    value = bits_per_character(counted)
    if len(groups) < 2:
        return Estimate(value)
    left_out = [
        bits_per_character({n: counts.minus(group[n]) for n, counts in counted.items()})
        for group in tqdm(groups, "leaving out groups, coverage", disable=None, delay=1, leave=False)
    ]
    return interval(value, left_out, POSITIVE)


def score(ids: Ids, reference: Reference) -> list[Score]:
    """Return the quality and coverage of samples' ids [samples, seq_len].

    The floor is the score of the same number of real lines. Coverage is measured on held-out lines, or on lines of the
    reference if none are held out.

    Raises:
        InputError: the reference was counted without padding, which marks the ends of lines, or without 2-grams.
    """
    text = reference.text
    if not text.has_line_ends():
        raise InputError(
            "--padding out, --ngram 1: cross-entropy needs pairs of characters and the padding behind lines"
        )
    samples = len(ids)
    settings = {**text.settings(samples), "n": max(narrow_counts(text)), "model": "witten-bell"}
    real = reference.real_lines(samples)
    value = replace(quality(ids, text), floor=None if real is None else quality(real, text).value)
    scores = [_score("quality", value, text, samples, settings)]
    if (lines := _some(reference.train if reference.held_out is None else reference.held_out)) is None:
        return scores
    value = coverage(ids, text, lines)
    others = reference.reference_lines(samples)
    if reference.held_out is not None and others is not None:
        value = replace(value, floor=coverage(others, text, lines).value)
    measured: dict[str, str | int] = {"real-lines": len(lines)}
    if reference.held_out_sha256:
        measured["held-out"] = reference.held_out_sha256[:12]
    return [*scores, _score("coverage", value, text, samples, {**settings, **measured})]


def _score(name: str, value: Estimate, text: ReferenceCounts, samples: int, settings: Mapping[str, str | int]) -> Score:
    unit = "bits per character"
    return Score(name, {name: value}, unit, "lower", samples, text.title, Signature(name, settings))


def _some(lines: Lines | None) -> Ids | None:
    if lines is None or len(lines) <= _REAL_LINES:
        return None if lines is None else lines[:]
    return lines[fixed_sample(len(lines), _REAL_LINES, seed=1)]


def narrow_counts(text: ReferenceCounts) -> dict[int, NgramCounts]:
    """Return the counts of the n-grams that the model can use: those with integer keys."""
    return {n: counts for n, counts in text.counts.items() if n <= narrow(text.tokenizer.size)}
