"""Settings of games whose generator is a line model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeVar

from data.batches import Order
from data.errors import InputError
from data.tokenizers import Level
from textgan.engine.settings import GanSettings
from textgan.engine.updates import parse_rule
from textgan.models.bodies import HEADS, BodyName
from textgan.models.critics import Filters
from textgan.models.lines import LineModel
from textgan.models.settings import TextSettings


@dataclass(frozen=True)
class LineSettings(TextSettings):
    """Settings of a run whose generator is a line model. The defaults suit two cores."""

    data: str = "grammar"
    symbols: Level = "word"
    seq_len: int = 20
    order: Order = "epochs"
    dim: int = 128
    """Width of embeddings and networks."""
    body: BodyName = "lstm"
    """Network between embedding and logits of the generator."""
    layers: int = 1
    """Layers of the body."""
    generator_lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    max_gradient_norm: float | None = 5.0
    """Euclidean norm to which longer gradients of a player are shortened. None: no clipping."""

    minimums: ClassVar[Mapping[str, int]] = {**TextSettings.minimums, "layers": 1}

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.body == "transformer" and self.dim % HEADS:
            raise InputError(f"--dim {self.dim}: not a multiple of the transformer's {HEADS} heads")


@dataclass(frozen=True)
class PretrainedSettings(LineSettings):
    """Settings of a run that begins with maximum likelihood."""

    pretraining: int = 780
    """Iterations of maximum likelihood at the start; 780 are 5 epochs of 10,000 lines."""
    pretraining_lr: float = 1e-3
    """Adam's learning rate of the generator for maximum likelihood."""

    minimums: ClassVar[Mapping[str, int]] = {**LineSettings.minimums, "pretraining": 0}
    positive: ClassVar[tuple[str, ...]] = (*LineSettings.positive, "pretraining_lr")

    @property
    def iterations_before(self) -> int:
        """Iterations of pretraining and warm-up, which are part of --iterations."""
        return super().iterations_before + self.pretraining


@dataclass(frozen=True)
class LineGanSettings(PretrainedSettings, GanSettings):
    """Settings of a game of a line model and a critic."""

    critic_lr: float = 1e-3

    minimums: ClassVar[Mapping[str, int]] = {**PretrainedSettings.minimums, **GanSettings.minimums}
    positive: ClassVar[tuple[str, ...]] = (*PretrainedSettings.positive, *GanSettings.positive)

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if parse_rule(self.rule).second_order:
            raise InputError(f"--rule {self.rule}: needs gradients through samples, and symbols have none")


FiltersName = Literal["small", "seqgan", "relgan", "textgan"]
FILTERS: Mapping[FiltersName, Filters] = {
    "small": ((2, 100), (3, 200)),
    "seqgan": (
        (1, 100), (2, 200), (3, 200), (4, 200), (5, 200), (6, 100), (7, 100), (8, 100), (9, 100), (10, 100), (15, 160),
        (20, 160),
    ),
    "relgan": ((2, 300), (3, 300), (4, 300), (5, 300)),
    "textgan": ((3, 300), (4, 300), (5, 300)),
}  # fmt: skip
"""Filters of CNN critics: as in Texygen (Zhu et al. 2018, arXiv 1802.01886), SeqGAN, RelGAN and TextGAN."""


@dataclass(frozen=True)
class CnnCriticSettings(LineGanSettings):
    """Settings of a game against a CNN critic."""

    filters: FiltersName = "small"
    """Filters of the critic: 300 of widths 2 and 3 (in symbols), SeqGAN's 1,720 of widths 1 to 20, RelGAN's 1,200 of
    widths 2 to 5, or TextGAN's 900 of widths 3 to 5."""
    critic_dim: int = 64
    """Width of the critic's embedding."""

    minimums: ClassVar[Mapping[str, int]] = {**LineGanSettings.minimums, "batch_size": 2, "critic_dim": 1}


@dataclass(frozen=True)
class RolloutSettings(CnnCriticSettings):
    """Settings of a game whose critic rewards every prefix of a line by completions."""

    critic_lr: float = 3e-3
    critic_warm_up: int = 100
    rollouts: int = 1
    """Completions per prefix of a line, whose mean reward is the prefix's; 0: the reward of the whole line."""

    minimums: ClassVar[Mapping[str, int]] = {**CnnCriticSettings.minimums, "rollouts": 0}


GanT = TypeVar("GanT", bound=GanSettings)


def time_scales(ttur: GanT, orig_lr: float, orig_steps: int) -> tuple[GanT, GanT, GanT]:
    """Return presets `ttur`, `orig` and `control` of a game, given the first.

    Args:
        ttur: two time scales: one update per player and iteration, with a faster critic.
        orig_lr: the critic's rate if it makes several updates.
        orig_steps: the critic's updates per iteration then.

    The control makes one update per player, with both rates at the geometric mean of `ttur`'s.
    """
    name = ttur.preset.removesuffix("-ttur")
    mean = float(f"{math.sqrt(ttur.generator_lr * ttur.critic_lr):.3g}")
    orig = replace(ttur, preset=f"{name}-orig", critic_lr=orig_lr, critic_steps=orig_steps)
    return ttur, orig, replace(ttur, preset=f"{name}-control", generator_lr=mean, critic_lr=mean)


def line_model(config: LineSettings, vocabulary_size: int) -> LineModel:
    """Return a line model of the settings' sizes, with uninitialised weights."""
    return LineModel(vocabulary_size, config.seq_len, config.dim, config.layers, config.body)
