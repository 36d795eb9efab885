"""R1, R2 and relativistic pairing, as penalty, as loss and in a game."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from textgan.engine.game import Networks, adversarial_game
from textgan.engine.losses import HINGE, LOSSES, RELATIVISTIC, squared_gradient_norm
from textgan.engine.updates import Turn
from textgan.models.common import initialise
from textgan.models.wgan_gp import Critic

GAMMA, BATCH, SYMBOLS, LENGTH, LATENT = 3.0, 4, 5, 4, 3
PENALISED = {"r1": ("real",), "r2": ("fake",), "r1+r2": ("real", "fake")}


def double(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_critic() -> Critic:
    critic = Critic(SYMBOLS, LENGTH, 3).double()
    initialise(critic, torch.Generator().manual_seed(0))
    return critic


class ToLines(nn.Module):
    """Maps noise [B, 3] to rows of probabilities [B, L, V]."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(double(LATENT, LENGTH * SYMBOLS, seed=1))

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight).view(-1, LENGTH, SYMBOLS).softmax(dim=-1)


def half_squared_norm(critic: Callable[[Tensor], Tensor], samples: Tensor, step: float = 1e-5) -> float:
    """The definition, sample by sample, with the critic's gradient from central differences."""
    total = 0.0
    with torch.no_grad():
        for x in samples:
            for position in range(x.numel()):
                shift = torch.zeros(x.numel(), dtype=x.dtype)
                shift[position] = step
                up, down = (critic((x + sign * shift.view_as(x))[None]).item() for sign in (1, -1))
                total += ((up - down) / (2 * step)) ** 2
    return total / (2 * len(samples))


