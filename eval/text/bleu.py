"""BLEU and Self-BLEU on words; definitions in `eval.bleu`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from eval.core.intervals import GROUPS, SHARE, estimate_ratio, group_of_line, interval
from eval.core.score import Score, Signature
from eval.text.counts import NgramCounts
from eval.text.line_ngrams import LineNgrams
from eval.text.self_matches import SelfMatches
from eval.text.words import LONGEST, WordReference, Words

_EPSILON = 0.1  # of smoothing method1
_BLOCK_LINES = 1 << 16


def bleu(samples: Words, largest: Mapping[int, NgramCounts], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each sample's BLEU-2 .. BLEU-5 [samples, 4].

    Args:
        samples: the samples' words.
        largest: the largest count of each n-gram in one reference sentence, by n.
        lengths: the distinct lengths of reference sentences, sorted.
    """
    return np.concatenate([_bleu_of_part(part, largest, lengths) for part in samples.parts()])


def _bleu_of_part(
    samples: Words, largest: Mapping[int, NgramCounts], lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    matches = []
    for n in range(1, LONGEST + 1):
        ngrams = samples.ngrams(n)
        matches.append(_matches(ngrams, largest[n].lookup(ngrams.keys)[ngrams.index]))
    return _combine(samples.lengths, _closest(lengths, samples.lengths), matches)


def _closest(lengths: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each size the closest of some sorted lengths, of two equally close ones the shorter."""
    above = np.searchsorted(lengths, sizes).clip(max=len(lengths) - 1)
    below = np.maximum(above - 1, 0)
    return lengths[np.where(sizes - lengths[below] <= lengths[above] - sizes, below, above)]


def _matches(ngrams: LineNgrams, reference: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the clipped matches of each line [lines]: its n-gram counts, limited to the `reference` counts, summed."""
    return np.bincount(ngrams.line, np.minimum(ngrams.count, reference), ngrams.lines).astype(np.int64)


def _combine(
    lengths: NDArray[np.int64], closest: NDArray[np.int64], matches: Sequence[NDArray[np.integer]]
) -> NDArray[np.float64]:
    """Return BLEU-2 .. BLEU-5 [lines, 4] from clipped matches for n = 1 .. 5; 0 for a line without a known word."""
    with np.errstate(divide="ignore", invalid="ignore"):
        brevity = np.where(lengths > closest, 1.0, np.exp(1 - closest / lengths))
    logs = np.stack(
        [
            np.log(np.where(matched == 0, _EPSILON, matched) / np.maximum(lengths - n + 1, 1))
            for n, matched in enumerate(matches, start=1)
        ],
        axis=-1,
    )
    means = np.cumsum(logs, axis=1)[:, 1:] / np.arange(2, len(matches) + 1)
    return np.where((matches[0] > 0)[:, None], brevity[:, None] * np.exp(means), 0.0)


def score_bleu(samples: Words, reference: WordReference) -> Score:
    """Return the mean BLEU-2 .. BLEU-5 of samples, with jackknife intervals over samples."""
    scores = bleu(samples, reference.largest, reference.lengths)
    ones = np.ones(len(scores))
    return Score(
        metric="bleu",
        values={f"bleu-{n}": estimate_ratio(column, ones, SHARE) for n, column in enumerate(scores.T, start=2)},
        unit="share",
        better="higher",
        samples=len(scores),
        reference=reference.title,
        signature=reference.signature("bleu", len(scores), {"n": LONGEST, "smooth": "method1"}),
    )


@dataclass(frozen=True)
class SelfBleu:
    """Samples prepared for Self-BLEU: words per line [lines], and the clipped matches for n = 1 .. 5."""

    lengths: NDArray[np.int64]
    matches: list[SelfMatches]

    @classmethod
    def of(cls, samples: Words) -> "SelfBleu":
        """Count the matches of samples."""
        return cls(samples.lengths, [SelfMatches.of(samples, n) for n in range(1, LONGEST + 1)])

    def scores(self, left_out: int | None = None) -> Iterator[NDArray[np.float64]]:
        """Yield Self-BLEU-2 .. Self-BLEU-5 [block, 4] of blocks of lines, without the lines of a jackknife group."""
        kept = group_of_line(self.lengths.size) != left_out
        matches = [found.matches if left_out is None else found.without(left_out) for found in self.matches]
        lengths, matches = self.lengths[kept], [matched[kept] for matched in matches]
        closest = _closest_other(lengths)
        for first in range(0, lengths.size, _BLOCK_LINES):
            block = slice(first, first + _BLOCK_LINES)
            yield _combine(lengths[block], closest[block], [matched[block] for matched in matches])

    def means(self, left_out: int | None = None) -> NDArray[np.float64]:
        """Return the mean Self-BLEU-2 .. Self-BLEU-5 [4] over lines, without the lines of a jackknife group."""
        sums, lines = np.zeros(LONGEST - 1), 0
        for block in self.scores(left_out):
            sums += block.sum(axis=0)
            lines += len(block)
        return sums / lines


def _closest_other(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the closest length among the other sentences for each sentence [lines]; the shorter one in a tie."""
    frequencies = np.bincount(lengths)
    distinct = np.flatnonzero(frequencies)
    closest = np.zeros(frequencies.size, np.int64)
    for length in distinct.tolist():
        others = distinct if frequencies[length] > 1 else distinct[distinct != length]
        closest[length] = others[np.abs(others - length).argmin()]
    return closest[lengths]


def score_self_bleu(samples: Words) -> Score:
    """Return the mean Self-BLEU-2 .. Self-BLEU-5 of samples, with jackknife intervals over 20 groups of samples.

    Raises:
        InputError: there is only one sample.
    """
    lines = samples.lengths.size
    if lines < 2:
        raise InputError("Self-BLEU compares samples with each other: give at least two")
    prepared = SelfBleu.of(samples)
    groups = range(min(GROUPS, lines)) if lines > 2 else ()
    left_out = np.array([prepared.means(group) for group in groups]).reshape(-1, LONGEST - 1).T
    estimates = [interval(float(mean), column, SHARE) for mean, column in zip(prepared.means(), left_out, strict=True)]
    return Score(
        metric="self-bleu",
        values={f"self-bleu-{n}": value for n, value in enumerate(estimates, start=2)},
        unit="share",
        better="lower",
        samples=lines,
        reference="the samples themselves",
        signature=Signature(
            "self-bleu",
            {"n": LONGEST, "sym": "word", "smooth": "method1", "samples": lines, **samples.rule.settings},
        ),
    )


def score(samples: Words, reference: WordReference) -> list[Score]:
    """Return the BLEU and Self-BLEU scores of samples."""
    return [score_bleu(samples, reference), score_self_bleu(samples)]
