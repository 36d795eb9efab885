"""Settings: what every training run has to be told, of text or of images, and how it is told on a command line."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from data.errors import InputError, require_at_least, require_numbers
from eval.core.device import Device
from textgan.engine.schedules import parse_schedule

_MOST = 1e9  # far above what is of use, and far below what overflows in single precision


@dataclass(frozen=True)
class Settings(ABC):
    """A training run of two players. `smallest` are the least values of settings by name."""

    preset: str = ""
    """Named settings that the other flags start from."""
    data: str = ""
    """What to train on."""
    batch_size: int = 64
    """Samples a batch."""
    critic_lr: float = 3e-4
    """Learning rate of the critic (Adam)."""
    generator_lr: float = 1e-4
    """Learning rate of the generator (Adam)."""
    critic_schedule: str = "constant"
    """Factor on the critic's rate over its updates n: constant, linear (to 0), or power:TAU for n^-TAU."""
    generator_schedule: str = "constant"
    """Factor on the generator's rate over its updates n: constant, linear (to 0), or power:TAU for n^-TAU."""
    generator_ema: float = 0.0
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
    eval_samples: int = 640
    """Samples an evaluation scores."""
    eval_every: int = 100
    """Generator iterations between evaluations."""
    eval_seconds: float | None = None
    """Seconds of training between evaluations, in place of --eval-every."""
    checkpoint_every: int = 1000
    """Generator iterations between checkpoints."""
    device: Device = "auto"
    """Where to train; auto takes CUDA where there is one."""
    run_dir: Path | None = None
    """Folder of the run; a run that was stopped there is continued. Default: runs/PRESET-DATA-seedSEED."""

    minimums: ClassVar[Mapping[str, int]] = {
        "batch_size": 1, "critic_steps": 1, "penalty_weight": 0, "iterations": 1, "seed": 0, "eval_samples": 1,
        "eval_every": 1, "checkpoint_every": 1,
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values no run can have.

        Raises:
            InputError: naming the flag.
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
            raise InputError("--data: empty; name what to train on")
        for name in ("beta1", "beta2", "generator_ema"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{as_flag(name)} {getattr(self, name)}: must be at least 0 and below 1")
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
    @abstractmethod
    def scores(self) -> list[str]:
        """Names of the run's scores in its metrics; lower is better."""

    @property
    def may_change(self) -> set[str]:
        """Settings that may differ when the run is continued: its budget may grow, its folder and its data be moved.

        The hash of the data must stay as it is.
        """
        linear = "linear" in (self.critic_schedule, self.generator_schedule)
        return {"minutes", "run_dir", "data"} | (set() if linear else {"iterations"})

    def with_absolute_paths(self) -> Self:
        """Return the same settings with files named so that they are found from any working folder."""
        return replace(self, data=self.as_json()["data"], run_dir=self.folder.resolve())

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as a JSON-serialisable object."""
        return {**asdict(self), "run_dir": str(self.folder)}


def refuse_both_intervals(names: Collection[str]) -> None:
    """Refuse settings, by name, that ask for evaluations both by iterations and by seconds.

    Raises:
        InputError: both are among the names.
    """
    if {"eval_every", "eval_seconds"} <= set(names):
        raise InputError("--eval-every and --eval-seconds: give one of them; a run is evaluated by either")


def as_flags(config: Settings, presets: Mapping[str, Settings]) -> list[str]:
    """Return the flags that give these settings."""
    default = presets[config.preset]
    flags = ["--preset", config.preset]
    for name, value in vars(config).items():
        if value != getattr(default, name):
            flags += [as_flag(name), str(value)]
    return flags


def as_flag(name: str) -> str:
    """Return a setting's flag: --critic-lr for critic_lr."""
    return "--" + name.replace("_", "-")
