"""SeqGAN: a critic of whole lines, and REINFORCE with completions (Yu et al. 2017, arXiv 1609.05473).

A symbol is worth the mean reward of N completions of the line up to it (equation 4), the last one the reward of the
line. The paper's reward is D. With the best critic, the reward decides which divergence between the densities d of data
and g of generator the game descends on, with m = (d + g) / 2:

    probability      D               KL(d || m)
    minus-log-fake   -log(1 - D)     2 JSD(d, g)
    logit            log D / (1 - D) KL(g || d)
    odds             D / (1 - D)     KL(d || g), as maximum likelihood

Unlike the published code, whose delayed copy of the generator never takes effect, the generator completes its own
lines; the loss is a mean over lines, and the other lines of the batch give a baseline. Dropout, highway layer and L2
penalty are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from torch import Tensor

from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.updates import Turn
from textgan.models.estimators import Reward, identity, minus_log_fake, odds, probability, reinforce
from textgan.models.likelihood import pretraining
from textgan.models.line_games import cnn_networks, cross_entropy, generator_of, prefix_values
from textgan.models.line_settings import RolloutSettings, time_scales

RewardName = Literal["probability", "minus-log-fake", "logit", "odds"]
_REWARDS: Mapping[RewardName, Reward] = {
    "probability": probability, "minus-log-fake": minus_log_fake, "logit": identity, "odds": odds,
}  # fmt: skip


@dataclass(frozen=True)
class SeqGanSettings(RolloutSettings):
    """Settings of SeqGAN. The defaults are the preset `seqgan-words-ttur`."""

    preset: str = "seqgan-words-ttur"
    model: Literal["seqgan"] = "seqgan"
    reward: RewardName = "probability"
    """Reward of a line, from the critic's probability D that it is real: D, -log(1 - D), log D/(1 - D) or D/(1 - D)."""


RolloutT = TypeVar("RolloutT", bound=RolloutSettings)

networks = cnn_networks


def phases(config: SeqGanSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: maximum likelihood, the critic's warm-up, then the game."""
    return gan_phases(config, seqgan(_REWARDS[config.reward], config.rollouts), pretraining(config))


def seqgan(reward: Reward, rollouts: int) -> Game:
    """Return the game of a line model and a critic of whole lines.

    The generator's loss is the mean over drawn lines of -sum_t log g(y_t | y_<t) (Q_t - b_t), where Q_t is the value of
    the first t symbols and b_t the mean Q_t of the other lines. `reward` is logged as a mean over drawn lines.

    Args:
        reward: reward of a line as a function of the critic's logit.
        rollouts: number of completions per prefix.
    """

    def generator(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        model, critic = generator_of(networks), networks.require_critic()
        drawn = model.draw(len(real), turn.random)  # [B, L]
        values = prefix_values(model, lambda lines: reward(critic(lines)), drawn, rollouts, turn.random)
        return {"loss": reinforce(model.log_probs(drawn), values), "reward": values[:, -1].mean()}

    return Game(generator, cross_entropy)


def presets_of(words: RolloutT) -> Sequence[RolloutT]:
    """Return the presets of a game with SeqGAN's sizes: for two cores, and on the oracle as in the published code.

    The published code runs 120 epochs of maximum likelihood, then 200 iterations with 4,680 critic updates each (15
    epochs of 20,000 lines), after 10 iterations of the critic alone.

    Args:
        words: the two-core preset with two time scales.
    """
    orig = replace(
        words, preset=f"{words.model}-orig", data="oracle", dim=32, generator_lr=1e-2, pretraining_lr=1e-2,
        critic_lr=1e-4, critic_steps=4680, critic_warm_up=10, filters="seqgan", rollouts=16, pretraining=18_720,
        iterations=18_930, eval_every=30,
    )  # fmt: skip
    ttur = replace(
        orig, preset=f"{words.model}-ttur", generator_lr=1e-3, critic_lr=3e-3, critic_steps=1, critic_warm_up=1000,
        iterations=200_000, eval_every=100,
    )  # fmt: skip
    return (*time_scales(words, orig_lr=1e-4, orig_steps=15), ttur, orig)


PRESETS = presets_of(SeqGanSettings())
