import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from textgan.engine.losses import HINGE, LEAST_SQUARES, MINIMAX, NON_SATURATING, WASSERSTEIN, Loss, gradient_penalty
from textgan.engine.spectral_norm import normalise_spectrally
from textgan.models.common import initialise
from textgan.models.wgan_gp import Critic

Penalty = Callable[[Critic, Tensor, Tensor, Tensor], Tensor]


def one_axis_penalty(critic: Critic, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """Wrong, and in wide use: the norm over the sequence axis alone."""
    x = (real + alpha[:, None, None] * (fake - real)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    norm: Tensor = gradient.square().sum(dim=1).sqrt()
    return (norm - 1).square().mean()


def case() -> tuple[Critic, Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    critic = Critic(vocabulary_size=5, seq_len=4, dim=3).double()
    initialise(critic, random)
    real = torch.eye(5, dtype=torch.float64)[torch.randint(5, (6, 4), generator=random)]
    fake = torch.rand(6, 4, 5, generator=random, dtype=torch.float64).softmax(dim=-1)
    return critic, real, fake, torch.rand(6, generator=random, dtype=torch.float64)


def slow_penalty(critic: Critic, real: Tensor, fake: Tensor, alpha: Tensor, step: float = 1e-5) -> float:
    """The definition, sample by sample, with the critic's gradient from central differences."""
    total = 0.0
    with torch.no_grad():
        for sample in range(len(real)):
            x = real[sample] + alpha[sample] * (fake[sample] - real[sample])
            squares = 0.0
            for position in range(x.numel()):
                shift = torch.zeros(x.numel(), dtype=x.dtype)
                shift[position] = step
                up, down = (critic((x + sign * shift.view_as(x))[None]).item() for sign in (1, -1))
                squares += ((up - down) / (2 * step)) ** 2
            total += (squares**0.5 - 1) ** 2
    return total / len(real)


def parameter_gradient_error(penalty: Penalty) -> float:
    """Largest difference between a penalty's gradient and central differences of the true penalty's value."""
    critic, real, fake, alpha = case()
    parameters = list(critic.parameters())
    gradients = torch.autograd.grad(penalty(critic, real, fake, alpha), parameters, allow_unused=True)
    worst, step = 0.0, 1e-6
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat = parameter.data.view(-1)
        for position in range(0, flat.numel(), 7):
            kept = flat[position].item()
            values = []
            for sign in (1, -1):
                flat[position] = kept + sign * step
                values.append(gradient_penalty(critic, real, fake, alpha).item())
            flat[position] = kept
            numeric = (values[0] - values[1]) / (2 * step)
            analytic = 0.0 if gradient is None else gradient.reshape(-1)[position].item()
            worst = max(worst, abs(numeric - analytic))
    return worst


def test_penalty_equals_its_definition() -> None:
    inputs = case()
    expected = slow_penalty(*inputs)
    assert gradient_penalty(*inputs).item() == pytest.approx(expected, abs=1e-8)
    assert abs(one_axis_penalty(*inputs).item() - expected) > 0.01


def test_penalty_gradient_equals_finite_differences_and_the_one_axis_version_fails() -> None:
    assert parameter_gradient_error(gradient_penalty) < 1e-7
    assert parameter_gradient_error(one_axis_penalty) > 1e-3


@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral norm"])
def test_the_chain_of_a_piecewise_linear_critic_equals_double_backward(spectral: bool) -> None:
    critic, real, fake, alpha = case()
    random = torch.Generator().manual_seed(1)
    for parameter in critic.parameters():
        if parameter.dim() == 1:  # biases move the masks
            nn.init.normal_(parameter, generator=random)
    if spectral:
        normalise_spectrally(critic, random)
        critic.eval()  # the singular vectors stay
    parameters = [parameter for parameter in critic.parameters() if parameter.dim() > 1]
    found = gradient_penalty(critic, real, fake, alpha)
    expected = gradient_penalty(critic.forward, real, fake, alpha)  # a function, whose gradient autograd computes
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    of_biases = [parameter for parameter in critic.parameters() if parameter.dim() == 1]
    assert set(torch.autograd.grad(found, of_biases, allow_unused=True, retain_graph=True)) == {None}
    for gradient, of_autograd in zip(
        torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        assert torch.allclose(gradient, of_autograd, rtol=1e-12, atol=1e-12)
    # Masks of another point give another gradient.
    x = torch.lerp(real, fake, alpha[:, None, None]).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x)
    assert torch.allclose(critic.input_gradient(x), gradient, rtol=1e-12, atol=1e-12)
    assert (critic.input_gradient(real) - gradient).abs().max() > 1e-3


def test_penalty_of_a_linear_critic_in_closed_form() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    real, fake = torch.rand(5, 2, 2, dtype=torch.float64), torch.rand(5, 2, 2, dtype=torch.float64)
    penalty = gradient_penalty(lambda x: (x * weight).sum(dim=(1, 2)), real, fake, torch.rand(5, dtype=torch.float64))
    assert penalty.item() == pytest.approx((5 - 1) ** 2, abs=1e-9)


def test_penalty_is_taken_between_real_and_fake() -> None:
    # For D(x) = x^2 / 2 the gradient's norm is |x| itself, x = real + alpha (fake - real).
    real, fake = torch.tensor([[1.0], [2.0]]).double(), torch.tensor([[5.0], [4.0]]).double()
    alpha = torch.tensor([0.25, 0.5]).double()
    penalty = gradient_penalty(lambda x: x.square().sum(dim=1) / 2, real, fake, alpha)
    assert penalty.item() == pytest.approx(((2 - 1) ** 2 + (3 - 1) ** 2) / 2, abs=1e-9)


def test_a_flat_critic_has_penalty_one_and_a_finite_gradient() -> None:
    scale = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    real, fake = torch.rand(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64)
    penalty = gradient_penalty(lambda x: (x * scale).sum(dim=1), real, fake, torch.rand(4, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(penalty, scale)
    assert penalty.item() == pytest.approx(1.0, abs=1e-5)
    assert torch.isfinite(gradient).all()


def test_wasserstein_losses() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0])
    assert WASSERSTEIN.critic(real, fake).item() == -2.5
    assert WASSERSTEIN.generator(fake).item() == 0.5


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


REAL, FAKE = [0.5, -1.0, 2.0], [0.3, -0.7, 1.5]
CROSS_ENTROPY = -sum(math.log(sigmoid(x)) for x in REAL) / 3 - sum(math.log(1 - sigmoid(x)) for x in FAKE) / 3


@pytest.mark.parametrize(
    ("loss", "critic", "generator"),
    [
        (NON_SATURATING, CROSS_ENTROPY, -sum(math.log(sigmoid(x)) for x in FAKE) / 3),
        (MINIMAX, CROSS_ENTROPY, sum(math.log(1 - sigmoid(x)) for x in FAKE) / 3),
        (LEAST_SQUARES, (0.25 + 4 + 1 + 0.09 + 0.49 + 2.25) / 6, (0.49 + 2.89 + 0.25) / 6),
        (HINGE, (0.5 + 2 + 0) / 3 + (1.3 + 0.3 + 2.5) / 3, -1.1 / 3),
    ],
)
def test_other_losses_are_what_their_papers_say(loss: Loss, critic: float, generator: float) -> None:
    real, fake = (torch.tensor(scores, dtype=torch.float64) for scores in (REAL, FAKE))
    assert loss.critic(real, fake).item() == pytest.approx(critic, abs=1e-12)
    assert loss.generator(fake).item() == pytest.approx(generator, abs=1e-12)


@pytest.mark.parametrize("loss", [WASSERSTEIN, NON_SATURATING, MINIMAX, LEAST_SQUARES, HINGE])
def test_players_pull_scores_their_own_ways(loss: Loss) -> None:
    real, fake = (torch.full((2,), 0.5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    of_real, of_fake = torch.autograd.grad(loss.critic(real, fake), [real, fake])
    (of_generator,) = torch.autograd.grad(loss.generator(fake), [fake])
    assert (of_real < 0).all()
    assert (of_fake > 0).all()
    assert (of_generator < 0).all()


def test_the_non_saturating_loss_does_not_saturate() -> None:
    for loss, slope in ((NON_SATURATING, -1.0), (MINIMAX, 0.0)):
        fake = torch.tensor([-800.0], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss.generator(fake), [fake])
        assert gradient.item() == slope
        assert math.isfinite(loss.critic(-fake, fake).item())
