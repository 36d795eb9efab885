"""What games of lines share: types of players, losses of likelihood and critic, the CNN critic, values of prefixes."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.engine.game import Networks
from textgan.engine.updates import Turn
from textgan.models.critics import TextCnn
from textgan.models.line_settings import FILTERS, CnnCriticSettings, line_model
from textgan.models.lines import LineModel, in_line


def generator_of(networks: Networks) -> LineModel:
    """Return the generator of a game of lines."""
    assert isinstance(networks.generator, LineModel)
    return networks.generator


def critic_model_of(networks: Networks) -> LineModel:
    """Return the critic of a game in which it is a line model: the mediator of CoT, the critic of DPGAN."""
    assert isinstance(networks.critic, LineModel)
    return networks.critic


def negative_log_likelihood(model: LineModel, ids: Tensor) -> Tensor:
    """Return the mean of -log p(x_t | x_<t) over the symbols and ends of lines [B, L], in nats."""
    return -model.log_probs(ids).sum() / in_line(ids).sum()


def cnn_networks(config: CnnCriticSettings, vocabulary_size: int) -> Networks:
    """Return a line model and a CNN critic, with uninitialised weights."""
    critic = TextCnn(vocabulary_size, config.critic_dim, FILTERS[config.filters])
    return Networks(line_model(config, vocabulary_size), critic)


def cross_entropy(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    """Return the critic's mean of -log D(real) and -log(1 - D(drawn)), times two (Goodfellow et al. 2014, eq. 1).

    D is the logistic function of the critic's scores: of whole lines, [B], or of every prefix, [B, L], up to the ends
    of lines. Real and drawn prefixes share one denominator, so that the best critic is D = d / (d + g) even if the
    generator's lines are longer than real ones. `accuracy` is the share of scores on the right side of D = 1/2.
    """
    lines = torch.cat([real, generator_of(networks).draw(len(real), turn.random)])  # [2 B, L]
    real_scores, drawn_scores = networks.require_critic()(lines).chunk(2)
    signed = torch.cat([real_scores, -drawn_scores])  # positive on the right side
    counted = in_line(lines) if signed.dim() == 2 else torch.ones_like(signed, dtype=torch.bool)
    total = counted.sum()
    loss = 2 * (F.softplus(-signed) * counted).sum() / total
    return {"loss": loss, "accuracy": ((signed > 0) & counted).sum() / total}


@torch.no_grad()
def prefix_values(
    model: LineModel, worth: Callable[[Tensor], Tensor], drawn: Tensor, rollouts: int, random: torch.Generator
) -> Tensor:
    """Return the value Q_t [B, L] of each prefix of drawn lines [B, L]: the mean reward of its completions.

    Prefixes of a line that has ended, and the whole line, have the reward of the line.

    Args:
        model: the generator, which completes prefixes.
        worth: returns the rewards [N] of lines [N, L].
        drawn: lines of the generator.
        rollouts: number of completions per prefix; 0: every prefix has the reward of the whole line.
        random: source of the completions.
    """
    whole = worth(drawn)  # [B]
    if not rollouts:
        return whole.unsqueeze(1).expand(drawn.shape)
    completed = model.rollouts(drawn, rollouts, random)  # [L - 1, N, B, L]
    means = [worth(lines.flatten(0, 1)).view(rollouts, -1).mean(dim=0) for lines in completed]
    return torch.stack([*means, whole], dim=1)
