"""The list of text metrics, and the one way in which samples are scored by any of them.

To add a metric: write its file here, with a function like the others, and its line in one of the two tables.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from data.errors import InputError, note
from data.naming import printable
from data.readers import read_lines
from data.vocabulary import Ids
from data.words import WordRule
from eval.core.score import Score
from eval.text import bleu, diversity, jsd, likelihood, memorisation, overlap
from eval.text.reference import Reference, ReferenceOptions, open_reference
from eval.text.reference_counts import has_ngrams
from eval.text.samples import Samples, encode_samples, remarks
from eval.text.words import WordReference, Words, note_unspaced, open_word_reference, score_with_floor

CHARACTER_METRICS: Mapping[str, Callable[[Ids, Reference], list[Score]]] = {
    "jsd": jsd.score,
    "overlap": overlap.score,
    "likelihood": likelihood.score,
}
"""Metrics of encoded samples [samples, seq_len]."""

WORD_METRICS: Mapping[str, Callable[[Words, WordReference], Sequence[Score]]] = {
    "word-jsd": jsd.score_words,
    "bleu": bleu.score,
    "diversity": diversity.score,
    "memorisation": memorisation.score,
}
"""Metrics of samples split into words."""

METRICS = (*CHARACTER_METRICS, *WORD_METRICS)
"""All metrics, in the order of reports."""


@dataclass(frozen=True)
class RealText:
    """The real text that samples are scored against, prepared for characters, for words, or for both.

    `held_out` are the lines that give word metrics their floor. `recorded` says that the samples' own record names the
    text: samples of a training run, whose first ones may be nothing but padding.
    """

    characters: Reference | None = None
    words: WordReference | None = None
    held_out: Sequence[str] = ()
    recorded: bool = False

    def metrics(self) -> list[str]:
        """Return the metrics that this text allows."""
        found = [] if self.characters is None else list(CHARACTER_METRICS)
        if self.characters is not None and not likelihood.applies_to(self.characters.text):
            found.remove("likelihood")
        return found if self.words is None else [*found, *WORD_METRICS]

    def require_characters(self) -> Reference:
        """Return the text prepared for characters.

        Raises:
            InputError: it is not.
        """
        if self.characters is None:
            raise InputError("metrics of characters: the real text is not prepared for them")
        return self.characters

    def require_words(self) -> WordReference:
        """Return the text prepared for words.

        Raises:
            InputError: it is not: only its n-grams of characters were saved.
        """
        if self.words is None:
            raise InputError("metrics of words: saved counts have no words; name the text itself with --reference")
        return self.words


def require_metrics(names: Sequence[str]) -> None:
    """Refuse names that are no metrics of text.

    Raises:
        InputError: naming the first.
    """
    for name in names:
        if name not in METRICS:
            raise InputError(f"--metrics {name}: no metric of text; choose from {', '.join(METRICS)}")


def encode(samples: Samples, real: RealText) -> Ids:
    """Return samples as ids [samples, seq_len]; print notes about them to stderr.

    Raises:
        InputError: samples cannot be read, or none has an n-gram.
    """
    text = real.require_characters().text
    encoded = encode_samples(samples, text)
    if not real.recorded and not has_ngrams(encoded.ids, max(text.counts)):
        raise InputError(f"{samples.name}: every line is shorter than n = {max(text.counts)}; lower --ngram")
    for remark in remarks(samples.name, encoded, text):
        note(remark)
    return encoded.ids


def score_samples(samples: Samples, metrics: Sequence[str], real: RealText) -> list[Score]:
    """Return the scores of samples by some metrics: characters first; print notes about the samples to stderr.

    Raises:
        InputError: samples cannot be read, or the text is not prepared for a metric.
    """
    scores: list[Score] = []
    with tqdm(total=len(metrics), desc=printable(samples.name), disable=None, delay=1, leave=False) as bar:
        if of_characters := [score for name, score in CHARACTER_METRICS.items() if name in metrics]:
            ids = encode(samples, real)
            for score in of_characters:
                scores += score(ids, real.require_characters())
                bar.update()
        if of_words := [score for name, score in WORD_METRICS.items() if name in metrics]:
            reference = real.require_words()
            note_unspaced(samples, reference)
            words = reference.number(samples)
            for score_words in of_words:
                scores += score_with_floor(words, reference, real.held_out, score_words)
                bar.update()
    return scores


def score_file(
    path: Path, metrics: Sequence[str], options: ReferenceOptions, rule: WordRule, held_out: Sequence[str] | None = None
) -> list[Score]:
    """Return a text file's scores against the real text that its run or its record names.

    Args:
        path: of the file, one sample per line.
        metrics: names of `METRICS`.
        options: the real text, and how its characters are counted.
        rule: how word metrics split lines.
        held_out: lines for the floor of word metrics. Default: the real text's own held-out lines.

    Raises:
        InputError: samples or real text cannot be read.
    """
    characters = open_reference(options) if CHARACTER_METRICS.keys() & set(metrics) else None
    words = open_word_reference(options.corpus, rule) if WORD_METRICS.keys() & set(metrics) else None
    if words is not None and held_out is None:
        held_out = words.held_out
    samples = Samples(path.name, lambda: read_lines(path))
    return score_samples(samples, metrics, RealText(characters, words, held_out or (), recorded=True))
