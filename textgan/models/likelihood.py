"""Maximum likelihood of a line model: the baseline that adversarial training of lines is measured against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, TimeScale, generator_scale
from textgan.engine.schedules import parse_schedule
from textgan.engine.updates import Turn
from textgan.models.line_games import generator_of, negative_log_likelihood
from textgan.models.line_settings import LineSettings, PretrainedSettings, line_model


@dataclass(frozen=True)
class LikelihoodSettings(LineSettings):
    """Settings of maximum likelihood. The defaults are the preset `mle-words`."""

    preset: str = "mle-words"
    model: Literal["likelihood"] = "likelihood"
    iterations: int | None = 1560


def networks(config: LikelihoodSettings, vocabulary_size: int) -> Networks:
    """Return the line model, with uninitialised weights."""
    return Networks(line_model(config, vocabulary_size))


def phases(config: LikelihoodSettings, _players: Networks) -> Sequence[Phase]:
    """Return the one phase of a run."""
    return [Phase("likelihood", Game(likelihood), generator_scale(config, config.iterations), None)]


def pretraining(config: PretrainedSettings) -> list[Phase]:
    """Return the phase of maximum likelihood before a game; none if the run has none."""
    scale = TimeScale(config.pretraining_lr, parse_schedule("constant", None))
    return [Phase("likelihood", Game(likelihood), scale, None, config.pretraining)] if config.pretraining else []


def likelihood(networks: Networks, real: Tensor, _turn: Turn) -> Mapping[str, Tensor]:
    """Return the negative log-likelihood of real lines [B, L], in nats per symbol."""
    return {"loss": negative_log_likelihood(generator_of(networks), real)}


_WORDS = LikelihoodSettings()  # 10 epochs of 10,000 lines
# SeqGAN's generator at the rate of its published pretraining; 5 epochs of 10,000 lines.
_ORACLE = replace(_WORDS, preset="mle-oracle", data="oracle", dim=32, generator_lr=1e-2, iterations=780)
# As the language models of Caccia et al. 2020 (arXiv 1811.02549), without dropout; 100 epochs of 270,000 lines.
_FULL = replace(_WORDS, preset="mle-lines", dim=512, layers=2, seq_len=52, batch_size=128, iterations=210_000)

PRESETS = (_WORDS, _ORACLE, _FULL)
