"""JSDGAN: descent on the JSD of line model and data, without a critic (Li et al. 2019, AISTATS, PMLR 89).

With the data's lines x, each of probability d(x) = 1 / N, the gradient of the JSD of the generator's density g and d is

    -1/2 * the sum over x of g(x) log(1 + d(x) / g(x)) grad log g(x),

which is maximum likelihood with weights. They favour lines that are likely already, so a run begins with maximum
likelihood. Published code scales probabilities to their range in the batch, and on long lines they underflow; here
weights are normalised over the batch in logarithms (`jsd_weights`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor

from data.errors import InputError
from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, generator_scale, iterations_left
from textgan.engine.updates import Turn
from textgan.models.estimators import jsd_weights
from textgan.models.likelihood import pretraining
from textgan.models.line_games import generator_of
from textgan.models.line_settings import PretrainedSettings, line_model


@dataclass(frozen=True)
class JsdganSettings(PretrainedSettings):
    """Settings of JSDGAN. The defaults are the preset `jsdgan-words`.

    N is `lines`, which therefore has no default for all of a text. If the text has fewer lines, N is too large by their
    ratio; weights depend on log N.
    """

    preset: str = "jsdgan-words"
    model: Literal["jsdgan"] = "jsdgan"
    lines: int | None = 10_000
    iterations: int | None = 78_780

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.lines is None:
            raise InputError("--lines None: the weights of JSDGAN need a number; give the number of training lines")


def networks(config: JsdganSettings, vocabulary_size: int) -> Networks:
    """Return the line model, with uninitialised weights."""
    return Networks(line_model(config, vocabulary_size))


def phases(config: JsdganSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: maximum likelihood, then descent on the JSD."""
    assert config.lines is not None
    before = pretraining(config)
    left = iterations_left(config, before)
    return [*before, Phase("jsd", jsdgan(config.lines), generator_scale(config, left), None, left)]


def jsdgan(lines: int) -> Game:
    """Return the game: the generator ascends the weighted log-likelihood of real lines; `lines` is N."""
    return Game(partial(weighted_likelihood, lines=lines))


def weighted_likelihood(networks: Networks, real: Tensor, _turn: Turn, lines: int) -> Mapping[str, Tensor]:
    """Return minus the weighted mean log-likelihood of real lines [B, L], in nats per line.

    `effective_lines` is 1 over the sum of squared weights: B if all lines of the batch weigh the same, 1 if one line
    has all the weight.
    """
    log_g = generator_of(networks).log_probs(real).sum(dim=1)  # [B]
    weights = jsd_weights(log_g, lines)
    return {"loss": -(weights * log_g).sum(), "effective_lines": 1 / weights.square().sum()}


_WORDS = JsdganSettings()  # 500 epochs of 10,000 lines after the pretraining, as TextGAN-PyTorch
_ORACLE = replace(
    _WORDS, preset="jsdgan-oracle", data="oracle", dim=32, generator_lr=1e-2, pretraining=0, iterations=78_000
)

PRESETS = (_WORDS, _ORACLE)
