"""Bits of lines under an n-gram model of words in a file: ARPA's format, or the binary format of PocketSphinx.

The package `pocketsphinx` reads both, and holds a 3-gram model of English with 72,545 words. The models are of speech:
lower case, no punctuation, contractions as one word. A word that a model lacks has no probability, ends the history of
the next words, and is left out of the bits; the proportion of these words stands beside the bits.
"""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import InputError
from data.files import sha256_of_file
from data.inputs import local_file
from eval.sentences.perplexity import LineBits, OutsideModel

PACKAGE = "pocketsphinx"

_ENGLISH = "en-us/en-us.lm.bin"
_START, _END = "<s>", "</s>"
_CLITIC = re.compile(r"\s+(?=(?:n't|'(?:s|re|ve|ll|d|m))(?!\w))")
_WORD = re.compile(r"\b[^\W\d_]\.(?:'s)?(?!\w{2})|\w+(?:['-]\w+)*")

LogProbability = Callable[[str, Sequence[str]], float | None]
"""A function from a word and the words before it to log2 of its probability; None for a word without probability."""


def spoken_words(line: str) -> list[str]:
    """Return the words of a line in lower case without punctuation: "don't" of "do n't", "u." and "s." of "U.S."."""
    plain = line.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return _WORD.findall(_CLITIC.sub("", plain))


def word_bits(lines: Sequence[str], log_probability: LogProbability, order: int) -> LineBits:
    """Return bits, words with a probability and words without one, per line; each line's end has bits, and is no word.

    Args:
        lines: the lines.
        log_probability: the model.
        order: n of the model, at least 1; a history has at most n - 1 words.

    Raises:
        InputError: the model has none of the words.
    """
    bits, known, unknown = np.zeros((3, len(lines)))
    for number, line in enumerate(lines):
        history = [_START]
        for word in [*spoken_words(line), _END]:
            found = log_probability(word, history[max(0, len(history) - order + 1) :])
            if found is None:
                unknown[number] += word != _END
                history = []
                continue
            bits[number] -= found
            known[number] += word != _END
            history.append(word)
    if not known.any():
        raise InputError("the model of --outside has no word of the samples; choose a model of their language")
    return LineBits(bits, {"word": known}, unknown)


def open_word_model(path: str | None) -> OutsideModel:
    """Return the n-gram model of words in a file; the signature holds the file's hash.

    Args:
        path: an ARPA file, or a binary file of PocketSphinx. Default: the model of English in `pocketsphinx`.

    Raises:
        InputError: pocketsphinx is not installed, or the file holds no n-gram model.
    """
    flag = f"--outside {PACKAGE if path is None else f'arpa:{path}'}"
    try:
        import pocketsphinx
    except ImportError as error:
        raise InputError(f"{flag}: needs pocketsphinx; pip install 'textgan[perplexity]'") from error
    place = Path(pocketsphinx.get_model_path(_ENGLISH) if path is None else path)
    file = local_file(place)
    pocketsphinx.set_loglevel("FATAL")
    try:
        model = pocketsphinx.NGramModel.readfile(str(file))
    except ValueError as error:
        raise InputError(f"{flag}: no n-gram model in ARPA's or PocketSphinx's format; name another file") from error
    order = model.size()
    outside = f"{place.name}@{sha256_of_file(file)[:12]}"
    log_probability = _log_probability(model, pocketsphinx.LogMath())

    def bits(lines: Sequence[str]) -> LineBits:
        return word_bits(lines, log_probability, order)

    settings: dict[str, str | int] = {"model": "arpa", "n": order, "outside": outside}
    return OutsideModel(f"{place.name} ({order}-gram model of words)", settings, bits)


def _log_probability(model: Any, numbers: Any) -> LogProbability:
    """Return the function of a PocketSphinx model, whose log-probabilities are rounded to 1e-4 nats."""

    def log_probability(word: str, history: Sequence[str]) -> float | None:
        found = model.prob([word, *reversed(history)])
        return None if found <= numbers.get_zero() else float(numbers.log_to_ln(found)) / math.log(2)

    return log_probability