def penalty_at(critic: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> Tensor:
    samples = [batch.clone().requires_grad_() for batch in batches]
    return squared_gradient_norm(torch.cat([critic(each) for each in samples]), samples)


def mean_penalty(critic: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> Tensor:
    """Wrong: the gradient of the mean score, which shrinks with the batch."""
    samples = [batch.clone().requires_grad_() for batch in batches]
    gradients = torch.autograd.grad(sum(critic(each).mean() for each in samples), samples, create_graph=True)  # type: ignore[arg-type]
    return torch.stack([gradient.flatten(1).square().sum(dim=1).mean() / 2 for gradient in gradients]).sum()


def plain_norm_penalty(critic: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> Tensor:
    """Wrong: the norm, not its square."""
    samples = [batch.clone().requires_grad_() for batch in batches]
    gradients = torch.autograd.grad(sum(critic(each).sum() for each in samples), samples, create_graph=True)  # type: ignore[arg-type]
    return torch.stack([gradient.flatten(1).norm(dim=1).mean() / 2 for gradient in gradients]).sum()


def test_of_a_quadratic_critic_in_closed_form() -> None:
    # D(x) = x' A x / 2 with a symmetric A has the gradient A x.
    a = double(3, 3, seed=2)
    a = a + a.T
    real, fake = double(5, 3, seed=3), double(7, 3, seed=4)
    expected = {"r1": (real @ a).square().sum() / 10, "r2": (fake @ a).square().sum() / 14}

    def critic(x: Tensor) -> Tensor:
        return (x @ a * x).sum(dim=1) / 2

    assert penalty_at(critic, [real]).item() == pytest.approx(expected["r1"].item(), rel=1e-12)
    assert penalty_at(critic, [fake]).item() == pytest.approx(expected["r2"].item(), rel=1e-12)
    both = (expected["r1"] + expected["r2"]).item()
    assert penalty_at(critic, [real, fake]).item() == pytest.approx(both, rel=1e-12)
    for wrong in (mean_penalty, plain_norm_penalty):
        assert abs(wrong(critic, [real, fake]).item() - both) > 0.1 * both


def test_of_a_network_equals_its_definition_and_its_gradient_finite_differences() -> None:
    critic, real = a_critic(), double(BATCH, LENGTH, SYMBOLS, seed=5)
    assert penalty_at(critic, [real]).item() == pytest.approx(half_squared_norm(critic, real), rel=1e-8)
    worst = dict.fromkeys(("right", "mean", "plain norm"), 0.0)
    parameters, step = list(critic.parameters()), 1e-6
    gradients = {
        name: torch.autograd.grad(penalty(critic, [real]), parameters, allow_unused=True)
        for name, penalty in (("right", penalty_at), ("mean", mean_penalty), ("plain norm", plain_norm_penalty))
    }
    for number, parameter in enumerate(parameters):
        flat = parameter.data.view(-1)
        for position in range(0, flat.numel(), 5):
            kept, values = flat[position].item(), []
            for sign in (1, -1):
                flat[position] = kept + sign * step
                values.append(penalty_at(critic, [real]).item())
            flat[position] = kept
            numeric = (values[0] - values[1]) / (2 * step)
            for name in worst:
                gradient = gradients[name][number]
                analytic = 0.0 if gradient is None else gradient.reshape(-1)[position].item()
                worst[name] = max(worst[name], abs(numeric - analytic))
    assert worst["right"] < 1e-7
    assert min(worst["mean"], worst["plain norm"]) > 1e-3


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_relativistic_losses_are_means_over_pairs() -> None:
    real, fake = [0.5, -1.0, 2.0], [0.3, -0.7, 1.5]
    critic = sum(softplus(-(x - y)) for x, y in zip(real, fake, strict=True)) / 3
    generator = sum(softplus(-(y - x)) for x, y in zip(real, fake, strict=True)) / 3
    real_scores, fake_scores = (torch.tensor(scores, dtype=torch.float64) for scores in (real, fake))
    assert RELATIVISTIC.critic(real_scores, fake_scores).item() == pytest.approx(critic, abs=1e-12)
    assert RELATIVISTIC.generator(fake_scores - real_scores).item() == pytest.approx(generator, abs=1e-12)
    # Known to be wrong: all pairs, differences from the mean score (Jolicoeur-Martineau 2018), players exchanged.
    everyone = sum(softplus(-(x - y)) for x in real for y in fake) / 9
    average = sum(softplus(-(x - sum(fake) / 3)) for x in real) / 3
    assert min(abs(wrong - critic) for wrong in (everyone, average, generator)) > 0.01


def networks_and_batch() -> tuple[Networks, Tensor, Tensor]:
    real = torch.eye(SYMBOLS, dtype=torch.float64)[torch.arange(BATCH * LENGTH).view(BATCH, LENGTH) * 7 % SYMBOLS]
    return Networks(ToLines(), a_critic()), real, double(BATCH, LATENT, seed=6)


@pytest.mark.parametrize("penalty", PENALISED)
@pytest.mark.parametrize("score_together", [True, False])
def test_a_game_adds_gamma_times_the_penalty_to_the_critics_loss(penalty: Any, score_together: bool) -> None:
    networks, real, z = networks_and_batch()
    game = adversarial_game(HINGE, GAMMA, lambda *_: z, score_together, penalty=penalty)
    assert game.critic is not None
    scalars = game.critic(networks, real, Turn("critic", 0, None, torch.Generator()))
    critic = networks.require_critic()
    samples = {"real": real, "fake": networks.generator(z).detach()}
    each = {name: half_squared_norm(critic, batch) for name, batch in samples.items()}
    expected = sum(each[name] for name in PENALISED[penalty])
    plain = HINGE.critic(critic(samples["real"]), critic(samples["fake"])).item()
    assert scalars["gradient_penalty"].item() == pytest.approx(expected, rel=1e-7)
    assert scalars["loss"].item() == pytest.approx(plain + GAMMA * expected, rel=1e-7)
    assert abs(each["real"] - each["fake"]) > 0.01 * each["real"]  # so one in place of the other would be seen
    # The caller's batch serves other moves too.
    assert not real.requires_grad


def test_a_generators_move_pairs_its_samples_with_real_ones_and_other_losses_pay_no_pass_for_it() -> None:
    networks, real, z = networks_and_batch()
    critic = networks.require_critic()
    batches: list[int] = []
    for name, loss in LOSSES.items():
        game = adversarial_game(loss, 0.0, lambda *_: z, score_together=True, encode=lambda ids: ids + 0)
        batches.clear()
        hook = critic.register_forward_hook(lambda *call: batches.append(len(call[1][0])))
        value = game.generator(networks, real, Turn("critic", 0, None, torch.Generator()))["loss"]
        hook.remove()
        fake_scores = critic(networks.generator(z)).tolist()
        assert batches == ([BATCH] if name != "relativistic" else [BATCH, BATCH])
        if name == "relativistic":
            pairs = zip(fake_scores, critic(real).tolist(), strict=True)
            assert value.item() == pytest.approx(sum(softplus(-(y - x)) for y, x in pairs) / BATCH, abs=1e-12)
            unpaired = sum(softplus(-y) for y in fake_scores) / BATCH
            assert abs(value.item() - unpaired) > 1e-3
        else:
            expected = loss.generator(torch.tensor(fake_scores, dtype=torch.float64))
            assert value.item() == pytest.approx(expected.item(), abs=1e-12)
