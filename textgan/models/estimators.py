"""Gradient estimators of sequence GANs: REINFORCE with leave-one-out baselines, returns, rewards of a logit."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Reward = Callable[[Tensor], Tensor]


def leave_one_out(rewards: Tensor) -> Tensor:
    """Return a baseline for rewards [B, ...]: the mean reward of the other lines of the batch, position by position.

    It does not depend on the line itself, so the estimator stays unbiased, and needs no state.
    """
    return (rewards.sum(dim=0) - rewards) / (len(rewards) - 1)


def reinforce(log_probs: Tensor, rewards: Tensor) -> Tensor:
    """Return a loss whose gradient estimates that of minus the expected reward (Williams 1992).

    Args:
        log_probs: log-probabilities [B, L] of drawn lines, 0 after their ends.
        rewards: reward [B, L] of each symbol, 0 after the end of a line.
    """
    return -(log_probs * (rewards - leave_one_out(rewards)).detach()).sum(dim=1).mean()


def returns(rewards: Tensor, gamma: float) -> Tensor:
    """Return the discounted sums R_t = r_t + gamma R_t+1 of rewards [B, L], which are 0 after the end of a line."""
    sums = [torch.zeros_like(rewards[:, 0])]
    for reward in rewards.flip(1).unbind(1):
        sums.append(reward + gamma * sums[-1])
    return torch.stack(sums[:0:-1], dim=1)


# With D = sigmoid(logit) of the best critic, expected rewards are divergences between the densities g of generator and
# d of data, m = (g + d) / 2; tests/textgan/test_estimators.py enumerates them.


def probability(logit: Tensor) -> Tensor:
    """D (SeqGAN, Yu et al. 2017, arXiv 1609.05473): the gradient of KL(d || m)."""
    return logit.sigmoid()


def log_probability(logit: Tensor) -> Tensor:
    """log D (de Masson d'Autume et al. 2019, arXiv 1905.09922, use 2 D - 1; Caccia et al. 2020, 1811.02549, log D)."""
    return F.logsigmoid(logit)


def minus_log_fake(logit: Tensor) -> Tensor:
    """-log(1 - D): the gradient of 2 JSD."""
    return F.softplus(logit)


def identity(logit: Tensor) -> Tensor:
    """The logit, log D / (1 - D): the gradient of KL(g || d)."""
    return logit


def odds(logit: Tensor) -> Tensor:
    """D / (1 - D) (MaliGAN, Che et al. 2017, arXiv 1702.07983): the gradient of KL(d || g), maximum likelihood."""
    return logit.exp()


def importance(logits: Tensor) -> Tensor:
    """Return MaliGAN's weights [B] of drawn lines, of sum 0: odds of critic's logits [B] over their sum, minus 1 / B.

    Che et al. 2017, arXiv 1702.07983, algorithm 1, with the constant baseline 1 / B.
    """
    return (logits.softmax(dim=0) - 1 / len(logits)).detach()
