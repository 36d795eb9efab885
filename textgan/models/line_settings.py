"""Settings of games whose generator is a line model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from data.batches import Order
from data.errors import InputError
from data.tokenizers import Level
from textgan.engine.settings import GanSettings
from textgan.models.lines import HEADS, BodyName, LineModel
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
        if self.rule.partition(":")[0] in ("consensus", "symplectic"):
            raise InputError(f"--rule {self.rule}: needs gradients through samples, and symbols have none")


def line_model(config: LineSettings, vocabulary_size: int) -> LineModel:
    """Return the generator, with uninitialised weights."""
    return LineModel(vocabulary_size, config.seq_len, config.dim, config.layers, config.body)
