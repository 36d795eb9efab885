"""A player: a network, its optimiser and its time scale (Heusel et al. 2017, arXiv 1706.08500)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from textgan.engine.schedules import Schedule, parse_schedule
from textgan.engine.settings import Settings


class NonFiniteError(Exception):
    """A loss or gradient became infinite or NaN; the networks' weights are no longer usable."""


@dataclass(frozen=True)
class Player:
    """A network, its optimiser and its time scale: a learning rate and a schedule.

    `average` is the EMA of the weights, updated after each update; None if the run has no EMA.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    learning_rate: float
    schedule: Schedule
    average: AveragedModel | None = None

    @property
    def sampler(self) -> nn.Module:
        """The network to draw samples from: the EMA of the weights if there is one."""
        return self.network if self.average is None else self.average.module

    def update(self, loss: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Take gradient step number n = 0, 1, ...; return the norms of the gradient and of the step taken."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * self.schedule(n)
        parameters = list(self.network.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        # Unlike backward(), this does not compute gradients of the other player's weights.
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            # In the memory layout of the weight, as backward() does: in another layout fused optimisers fail silently.
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        steps = [parameter.detach() - old for parameter, old in zip(parameters, before, strict=True)]
        return nn.utils.get_total_norm(gradients), nn.utils.get_total_norm(steps)


def weight_average(network: nn.Module, decay: float) -> AveragedModel | None:
    """Return an exponential moving average (EMA) of a network's weights; None for decay 0.

    `Player.update` updates it. It starts at the weights after the first update (Yazici et al. 2019, arXiv 1806.04498,
    on why it helps GANs).
    """
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class StepStats:
    """Losses and norms of a training step; with several critic updates, the values of the last one.

    Norms are Euclidean, over all parameters of a player. Values that were not computed are None.
    """

    critic_loss: float | None
    generator_loss: float | None
    gradient_penalty: float | None
    wasserstein: float | None
    critic_gradient_norm: float | None
    generator_gradient_norm: float | None
    critic_update_norm: float | None
    generator_update_norm: float | None


def read_stats(measured: Mapping[str, Tensor], iteration: int, also_finite: Sequence[Tensor] = ()) -> StepStats:
    """Copy the measured scalars from the device, in one transfer.

    Raises:
        NonFiniteError: a measured value, or one of `also_finite`, is infinite or NaN.
    """
    # The sum is finite only if all values are.
    total = torch.stack([*measured.values(), *also_finite]).sum()
    *values, summed = torch.stack([*measured.values(), total]).tolist()
    stats = dict(zip(measured, values, strict=True))
    if not math.isfinite(summed):
        wrong = [name for name, value in stats.items() if not math.isfinite(value)] or ["critic_loss"]
        raise NonFiniteError(f"iteration {iteration}: {', '.join(wrong)} not finite")
    return StepStats(**{field.name: stats.get(field.name) for field in fields(StepStats)})


def generator_player(config: Settings, network: nn.Module, device: torch.device) -> Player:
    """Return the generator's player, with rate, schedule and EMA from the settings."""
    average = weight_average(network.to(device), config.generator_ema)
    return _player(config, network, config.generator_lr, config.generator_schedule, 1, average)


def critic_player(config: Settings, network: nn.Module, device: torch.device) -> Player:
    """Return the critic's player, with rate and schedule from the settings."""
    network.to(device)
    return _player(config, network, config.critic_lr, config.critic_schedule, config.critic_steps, None)


def _player(
    config: Settings, network: nn.Module, rate: float, schedule: str, steps: int, average: AveragedModel | None
) -> Player:
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, betas=(config.beta1, config.beta2))
    updates = None if config.iterations is None else config.iterations * steps
    return Player(network, optimiser, rate, parse_schedule(schedule, updates), average)
