"""The peer of the bench takes the step of our WGAN-GP: equal losses and gradients from equal weights and noise."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.trainers import BATCH, LATENT, LENGTH, SYMBOLS, WEIGHT, a_trainer
from textgan.engine.game import adversarial_game
from textgan.engine.losses import WASSERSTEIN
from textgan.engine.updates import Turn
from textgan.models.common import one_hot
from textgan.runs.peers import wgan_gp as peer

DIM = 4


def in_peers_layout(name: str, tensor: Tensor) -> Tensor:
    """Features are [L, dim] in our linear layers and [dim, L] in the peer's; its convolutions have one axis."""
    if name.startswith("project"):
        return tensor.view(LENGTH, DIM, -1).transpose(0, 1).reshape(LENGTH * DIM, -1).view(tensor.shape)
    if name == "to_score.weight":
        return tensor.view(LENGTH, DIM).T.reshape(1, -1)
    return tensor.squeeze(2) if tensor.dim() == 4 else tensor


def translated(network: nn.Module, tensors: list[Tensor]) -> list[Tensor]:
    return [
        in_peers_layout(name, tensor) for (name, _), tensor in zip(network.named_parameters(), tensors, strict=True)
    ]


def one_axis_penalty(critic: nn.Module, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """Wrong, as in a port in wide use: the norm over the symbols of each position."""
    x = (real + alpha * (fake - real)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    penalty: Tensor = ((gradient.norm(dim=1) - 1) ** 2).mean()
    return penalty


def worst_differences(monkeypatch: pytest.MonkeyPatch, inplace: bool = False) -> dict[str, float]:
    """Return the largest difference of losses and of gradients between both steps, per player."""
    random = torch.Generator().manual_seed(5)
    networks = a_trainer().networks
    pairs = {
        "generator": (networks.generator, peer.Generator(SYMBOLS, LENGTH, DIM, LATENT).double()),
        "critic": (networks.require_critic(), peer.Critic(SYMBOLS, LENGTH, DIM).double()),
    }
    for ours, theirs in pairs.values():
        for parameter in ours.parameters():
            nn.init.normal_(parameter, std=0.3, generator=random)
        weights = translated(ours, [parameter.detach() for parameter in ours.parameters()])
        for to, weight in zip(theirs.parameters(), weights, strict=True):
            to.data.copy_(weight)
    generator, critic = pairs["generator"][1], pairs["critic"][1]
    assert isinstance(generator, peer.Generator)
    assert isinstance(critic, peer.Critic)
    for block in [*generator.blocks, *critic.blocks]:
        block.layers[0].inplace = inplace
    z = torch.randn(BATCH, LATENT, generator=random, dtype=torch.float64)
    ids = torch.randint(SYMBOLS, (BATCH, LENGTH), generator=random)
    encode = partial(one_hot, like=torch.zeros(SYMBOLS, 1, dtype=torch.float64))
    game = adversarial_game(WASSERSTEIN, WEIGHT, lambda *_: z, True, encode)
    alpha = torch.rand(BATCH, generator=random.manual_seed(9), dtype=torch.float64)
    moves = {"generator": game.generator, "critic": game.critic}

    losses: dict[str, float] = {}
    backward = Tensor.backward
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randn", lambda *_, **__: z)
        patch.setattr(torch, "rand", lambda *_, **__: alpha.view(-1, 1, 1))
        patch.setattr(Tensor, "backward", recorded(losses, backward))
        still = [torch.optim.SGD(network.parameters(), lr=0.0) for network in (generator, critic)]
        peer.train_step(generator, critic, still, [ids], WEIGHT)
    differences: dict[str, float] = {}
    for player, (ours, theirs) in pairs.items():
        move = moves[player]
        assert move is not None
        loss = move(networks, ids, Turn(player, 1, None, random.manual_seed(9)))["loss"]
        gradients = translated(ours, list(torch.autograd.grad(loss, list(ours.parameters()))))
        of_peer = [parameter.grad for parameter in theirs.parameters() if parameter.grad is not None]
        worst = max((g - p).abs().max().item() for g, p in zip(gradients, of_peer, strict=True))
        differences[player] = max(worst, abs(loss.item() - losses[player]))
    return differences


def recorded(losses: dict[str, float], backward: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    """Return `backward` that also keeps the loss: the generator's first, then the critic's."""

    def call(loss: Tensor) -> None:
        losses["critic" if losses else "generator"] = loss.item()
        backward(loss)

    return call


def test_the_peer_takes_our_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(worst_differences(monkeypatch).values()) < 1e-10


def test_wrong_peers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # An in-place ReLU on the skip connection makes it relu(x).
    assert min(worst_differences(monkeypatch, inplace=True).values()) > 1e-3
    monkeypatch.setattr(peer, "gradient_penalty", one_axis_penalty)
    assert worst_differences(monkeypatch)["critic"] > 1e-3
