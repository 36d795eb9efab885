"""Settings shared by all models of text."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from data.batches import Order
from data.corpus import CorpusOptions
from data.errors import InputError
from data.readers import InvalidUtf8
from data.sources import absolute_source
from data.tokenizers import Level
from data.words import Splitting
from eval.sentences.metrics import FEATURE_METRICS
from eval.text.metrics import require_metrics
from eval.text.reference import ReferenceOptions
from textgan.engine.settings import Settings


@dataclass(frozen=True)
class TextSettings(Settings):
    """Settings of a training run on text, whatever the model; `model` is a key of `textgan.models.MODELS`."""

    preset: str = "ttur"
    """Named settings, which choose the model; they are the defaults of the other flags.
    quickstart: 3 to 5 minutes on 2 cores; ttur, orig: as in the paper; mle: LSTM; *-small: for CPUs."""
    model: str = ""
    """Model of the preset; other models have presets of their own."""
    data: str = "lm1b"
    """Training text: grammar (embedded), oracle[:SEED or :PATH], lm1b[:PATH], brown:PATH, hub:NAME[:COLUMN],
    jsonl:PATH:FIELD, a text file (.txt, .gz, .zst), a parquet file, or a folder of these with its subfolders."""
    lines: int | None = None
    """Maximum number of training lines. Default: 200,000 for grammar, 10,000,000 for lm1b, else all."""
    symbols: Level = "char"
    """Symbols of the text: characters, words, or subwords by sentencepiece (unigram, bpe)."""
    seq_len: int = 32
    """Symbols per line; longer lines of characters are cut, other longer lines left out, shorter lines padded."""
    vocabulary_size: int | None = None
    """Maximum number of characters or words (rarer ones are unknown), or number of subwords.
    Default: 2048 characters, 5000 words or 1000 subwords."""
    order: Order = "replacement"
    """Order of training lines: drawn with replacement, as in the paper, or by epochs (each line once per epoch)."""
    invalid_utf8: InvalidUtf8 = "refuse"
    """Treatment of bytes in the training text that are not UTF-8."""
    dim: int = 512
    """Width of the networks, in channels."""
    scores: tuple[str, ...] = ("jsd",)
    """Metrics of the samples as text: jsd, overlap, likelihood (characters); word-jsd, bleu (with Self-BLEU),
    ms-jaccard, diversity, memorisation, entropy, repetition, zipf, lengths, copied-ngrams, classifier (words);
    sentence-frechet, sentence-kid, sentence-precision-recall, mauve (states of a language model of the training text).
    Models with a density have exact scores without a flag."""
    score_seq_len: int | None = None
    """Characters per line in character metrics, if symbols are words or subwords. Default: 128."""
    ngram: int = 6
    """Length of the longest n-grams of the JSD, in characters; there is one score per n from 1."""
    padding: Literal["in", "out"] = "in"
    """Whether n-grams with padding count in the JSD (in: yes, as in the paper)."""
    words: Splitting = "punctuation"
    """Word rule of symbols and metrics: split at punctuation too, only at white space, or into characters."""
    lower_case: bool = False
    """Convert words to lower case."""

    minimums: ClassVar[Mapping[str, int]] = {
        **Settings.minimums, "lines": 1, "seq_len": 1, "vocabulary_size": 1, "dim": 1, "ngram": 1, "score_seq_len": 1,
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.size > _LARGEST_VOCABULARY:
            raise InputError(f"--vocabulary-size {self.vocabulary_size}: must be at most {_LARGEST_VOCABULARY}")
        if self.symbols == "char" and self.score_seq_len is not None:
            raise InputError("--score-seq-len: only if --symbols are words or subwords; characters have --seq-len")
        if not self.scores:
            raise InputError("--scores: empty; name at least one metric")
        require_metrics([name for name in self.scores if name not in FEATURE_METRICS], "--scores")

    @property
    def size(self) -> int:
        """Requested number of symbols."""
        return _DEFAULT_SIZES[self.symbols] if self.vocabulary_size is None else self.vocabulary_size

    @property
    def corpus(self) -> CorpusOptions:
        """Corpus that the run trains on."""
        corpus = CorpusOptions(
            absolute_source(self.data), self.seq_len, self.size, self.lines, invalid_utf8=self.invalid_utf8,
            symbols=self.symbols,
        )  # fmt: skip
        return replace(corpus, words=self.words, lower_case=self.lower_case) if self.symbols == "word" else corpus

    @property
    def reference(self) -> ReferenceOptions:
        """Reference of the scores: the characters of the training text, whatever the symbols of the run."""
        corpus = self.corpus
        if self.symbols != "char":
            corpus = CorpusOptions(
                corpus.data, self.score_seq_len or _SCORED_CHARACTERS, _DEFAULT_SIZES["char"], self.lines,
                invalid_utf8=self.invalid_utf8,
            )  # fmt: skip
        return ReferenceOptions(corpus, self.ngram, self.padding == "in")

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as a JSON-serialisable object."""
        return {**super().as_json(), "data": absolute_source(self.data), "vocabulary_size": self.size}


# Ids are 16-bit numbers; two of them are padding and unknown.
_LARGEST_VOCABULARY = (1 << 16) - 2
_DEFAULT_SIZES: Mapping[Level, int] = {"char": 2048, "word": 5000, "unigram": 1000, "bpe": 1000}
_SCORED_CHARACTERS = 128
