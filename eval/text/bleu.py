"""BLEU and Self-BLEU on words; definitions in `eval.bleu`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from eval.core.intervals import SHARE, estimate_ratio, group_of_line, interval
from eval.core.score import Score, Signature
from eval.text.counts import LineNgrams, NgramCounts
from eval.text.words import LONGEST, WordReference, Words

_EPSILON = 0.1  # of smoothing method1


def bleu(samples: Words, largest: dict[int, NgramCounts], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each sample's BLEU-2 .. BLEU-5 [samples, 4].

    Args:
        samples: the samples' words.
        largest: the largest count of each n-gram in one reference sentence, by n.
        lengths: the distinct lengths of reference sentences, sorted.
    """
    matches = []
    for n in range(1, LONGEST + 1):
        ngrams = samples.ngrams(n)
        matches.append(_matches(ngrams, largest[n].lookup(ngrams.keys)[ngrams.index]))
    closest = lengths[np.abs(lengths - samples.lengths[:, None]).argmin(axis=1)]
    return _combine(samples.lengths, closest, matches)


@dataclass(frozen=True)
class SelfBleu:
    """Samples prepared for Self-BLEU: the n-grams for each n, with entries sorted by n-gram, then falling count."""

    lengths: NDArray[np.int64]
    ngrams: list[LineNgrams]

    @classmethod
    def of(cls, samples: Words) -> "SelfBleu":
        """Sort the n-grams of samples."""
        prepared = []
        for n in range(1, LONGEST + 1):
            ngrams = samples.ngrams(n)
            order = np.lexsort((-ngrams.count, ngrams.index))
            columns = (column[order] for column in (ngrams.line, ngrams.index, ngrams.count))
            prepared.append(LineNgrams(ngrams.lines, ngrams.keys, *columns))
        return cls(samples.lengths, prepared)

    def scores(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return Self-BLEU-2 .. Self-BLEU-5 [kept lines, 4] of the lines selected by the mask `kept` [lines].

        The reference count of an n-gram is its largest count among the other sentences: the largest of all, or the
        second largest for the one sentence that holds the largest.
        """
        matches = []
        for ngrams in self.ngrams:
            here = kept[ngrams.line]
            line, index, count = ngrams.line[here], ngrams.index[here], ngrams.count[here]
            first = np.flatnonzero(np.diff(index, prepend=-1))
            entries = np.diff(first, append=index.size)
            second = np.zeros(first.size, np.int64)
            second[entries > 1] = count[first[entries > 1] + 1]
            others = np.repeat(count[first], entries)
            others[first] = second
            matched = np.bincount(line, np.minimum(count, others), kept.size).astype(np.int64)
            matches.append(matched[kept])
        lengths = self.lengths[kept]
        return _combine(lengths, _closest_other(lengths), matches)


def _matches(ngrams: LineNgrams, reference: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the clipped matches of each line [lines]: its n-gram counts, limited to the `reference` counts, summed."""
    return np.bincount(ngrams.line, np.minimum(ngrams.count, reference), ngrams.lines).astype(np.int64)


def _closest_other(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the closest length among the other sentences for each sentence [lines]; the shorter one in a tie."""
    distinct, frequencies = np.unique(lengths, return_counts=True)
    nearest = {}
    for length, frequency in zip(distinct.tolist(), frequencies.tolist(), strict=True):
        others = distinct if frequency > 1 else distinct[distinct != length]
        nearest[length] = int(others[np.abs(others - length).argmin()])
    return np.array([nearest[length] for length in lengths.tolist()], np.int64)


def _combine(
    lengths: NDArray[np.int64], closest: NDArray[np.int64], matches: list[NDArray[np.int64]]
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
    scores = bleu(samples, dict(reference.largest), reference.lengths)
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


def score_self_bleu(samples: Words) -> Score:
    """Return the mean Self-BLEU-2 .. Self-BLEU-5 of samples, with jackknife intervals over 20 groups of samples.

    Raises:
        InputError: there is only one sample.
    """
    lines = samples.lengths.size
    if lines < 2:
        raise InputError("Self-BLEU compares samples with each other: give at least two")
    prepared = SelfBleu.of(samples)
    means = prepared.scores(np.ones(lines, bool)).mean(axis=0)
    groups = group_of_line(lines)
    left_out = [prepared.scores(groups != group).mean(axis=0) for group in range(groups.max() + 1)] if lines > 2 else []
    columns = np.array(left_out).reshape(-1, means.size).T
    estimates = [interval(float(mean), column, SHARE) for mean, column in zip(means, columns, strict=True)]
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
