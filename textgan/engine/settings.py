"""Settings shared by all training runs, and their command-line flags."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from data.errors import InputError, require_at_least, require_numbers
from data.naming import as_flag, as_flag_words
from eval.core.device import Device, Precision
from textgan.engine.schedules import parse_schedule
from textgan.engine.updates import parse_rule

LossName = Literal["non-saturating", "minimax", "least-squares", "hinge", "wasserstein", "relativistic"]
PenaltyName = Literal["wgan-gp", "r1", "r2", "r1+r2"]

_MOST = 1e9  # far above useful values, far below overflow in single precision


@dataclass(frozen=True)
class Settings:
    """Settings of a training run. `minimums` has the smallest allowed value of each setting in it."""

    preset: str = ""
    """Named settings; they are the defaults of the other flags."""
    data: str = ""
    """Training data."""
    batch_size: int = 64
    """Samples per batch."""
    generator_lr: float = 1e-4
    """Adam's learning rate for the generator."""
    generator_schedule: str = "constant"
    """Schedule of --generator-lr: constant, linear (to 0), or power:TAU (n^-TAU at update n)."""
    generator_ema: float = 0.0
    """Decay per update of an EMA of the generator's weights, for sampling; 0: no EMA, as in the paper."""
    beta1: float = 0.5
    """Adam's decay of the first moment, per update; negative: negative momentum (Gidel et al. 2019)."""
    beta2: float = 0.9
    """Adam's decay of the second moment, per update."""
    max_gradient_norm: float | None = None
    """Euclidean norm to which longer gradients of a player are shortened. None: no clipping, as in the paper."""
    iterations: int | None = 200_000
    """Budget in generator iterations. None: --minutes alone limits the run."""
    minutes: float | None = None
    """Budget in minutes of training, without evaluation. None: --iterations alone limits the run."""
    seed: int = 0
    """Seed of all random numbers of the run."""
    eval_samples: int = 640
    """Samples drawn and scored per evaluation."""
    eval_every: int = 100
    """Generator iterations between evaluations."""
    eval_seconds: float | None = None
    """Seconds of training between evaluations, instead of --eval-every."""
    checkpoint_every: int = 1000
    """Generator iterations between checkpoints."""
    diagnostics: bool = False
    """Measure the assumptions of the two time-scale theorem at each evaluation, off the training clock."""
    device: Device = "auto"
    """Device to train on; auto takes CUDA if available."""
    training_precision: Precision = "float32"
    """Precision of matrix products and convolutions in training: float32, tf32 (CUDA) or bf16. Weights, norms, losses
    and scores stay in float32."""
    start: Path | None = None
    """Folder of a run whose last weights this run starts from. Default: random weights."""
    run_dir: Path | None = None
    """Folder of the run; a run already there is continued. Default: runs/PRESET-DATA-seedSEED."""

    minimums: ClassVar[Mapping[str, int]] = {
        "batch_size": 1, "iterations": 1, "seed": 0, "eval_samples": 1, "eval_every": 1, "checkpoint_every": 1,
    }  # fmt: skip
    positive: ClassVar[tuple[str, ...]] = ("generator_lr", "max_gradient_norm", "minutes", "eval_seconds")
    stackable: ClassVar[bool] = False
    """Whether runs can train together, by `textgan.engine.stacked`."""

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        for name, value in asdict(self).items():
            smallest = self.minimums.get(name)
            if smallest is not None:
                require_at_least(as_flag(name), value, smallest)
            if isinstance(value, float) and _MOST < value < math.inf:
                raise InputError(f"{as_flag(name)} {value}: must be at most {_MOST:g}")
        for name in self.positive:
            if (value := getattr(self, name)) is not None and not 0 < value <= _MOST:
                raise InputError(f"{as_flag(name)} {value}: must be positive, and at most {_MOST:g}")
        require_numbers(self)
        if not self.data.strip():
            raise InputError("--data: empty; name the training data")
        for name in ("beta2", "generator_ema"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{as_flag(name)} {getattr(self, name)}: must be at least 0 and below 1")
        if not -1 < self.beta1 < 1:
            raise InputError(f"--beta1 {self.beta1}: must be above -1 and below 1")
        for schedule in self.schedules:
            parse_schedule(schedule, self.iterations)
        if self.iterations is None and self.minutes is None:
            raise InputError("--iterations and --minutes are both None: set one of them, or the run never ends")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        name = self.data.rstrip("/").replace(":", "-").rpartition("/")[2].partition(".")[0]
        return self.run_dir or Path("runs") / f"{self.preset}-{name}-seed{self.seed}"

    @property
    def iterations_before(self) -> int:
        """Iterations before both players train on whole lines, which are part of --iterations."""
        return 0

    def require_game(self) -> None:
        """Refuse a budget in iterations that ends before both players train on whole lines.

        Raises:
            InputError: gives the iterations before.
        """
        before = self.iterations_before
        if self.iterations is not None and self.iterations <= before:
            why = f"pretraining, warm-up and curriculum take {before}; give more, or lower them"
            raise InputError(f"--iterations {self.iterations}: {why}")

    @property
    def schedules(self) -> Sequence[str]:
        """Schedules of all players."""
        return [self.generator_schedule]

    @property
    def may_change(self) -> set[str]:
        """Settings that may change when the run is continued: the budget, diagnostics, and paths.

        The hashes of the data and of the start may not change.
        """
        kept = {"iterations"} if "linear" in self.schedules else set()
        return {"iterations", "minutes", "diagnostics", "run_dir", "data", "start"} - kept

    def with_absolute_paths(self) -> Self:
        """Return the same settings with absolute paths, valid from any working folder."""
        start = None if self.start is None else self.start.resolve()
        return replace(self, data=self.as_json()["data"], start=start, run_dir=self.folder.resolve())

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as a JSON-serialisable object."""
        start = None if self.start is None else str(self.start.resolve())
        settings = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {**settings, "start": start, "run_dir": str(self.folder)}


@dataclass(frozen=True)
class GanSettings(Settings):
    """Settings of a run with a generator and a critic."""

    critic_lr: float = 3e-4
    """Adam's learning rate for the critic."""
    critic_schedule: str = "constant"
    """Schedule of --critic-lr: constant, linear (to 0), or power:TAU (n^-TAU at update n)."""
    critic_steps: int = 1
    """Critic updates per iteration."""
    generator_steps: int = 1
    """Generator updates per iteration."""
    critic_warm_up: int = 0
    """Iterations that update the critic alone, before the game."""
    rule: str = "alternating"
    """Update rule: alternating, simultaneous, optimistic, extragradient, extragradient-past,
    lookahead[:PERIOD[:SHARE[:INNER]]], consensus[:WEIGHT] or symplectic[:WEIGHT] (the last two: small runs)."""

    minimums: ClassVar[Mapping[str, int]] = {
        **Settings.minimums, "critic_steps": 1, "generator_steps": 1, "critic_warm_up": 0,
    }  # fmt: skip
    positive: ClassVar[tuple[str, ...]] = (*Settings.positive, "critic_lr")

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        parse_rule(self.rule)
        for name in ("critic_steps", "generator_steps"):
            if self.rule != "alternating" and getattr(self, name) != 1:
                raise InputError(f"--rule {self.rule}: moves each player once per iteration; set {as_flag(name)} 1")

    @property
    def iterations_before(self) -> int:
        """Iterations before both players train, which are part of --iterations."""
        return super().iterations_before + self.critic_warm_up

    @property
    def schedules(self) -> Sequence[str]:
        """Schedules of both players."""
        return [self.generator_schedule, self.critic_schedule]


@dataclass(frozen=True)
class AdversarialSettings(GanSettings):
    """Settings of a run that plays `textgan.engine.game.adversarial_game`."""

    loss: LossName = "wasserstein"
    """Loss of both players; relativistic scores each fake sample against a real one."""
    penalty: PenaltyName = "wgan-gp"
    """Gradient penalty of the critic: towards norm 1 between real and fake samples (wgan-gp), or towards norm 0
    at real samples (r1), at fake samples (r2) or at both."""
    penalty_weight: float = 0.0
    """Weight of the gradient penalty (lambda of wgan-gp, gamma of r1 and r2); 0: none."""
    spectral_norm: Literal["off", "on"] = "off"
    """on: divide each weight matrix of the critic by its largest singular value."""

    minimums: ClassVar[Mapping[str, int]] = {**GanSettings.minimums, "penalty_weight": 0}

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.penalty != "wgan-gp" and not self.penalty_weight:
            raise InputError(f"--penalty {self.penalty}: has no weight; give --penalty-weight above 0")


def refuse_both_intervals(names: Collection[str]) -> None:
    """Refuse to set both `eval_every` and `eval_seconds`.

    Raises:
        InputError: the names contain both.
    """
    if {"eval_every", "eval_seconds"} <= set(names):
        raise InputError("--eval-every and --eval-seconds: give one of them, not both")


def as_flags(config: Settings, presets: Mapping[str, Settings]) -> list[str]:
    """Return the flags, with `--preset` first, that produce these settings."""
    default = presets[config.preset]
    flags = ["--preset", config.preset]
    for name, value in vars(config).items():
        if value != getattr(default, name):
            flags += as_flag_words(name, value)
    return flags
