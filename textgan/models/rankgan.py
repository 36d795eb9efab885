"""RankGAN: a critic ranks a line among others by likeness to real lines (Lin et al. 2017, arXiv 1705.11001).

The critic maps lines to features f. The log rank of a line y among other lines C is a mean over references u, which are
real lines:

    log R(y | C) = mean over u of log (s(y, u) / (s(y, u) + the sum over c in C of s(c, u))),

with s(y, u) = exp(scale * cos(f(y), f(u))). The critic maximises the log rank of real lines among drawn ones minus the
log rank of drawn lines among real ones. The generator's reward is the log rank of a drawn line among real ones, and
prefixes have values by completions, as SeqGAN's.

The published code rewards by a softmax over the drawn lines of a batch, so that these compete with one another; here a
drawn line is compared with real lines alone. Dropout and highway layer are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from data.errors import InputError
from textgan.engine.game import Game, Networks
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.updates import Turn
from textgan.models.critics import CnnFeatures
from textgan.models.estimators import reinforce
from textgan.models.likelihood import pretraining
from textgan.models.line_games import generator_of, prefix_values
from textgan.models.line_settings import FILTERS, RolloutSettings, line_model
from textgan.models.seqgan import presets_of


@dataclass(frozen=True)
class RankGanSettings(RolloutSettings):
    """Settings of RankGAN. The defaults are the preset `rankgan-words-ttur`."""

    preset: str = "rankgan-words-ttur"
    model: Literal["rankgan"] = "rankgan"
    references: int = 16
    """Lines of a batch of real lines that are references; the others are compared with drawn lines."""
    rank_scale: float = 1.0
    """Factor of the cosines between features of lines and references, before the softmax over compared lines."""

    minimums: ClassVar[Mapping[str, int]] = {**RolloutSettings.minimums, "references": 1}
    positive: ClassVar[tuple[str, ...]] = (*RolloutSettings.positive, "rank_scale")

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.references >= self.batch_size:
            raise InputError(f"--references {self.references}: must be smaller than --batch-size {self.batch_size}")


def networks(config: RankGanSettings, vocabulary_size: int) -> Networks:
    """Return a line model and a critic without a score, with uninitialised weights."""
    critic = CnnFeatures(vocabulary_size, config.critic_dim, FILTERS[config.filters])
    return Networks(line_model(config, vocabulary_size), critic)


def phases(config: RankGanSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: maximum likelihood, the critic's warm-up, then the game."""
    game = rankgan(config.references, config.rank_scale, config.rollouts)
    return gan_phases(config, game, pretraining(config))


def log_ranks(lines: Tensor, others: Tensor, references: Tensor, scale: float) -> Tensor:
    """Return the log rank [N] of each line among itself and others, the mean over references.

    Args:
        lines: features [N, F] of the lines.
        others: features [C, F] of the lines that each of them is compared with.
        references: features [U, F].
        scale: factor of the cosines.
    """
    to = scale * F.normalize(references).T  # [F, U]
    against = (F.normalize(others) @ to).logsumexp(dim=0)  # [U]
    return F.logsigmoid(F.normalize(lines) @ to - against).mean(dim=1)


def rankgan(references: int, scale: float, rollouts: int) -> Game:
    """Return the game of a line model and a critic that maps lines to features.

    The generator's loss is SeqGAN's with the log rank as reward; `reward` is logged as a mean over drawn lines. The
    critic's `accuracy` is the proportion of pairs of a real and a drawn line in which the real one has the higher log
    rank among the lines of the other kind.

    Args:
        references: number of real lines that are references; the others are compared with drawn lines.
        scale: factor of the cosines.
        rollouts: number of completions per prefix.
    """

    def generator(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        model, features = generator_of(networks), networks.require_critic()
        with torch.no_grad():
            to, among = features(real).tensor_split([references])  # [U, F], [C, F]
        drawn = model.draw(len(real), turn.random)  # [B, L]
        values = prefix_values(
            model, lambda lines: log_ranks(features(lines), among, to, scale), drawn, rollouts, turn.random
        )
        return {"loss": reinforce(model.log_probs(drawn), values), "reward": values[:, -1].mean()}

    def critic(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        drawn = generator_of(networks).draw(len(real) - references, turn.random)
        features = networks.require_critic()(torch.cat([real, drawn]))
        to, of_real, of_drawn = features.tensor_split([references, len(real)])
        real_ranks, drawn_ranks = log_ranks(of_real, of_drawn, to, scale), log_ranks(of_drawn, of_real, to, scale)
        return {"loss": drawn_ranks.mean() - real_ranks.mean(), "accuracy": (real_ranks > drawn_ranks).float().mean()}

    return Game(generator, critic)


PRESETS = presets_of(RankGanSettings())
