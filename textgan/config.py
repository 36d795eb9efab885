"""RunConfig: every knob of a training run, and the presets."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from data.corpus import CorpusOptions
from data.errors import InputError
from data.sources import InvalidUtf8, absolute
from eval.reference import ReferenceOptions
from textgan.schedules import parse_schedule

Preset = Literal["quickstart", "ttur", "orig", "mle", "ttur-small", "orig-small", "mle-small"]
Model = Literal["wgan-gp", "lstm"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class RunConfig:
    """A training run. The defaults are those of the preset `ttur`: the paper's experiment with two time scales."""

    preset: Preset = "ttur"
    """Named settings that the other flags start from: quickstart (two CPU cores, three minutes), ttur and orig (the paper's, for a GPU), mle (a language model to compare them with), ttur-small, orig-small and mle-small (the same at a size for CPUs)."""
    model: Model = "wgan-gp"
    """What is trained: wgan-gp, or lstm: a language model by maximum likelihood, at the generator's rate, without critic, penalty and noise."""
    data: str = "lm1b"
    """Training text: grammar (embedded), lm1b[:PATH], hub:NAME[:COLUMN], a text file (.txt, .gz, .zst), a parquet file or a folder of these."""
    lines: int | None = None
    """Training lines at most. Default: 200,000 of grammar, 10,000,000 of lm1b, all of another source."""
    seq_len: int = 32
    """Characters a line: longer lines are cut, shorter ones padded."""
    vocabulary_size: int = 2048
    """Characters kept at most, the most frequent first; the others become one unknown symbol."""
    invalid_utf8: InvalidUtf8 = "refuse"
    """What to do with bytes that are not UTF-8."""
    dim: int = 512
    """Width of generator and critic, in channels."""
    latent_dim: int = 128
    """Length of the generator's noise vector."""
    batch_size: int = 64
    """Lines a batch."""
    critic_lr: float = 3e-4
    """Learning rate of the critic (Adam)."""
    generator_lr: float = 1e-4
    """Learning rate of the generator (Adam)."""
    critic_schedule: str = "constant"
    """Factor on the critic's rate over its updates n: constant, linear (to 0), or power:TAU for n^-TAU."""
    generator_schedule: str = "constant"
    """Factor on the generator's rate over its updates n: constant, linear (to 0), or power:TAU for n^-TAU."""
    generator_average: float = 0.0
    """Decay, an update, of an exponential moving average of the generator's weights, which samples are then drawn from; 0 draws them from the weights themselves, as the paper does."""
    critic_steps: int = 1
    """Critic updates a generator update."""
    penalty_weight: float = 10.0
    """Weight of the gradient penalty; 0 leaves it out."""
    beta1: float = 0.5
    """Adam's decay of the first moment, an update."""
    beta2: float = 0.9
    """Adam's decay of the second moment, an update."""
    iterations: int | None = 200_000
    """Generator iterations after which the run ends (None: only --minutes ends it)."""
    minutes: float | None = None
    """Minutes of training, evaluation not counted, after which the run ends (None: only --iterations ends it)."""
    seed: int = 0
    """Seed of everything random in the run."""
    ngram: int = 6
    """Longest n-gram of the JSD, in characters; n = 1 up to it are scored."""
    padding: Literal["in", "out"] = "in"
    """Whether n-grams that hold padding count in the JSD (in: as in the paper)."""
    eval_samples: int = 640
    """Samples an evaluation scores."""
    eval_every: int = 100
    """Generator iterations between evaluations."""
    checkpoint_every: int = 1000
    """Generator iterations between checkpoints."""
    device: Device = "auto"
    """Where to train; auto takes CUDA where there is one."""
    run_dir: Path | None = None
    """Folder of the run; a run that was stopped there is continued. Default: runs/PRESET-DATA-seedSEED."""

    def __post_init__(self) -> None:
        """Refuse values no run can have.

        Raises:
            InputError: naming the flag.
        """
        for name, value in asdict(self).items():
            smallest = _SMALLEST.get(name)
            if smallest is not None and value is not None and not value >= smallest:
                raise InputError(f"{_flag(name)} {value}: must be at least {smallest:g}")
        for name in ("critic_lr", "generator_lr", "minutes"):
            if (value := getattr(self, name)) is not None and not 0 < value < float("inf"):
                raise InputError(f"{_flag(name)} {value}: must be positive and finite")
        for name in ("beta1", "beta2", "generator_average"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{_flag(name)} {getattr(self, name)}: must be at least 0 and below 1")
        if self.vocabulary_size > _LARGEST_VOCABULARY:
            raise InputError(f"--vocabulary-size {self.vocabulary_size}: must be at most {_LARGEST_VOCABULARY}")
        for schedule in (self.critic_schedule, self.generator_schedule):
            parse_schedule(schedule, self.iterations)
        if self.iterations is None and self.minutes is None:
            raise InputError("--iterations and --minutes are both None: give one, or the run never ends")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        name = self.data.rstrip("/").replace(":", "-").rpartition("/")[2].partition(".")[0]
        return self.run_dir or Path("runs") / f"{self.preset}-{name}-seed{self.seed}"

    @property
    def reference(self) -> ReferenceOptions:
        """What the run trains on and is scored against."""
        corpus = CorpusOptions(
            absolute(self.data), self.seq_len, self.vocabulary_size, self.lines, invalid_utf8=self.invalid_utf8
        )
        return ReferenceOptions(corpus, self.ngram, self.padding == "in")

    @property
    def may_change(self) -> set[str]:
        """Settings that may differ when the run is continued: its budget may grow, and its folder may be moved."""
        linear = "linear" in (self.critic_schedule, self.generator_schedule)
        return {"minutes", "run_dir"} if linear else {"iterations", "minutes", "run_dir"}

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as a JSON-serialisable object."""
        return {**asdict(self), "data": absolute(self.data), "run_dir": str(self.folder)}


def as_flags(config: RunConfig) -> list[str]:
    """Return the flags of `python -m textgan.train` that give these settings."""
    default = PRESETS[config.preset]
    flags = ["--preset", config.preset]
    for name, value in vars(config).items():
        if value != getattr(default, name):
            flags += [_flag(name), str(value)]
    return flags


# Ids take two bytes at most, and two of them are padding and unknown.
_LARGEST_VOCABULARY = (1 << 16) - 2


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


_SMALLEST = {
    "lines": 1, "seq_len": 1, "vocabulary_size": 1, "dim": 1, "latent_dim": 1, "batch_size": 1, "critic_steps": 1,
    "penalty_weight": 0, "iterations": 1, "seed": 0, "ngram": 1, "eval_samples": 1, "eval_every": 1,
    "checkpoint_every": 1,
}  # fmt: skip

# "orig" is the paper's baseline: one rate for both players, ten critic updates a generator update.
_TTUR = RunConfig()
_ORIG = replace(_TTUR, preset="orig", critic_lr=1e-4, critic_steps=10)

# For CPUs: a sixteenth of the paper's width, half its batch, ten times its rates.
_SMALL: dict[str, Any] = {"data": "grammar", "dim": 32, "batch_size": 32, "generator_lr": 1e-3}
_TTUR_SMALL = replace(_TTUR, preset="ttur-small", critic_lr=3e-3, **_SMALL)
_ORIG_SMALL = replace(_ORIG, preset="orig-small", critic_lr=1e-3, **_SMALL)

# Tuned to get as far as it can in three minutes on two cores; LOG.md has the trials.
_QUICKSTART = replace(
    _TTUR_SMALL,
    preset="quickstart",
    critic_lr=5e-3,
    generator_lr=2e-3,
    generator_average=0.99,
    critic_steps=2,
    penalty_weight=1.0,
    batch_size=64,
    iterations=1500,
    minutes=3.0,
    eval_every=50,
    checkpoint_every=400,
)

# Usual settings for an LSTM of this size.
_MLE = replace(_TTUR, preset="mle", model="lstm", generator_lr=1e-3, beta1=0.9, beta2=0.999)
_MLE_SMALL = replace(_MLE, preset="mle-small", data="grammar", dim=256, batch_size=32)

PRESETS: dict[str, RunConfig] = {
    config.preset: config for config in (_QUICKSTART, _TTUR, _ORIG, _MLE, _TTUR_SMALL, _ORIG_SMALL, _MLE_SMALL)
}
