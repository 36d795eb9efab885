"""Settings and presets of training runs on text."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from data.corpus import CorpusOptions
from data.errors import InputError
from data.readers import InvalidUtf8
from data.sources import absolute_source
from eval.text.reference import ReferenceOptions
from textgan.engine.settings import Settings

Preset = Literal["quickstart", "ttur", "orig", "mle", "ttur-small", "orig-small", "mle-small"]
Model = Literal["wgan-gp", "lstm"]


@dataclass(frozen=True)
class RunConfig(Settings):
    """Settings of a training run on text. The defaults are the preset `ttur`, the paper's two time scales."""

    preset: Preset = "ttur"
    """Named settings; they are the defaults of the other flags.
    quickstart: 3 minutes on 2 cores; ttur, orig: as in the paper; mle: LSTM; *-small: for CPUs."""
    model: Model = "wgan-gp"
    """Model: wgan-gp, or lstm (maximum likelihood at the generator's rate; no critic, penalty or noise)."""
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
    latent_dim: int = 128
    """Length of the generator's noise vector."""
    ngram: int = 6
    """Length of the longest n-grams of the JSD, in characters; there is one score per n from 1."""
    padding: Literal["in", "out"] = "in"
    """Whether n-grams with padding count in the JSD (in: yes, as in the paper)."""

    minimums: ClassVar[dict[str, int]] = {
        **Settings.minimums, "lines": 1, "seq_len": 1, "vocabulary_size": 1, "dim": 1, "latent_dim": 1, "ngram": 1,
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.vocabulary_size > _LARGEST_VOCABULARY:
            raise InputError(f"--vocabulary-size {self.vocabulary_size}: must be at most {_LARGEST_VOCABULARY}")

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

# "orig" is the paper's baseline: one rate for both players, ten critic updates per generator update.
_TTUR = RunConfig()
_ORIG = replace(_TTUR, preset="orig", critic_lr=1e-4, critic_steps=10)

# For CPUs: 1/16 of the paper's width, half the paper's batch size, ten times the paper's rates.
_SMALL: dict[str, Any] = {"data": "grammar", "dim": 32, "batch_size": 32, "generator_lr": 1e-3}
_TTUR_SMALL = replace(_TTUR, preset="ttur-small", critic_lr=3e-3, **_SMALL)
_ORIG_SMALL = replace(_ORIG, preset="orig-small", critic_lr=1e-3, **_SMALL)

# Tuned for the lowest JSD after three minutes on two cores; LOG.md has the trials.
_QUICKSTART = replace(
    _TTUR_SMALL, preset="quickstart", critic_lr=5e-3, generator_lr=2e-3, generator_ema=0.99, critic_steps=2,
    penalty_weight=1.0, batch_size=64, iterations=1500, minutes=3.0, eval_every=50, checkpoint_every=400,
)  # fmt: skip

# Common settings for an LSTM of this size.
_MLE = replace(_TTUR, preset="mle", model="lstm", generator_lr=1e-3, beta1=0.9, beta2=0.999)
_MLE_SMALL = replace(_MLE, preset="mle-small", data="grammar", dim=256, batch_size=32)

PRESETS: dict[str, RunConfig] = {
    config.preset: config for config in (_QUICKSTART, _TTUR, _ORIG, _MLE, _TTUR_SMALL, _ORIG_SMALL, _MLE_SMALL)
}
