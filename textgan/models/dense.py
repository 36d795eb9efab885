"""A reward for every symbol: a critic scores each prefix of a line, and REINFORCE follows discounted returns.

ScratchGAN (de Masson d'Autume et al. 2019, arXiv 1905.09922, section 3) rewards 2 D - 1 and learns from random
weights, with large batches and a critic 98 times as fast as the generator. The GAN of "Language GANs Falling Short"
(Caccia et al. 2020, arXiv 1811.02549) rewards log D after maximum likelihood, with many critic updates.

Both use learned or moving baselines; here the baseline of a line is the mean return of the other lines of the batch.
Dropout, L2 penalties and pretrained embeddings are left out. Padding after the end of a line has no reward; the
published ScratchGAN counts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from data.errors import InputError
from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.updates import Turn
from textgan.models.critics import PrefixCritic
from textgan.models.estimators import Reward, log_probability, reinforce, returns
from textgan.models.likelihood import pretraining
from textgan.models.line_games import cross_entropy, generator_of
from textgan.models.line_settings import LineGanSettings, line_model, time_scales
from textgan.models.lines import in_line


def signed_probability(logit: Tensor) -> Tensor:
    """2 D - 1, between -1 and 1 (ScratchGAN)."""
    return (logit / 2).tanh()


RewardName = Literal["signed-probability", "log-probability"]
_REWARDS: Mapping[RewardName, Reward] = {
    "signed-probability": signed_probability, "log-probability": log_probability,
}  # fmt: skip


@dataclass(frozen=True)
class DenseSettings(LineGanSettings):
    """Settings of a game with a reward per symbol. The defaults are the preset `scratchgan-words-ttur`."""

    preset: str = "scratchgan-words-ttur"
    model: Literal["dense"] = "dense"
    generator_lr: float = 1e-4
    critic_lr: float = 1e-2
    beta1: float = 0.5
    pretraining: int = 0
    reward: RewardName = "signed-probability"
    """Reward of a symbol, from the critic's probability D that the line up to it is real: 2 D - 1, or log D."""
    gamma: float = 0.23
    """Discount of later rewards per symbol; 0: a symbol is rewarded by its own prefix alone."""

    minimums: ClassVar[Mapping[str, int]] = {**LineGanSettings.minimums, "batch_size": 2}

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if not 0 <= self.gamma <= 1:
            raise InputError(f"--gamma {self.gamma}: must be at least 0 and at most 1")


def networks(config: DenseSettings, vocabulary_size: int) -> Networks:
    """Return a line model and a critic of prefixes, with uninitialised weights."""
    return Networks(line_model(config, vocabulary_size), PrefixCritic(vocabulary_size, config.dim))


def phases(config: DenseSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: maximum likelihood, if any, then the game."""
    return gan_phases(config, dense(_REWARDS[config.reward], config.gamma), pretraining(config))


def dense(reward: Reward, gamma: float) -> Game:
    """Return the game of a line model and a critic of prefixes.

    The generator's loss is the mean over drawn lines of -sum_t log g(y_t | y_<t) (R_t - b_t), where R_t is the sum over
    s >= t of gamma^(s - t) reward_s and b_t the mean R_t of the other lines. `reward` is logged as a mean over symbols.

    Args:
        reward: reward of a symbol as a function of the critic's logit.
        gamma: discount of later rewards per symbol.
    """

    def generator(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        drawn = generator_of(networks).draw(len(real), turn.random)  # [B, L]
        with torch.no_grad():
            rewards = reward(networks.require_critic()(drawn)) * in_line(drawn)
        loss = reinforce(generator_of(networks).log_probs(drawn), returns(rewards, gamma))
        return {"loss": loss, "reward": rewards.sum() / in_line(drawn).sum()}

    return Game(generator, cross_entropy)


_SCRATCHGAN = DenseSettings()
_FALLING_SHORT = replace(
    _SCRATCHGAN, preset="falling-short-words-ttur", critic_lr=3e-3, pretraining=780, critic_warm_up=100,
    reward="log-probability", gamma=0.95,
)  # fmt: skip
# Sizes and rates of the published code, for news. Falling Short's 40 epochs of each player are of news too.
_SCRATCHGAN_FULL = replace(
    _SCRATCHGAN, preset="scratchgan-ttur", generator_lr=9.59e-5, critic_lr=9.38e-3, batch_size=512, dim=512, layers=2,
    seq_len=52, vocabulary_size=20_000,
)  # fmt: skip
_FALLING_SHORT_FULL = replace(
    _FALLING_SHORT, preset="falling-short-ttur", generator_lr=5e-4, critic_lr=5e-3, batch_size=512, dim=512,
    seq_len=51, vocabulary_size=5697, pretraining=20_000, critic_warm_up=1000,
)  # fmt: skip

PRESETS = (
    *time_scales(_SCRATCHGAN, orig_lr=1e-4, orig_steps=20),
    *time_scales(_FALLING_SHORT, orig_lr=1e-4, orig_steps=20),
    *time_scales(_SCRATCHGAN_FULL, orig_lr=9.59e-5, orig_steps=20)[:2],
    *time_scales(_FALLING_SHORT_FULL, orig_lr=1e-4, orig_steps=20)[:2],
)
