"""TextGAN: the MMD by a double loop and in closed form, both moves against slow ones, and learning on an oracle."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.runs import PRESETS, assert_refused
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from tests.helpers.tiny_lines import SYMBOLS, gradients, some_lines, tiny_networks, turn
from textgan.engine.game import Networks
from textgan.models.critics import TextCnn
from textgan.models.estimators import gaussian_mmd2
from textgan.models.line_games import generator_of
from textgan.models.textgan_mmd import mmd_game, networks

COUNT, BETA, BANDWIDTH, WEIGHT = 6, 2.0, 1.5, 0.7
REAL = some_lines(COUNT)
GAME = mmd_game(BETA, BANDWIDTH, WEIGHT)


def vectors(*rows: Sequence[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def slow_mmd2(x: Tensor, y: Tensor, bandwidth: float, wrong: str = "") -> Tensor:
    """The squared MMD pair by pair; `wrong` names a fault."""

    def mean(a: Tensor, b: Tensor) -> Tensor:
        within = a is b and wrong == "without a vector and itself"
        pairs = [(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (within and i == j)]
        kernels = []
        for p, q in pairs:
            distance = (p - q).square().sum()
            kernels.append((-(distance if wrong == "half the width" else distance / (2 * bandwidth**2))).exp())
        return torch.stack(kernels).mean()

    return mean(x, x) + mean(y, y) - (1 if wrong == "one cross term" else 2) * mean(x, y)


FAULTS = ("without a vector and itself", "half the width", "one cross term")


def test_the_mmd_is_the_mean_over_pairs() -> None:
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 3, generator=random, dtype=torch.float64).requires_grad_() for n in (4, 7))
    found, plain = gaussian_mmd2(x, y, BANDWIDTH), slow_mmd2(x, y, BANDWIDTH)
    assert found.item() == pytest.approx(plain.item(), abs=1e-14)
    for fault in FAULTS:
        assert abs(found.item() - slow_mmd2(x, y, BANDWIDTH, fault).item()) > 1e-3
    # Finite differences along a direction.
    direction = torch.randn(4, 3, generator=random, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(found, x)
    with torch.no_grad():
        after, before = (gaussian_mmd2(x + step * direction, y, BANDWIDTH) for step in (1e-6, -1e-6))
    assert (gradient * direction).sum().item() == pytest.approx((after - before).item() / 2e-6, rel=1e-7)


def test_the_mmd_of_small_sets_has_a_closed_form() -> None:
    # One vector each, 5 apart: 2 - 2 exp(-25 / 8).
    assert gaussian_mmd2(vectors((0, 0)), vectors((3, 4)), 2.0).item() == pytest.approx(
        2 - 2 * math.exp(-25 / 8), abs=1e-14
    )
    # The ends of a segment of length 2 against its middle: (1 + e^-2) / 2 + 1 - 2 e^-1/2.
    ends, middle = vectors((-1,), (1,)), vectors((0,))
    expected = (1 + math.exp(-2)) / 2 + 1 - 2 * math.exp(-0.5)
    assert gaussian_mmd2(ends, middle, 1.0).item() == pytest.approx(expected, abs=1e-14)
    # A set and its repetition are one distribution; coinciding vectors have a finite gradient.
    twice = torch.cat([ends, ends]).requires_grad_()
    nothing = gaussian_mmd2(twice, ends, 1.0)
    assert nothing.item() == pytest.approx(0, abs=1e-14)
    assert torch.autograd.grad(nothing, twice)[0].abs().max().item() == pytest.approx(0, abs=1e-14)


def test_the_mmd_far_from_the_origin_is_accurate_in_single_precision() -> None:
    random = torch.Generator().manual_seed(1)
    x, y = (1000 + torch.randn(n, 30, generator=random) for n in (4, 7))
    expected = slow_mmd2(x.double(), y.double(), 4.0)
    assert gaussian_mmd2(x, y, 4.0).item() == pytest.approx(expected.item(), abs=1e-4)


def players() -> Networks:
    return tiny_networks(TextCnn(SYMBOLS, 3, ((1, 3), (2, 3))))


def relaxed(made: Networks, soft: bool = True, beta: float = BETA) -> Tensor:
    """Relaxed draws; `tests/textgan/test_relgan.py` compares them with an LSTM written out."""
    return generator_of(made).relaxed(COUNT, turn().random, beta, soft)


def features(made: Networks, rows: Tensor, bounded: bool = True) -> Tensor:
    critic = made.require_critic()
    assert isinstance(critic, TextCnn)
    found = torch.stack([critic.features(row.unsqueeze(0))[0] for row in rows])
    return 2 / (1 + (-2 * found).exp()) - 1 if bounded else found  # tanh


def test_the_generator_minimises_the_mmd_of_features() -> None:
    made = players()
    real, drawn = features(made, F.one_hot(REAL, SYMBOLS).double()), features(made, relaxed(made))
    wrong = [slow_mmd2(real, drawn, BANDWIDTH, fault) for fault in FAULTS[1:]]
    unbounded = [features(made, rows, bounded=False) for rows in (F.one_hot(REAL, SYMBOLS).double(), relaxed(made))]
    wrong += [
        -slow_mmd2(real, drawn, BANDWIDTH),
        slow_mmd2(unbounded[0], unbounded[1], BANDWIDTH),
        slow_mmd2(real, features(made, relaxed(made, soft=False)), BANDWIDTH),
    ]
    loss = GAME.generator(made, REAL, turn())["loss"]
    plain = slow_mmd2(real, drawn, BANDWIDTH)
    assert loss.item() == pytest.approx(plain.item(), abs=1e-12)
    ours = gradients(loss, made.generator)
    assert torch.allclose(ours, gradients(plain, made.generator), rtol=0, atol=1e-12)
    for each in wrong:
        assert not torch.allclose(ours, gradients(each, made.generator), atol=1e-3)


def test_the_critic_has_the_cross_entropy_minus_the_mmd() -> None:
    made = players()
    assert GAME.critic is not None
    found = GAME.critic(made, REAL, turn("critic"))
    critic = made.require_critic()
    rows = relaxed(made).detach()
    real, drawn = features(made, F.one_hot(REAL, SYMBOLS).double()), features(made, rows)
    assert isinstance(critic, TextCnn)
    scores = [critic.to_score(each).squeeze(1) for each in (real, drawn)]
    ones = torch.ones(COUNT, dtype=torch.float64)
    entropy = sum(
        nn.functional.binary_cross_entropy(each.sigmoid(), target * ones)
        for each, target in zip(scores, (1, 0), strict=True)
    )
    mmd = slow_mmd2(real, drawn, BANDWIDTH)
    assert found["mmd"].item() == pytest.approx(mmd.item(), abs=1e-12)
    assert found["accuracy"].item() == pytest.approx((scores[0] > scores[1]).double().mean().item(), abs=1e-7)
    assert found["loss"].item() == pytest.approx((entropy - WEIGHT * mmd).item(), abs=1e-12)
    ours = gradients(found["loss"], critic)
    assert torch.allclose(ours, gradients(entropy - WEIGHT * mmd, critic), rtol=0, atol=1e-12)
    # As in a port, a critic that minimises the discrepancy.
    assert not torch.allclose(ours, gradients(entropy + WEIGHT * mmd, critic), atol=1e-3)


def test_published_sizes_and_updates() -> None:
    orig, ttur = PRESETS["textgan-mmd-orig"], PRESETS["textgan-mmd-ttur"]
    assert (orig.generator_lr, orig.critic_lr, orig.generator_steps, orig.critic_steps) == (5e-5, 1e-4, 5, 1)
    assert (ttur.generator_steps, ttur.critic_steps, ttur.batch_size) == (1, 1, 256)
    critic = networks(replace(orig, dim=4), 7).require_critic()
    assert isinstance(critic, TextCnn)
    assert [layer.weight.shape for layer in critic.convolutions] == [(300, 1, span, 300) for span in (3, 4, 5)]


def test_it_learns_an_oracle_after_a_short_pretraining() -> None:
    oracle = an_oracle(0)
    trainer, lines = learner(
        PRESETS["textgan-mmd-words-ttur"], oracle, pretraining=5, pretraining_lr=5e-3, generator_lr=1e-3,
        critic_lr=3e-3, critic_dim=32,
    )  # fmt: skip
    train_to(trainer, lines, 5)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 45)
    end = divergences(trainer.generator.network, oracle)
    # Falls of seeds 0 to 3: 3.7, 3.0, 1.8, 1.6 nats per line; .07, .04, .08, .06.
    assert end.kl < start.kl - 1
    assert end.jsd < start.jsd - 0.02


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--bandwidth=0", "--bandwidth 0.0: must be positive"),
        ("--inverse-temperature=-1", "--inverse-temperature -1.0: must be positive"),
        ("--mmd-weight=-1", "--mmd-weight -1.0: must be at least 0"),
        ("--rollouts=2", "--rollouts: not a setting of textgan-mmd"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flag: str, message: str) -> None:
    assert_refused(["--preset=textgan-mmd-words-ttur", flag], message)
