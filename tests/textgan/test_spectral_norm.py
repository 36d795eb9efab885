"""Spectral normalisation of a critic: against NumPy's SVD, seeds, and runs that are continued."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from tests.helpers.runs import LARGE_RATES, assert_same_run, tiny_text, train_until_power_cut
from textgan.engine.spectral_norm import normalise_spectrally
from textgan.models.common import initialise
from textgan.models.wgan_gp import Critic
from textgan.train import build_trainer, train


def a_critic(seed: int = 0) -> tuple[Critic, torch.Generator]:
    random = torch.Generator().manual_seed(seed)
    critic = Critic(vocabulary_size=7, seq_len=6, dim=4).double()
    initialise(critic, random)
    return critic, random


def layers(critic: nn.Module) -> dict[str, nn.Module]:
    return {name: layer for name, layer in critic.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}


def largest_singular_values(critic: nn.Module) -> list[float]:
    """Of each layer's weight as a matrix of outputs times inputs, the way Miyato et al. reshape a convolution."""
    weights: list[Tensor] = [layer.weight.detach() for layer in layers(critic).values()]  # type: ignore[operator]
    return [np.linalg.svd(weight.flatten(1).numpy(), compute_uv=False)[0] for weight in weights]


def test_each_layers_largest_singular_value_becomes_one() -> None:
    critic, random = a_critic()
    raw = {name: layer.weight.detach().clone() for name, layer in layers(critic).items()}  # type: ignore[operator]
    before = largest_singular_values(critic)
    assert len(before) == 12  # input, two per block, output
    assert min(abs(value - 1) for value in before) > 0.01
    normalise_spectrally(critic, random)
    lines = torch.rand(3, 6, 7, generator=random, dtype=torch.float64)
    for _ in range(300):
        critic(lines)
    critic.eval()
    assert largest_singular_values(critic) == pytest.approx([1.0] * 12, abs=1e-6)
    # The weights as drawn are kept, and each is divided by one number.
    state = critic.state_dict()
    for (name, weight), value in zip(raw.items(), before, strict=True):
        assert torch.equal(state[f"{name}.parametrizations.weight.original"], weight)
        assert torch.allclose(layers(critic)[name].weight, weight / value, rtol=1e-6)  # type: ignore[arg-type]


def test_the_vectors_come_from_the_given_generator_alone() -> None:
    states, plain = [], []
    for global_seed in (1, 2):
        critic, random = a_critic()
        torch.manual_seed(global_seed)
        normalise_spectrally(critic, random)
        drawn = torch.rand(3)
        torch.manual_seed(global_seed)
        assert torch.equal(drawn, torch.rand(3))  # the global generator is left as it was
        states.append(critic.state_dict())
        wrong, _ = a_critic()
        for layer in layers(wrong).values():
            spectral_norm(layer)
        plain.append(wrong.state_dict())
    vectors = [name for name in states[0] if name.endswith(("_u", "_v"))]
    assert len(vectors) == 24
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    # Known to be wrong: PyTorch's function alone.
    assert not all(torch.equal(plain[0][name], plain[1][name]) for name in vectors)
    other, random = a_critic(seed=1)
    normalise_spectrally(other, random)
    assert not any(torch.equal(other.state_dict()[name], states[0][name]) for name in vectors)


def test_first_weights_are_those_of_a_run_without_it() -> None:
    off = tiny_text("unused.txt", seed=5)
    states = []
    for config in (off, replace(off, spectral_norm="on")):
        trainer = build_trainer(config, 8, torch.device("cpu"))
        assert trainer.critic is not None
        states.append([trainer.generator.network.state_dict(), trainer.critic.network.state_dict()])
    (generator, critic), (same_generator, normalised) = states
    assert_equal_tensors(same_generator, generator)
    raw = {
        name.replace("parametrizations.weight.original", "weight"): tensor
        for name, tensor in normalised.items()
        if not name.endswith(("_u", "_v"))
    }
    assert_equal_tensors(raw, critic)


def assert_equal_tensors(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("penalty", ["wgan-gp", "r1+r2"])
def test_a_run_that_was_broken_off_ends_as_one_that_was_not(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, penalty: str
) -> None:
    whole, broken = (
        tiny_text(
            text_file, tmp_path / name, **LARGE_RATES, spectral_norm="on", penalty=penalty, loss="relativistic",
        )
        for name in ("whole", "broken")
    )  # fmt: skip
    train(whole)
    train_until_power_cut(monkeypatch, 5, train, broken)
    torch.manual_seed(123)
    train(broken)
    assert_same_run(whole.folder, broken.folder)
