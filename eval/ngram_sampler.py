"""Lines from an n-gram model of real text: what counting alone achieves."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from data.vocabulary import Ids
from eval.counts import narrow, pack
from eval.ngrams import CountedText


def sample_ngram_model(text: CountedText, order: int, starts: Ids, random: np.random.Generator) -> Ids:
    """Return ids [lines, seq_len] of lines that begin as real ones do and go on as the text's n-grams do.

    Each symbol is drawn with the frequency that it follows the `order` - 1 symbols before it with.

    Args:
        text: the text's counts, padding counted, for n up to `order`.
        order: n.
        starts: the first symbols [lines, order - 1 or more] of lines of the text.
        random: the source of randomness.

    Raises:
        InputError: the order is not between 1 and the longest n-gram that was counted and fits 64 bits.
    """
    largest = min(max(text.counts), narrow(text.vocabulary.size))
    if not 1 <= order <= largest or not text.padding:
        raise InputError(f"--order {order}: {text.name} allows 1 to {largest}, padding counted")
    ids: Ids = np.zeros((len(starts), text.seq_len), text.vocabulary.dtype)
    ids[:, : order - 1] = starts[:, : order - 1]
    for position in range(order - 1, text.seq_len):
        ids[:, position] = _next_symbols(text, ids[:, position - order + 1 : position], random)
    return ids


def _next_symbols(text: CountedText, history: Ids, random: np.random.Generator) -> Ids:
    """Draw what follows histories [lines, n - 1]; one that only ever ends a line is shortened by its first symbol."""
    order, size = history.shape[1] + 1, text.vocabulary.size
    counted = text.counts[order]
    up_to = np.concatenate([[0], np.cumsum(counted.counts)])
    # N-grams with the same beginning are neighbours; with symbol 0 behind a history this is the first of them.
    first = cast(NDArray[np.uint64], pack(np.pad(history, ((0, 0), (0, 1))), order, size)[:, 0])
    start = up_to[np.searchsorted(counted.keys, first)]
    stop = up_to[np.searchsorted(counted.keys, first + np.uint64(size - 1), side="right")]
    seen = stop > start
    drawn = random.integers(start, np.maximum(stop, start + 1))
    at = np.searchsorted(up_to[:-1], drawn, side="right") - 1
    symbols = (cast(NDArray[np.uint64], counted.keys[at]) - first).astype(history.dtype)
    if not seen.all():
        symbols[~seen] = _next_symbols(text, history[~seen, 1:], random)
    return symbols
