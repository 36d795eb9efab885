"""Gradient estimators of sequence GANs: REINFORCE with leave-one-out baselines, returns, rewards of a critic's logit.

Also the losses of games whose generator learns from densities (CoT, JSDGAN) or from features (TextGAN).
"""

import math
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


def jsd_weights(log_g: Tensor, count: int) -> Tensor:
    """Return the weights [B] of JSDGAN, proportional to g(x) log(1 + d(x) / g(x)) (Li et al. 2019, PMLR 89).

    The gradient of JSD(g, d) is minus half the sum of g(x) log(1 + d(x) / g(x)) grad log g(x) over the lines x of the
    data. Probabilities of whole lines underflow, so the weights of a batch are normalised, which divides the batch's
    gradient by their sum.

    Args:
        log_g: log-probabilities [B] of lines of the data.
        count: number N of lines in the data, each of which has the probability d(x) = 1 / N.
    """
    log_g = log_g.detach()
    return (log_g + F.softplus(-math.log(count) - log_g).log()).softmax(dim=0)


def cot_loss(generator: Tensor, mediator: Tensor, mask: Tensor, drawn: Tensor | None = None) -> Tensor:
    """Return the sum over t of KL(G_t || M_t), the mean over drawn lines (Lu et al. 2019, arXiv 1804.03782).

    G_t and M_t are the distributions of symbol t given the symbols before it. As published, the loss has no gradient
    through the draws of these symbols, so its gradient is not that of KL(g || m).

    Args:
        generator: log-probabilities [B, L, V] of the generator, along lines that it has drawn.
        mediator: log-probabilities [B, L, V] of the mediator, along the same lines.
        mask: positions [B, L] of symbols and ends of lines.
        drawn: log-probabilities [B, L] of the drawn symbols; with them the gradient is unbiased: REINFORCE adds the
            gradient of each symbol's effect on the later divergences.
    """
    divergences = (generator.exp() * (generator - mediator.detach())).sum(dim=-1) * mask  # [B, L]
    loss = divergences.sum(dim=1).mean()
    if drawn is None:
        return loss
    later = returns(divergences, 1.0) - divergences
    return loss + reinforce(drawn, -later)


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


def gaussian_mmd2(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """Return the squared MMD of two sets of vectors [N, F] and [M, F] (Gretton et al. 2012, JMLR 13, equation 5).

    Means run over all pairs, each vector with itself among them, so the estimate is biased upwards and never negative.

    Args:
        x: vectors [N, F].
        y: vectors [M, F].
        bandwidth: sigma of the kernel k(a, b) = exp(-|a - b|^2 / (2 sigma^2)).
    """
    both = torch.cat([x, y])
    both = both - both.mean(dim=0)  # the distances stay, and lose fewer digits below
    squares = both.square().sum(dim=1)
    # Not torch.cdist, whose square root has no gradient at distance 0.
    distances = (squares.unsqueeze(1) + squares - 2 * both @ both.T).clamp_min(0)
    kernel = (-distances / (2 * bandwidth**2)).exp()
    share = torch.cat([x.new_full((len(x),), 1 / len(x)), x.new_full((len(y),), -1 / len(y))])
    return share @ kernel @ share
