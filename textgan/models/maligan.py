"""MaliGAN: maximum likelihood of drawn lines, weighted by the critic (Che et al. 2017, arXiv 1702.07983).

With the best critic D / (1 - D) = d / g, so lines drawn from the generator and weighted by it stand for data: the loss
estimates KL(d || g). Weights are normalised over the batch (algorithm 1, with the constant baseline 1 / B), which keeps
their variance small and makes the estimator consistent instead of unbiased. Some ports weigh by D, which is another
divergence. "Mixed MaliGAN", which completes real prefixes, is left out, as are dropout and L2 penalty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.updates import Turn
from textgan.models.estimators import importance
from textgan.models.likelihood import pretraining
from textgan.models.line_games import cnn_networks, cross_entropy, generator_of
from textgan.models.line_settings import CnnCriticSettings, time_scales


@dataclass(frozen=True)
class MaliGanSettings(CnnCriticSettings):
    """Settings of MaliGAN. The defaults are the preset `maligan-words-ttur`."""

    preset: str = "maligan-words-ttur"
    model: Literal["maligan"] = "maligan"
    critic_lr: float = 3e-3
    critic_warm_up: int = 100


networks = cnn_networks


def phases(config: MaliGanSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: maximum likelihood, the critic's warm-up, then the game."""
    return gan_phases(config, Game(generator, cross_entropy), pretraining(config))


def generator(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    """Return -sum_i w_i log g(y_i) over drawn lines y_i, with w_i = r_i / sum_j r_j - 1 / B and r = D / (1 - D).

    `reward` is the mean log r, which is -KL(g || d) with the best critic; `effective_lines` is 1 / sum_i (w_i + 1/B)^2,
    the number of lines that carry the weight.
    """
    drawn = generator_of(networks).draw(len(real), turn.random)  # [B, L]
    with torch.no_grad():
        logits = networks.require_critic()(drawn)  # [B]
    loss = -(importance(logits) * generator_of(networks).log_probs(drawn).sum(dim=1)).sum()
    return {
        "loss": loss, "reward": logits.mean(), "effective_lines": 1 / logits.softmax(dim=0).square().sum(),
    }  # fmt: skip


_WORDS = MaliGanSettings()
# As TextGAN-PyTorch on the oracle: 80 epochs of maximum likelihood, 200 iterations of 50 updates of the generator and
# 936 of the critic (3 epochs of 20,000 lines), after 3 of the critic alone.
_ORACLE = replace(
    _WORDS, preset="maligan-orig", data="oracle", dim=32, generator_lr=1e-2, pretraining_lr=1e-2, critic_lr=1e-4,
    generator_steps=50, critic_steps=936, critic_warm_up=3, filters="seqgan", pretraining=12_480, iterations=12_683,
    eval_every=30,
)  # fmt: skip
_ORACLE_TTUR = replace(
    _ORACLE, preset="maligan-ttur", generator_lr=1e-3, critic_lr=3e-3, generator_steps=1, critic_steps=1,
    critic_warm_up=1000, iterations=200_000, eval_every=100,
)  # fmt: skip

PRESETS = (*time_scales(_WORDS, orig_lr=1e-4, orig_steps=15), _ORACLE_TTUR, _ORACLE)
