"""Scoring a file of samples for a leaderboard, when it is submitted and when it is verified."""

import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

from data.errors import InputError
from data.readers import read_lines
from data.words import WHITE_SPACE, Splitting, WordRule
from eval import bleu, diversity, jsd, memorisation
from eval.reference import ReferenceOptions, open_reference
from eval.samples import Samples, encode_samples
from eval.score import Score
from eval.words import WordReference, Words, open_word_reference, score_with_floor

Metric = Literal["jsd", "word-jsd", "bleu", "diversity", "memorisation"]

_OF_WORDS: dict[str, Callable[[Words, WordReference], Sequence[Score]]] = {
    "word-jsd": jsd.score_words,
    "bleu": bleu.score,
    "diversity": diversity.score,
    "memorisation": memorisation.score,
}


def score_file(
    path: Path, metrics: Sequence[Metric], options: ReferenceOptions, rule: WordRule, real: Sequence[str] | None = None
) -> list[Score]:
    """Return scores of a text file, one sample a line.

    Args:
        path: of the file.
        metrics: what is scored.
        options: the reference.
        rule: how metrics of words split lines.
        real: lines for the floor of metrics of words. Default: the reference's own held-out lines, where it has some.

    Raises:
        InputError: samples or reference cannot be read.
    """
    samples = Samples(path.name, lambda: read_lines(path))
    found: list[Score] = []
    if "jsd" in metrics:
        reference = open_reference(options)
        found += jsd.compare(encode_samples(samples, reference.text).ids, reference)
    of_words = [_OF_WORDS[metric] for metric in metrics if metric in _OF_WORDS]
    if of_words:
        words = open_word_reference(options.corpus, rule)
        numbered = words.number(samples)
        real = words.held_out if real is None else real
        found += [each for score in of_words for each in score_with_floor(numbered, words, real, score)]
    return found


def kept_text(path: Path) -> bytes:
    """Return the samples of any file as a record keeps them: UTF-8, a line feed after each.

    Raises:
        InputError: it holds no samples, or something else than text.
    """
    text = "".join(f"{line}\n" for lines in read_lines(path) for line in lines)
    if not text:
        raise InputError(f"{path}: the file is empty; give one sample per line")
    # Readers take one byte order mark off: a first line that begins with the character gets another.
    return ("\ufeff" + text if text.startswith("\ufeff") else text).encode()


def read_text(path: Path) -> bytes:
    """Return the content of a file of a record, unpacked if it is text.

    Raises:
        InputError: it is damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from error


def joint_signature(scores: Sequence[Score]) -> str:
    """Return what all of several scores depend on."""
    return "; ".join(str(score.signature) for score in scores)


def word_rule(signature: str) -> WordRule:
    """Return the word rule of a signature, as `eval.score.upgraded` writes it."""
    found = re.search(rf"\|words:({'|'.join(get_args(Splitting))})\|case:(as-is|lower)\|", signature)
    return WHITE_SPACE if found is None else WordRule(cast(Splitting, found[1]), found[2] == "lower")


def by_name(scores: Sequence[Score]) -> dict[str, float]:
    """Return the values of scores under the names they have in records: "jsd_4"."""
    return {record_name(name): each.value for score in scores for name, each in score.values.items()}


def record_name(name: str) -> str:
    """Return a score's name as in a run's metrics."""
    return name.replace("-", "_")
