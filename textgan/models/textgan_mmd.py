"""TextGAN: the generator matches the critic's features of lines by MMD (Zhang et al. 2017, arXiv 1706.03850).

The generator minimises the squared maximum mean discrepancy (MMD) between the features of real lines and of relaxed
draws (`LineModel.relaxed`, rows fed back). The critic minimises its cross-entropy minus a weight times the same
discrepancy, which keeps the features of real lines and draws apart. A feature is the hyperbolic tangent of a filter's
largest response, so distances are bounded, and a fixed width of the Gaussian kernel suits the whole training.

In the paper draws are random by a latent vector z per line, and the critic also reconstructs z from the features. A
line model has no latent vector: its draws are random by Gumbel noise, and there is nothing to reconstruct. Label
smoothing and the initialisation from an autoencoder are left out. The critic of a port minimises the discrepancy too.

Samples are ordinary draws, so the model has an exact density; the critic never sees ordinary draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from textgan.engine.game import Game, Networks
from textgan.engine.losses import cross_entropy_critic
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.updates import Turn
from textgan.models.critics import TextCnn
from textgan.models.estimators import gaussian_mmd2
from textgan.models.likelihood import pretraining
from textgan.models.line_games import cnn_networks, generator_of
from textgan.models.line_settings import CnnCriticSettings, time_scales


@dataclass(frozen=True)
class TextGanSettings(CnnCriticSettings):
    """Settings of TextGAN. The defaults are the preset `textgan-mmd-words-ttur`."""

    preset: str = "textgan-mmd-words-ttur"
    model: Literal["textgan-mmd"] = "textgan-mmd"
    generator_lr: float = 1e-4
    inverse_temperature: float = 2.0
    """Inverse temperature of relaxed draws, rows of probabilities softmax(beta (logits + Gumbel noise))."""
    bandwidth: float = 10.0
    """Width sigma of the Gaussian kernel exp(-d^2 / (2 sigma^2)) of two lines whose features lie d apart."""
    mmd_weight: float = 1e-3
    """Weight of the MMD of features in the critic's loss; 0: cross-entropy alone."""

    minimums: ClassVar[Mapping[str, int]] = {**CnnCriticSettings.minimums, "mmd_weight": 0}
    positive: ClassVar[tuple[str, ...]] = (*CnnCriticSettings.positive, "inverse_temperature", "bandwidth")


networks = cnn_networks


def phases(config: TextGanSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: maximum likelihood, the critic's warm-up, if any, then the game."""
    game = mmd_game(config.inverse_temperature, config.bandwidth, config.mmd_weight)
    return gan_phases(config, game, pretraining(config))


def mmd_game(inverse_temperature: float, bandwidth: float, mmd_weight: float) -> Game:
    """Return the game of a line model and a CNN critic of relaxed draws.

    `mmd` is the squared MMD of the features of real lines and draws. The critic's `accuracy` is the proportion of pairs
    of a real line and a draw in which the real line scores higher.

    Args:
        inverse_temperature: beta of the draws.
        bandwidth: width of the Gaussian kernel.
        mmd_weight: weight of the squared MMD in the critic's loss.
    """

    def drawn(networks: Networks, real: Tensor, turn: Turn) -> Tensor:
        return generator_of(networks).relaxed(len(real), turn.random, inverse_temperature, soft=True)

    def generator(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        critic = _critic_of(networks)
        of_real, of_drawn = bounded_features(critic, real), bounded_features(critic, drawn(networks, real, turn))
        return {"loss": gaussian_mmd2(of_real, of_drawn, bandwidth)}

    def critic(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        critic = _critic_of(networks)
        with torch.no_grad():
            rows = drawn(networks, real, turn)  # [B, L, V]
        of_real, of_drawn = bounded_features(critic, real), bounded_features(critic, rows)  # [B, F] each
        real_scores, drawn_scores = critic.score(of_real), critic.score(of_drawn)  # [B] each
        mmd = gaussian_mmd2(of_real, of_drawn, bandwidth)
        return {
            "loss": cross_entropy_critic(real_scores, drawn_scores) - mmd_weight * mmd,
            "mmd": mmd,
            "accuracy": (real_scores > drawn_scores).float().mean(),
        }

    return Game(generator, critic)


def bounded_features(critic: TextCnn, x: Tensor) -> Tensor:
    """Return features [B, F] between 0 and 1 of lines: ids [B, L] or rows of probabilities [B, L, V]."""
    return critic.features(x).tanh()


def _critic_of(networks: Networks) -> TextCnn:
    critic = networks.require_critic()
    assert isinstance(critic, TextCnn)
    return critic


def _presets(ttur: TextGanSettings) -> tuple[TextGanSettings, TextGanSettings, TextGanSettings]:
    """Return `ttur`, `orig` with the published rates and five generator updates per critic update, and `control`."""
    ttur, orig, control = time_scales(ttur, orig_lr=2 * ttur.generator_lr, orig_steps=1)
    return ttur, replace(orig, generator_steps=5), control


_WORDS = TextGanSettings()
# Sizes of the published code, for lines of at most 60 words of books and abstracts.
_FULL = replace(
    _WORDS, preset="textgan-mmd-ttur", generator_lr=5e-5, critic_lr=5e-4, batch_size=256, dim=500, seq_len=60,
    vocabulary_size=22_153, filters="textgan", critic_dim=300, bandwidth=20.0, pretraining=20_000,
)  # fmt: skip

PRESETS = (*_presets(_WORDS), *_presets(_FULL)[:2])
