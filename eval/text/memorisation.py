"""Known words and copied lines; definitions in `eval.memorisation`."""

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import SHARE, estimate_ratio, estimate_share
from eval.core.score import Estimate, Score
from eval.text.words import WordReference, Words


def known_words(samples: Words, reference: WordReference) -> Estimate:
    """Return the proportion of the samples' words that occur in the reference; 0 if the samples have no words."""
    if not samples.lengths.any():
        return Estimate(0.0)
    known = np.concatenate([_known(part, len(reference.words)) for part in samples.parts()])
    return estimate_ratio(known, samples.lengths.astype(np.float64), SHARE)


def _known(samples: Words, words: int) -> NDArray[np.float64]:
    """Return the number of words of each line [lines] that are numbered up to `words`."""
    line = np.repeat(np.arange(samples.lengths.size), samples.lengths)
    return np.bincount(line[samples.row <= words], minlength=samples.lengths.size).astype(np.float64)


def copied_lines(samples: Words, reference: WordReference) -> Estimate:
    """Return the proportion of samples that equal a reference line or the first `seq_len` characters of one."""
    copied = np.isin(samples.hashes, reference.whole) | np.isin(samples.hashes, reference.cut)
    return estimate_share(int(copied.sum()), copied.size)


def score(samples: Words, reference: WordReference) -> list[Score]:
    """Return the proportions of known words and of copied lines."""
    lines = samples.lengths.size
    known = reference.signature("known-words", lines, {})
    copied = reference.signature("copied-lines", lines, {"len": reference.seq_len})
    words = {"known-words": known_words(samples, reference)}
    copies = {"copied-lines": copied_lines(samples, reference)}
    return [
        Score("known-words", words, "share", "higher", lines, reference.title, known),
        Score("copied-lines", copies, "share", "lower", lines, reference.title, copied),
    ]
