"""64-bit hashes of word n-grams of any length."""

import numpy as np
from numpy.typing import NDArray

from data.line_ids import Ids

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def ngram_hashes(row: Ids, starts: NDArray[np.int64], ngram: int) -> NDArray[np.uint64]:
    """Return the hashes [N] of the n-grams that begin at places `starts` [N] of a row of word numbers.

    The hash of an n-gram mixes its last word into the hash of the words before it, by the finaliser of SplitMix64
    (Steele et al. 2014). Two unequal n-grams have equal hashes with a probability of about 2^-64.
    """
    hashes = np.zeros(starts.size, np.uint64)
    for offset in range(ngram):
        hashes += row[starts + offset].astype(np.uint64) * _STEP
        hashes ^= hashes >> np.uint64(30)
        hashes *= _FACTORS[0]
        hashes ^= hashes >> np.uint64(27)
        hashes *= _FACTORS[1]
        hashes ^= hashes >> np.uint64(31)
    return hashes
