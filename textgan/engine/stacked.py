"""One network in place of R networks of one shape: each weight [...] becomes [R, ...].

Row i of a batch belongs to network i mod R. A batch [N * R, C, H, W] is thus also N images of R * C channels, which
grouped convolutions take, and two concatenated batches keep the order. A mean over all rows is the mean of R means.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int] = (0, 0)) -> Tensor:
    """Return the convolution [B, C', H, W] of x [B, C, H, W] with weights [C', C, h, w], or with R stacked ones."""
    if weight.dim() == 4:
        return F.conv2d(x, weight, bias, padding=padding)
    bias = None if bias is None else bias.flatten()
    y = F.conv2d(_as_images(x, len(weight)), weight.flatten(0, 1), bias, padding=padding, groups=len(weight))
    return _as_rows(y, len(x))


def transposed_convolution(y: Tensor, weight: Tensor, padding: tuple[int, int] = (0, 0)) -> Tensor:
    """Return the transposed convolution [B, C, H, W] of y [B, C', H, W], without bias; weights as in `convolution`."""
    if weight.dim() == 4:
        return F.conv_transpose2d(y, weight, padding=padding)
    images, groups = _as_images(y, len(weight)), len(weight)
    return _as_rows(F.conv_transpose2d(images, weight.flatten(0, 1), padding=padding, groups=groups), len(y))


class StackedConv2d(nn.Module):
    """R convolutions of stride 1 as one grouped convolution: [N * R, C, H, W] to [N * R, C', H, W]."""

    def __init__(self, layer: nn.Conv2d, replicas: int) -> None:
        super().__init__()
        assert layer.stride == (1, 1) and layer.groups == 1 and layer.bias is not None
        assert not isinstance(layer.padding, str)
        self.padding = layer.padding[0], layer.padding[1]
        self.weight = _repeated(layer.weight, replicas)  # [R, C', C, h, w]
        self.bias = _repeated(layer.bias, replicas)  # [R, C']

    def forward(self, x: Tensor) -> Tensor:
        """Convolve each row by the weights of its network."""
        return convolution(x, self.weight, self.bias, self.padding)


class StackedLinear(nn.Module):
    """R linear layers: [N * R, C] to [N * R, C']."""

    def __init__(self, layer: nn.Linear, replicas: int) -> None:
        super().__init__()
        self.weight = _repeated(layer.weight, replicas)  # [R, C', C]
        self.bias = _repeated(layer.bias, replicas)  # [R, C']

    def forward(self, x: Tensor) -> Tensor:
        """Multiply each row by the weights of its network, and add the biases."""
        by_replica = x.reshape(-1, len(self.weight), x.shape[1]).transpose(0, 1)  # [R, N, C]
        y = torch.baddbmm(self.bias.unsqueeze(1), by_replica, self.weight.transpose(1, 2))  # [R, N, C']
        return y.transpose(0, 1).flatten(0, 1)


def stacked(network: nn.Module, replicas: int) -> nn.Module:
    """Return a network whose layers are R copies of a network's layers each, under the same names.

    All weights must be weights of convolutions and linear layers, and a row's output must depend on this row alone.
    """
    network = deepcopy(network)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d):
                setattr(parent, name, StackedConv2d(layer, replicas))
            elif isinstance(layer, nn.Linear):
                setattr(parent, name, StackedLinear(layer, replicas))
    return network


def _repeated(weight: Tensor, replicas: int) -> nn.Parameter:
    return nn.Parameter(torch.stack([weight.detach()] * replicas))


def _as_images(x: Tensor, replicas: int) -> Tensor:
    """Reshape [N * R, C, H, W] to [N, R * C, H, W]."""
    return x.reshape(-1, replicas * x.shape[1], *x.shape[2:])


def _as_rows(images: Tensor, rows: int) -> Tensor:
    """Reshape [N, R * C, H, W] to [N * R, C, H, W]."""
    return images.reshape(rows, -1, *images.shape[2:])
