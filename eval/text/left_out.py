"""The jackknife of n-gram scores over lines, with interactions of lines counted once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.line_ids import Ids
from eval.core.intervals import Range, counted_once, estimate
from eval.core.score import Estimate
from eval.text.line_ngrams import LineNgrams, character_ngrams
from eval.text.reference_counts import ReferenceCounts

PAIRS = 20
"""Number of pairs of blocks of lines that are left out to estimate the interactions of lines."""

_CHUNK_LINES = 1 << 16


def character_chunks(ids: Ids, ngram: int, text: ReferenceCounts) -> Iterator[LineNgrams]:
    """Yield the n-grams of samples' ids [lines, seq_len] per line, in chunks that fit in memory."""
    starts = range(0, len(ids), _CHUNK_LINES)
    for start in tqdm(starts, f"leaving out lines, n = {ngram}", disable=None, delay=1, leave=False):
        yield character_ngrams(ids[start : start + _CHUNK_LINES], ngram, text.tokenizer.size, text.padding)


def estimates(
    values: Sequence[float],
    left_out: Callable[[Iterable[LineNgrams]], NDArray[np.float64]],
    chunks: Iterable[LineNgrams],
    lines: int,
    within: Range,
) -> list[Estimate]:
    """Return scores of n-gram counts with their jackknife intervals over lines and their corrected values.

    Interactions are estimated from the lines of the first chunk: 40 blocks of lines, and 20 pairs of these blocks.

    Args:
        values: the scores [S] of all lines.
        left_out: a function of n-grams per line, in chunks, that returns the scores without each line: [S, lines], or
            [lines] if S is 1; no columns if one line holds every n-gram. Blocks take the place of lines in two calls.
        chunks: the n-grams of the sample lines, in consecutive parts.
        lines: number of sample lines.
        within: the range of the scores.
    """
    rest = iter(chunks)
    first = next(rest)
    blocks, pairs = (np.atleast_2d(left_out([in_blocks(first, count)])) for count in (2 * PAIRS, PAIRS))
    without = np.atleast_2d(left_out(chain([first], rest)))
    parts = 2 * PAIRS * lines / first.lines
    shares = [counted_once(one, two, parts) for one, two in zip(blocks, pairs, strict=True)]
    return [
        estimate(value, scores, within, share) for value, scores, share in zip(values, without, shares, strict=True)
    ]


def in_blocks(ngrams: LineNgrams, blocks: int) -> LineNgrams:
    """Return the n-gram counts per block of lines; line i is in block i modulo `blocks`."""
    kinds = max(ngrams.keys.size, 1)
    entries, which = np.unique(ngrams.line % blocks * kinds + ngrams.index, return_inverse=True)
    block, index = np.divmod(entries, kinds)
    count = np.bincount(which, ngrams.count, entries.size).astype(np.int64)
    return LineNgrams(min(blocks, ngrams.lines), ngrams.keys, block, index, count)
