"""Settings shared by all training runs, and their command-line flags."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from data.errors import InputError, require_at_least, require_numbers
from data.naming import as_flag
from eval.core.device import Device
from textgan.engine.schedules import parse_schedule

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
    critic_lr: float = 3e-4
    """Adam's learning rate for the critic."""
    generator_lr: float = 1e-4
    """Adam's learning rate for the generator."""
    critic_schedule: str = "constant"
    """Schedule of --critic-lr: constant, linear (to 0), or power:TAU (n^-TAU at update n)."""
    generator_schedule: str = "constant"
    """Schedule of --generator-lr: constant, linear (to 0), or power:TAU (n^-TAU at update n)."""
    generator_ema: float = 0.0
    """Decay per update of an EMA of the generator's weights, for sampling; 0: no EMA, as in the paper."""
    critic_steps: int = 1
    """Critic updates per generator update."""
    penalty_weight: float = 10.0
    """Weight of the gradient penalty; 0: none."""
    beta1: float = 0.5
    """Adam's decay of the first moment, per update."""
    beta2: float = 0.9
    """Adam's decay of the second moment, per update."""
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
    device: Device = "auto"
    """Device to train on; auto takes CUDA if available."""
    run_dir: Path | None = None
    """Folder of the run; a run already there is continued. Default: runs/PRESET-DATA-seedSEED."""

    minimums: ClassVar[Mapping[str, int]] = {
        "batch_size": 1, "critic_steps": 1, "penalty_weight": 0, "iterations": 1, "seed": 0, "eval_samples": 1,
        "eval_every": 1, "checkpoint_every": 1,
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        for name, value in asdict(self).items():
            smallest = self.minimums.get(name)
            if smallest is not None:
                require_at_least(as_flag(name), value, smallest)
        for name in ("critic_lr", "generator_lr", "minutes", "eval_seconds"):
            if (value := getattr(self, name)) is not None and not 0 < value <= _MOST:
                raise InputError(f"{as_flag(name)} {value}: must be positive, and at most {_MOST:g}")
        if self.penalty_weight > _MOST:
            raise InputError(f"--penalty-weight {self.penalty_weight}: must be at most {_MOST:g}")
        require_numbers(self)
        if not self.data.strip():
            raise InputError("--data: empty; name the training data")
        for name in ("beta1", "beta2", "generator_ema"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{as_flag(name)} {getattr(self, name)}: must be at least 0 and below 1")
        for schedule in (self.critic_schedule, self.generator_schedule):
            parse_schedule(schedule, self.iterations)
        if self.iterations is None and self.minutes is None:
            raise InputError("--iterations and --minutes are both None: set one of them, or the run never ends")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        name = self.data.rstrip("/").replace(":", "-").rpartition("/")[2].partition(".")[0]
        return self.run_dir or Path("runs") / f"{self.preset}-{name}-seed{self.seed}"

    @property
    def may_change(self) -> set[str]:
        """Settings that may change when the run is continued: the budget, and the paths of its folder and data.

        The hash of the data may not change.
        """
        linear = "linear" in (self.critic_schedule, self.generator_schedule)
        return {"minutes", "run_dir", "data"} | (set() if linear else {"iterations"})

    def with_absolute_paths(self) -> Self:
        """Return the same settings with absolute paths, valid from any working folder."""
        return replace(self, data=self.as_json()["data"], run_dir=self.folder.resolve())

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as a JSON-serialisable object."""
        return {**asdict(self), "run_dir": str(self.folder)}


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
            flags += [as_flag(name), str(value)]
    return flags
