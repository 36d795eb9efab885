"""The peers of images play our games: equal losses and gradients by equal weights, images and noise, in float64."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from images import dcgan, peer, residual
from images.config import PRESETS, ImageConfig
from images.train import build_trainer
from textgan.engine.game import Networks, adversarial_game
from textgan.engine.losses import LOSSES
from textgan.engine.updates import Turn

CPU = torch.device("cpu")
GAMES = ("quickstart", "ttur-small", "wgan-gp-cifar10-ttur")
Loss = Callable[[nn.Module, nn.Module, Tensor, ImageConfig], Tensor]


def tiny(preset: str) -> ImageConfig:
    return replace(PRESETS[preset], size=32, dim=2, latent_dim=5, batch_size=4)


def in_peers_order(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of our networks in the order of the peer's."""
    if isinstance(network, dcgan.Generator):
        yield network.project
        for pair in zip(network.norms, network.doublings, strict=True):
            yield from pair
    elif isinstance(network, dcgan.Critic):
        for pair in zip(network.halvings, network.norms, strict=True):
            yield from pair
        yield network.to_score
    else:
        for name, layer in network.named_children():
            blocks = layer if name == "blocks" and isinstance(layer, nn.Sequential) else [layer]
            for block in blocks:
                if isinstance(block, residual.UpBlock | residual.DownBlock):
                    yield from (block.first_norm, block.first, block.second_norm, block.second, block.shortcut)
                else:
                    yield block


def weights_of(network: nn.Module) -> list[nn.Parameter]:
    return [weight for layer in in_peers_order(network) for weight in layer.parameters()]


def worst_difference(config: ImageConfig, player: str, loss: Loss, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the largest difference between the peer's loss or gradients of a player and ours."""
    ours = build_trainer(config, CPU).networks
    dcgan_game = config.model == "dcgan"
    theirs = {
        "generator": (peer.dcgan_generator if dcgan_game else peer.residual_generator)(config).double(),
        "critic": (peer.dcgan_critic if dcgan_game else peer.residual_critic)(config).double(),
    }
    random = torch.Generator().manual_seed(4)
    for name, network in theirs.items():
        own = weights_of(vars(ours)[name].double())
        for weight, to in zip(own, network.parameters(), strict=True):
            nn.init.normal_(weight, std=0.2, generator=random)
            to.data.copy_(weight)
    z = torch.randn(4, 5, generator=random, dtype=torch.float64)
    real = torch.rand(4, 3, 32, 32, generator=random, dtype=torch.float64) * 2 - 1
    game = adversarial_game(
        LOSSES[config.loss], config.penalty_weight, lambda *_: z, not dcgan_game, penalty=config.penalty
    )
    move = game.generator if player == "generator" else game.critic
    assert move is not None
    value = move(Networks(ours.generator, ours.critic), real, Turn(player, 0, None, random.manual_seed(9)))["loss"]
    alpha = torch.rand(4, generator=random.manual_seed(9), dtype=torch.float64)
    with monkeypatch.context() as patch:
        patch.setattr(peer, "draw", lambda generator, _real, _config: generator(z))
        patch.setattr(torch, "rand", lambda *size, **_: alpha.view(size))
        of_peer = loss(theirs["generator"], theirs["critic"], real, config)
    found = torch.autograd.grad(value, weights_of(vars(ours)[player]))
    expected = torch.autograd.grad(of_peer, list(theirs[player].parameters()))
    assert max(gradient.abs().max() for gradient in found) > 1e-3
    differences = [(a - b).abs().max().item() for a, b in zip(found, expected, strict=True)]
    return max([abs(value.item() - of_peer.item()), *differences])


def loss_of(config: ImageConfig, player: str) -> Loss:
    if config.model == "dcgan":
        return peer.dcgan_loss if player == "generator" else peer.dcgan_critic_loss
    return peer.wgan_gp_loss if player == "generator" else peer.wgan_gp_critic_loss


@pytest.mark.parametrize("player", ["generator", "critic"])
@pytest.mark.parametrize("preset", GAMES)
def test_a_peer_has_our_losses_and_gradients(preset: str, player: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(preset)
    # Our penalty adds 1e-12 under a square root.
    assert worst_difference(config, player, loss_of(config, player), monkeypatch) < 1e-8


def test_wrong_peers_have_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in ("quickstart", "wgan-gp-cifar10-ttur"):
        config = tiny(preset)
        right = loss_of(config, "critic")

        def heavier(
            generator: nn.Module, critic: nn.Module, real: Tensor, config: ImageConfig, right: Loss = right
        ) -> Tensor:
            return right(generator, critic, real, replace(config, penalty_weight=2 * config.penalty_weight))

        assert worst_difference(config, "critic", heavier, monkeypatch) > 1e-3

    def together(generator: nn.Module, critic: nn.Module, real: Tensor, config: ImageConfig) -> Tensor:
        """With batch normalisation over real and generated images at once."""
        of_real, of_fake = critic(torch.cat([real, peer.draw(generator, real, config).detach()])).chunk(2)
        loss: Tensor = nn.functional.softplus(-of_real).mean() + nn.functional.softplus(of_fake).mean()
        return loss

    assert worst_difference(tiny("ttur-small"), "critic", together, monkeypatch) > 1e-3


def test_noise_is_uniform_for_dcgan_and_normal_for_wgan_gp() -> None:
    real = torch.zeros(10_000, 3, 1, 1)
    torch.manual_seed(0)
    uniform = peer.draw(nn.Identity(), real, tiny("ttur-small"))
    assert uniform.shape == (10_000, 5)
    assert -1 <= uniform.min() < -0.99
    assert 0.99 < uniform.max() < 1
    assert uniform.var().item() == pytest.approx(1 / 3, rel=0.02)
    normal = peer.draw(nn.Identity(), real, tiny("wgan-gp-cifar10-ttur"))
    assert normal.var().item() == pytest.approx(1, rel=0.02)
    assert normal.max() > 3
