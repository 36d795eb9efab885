"""The table of all text metrics, and how samples are scored by them.

To add a metric, write a file in this folder with a `score` function, and a line in one of the two tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tqdm import tqdm

from data.corpus import Corpus
from data.errors import InputError, note
from data.line_ids import Ids
from data.naming import printable
from data.readers import read_lines
from data.words import WordRule
from eval.core.score import Score, with_floor
from eval.text.reference import Reference, ReferenceOptions, open_reference
from eval.text.reference_counts import has_ngrams
from eval.text.samples import SampleLines, empty_lines, encode_samples, remarks
from eval.text.words import WordReference, note_unspaced, number_floor, open_held_out, open_word_reference

CHARACTER_METRICS = {
    "jsd": "eval.text.jsd.score",
    "overlap": "eval.text.overlap.score",
    "likelihood": "eval.text.likelihood.score",
}
"""Character metrics by name: functions of samples' ids [samples, seq_len] and a `Reference`, imported when called."""

WORD_METRICS = {
    "word-jsd": "eval.text.jsd.score_words",
    "bleu": "eval.text.bleu.score",
    "ms-jaccard": "eval.text.ms_jaccard.score",
    "diversity": "eval.text.diversity.score",
    "memorisation": "eval.text.memorisation.score",
    "entropy": "eval.text.entropy.score",
    "repetition": "eval.text.repetition.score",
    "zipf": "eval.text.zipf.score",
    "lengths": "eval.text.lengths.score",
    "copied-ngrams": "eval.text.copied_ngrams.score",
    "classifier": "eval.text.classifier.score",
}
"""Word metrics by name: functions of samples as `Words` and a `WordReference`, imported when called."""

METRICS = (*CHARACTER_METRICS, *WORD_METRICS)
"""Names of all text metrics, in the order of reports."""

EXACT = "exact"
"""Metric in the signatures of exact scores, which need a model's density and cannot be computed from samples."""

EXACT_SCORES = (
    *("nll_line", "nll_token", "nll_char"),
    *("nll_oracle", "nll_test", "kl_oracle_model", "kl_model_oracle", "sequence_jsd"),
    *("sequence_jsd_1", "sequence_jsd_2", "sequence_jsd_5", "sequence_jsd_10"),
)
"""Names of exact scores in runs and records; on lines of a synthetic oracle the second and third row."""

HEADLINES = (
    *("nll_char", "nll_oracle", "nll_test"),
    *("jsd_4", "jsd_6", "word_jsd_2", "bleu_4", "self_bleu_4", "ms_jaccard_4", "quality", "coverage"),
)
"""Scores that charts and tables show by default, as in the TTUR paper; if none of them is scored, all are shown."""


@dataclass(frozen=True)
class RealText:
    """The real text that samples are scored against, prepared for character metrics, word metrics, or both.

    `held_out` are the lines for the floor of word metrics. `recorded` is true if the text was named by the record of
    the samples: they come from a training run, and early in training they may be all padding.
    """

    characters: Reference | None = None
    words: WordReference | None = None
    held_out: Sequence[str] = ()
    recorded: bool = False

    def metrics(self) -> list[str]:
        """Return the names of the metrics that this text is prepared for."""
        names = [] if self.characters is None else list(CHARACTER_METRICS)
        if self.characters is not None and not self.characters.text.has_line_ends():
            names.remove("likelihood")
        return names if self.words is None else [*names, *WORD_METRICS]

    def require_characters(self) -> Reference:
        """Return the reference for character metrics.

        Raises:
            InputError: the text is not prepared for character metrics.
        """
        if self.characters is None:
            raise InputError("character metrics: the real text is not prepared for them")
        return self.characters

    def require_words(self) -> WordReference:
        """Return the reference for word metrics.

        Raises:
            InputError: the text is saved counts of character n-grams, which have no words.
        """
        if self.words is None:
            raise InputError("word metrics: saved counts have no words; name the text itself with --reference")
        return self.words


