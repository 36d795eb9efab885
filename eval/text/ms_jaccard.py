"""MS-Jaccard of word n-grams; definition in `eval.ms_jaccard`."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import SHARE, interval
from eval.core.score import Estimate, Score
from eval.text.counts import NgramCounts, merge
from eval.text.line_ngrams import LineNgrams
from eval.text.words import LONGEST, WordReference, Words, known_ngrams

_SHORTEST = 3


def jaccard(samples: NgramCounts, reference: NgramCounts, lines: int, reference_lines: int) -> float:
    """Return J = sum of min(c1, c2) / sum of max(c1, c2) over n-grams, where c1 and c2 are counts per line.

    J is 1 if neither text has n-grams. Counts per line are compared after multiplication by both numbers of lines, as
    integers, and n-grams outside the samples only need their total: max(c1, c2) = c1 + c2 - min(c1, c2).

    Args:
        samples: the counts of the sample lines.
        reference: the counts of real text.
        lines: number of sample lines.
        reference_lines: number of lines of real text.
    """
    shared = int(_minima(samples.counts, reference.lookup(samples.keys), lines, reference_lines).sum())
    both = samples.total * reference_lines + reference.total * lines
    return shared / (both - shared) if both else 1.0


def jaccard_left_out(
    samples: NgramCounts, reference: NgramCounts, chunks: Iterable[LineNgrams], lines: int, reference_lines: int
) -> NDArray[np.float64]:
    """Return the leave-one-out values [lines]: J without each sample line, computed without counting again.

    Args:
        samples: the counts of all sample lines.
        reference: the counts of real text.
        chunks: the n-grams of the sample lines, in consecutive parts.
        lines: number of sample lines.
        reference_lines: number of lines of real text.
    """
    others = lines - 1
    of_reference = reference.lookup(samples.keys)
    minima = _minima(samples.counts, of_reference, others, reference_lines)
    results = []
    for chunk in chunks:
        index = chunk.index_in(samples)
        without = _minima(samples.counts[index] - chunk.count, of_reference[index], others, reference_lines)
        lost = np.bincount(chunk.line, minima[index] - without, chunk.lines).astype(np.int64)
        shared = minima.sum() - lost
        both = (samples.total - chunk.sizes) * reference_lines + reference.total * others
        values = np.ones(chunk.lines)
        np.divide(shared, both - shared, out=values, where=both > 0)
        results.append(values)
    return np.concatenate(results)


def _minima(
    samples: NDArray[np.int64], reference: NDArray[np.int64], lines: int, reference_lines: int
) -> NDArray[np.int64]:
    """Return min(c1, c2), times both numbers of lines, of n-grams with these counts [K]."""
    return np.minimum(samples * reference_lines, reference * lines)


def ms_jaccard(samples: Words, reference: WordReference) -> dict[int, Estimate]:
    """Return MS-Jaccard-N, the geometric mean of J_1 .. J_N, for N = 3 .. 5, with jackknife intervals over samples.

    There is no interval at 0: without a common n-gram, leaving out lines shows no spread.
    """
    lines = samples.lengths.size
    product, left_out = 1.0, np.ones(lines)
    values = {}
    for n in range(1, LONGEST + 1):
        real = reference.counts[n]
        counted = merge(part.total() for part in known_ngrams(samples, n, real))
        product *= jaccard(counted, real, lines, reference.lines)
        left_out *= jaccard_left_out(counted, real, known_ngrams(samples, n, real), lines, reference.lines)
        values[n] = interval(product ** (1 / n), left_out ** (1 / n) if product else [], SHARE)
    return {n: value for n, value in values.items() if n >= _SHORTEST}


def score(samples: Words, reference: WordReference) -> list[Score]:
    """Return the MS-Jaccard scores of samples."""
    lines = samples.lengths.size
    values = {f"ms-jaccard-{n}": value for n, value in ms_jaccard(samples, reference).items()}
    signature = reference.signature("ms-jaccard", lines, {"n": LONGEST, "ref-lines": reference.lines})
    return [Score("ms-jaccard", values, "share", "higher", lines, reference.title, signature)]
