"""GAN losses as pure functions of critic scores, and gradient penalties."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.engine.settings import LossName


@dataclass(frozen=True)
class Loss:
    """The losses that critic and generator minimise.

    `critic(real_scores, fake_scores)` and `generator(fake_scores)` take scores [B] and return a scalar. If `relative`,
    the generator's loss takes the score of each fake sample minus the score of a real one.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    relative: bool = False


def wasserstein_critic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[D(fake)] - E[D(real)] (Arjovsky et al. 2017, arXiv 1701.07875)."""
    return fake_scores.mean() - real_scores.mean()


def wasserstein_generator(fake_scores: Tensor) -> Tensor:
    """-E[D(fake)]."""
    return -fake_scores.mean()


def cross_entropy_critic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """-E[log s(D(real))] - E[log(1 - s(D(fake)))], s the sigmoid function (Goodfellow et al. 2014, arXiv 1406.2661)."""
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def non_saturating_generator(fake_scores: Tensor) -> Tensor:
    """-E[log s(D(fake))], against vanishing gradients (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake_scores).mean()


def minimax_generator(fake_scores: Tensor) -> Tensor:
    """E[log(1 - s(D(fake)))], the minimax game (Goodfellow et al. 2014, equation 1)."""
    return -F.softplus(fake_scores).mean()


def least_squares_critic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[(D(real) - 1)^2] / 2 + E[D(fake)^2] / 2 (Mao et al. 2017, arXiv 1611.04076, equation 9)."""
    return ((real_scores - 1).square().mean() + fake_scores.square().mean()) / 2


def least_squares_generator(fake_scores: Tensor) -> Tensor:
    """E[(D(fake) - 1)^2] / 2."""
    return (fake_scores - 1).square().mean() / 2


def hinge_critic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))] (Lim & Ye 2017, arXiv 1705.02894)."""
    return F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()


def relativistic_critic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[softplus(-(D(real) - D(fake)))], each real sample paired with one fake sample (Huang et al. 2025, equation 2).

    The paper is "The GAN is dead; long live the GAN!" (arXiv 2501.05441), after Jolicoeur-Martineau 2018
    (arXiv 1807.00734).
    """
    return F.softplus(fake_scores - real_scores).mean()


WASSERSTEIN = Loss(wasserstein_critic, wasserstein_generator)
NON_SATURATING = Loss(cross_entropy_critic, non_saturating_generator)
MINIMAX = Loss(cross_entropy_critic, minimax_generator)
LEAST_SQUARES = Loss(least_squares_critic, least_squares_generator)
HINGE = Loss(hinge_critic, wasserstein_generator)
RELATIVISTIC = Loss(relativistic_critic, non_saturating_generator, relative=True)

LOSSES: Mapping[LossName, Loss] = {
    "non-saturating": NON_SATURATING,
    "minimax": MINIMAX,
    "least-squares": LEAST_SQUARES,
    "hinge": HINGE,
    "wasserstein": WASSERSTEIN,
    "relativistic": RELATIVISTIC,
}


@runtime_checkable
class PiecewiseLinear(Protocol):
    """A critic that is piecewise linear in its input."""

    def input_gradient(self, x: Tensor) -> Tensor:
        """Return the gradient [B, ...] of each score with respect to x [B, ...], differentiable in the weights."""


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """E[(||grad_x D(x)||_2 - 1)^2] at x = real + alpha (fake - real) (Gulrajani et al. 2017, equation 3).

    The second derivative of a piecewise linear critic in x is zero, so its gradient is computed without a graph of the
    forward pass, and the penalty without a second backward pass through it.

    Args:
        critic: maps samples [B, ...] to scores [B]; each score may depend on one sample only.
        real: samples [B, ...].
        fake: samples [B, ...], detached from the generator.
        alpha: one weight per sample [B], from U(0, 1).

    Returns:
        A scalar, differentiable in the critic's parameters. The norm is over all axes except the batch.
    """
    x = torch.lerp(real, fake, alpha.view(-1, *[1] * (real.dim() - 1)))  # [B, ...]
    if isinstance(critic, PiecewiseLinear):
        gradient = critic.input_gradient(x)  # [B, ...]
    else:
        (gradient,) = torch.autograd.grad(critic(x.requires_grad_()).sum(), x, create_graph=True)
    # 1e-12 keeps the square root differentiable if the gradient is zero.
    norm = (gradient.flatten(1).square().sum(dim=1) + 1e-12).sqrt()  # [B]
    return (norm - 1).square().mean()


def squared_gradient_norm(scores: Tensor, samples: Sequence[Tensor]) -> Tensor:
    """E[||grad_x D(x)||_2^2] / 2: R1 at real samples, R2 at fake ones (Mescheder et al. 2018, arXiv 1801.04406, eq. 9).

    Args:
        scores: the critic's scores [N] of these samples, and perhaps of others; each may depend on one sample only.
        samples: batches of samples x [B, ...], which require gradients.

    Returns:
        A scalar, differentiable in the critic's parameters: the sum over batches, without the paper's weight gamma.
    """
    gradients = torch.autograd.grad(scores.sum(), samples, create_graph=True)  # [B, ...] each
    return torch.stack([gradient.flatten(1).square().sum(dim=1).mean() / 2 for gradient in gradients]).sum()
