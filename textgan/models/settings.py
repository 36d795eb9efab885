"""Settings shared by all models of text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from data.corpus import CorpusOptions
from data.errors import InputError
from data.readers import InvalidUtf8
from data.sources import absolute_source
from data.words import Splitting
from eval.text.metrics import require_metrics
from eval.text.reference import ReferenceOptions
from textgan.engine.settings import Settings


@dataclass(frozen=True)
class TextSettings(Settings):
    """Settings of a training run on text, whatever the model; `model` is a key of `textgan.models.MODELS`."""

    preset: str = "ttur"
    """Named settings, which choose the model; they are the defaults of the other flags.
    quickstart: 3 minutes on 2 cores; ttur, orig: as in the paper; mle: LSTM; *-small: for CPUs."""
    model: str = ""
    """Model of the preset; other models have presets of their own."""
    data: str = "lm1b"
    """Training text: grammar (embedded), lm1b[:PATH], hub:NAME[:COLUMN],
    a text file (.txt, .gz, .zst), a parquet file, or a folder of these with its subfolders."""
    lines: int | None = None
    """Maximum number of training lines. Default: 200,000 for grammar, 10,000,000 for lm1b, else all."""
    seq_len: int = 32
    """Characters per line; longer lines are cut, shorter ones padded."""
    vocabulary_size: int = 2048
    """Maximum number of characters, the most frequent ones; all others become one unknown symbol."""
    invalid_utf8: InvalidUtf8 = "refuse"
    """Treatment of bytes in the training text that are not UTF-8."""
    dim: int = 512
    """Width of the networks, in channels."""
    scores: tuple[str, ...] = ("jsd",)
    """Metrics of the samples: jsd (characters), word-jsd, bleu (with Self-BLEU), diversity, overlap, ..."""
    ngram: int = 6
    """Length of the longest n-grams of the JSD, in characters; there is one score per n from 1."""
    padding: Literal["in", "out"] = "in"
    """Whether n-grams with padding count in the JSD (in: yes, as in the paper)."""
    words: Splitting = "punctuation"
    """Word rule: split at punctuation and white space, at white space only, or into single characters."""
    lower_case: bool = False
    """Convert words to lower case."""

    minimums: ClassVar[Mapping[str, int]] = {
        **Settings.minimums, "lines": 1, "seq_len": 1, "vocabulary_size": 1, "dim": 1, "ngram": 1,
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.vocabulary_size > _LARGEST_VOCABULARY:
            raise InputError(f"--vocabulary-size {self.vocabulary_size}: must be at most {_LARGEST_VOCABULARY}")
        if not self.scores:
            raise InputError("--scores: empty; name at least one metric")
        require_metrics(self.scores, "--scores")

    @property
    def reference(self) -> ReferenceOptions:
        """Corpus of the run, and reference of the JSD."""
        corpus = CorpusOptions(
            absolute_source(self.data), self.seq_len, self.vocabulary_size, self.lines, invalid_utf8=self.invalid_utf8
        )
        return ReferenceOptions(corpus, self.ngram, self.padding == "in")

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as a JSON-serialisable object."""
        return {**super().as_json(), "data": absolute_source(self.data)}


# Ids are 16-bit numbers; two of them are padding and unknown.
_LARGEST_VOCABULARY = (1 << 16) - 2
