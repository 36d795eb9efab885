"""CoT, cooperative training of a generator and a mediator (Lu et al. 2019, ICML, arXiv 1804.03782).

The mediator M, a line model of twice the width in the critic's place, learns the mixture m = (g + d) / 2 of generator
and data by maximum likelihood. The generator g descends on KL(g || m), whose gradient is that of 2 JSD(g, d) if M is m:
the sum of KL(G_t || M_t) over the positions of lines that it draws. Each position counts every symbol by its
probability, not the drawn symbol alone.

As published (algorithm 1), no gradient passes through the draws of earlier symbols; `--prefix-gradient on` adds it by
REINFORCE, which makes the gradient unbiased. A published implementation trains the mediator at the generator's rate,
and by the generator's loss too; here each player has a rate and a loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.updates import Turn
from textgan.models.estimators import cot_loss
from textgan.models.likelihood import pretraining
from textgan.models.line_games import critic_model_of, generator_of, negative_log_likelihood
from textgan.models.line_settings import LineGanSettings, line_model, time_scales
from textgan.models.lines import in_line


@dataclass(frozen=True)
class CotSettings(LineGanSettings):
    """Settings of CoT; the critic's are the mediator's. The defaults are the preset `cot-words-ttur`."""

    preset: str = "cot-words-ttur"
    model: Literal["cot"] = "cot"
    pretraining: int = 0
    critic_lr: float = 3e-3
    prefix_gradient: Literal["off", "on"] = "off"
    """on: add the gradient through the draws of earlier symbols, by REINFORCE; off: as published."""

    minimums: ClassVar[Mapping[str, int]] = {**LineGanSettings.minimums, "batch_size": 2}


def networks(config: CotSettings, vocabulary_size: int) -> Networks:
    """Return generator and mediator, with uninitialised weights."""
    mediator = replace(config, dim=2 * config.dim)
    return Networks(line_model(config, vocabulary_size), line_model(mediator, vocabulary_size))


def phases(config: CotSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run."""
    return gan_phases(config, cot(config.prefix_gradient == "on"), pretraining(config))


def cot(prefix_gradient: bool) -> Game:
    """Return the game of generator and mediator."""
    return Game(partial(imitate, prefix_gradient=prefix_gradient), mediate)


def imitate(networks: Networks, real: Tensor, turn: Turn, prefix_gradient: bool) -> Mapping[str, Tensor]:
    """Return the sum of KL(G_t || M_t) along drawn lines, in nats per line; see `cot_loss`."""
    generator = generator_of(networks)
    drawn = generator.draw(len(real), turn.random)
    log_g = generator(drawn).log_softmax(dim=-1)  # [B, L, V]
    with torch.no_grad():
        log_m = critic_model_of(networks)(drawn).log_softmax(dim=-1)
    mask = in_line(drawn)
    of_drawn = log_g.gather(-1, drawn.unsqueeze(-1)).squeeze(-1) * mask if prefix_gradient else None
    return {"loss": cot_loss(log_g, log_m, mask, of_drawn)}


def mediate(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    """Return the mediator's negative log-likelihood of real lines and the same number of drawn ones, per symbol."""
    drawn = generator_of(networks).draw(len(real), turn.random)
    return {"loss": negative_log_likelihood(critic_model_of(networks), torch.cat([real, drawn]))}


_WORDS = CotSettings()
# The published code, without dropout of the mediator; `cot-orig`: one rate, as TextGAN-PyTorch.
_TTUR = replace(_WORDS, preset="cot-ttur", data="oracle", dim=32, beta2=0.95)
_ORIG = replace(_TTUR, preset="cot-orig", generator_lr=1e-2, critic_lr=1e-2, beta2=0.999, iterations=20_000)

PRESETS = (*time_scales(_WORDS, orig_lr=1e-3, orig_steps=1), _TTUR, _ORIG)
