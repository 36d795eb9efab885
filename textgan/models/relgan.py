"""RelGAN and GSGAN: a critic scores relaxed draws, and its gradient passes through them to the generator.

A relaxed draw has a row of probabilities, softmax(beta (logits + Gumbel noise)), per symbol (`LineModel.relaxed`).
RelGAN (Nie, Narodytska & Patel, ICLR 2019, openreview.net/forum?id=rJedV3R5tm) feeds back the most likely symbol,
compares the score of each draw with the score of a real line (Jolicoeur-Martineau 2018, arXiv 1807.00734), and raises
the inverse temperature beta exponentially. Its generator is a relational memory; here it is a line model. GSGAN
(Kusner & Hernandez-Lobato 2016, arXiv 1611.04051) feeds back the row itself, and plays the non-saturating game. A port
of GSGAN adds the noise to the hidden state, applies softmax twice, and does not learn.

The estimator is biased at every beta: it follows the scores of relaxed draws in place of ordinary ones. For lines of
one symbol the bias vanishes as beta grows, while the variance grows like beta. For longer lines RelGAN's bias stays,
since no gradient passes through the symbol that is fed back.

Samples are ordinary draws, without beta, so the model has an exact density; the critic never scores ordinary draws.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from data.errors import InputError
from textgan.engine.game import Game, Networks
from textgan.engine.losses import NON_SATURATING, RELATIVISTIC, Loss
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.updates import Turn
from textgan.models.critics import TextCnn
from textgan.models.likelihood import pretraining
from textgan.models.line_games import generator_of
from textgan.models.line_settings import FILTERS, CnnCriticSettings, line_model, time_scales


@dataclass(frozen=True)
class RelaxedSettings(CnnCriticSettings):
    """Settings that RelGAN and GSGAN share."""

    generator_lr: float = 1e-4
    final_inverse_temperature: float = 100.0
    """Inverse temperature of relaxed draws at the end of its growth, which is exponential from 1; 1: always 1."""
    anneal_iterations: int = 2000
    """Adversarial iterations in which the inverse temperature grows; later it is constant."""
    representations: int = 1
    """Parts of the critic's embedding, which are scored apart by the same filters."""

    minimums: ClassVar[Mapping[str, int]] = {
        **CnnCriticSettings.minimums, "anneal_iterations": 1, "representations": 1,
    }  # fmt: skip
    positive: ClassVar[tuple[str, ...]] = (*CnnCriticSettings.positive, "final_inverse_temperature")

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.critic_dim % self.representations:
            raise InputError(f"--representations {self.representations}: must divide --critic-dim {self.critic_dim}")


@dataclass(frozen=True)
class RelganSettings(RelaxedSettings):
    """Settings of RelGAN. The defaults are the preset `relgan-words-ttur`."""

    preset: str = "relgan-words-ttur"
    model: Literal["relgan"] = "relgan"
    representations: int = 8


@dataclass(frozen=True)
class GsganSettings(RelaxedSettings):
    """Settings of GSGAN. The defaults are the preset `gsgan-words-ttur`."""

    preset: str = "gsgan-words-ttur"
    model: Literal["gsgan"] = "gsgan"


def networks(config: RelaxedSettings, vocabulary_size: int) -> Networks:
    """Return generator and critic, with uninitialised weights."""
    critic = TextCnn(vocabulary_size, config.critic_dim, FILTERS[config.filters], config.representations)
    return Networks(line_model(config, vocabulary_size), critic)


def phases(config: RelaxedSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run; the inverse temperature grows in the last one alone."""
    game = partial(relaxed_game, *_LOSS_AND_FEEDING[config.model])
    growing = game(partial(inverse_temperature, config))
    return gan_phases(config, growing, pretraining(config), warm_up=game(lambda _turn: 1.0))


_LOSS_AND_FEEDING: Mapping[str, tuple[Loss, bool]] = {"relgan": (RELATIVISTIC, False), "gsgan": (NON_SATURATING, True)}


def relaxed_game(loss: Loss, soft: bool, beta: Callable[[Turn], float]) -> Game:
    """Return the game of a line model and a critic that scores relaxed draws.

    The critic's `accuracy` is the proportion of pairs of a real line and a draw in which the real line scores higher.

    Args:
        loss: losses of both players.
        soft: whether rows are fed back, or their most likely symbols.
        beta: the inverse temperature at a turn.
    """

    def drawn(networks: Networks, real: Tensor, turn: Turn) -> Tensor:
        return generator_of(networks).relaxed(len(real), turn.random, beta(turn), soft)

    def generator(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        score = networks.require_critic()
        scores = score(drawn(networks, real, turn))  # [B]
        value = loss.generator(scores - score(real) if loss.relative else scores)
        return {"loss": value, "inverse_temperature": value.new_full((), beta(turn))}

    def critic(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        score = networks.require_critic()
        with torch.no_grad():
            rows = drawn(networks, real, turn)  # [B, L, V]
        real_scores, drawn_scores = score(real), score(rows)  # [B] each
        right = (real_scores > drawn_scores).float().mean()
        return {"loss": loss.critic(real_scores, drawn_scores), "accuracy": right}

    return Game(generator, critic)


def inverse_temperature(config: RelaxedSettings, turn: Turn) -> float:
    """Return the inverse temperature of relaxed draws at a player's turn in the adversarial phase."""
    steps = config.generator_steps if turn.player == "generator" else config.critic_steps
    return geometric(turn.n // steps, config.anneal_iterations, config.final_inverse_temperature)


def geometric(n: int, of: int, last: float) -> float:
    """Return last^(n / of), which goes from 1 at n = 0 to `last` at n = `of`, and stays there."""
    return float(last ** min(1.0, n / of))


RelaxedT = TypeVar("RelaxedT", bound=RelaxedSettings)


def _presets(words: RelaxedT, representations: int) -> Sequence[RelaxedT]:
    """Return the presets of a game: for two cores, and of RelGAN's sizes, for a GPU.

    The published critic's highway layer, dense layer and dropout are left out.

    Args:
        words: the two-core preset with two time scales.
        representations: parts of the full-size critic's embedding.
    """
    # Captions of COCO: 150 epochs of 10,000 lines, then 2,000 iterations.
    full = replace(
        words, preset=f"{words.model}-ttur", dim=512, seq_len=37, pretraining=23_400, pretraining_lr=1e-2,
        iterations=25_400, filters="relgan", representations=representations,
    )  # fmt: skip
    return (*_with_orig(words), *_with_orig(full)[:2])


def _with_orig(ttur: RelaxedT) -> tuple[RelaxedT, RelaxedT, RelaxedT]:
    return time_scales(ttur, orig_lr=ttur.generator_lr, orig_steps=5)


RELGAN_PRESETS = _presets(RelganSettings(), representations=64)
GSGAN_PRESETS = _presets(GsganSettings(), representations=1)
