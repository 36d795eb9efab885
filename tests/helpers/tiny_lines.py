"""Tiny networks for games of lines in float64, and the comparison of a move with a plain loss."""

from collections.abc import Sequence
from itertools import pairwise, product

import torch
from torch import Tensor, nn

from textgan.engine.game import Move, Networks
from textgan.engine.updates import Turn
from textgan.models.common import initialise
from textgan.models.lines import LineModel

SYMBOLS, LENGTH = 4, 3


def tiny_networks(critic: nn.Module, seed: int = 9) -> Networks:
    """Return a line model over 4 symbols and 3 positions, far from uniform, and the critic, in float64."""
    networks = Networks(LineModel(SYMBOLS, LENGTH, dim=3).double(), critic.double())
    random = torch.Generator().manual_seed(seed)
    initialise(critic, random)
    with torch.no_grad():
        for weight in networks.generator.parameters():
            weight.normal_(generator=random)
        for weight in critic.parameters():
            weight.mul_(3)
    return networks


def every_line() -> Tensor:
    """Return all lines [N, 3] over 4 symbols: only padding follows padding."""
    lines = product(range(SYMBOLS), repeat=LENGTH)
    return torch.tensor([line for line in lines if all(b == 0 for a, b in pairwise(line) if a == 0)])


def some_lines(count: int) -> Tensor:
    """Return lines [count, 3] of several lengths, as real ones."""
    every = every_line()
    return every[torch.randint(len(every), (count,), generator=torch.Generator().manual_seed(3))]


def turn(player: str = "generator", seed: int = 2) -> Turn:
    """Return a player's turn with random numbers from a seed."""
    return Turn(player, 0, None, torch.Generator().manual_seed(seed))


def gradients(loss: Tensor, network: nn.Module) -> Tensor:
    """Return all gradients of a loss by a network's weights as one vector; 0 where the loss does not depend on them."""
    found = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found])


def assert_loss(move: Move, networks: Networks, real: Tensor, plain: Tensor, wrong: Sequence[Tensor]) -> None:
    """Assert that a generator's move has the value and gradient of a plain loss, and of none that is wrong."""
    loss = move(networks, real, turn())["loss"]
    assert loss.dtype == torch.float64
    assert torch.allclose(loss, plain, rtol=0, atol=1e-12)
    ours = gradients(loss, networks.generator)
    assert torch.allclose(ours, gradients(plain, networks.generator), rtol=0, atol=1e-12)
    for each in wrong:
        assert not torch.allclose(ours, gradients(each, networks.generator), atol=1e-3)
    assert not gradients(loss, networks.require_critic()).any()  # no gradient reaches the critic
