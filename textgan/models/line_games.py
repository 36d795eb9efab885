"""What games of lines share: the types of their players, and losses of likelihood and of the critic."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.engine.game import Networks
from textgan.engine.updates import Turn
from textgan.models.lines import LineModel, in_line


def generator_of(networks: Networks) -> LineModel:
    """Return the generator of a game of lines."""
    assert isinstance(networks.generator, LineModel)
    return networks.generator


def negative_log_likelihood(model: LineModel, ids: Tensor) -> Tensor:
    """Return the mean of -log p(x_t | x_<t) over the symbols and ends of lines [B, L], in nats."""
    return -model.log_probs(ids).sum() / in_line(ids).sum()


def cross_entropy(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    """Return -log D(real) - log(1 - D(drawn)), the critic's loss on lines [B, L] (Goodfellow et al. 2014, eq. 1).

    D is the logistic function of the critic's score. `accuracy` is the share of lines on the right side of D = 1/2.
    """
    drawn = generator_of(networks).draw(len(real), turn.random)
    real_scores, drawn_scores = networks.require_critic()(torch.cat([real, drawn])).chunk(2)  # [B] each
    right = torch.cat([real_scores > 0, drawn_scores < 0]).float().mean()
    return {"loss": F.softplus(-real_scores).mean() + F.softplus(drawn_scores).mean(), "accuracy": right}
