"""DPGAN: the critic is a language model, and its surprise is the reward (Xu et al. 2018, EMNLP, arXiv 1802.01345).

The reward of symbol t is w_t = min(cap, -log M_t(y_t)), in nats, M_t being the critic's distribution of this symbol
given the symbols before it; the reward R(y) of a line is the mean of w_t. Symbol t of a drawn line is worth the sum of
w_s R(y) over s >= t. The critic descends on the mean of R(y) over drawn lines minus the mean of R(x) over real ones: it
learns to predict drawn lines, and to be surprised by real ones. The reverse, a language model of real lines, is no
game: both players would then increase R(y).

The cap bounds the critic's loss, which falls without end otherwise: M_t(x_t) tends to 0. With one symbol per line, the
critic's best response to the densities g and d of generator and data is M ~ max(g - d, 0), with a loss of
T (H(M) - cap), where T is the total variation distance of g and d, and H the entropy: the generator descends on T.
This response jumps where g passes d, so a fast generator oscillates.

The published code caps the generator's reward alone, at 12, weighs the critic's term of real lines by 0.01, and also
trains the generator on real lines, which is left out here. A port draws symbols by argmax along real lines and has no
cap; here lines are drawn from the generator, and the other lines of the batch give a baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.updates import Turn
from textgan.models.estimators import reinforce, returns
from textgan.models.likelihood import pretraining
from textgan.models.line_games import critic_model_of, generator_of
from textgan.models.line_settings import LineGanSettings, line_model, time_scales
from textgan.models.lines import LineModel, in_line


@dataclass(frozen=True)
class DpganSettings(LineGanSettings):
    """Settings of DPGAN. The defaults are the preset `dpgan-words-ttur`."""

    preset: str = "dpgan-words-ttur"
    model: Literal["dpgan"] = "dpgan"
    critic_lr: float = 3e-3
    critic_warm_up: int = 100
    cap: float = 12.0
    """Largest reward per symbol, -log of the critic's probability, in nats."""

    minimums: ClassVar[Mapping[str, int]] = {**LineGanSettings.minimums, "batch_size": 2}
    positive: ClassVar[tuple[str, ...]] = (*LineGanSettings.positive, "cap")


def networks(config: DpganSettings, vocabulary_size: int) -> Networks:
    """Return two line models of one size, generator and critic, with uninitialised weights."""
    return Networks(line_model(config, vocabulary_size), line_model(config, vocabulary_size))


def phases(config: DpganSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: maximum likelihood, the critic's warm-up, then the game."""
    return gan_phases(config, dpgan(config.cap), pretraining(config))


def dpgan(cap: float) -> Game:
    """Return the game of a line model and a critic that is a line model too.

    Args:
        cap: largest reward of a symbol, in nats.
    """

    def generator(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        drawn = generator_of(networks).draw(len(real), turn.random)  # [B, L]
        with torch.no_grad():
            words, lines = surprise(critic_model_of(networks), drawn, cap)
        values = returns(words * lines.unsqueeze(1), gamma=1.0)
        return {"loss": reinforce(generator_of(networks).log_probs(drawn), values), "reward": lines.mean()}

    def critic(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        drawn = generator_of(networks).draw(len(real), turn.random)
        _, lines = surprise(critic_model_of(networks), torch.cat([real, drawn]), cap)
        of_real, of_drawn = lines.chunk(2)
        return {"loss": of_drawn.mean() - of_real.mean()}

    return Game(generator, critic)


def surprise(model: LineModel, ids: Tensor, cap: float) -> tuple[Tensor, Tensor]:
    """Return the rewards of lines [B, L]: min(cap, -log p) per symbol [B, L], 0 after the ends, and their means [B]."""
    words = (-model.log_probs(ids)).clamp_max(cap)
    return words, words.sum(dim=1) / in_line(ids).sum(dim=1)


_WORDS = DpganSettings()
# TextGAN-PyTorch on the oracle: 120 epochs of maximum likelihood, 200 iterations with 1,248 critic updates each (8
# epochs of 10,000 lines), after about 2 of the critic alone.
_ORACLE = replace(
    _WORDS, preset="dpgan-orig", data="oracle", dim=32, generator_lr=1e-2, critic_lr=1e-2, pretraining_lr=1e-2,
    critic_steps=1248, critic_warm_up=2, pretraining=18_720, iterations=18_922, eval_every=30,
)  # fmt: skip
_ORACLE_TTUR = replace(
    _ORACLE, preset="dpgan-ttur", generator_lr=1e-3, critic_lr=3e-3, critic_steps=1, critic_warm_up=1000,
    iterations=200_000, eval_every=100,
)  # fmt: skip

PRESETS = (*time_scales(_WORDS, orig_lr=1e-3, orig_steps=5), _ORACLE_TTUR, _ORACLE)
