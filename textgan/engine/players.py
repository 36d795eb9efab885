"""A player: a network and its optimiser."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from textgan.engine.settings import Settings


class Player:
    """A network, its Adam optimiser, and the EMA of its weights (None if the run has none).

    Gradients and their application are separate, so that an update rule may combine gradients before it applies them.
    """

    def __init__(self, network: nn.Module, config: Settings, device: torch.device, ema: float = 0.0) -> None:
        self.network = network.to(device)
        self._ema = ema
        self._betas = config.beta1, config.beta2
        self._max_norm = config.max_gradient_norm
        self.new_average()
        self.new_optimiser()

    def new_average(self) -> None:
        """Begin a new EMA, at the present weights."""
        self.average = weight_average(self.network, self._ema)

    def new_optimiser(self) -> None:
        """Begin with a new optimiser: moments of one phase's loss must not steer the next phase."""
        self.optimiser = torch.optim.Adam(self.network.parameters())
        for group in self.optimiser.param_groups:
            group["betas"] = self._betas  # the constructor refuses negative ones

    @property
    def sampler(self) -> nn.Module:
        """The network to draw samples from: the EMA of the weights if there is one."""
        return self.network if self.average is None else self.average.module

    def gradients(self, loss: Tensor, second_order: bool = False) -> Sequence[Tensor]:
        """Return the gradients of a loss; unlike `backward`, this computes none of the other player's weights."""
        return torch.autograd.grad(loss, list(self.network.parameters()), create_graph=second_order)

    def apply(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        """Take an optimiser step along these gradients, clipped if the run clips them."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            # In the memory layout of the weight, as backward() does: in another layout fused optimisers fail silently.
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        if self._max_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._max_norm)
        self.optimiser.step()

    def update_average(self) -> None:
        """Move the EMA towards the present weights; `AveragedModel.update_parameters` would wait for the device."""
        if self.average is None:
            return
        averaged, network = self.average.module, self.network
        if not int(self.average.n_averaged):  # a counter on the CPU
            averaged.load_state_dict(network.state_dict())
        else:
            assert self.average.multi_avg_fn is not None
            self.average.multi_avg_fn(list(averaged.parameters()), list(network.parameters()), self.average.n_averaged)
            for buffer, present in zip(averaged.buffers(), network.buffers(), strict=True):
                buffer.copy_(present)
        self.average.n_averaged += 1


def weight_average(network: nn.Module, decay: float) -> AveragedModel | None:
    """Return an exponential moving average (EMA) of a network's weights; None for decay 0.

    `Player.update_average` updates it. It starts at the weights after the first update (Yazici et al. 2019, arXiv
    1806.04498, on why it helps GANs).
    """
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