def require_metrics(names: Sequence[str], flag: str = "--metrics") -> None:
    """Check that all names are text metrics.

    Raises:
        InputError: a name is not; the message gives the first.
    """
    for name in names:
        if name in ("nll", *EXACT_SCORES):
            raise InputError(f"{flag} {name}: an exact score, which runs of models with a density have without a flag")
        if name not in METRICS:
            raise InputError(f"{flag} {name}: not a text metric; choose from {', '.join(METRICS)}")


def encode(samples: SampleLines, real: RealText, quiet: bool = False) -> Ids:
    """Encode samples as ids [samples, seq_len]; unless `quiet`, print notes about them to stderr.

    Raises:
        InputError: samples cannot be read, or all are shorter than the longest n-gram.
    """
    text = real.require_characters().text
    encoded = encode_samples(samples, text)
    if not real.recorded and not has_ngrams(encoded.ids, max(text.counts)):
        raise InputError(f"{samples.name}: every line is shorter than n = {max(text.counts)}; lower --ngram")
    for remark in () if quiet else remarks(samples.name, encoded, text):
        note(remark)
    return encoded.ids


def score_samples(samples: SampleLines, metrics: Sequence[str], real: RealText, quiet: bool = False) -> list[Score]:
    """Score samples by the named metrics, character metrics first; unless `quiet`, print notes about the samples.

    Raises:
        InputError: samples cannot be read, or the real text is not prepared for a metric.
    """
    scores: list[Score] = []
    with tqdm(total=len(metrics), desc=printable(samples.name), disable=None, delay=1, leave=False) as bar:
        if character_metrics := [name for name in CHARACTER_METRICS if name in metrics]:
            ids = encode(samples, real, quiet)
            for name in character_metrics:
                scores += _function(CHARACTER_METRICS[name])(ids, real.require_characters())
                bar.update()
        if word_metrics := [name for name in WORD_METRICS if name in metrics]:
            reference = real.require_words()
            if not quiet:
                note_unspaced(samples, reference)
            words = reference.number(samples)
            for remark in () if quiet or character_metrics else empty_lines(samples.name, words.lengths == 0):
                note(remark)
            floor = number_floor(reference, real.held_out, words.lengths.size)
            for name in word_metrics:
                score = _function(WORD_METRICS[name])
                found = score(words, reference)
                if floor is not None:
                    found = [
                        with_floor(each, real_score)
                        for each, real_score in zip(found, score(floor, reference), strict=True)
                    ]
                scores += found
                bar.update()
    return scores


def _function(path: str) -> Callable[..., list[Score]]:
    """Return the function MODULE.NAME."""
    module, _, name = path.rpartition(".")
    function: Callable[..., list[Score]] = getattr(import_module(module), name)
    return function


def real_text(
    metrics: Sequence[str],
    options: ReferenceOptions,
    rule: WordRule,
    held_out: str | None = None,
    corpus: Corpus | None = None,
) -> RealText:
    """Return real text prepared for the named metrics, given by its options, as read from a run or a record.

    Args:
        metrics: names from `METRICS`.
        options: the real text, and how its character n-grams are counted.
        rule: how word metrics split lines into words.
        held_out: source of the lines for the floor of word metrics. Default: the held-out lines of the real text.
        corpus: the corpus of `options`, if it is open already.

    Raises:
        InputError: the text cannot be read.
    """
    characters = open_reference(options, corpus) if CHARACTER_METRICS.keys() & set(metrics) else None
    words = open_word_reference(options.corpus, rule) if WORD_METRICS.keys() & set(metrics) else None
    lines = open_held_out(held_out) if held_out is not None else () if words is None else words.held_out
    return RealText(characters, words, lines, recorded=True)


def score_file(
    path: Path, metrics: Sequence[str], options: ReferenceOptions, rule: WordRule, held_out: str | None = None
) -> list[Score]:
    """Score a text file, one sample per line, without notes, against the `real_text` of the other arguments.

    Raises:
        InputError: samples or real text cannot be read.
    """
    samples = SampleLines(path.name, lambda: read_lines(path))
    return score_samples(samples, metrics, real_text(metrics, options, rule, held_out), quiet=True)
