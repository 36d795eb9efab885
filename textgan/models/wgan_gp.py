"""Language WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028; TTUR paper, appendix).

Convolutions take a line as an image [B, dim, 1, L] of height 1 in channels-last memory layout. This is faster than
one-dimensional convolutions (20 % less time per step on a CPU), and [B, L, V] needs no copy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eval.core.device import at_least_float32
from textgan.engine.game import Networks, adversarial_game
from textgan.engine.losses import LOSSES
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.settings import AdversarialSettings
from textgan.engine.stacked import convolution, transposed_convolution
from textgan.models.common import one_hot
from textgan.models.line_settings import time_scales
from textgan.models.settings import TextSettings

_BLOCKS = 5
_KERNEL = 5
_PADDING = (0, _KERNEL // 2)
_RESIDUAL_WEIGHT = 0.3


class ResidualBlock(nn.Module):
    """x + 0.3 f(x) with f = ReLU, convolution, ReLU, convolution, at constant width; x is [B, dim, 1, L]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(dim, dim, (1, _KERNEL), padding=_PADDING)
        self.second = nn.Conv2d(dim, dim, (1, _KERNEL), padding=_PADDING)

    def forward(self, x: Tensor) -> Tensor:
        # Never in place: an in-place ReLU would change x on the skip connection too.
        y: Tensor = self.second(F.relu(self.first(F.relu(x))))  # [B, dim, 1, L]
        return x + _RESIDUAL_WEIGHT * y


class Generator(nn.Module):
    """Maps noise z [B, latent_dim] to symbol probabilities [B, L, V]."""

    def __init__(self, vocabulary_size: int, seq_len: int, dim: int, latent_dim: int) -> None:
        super().__init__()
        self.seq_len, self.dim, self.latent_dim = seq_len, dim, latent_dim
        self.project = nn.Linear(latent_dim, seq_len * dim)
        self.blocks = nn.Sequential(*[ResidualBlock(dim) for _ in range(_BLOCKS)])
        self.to_symbols = nn.Conv2d(dim, vocabulary_size, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = _to_image(self.project(z).view(-1, self.seq_len, self.dim))  # [B, dim, 1, L]
        return at_least_float32(_from_image(self.to_symbols(self.blocks(x)))).softmax(dim=-1)  # [B, L, V]

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """Draw ids [count, L] of lines: the most likely symbol of each position."""
        ids: Tensor = self(self.sample_latent(count, random)).argmax(dim=-1)  # [count, L]
        return ids

    def sample_latent(self, count: int, random: torch.Generator) -> Tensor:
        """Draw standard normal noise [count, latent_dim]."""
        return torch.randn(count, self.latent_dim, generator=random, device=random.device)


class Critic(nn.Module):
    """Maps symbol probabilities [B, L, V], or one-hot lines, to scores [B]."""

    def __init__(self, vocabulary_size: int, seq_len: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.from_symbols = nn.Conv2d(vocabulary_size, dim, 1)
        self.blocks = nn.Sequential(*[ResidualBlock(dim) for _ in range(_BLOCKS)])
        self.to_score = nn.Linear(seq_len * dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = _from_image(self.blocks(self.from_symbols(_to_image(x))))  # [B, L, dim]
        scores: Tensor = self.to_score(features.flatten(1))  # [B, 1]
        return at_least_float32(scores).squeeze(1)  # [B]

    def input_gradient(self, x: Tensor) -> Tensor:
        """Return the gradient [B, L, V] of each score with respect to x [B, L, V], differentiable in the weights.

        The critic is piecewise linear: each ReLU multiplies by a mask that is constant around x. The gradient is thus
        a product of transposed convolutions and masks, which depends on x through the masks alone.
        """
        symbols = self.from_symbols.weight
        blocks = [block for block in self.blocks if isinstance(block, ResidualBlock)]
        weights = [(block.first.weight, block.second.weight) for block in blocks]
        masks = []
        with torch.no_grad():
            y = convolution(_to_image(x), symbols, self.from_symbols.bias)  # [B, dim, 1, L]
            for block, (first, second) in zip(blocks, weights, strict=True):
                inner = convolution(F.relu(y), first, block.first.bias, _PADDING)
                masks.append((y > 0, inner > 0))
                y = y + _RESIDUAL_WEIGHT * convolution(F.relu(inner), second, block.second.bias, _PADDING)
        # [1, dim, 1, L], the same for each line; of R stacked critics [R, dim, 1, L].
        gradient = _to_image(self.to_score.weight.view(-1, x.shape[1], self.dim))
        for (first, second), (outer_mask, inner_mask) in zip(reversed(weights), reversed(masks), strict=True):
            inner = _masked(inner_mask, transposed_convolution(gradient, second, _PADDING))
            change = _masked(outer_mask, transposed_convolution(inner, first, _PADDING))
            rows = change.view(-1, *gradient.shape)
            gradient = (gradient + _RESIDUAL_WEIGHT * rows).flatten(0, 1)  # [B, dim, 1, L]
        return at_least_float32(_from_image(transposed_convolution(gradient, symbols)))


def _masked(mask: Tensor, x: Tensor) -> Tensor:
    """Return x [N, ...] where the mask [B, ...] is set, else 0; row i of the mask is for row i mod N of x."""
    return torch.where(mask.view(-1, *x.shape), x, 0).flatten(0, 1)


def _to_image(x: Tensor) -> Tensor:
    """Reshape [B, L, C] to [B, C, 1, L] without a copy."""
    return x.transpose(1, 2).unsqueeze(2)


def _from_image(x: Tensor) -> Tensor:
    """Reshape [B, C, 1, L] to [B, L, C] without a copy."""
    return x.squeeze(2).transpose(1, 2)


@dataclass(frozen=True)
class WganGpSettings(TextSettings, AdversarialSettings):
    """Settings of the language WGAN-GP. The defaults are the preset `ttur`, the paper's two time scales."""

    model: Literal["wgan-gp"] = "wgan-gp"
    penalty_weight: float = 10.0
    latent_dim: int = 128
    """Length of the generator's noise vector."""

    minimums: ClassVar[Mapping[str, int]] = {
        **TextSettings.minimums, **AdversarialSettings.minimums, "latent_dim": 1,
    }  # fmt: skip
    stackable: ClassVar[bool] = True


def networks(config: WganGpSettings, vocabulary_size: int) -> Networks:
    """Return generator and critic, with uninitialised weights."""
    return Networks(
        Generator(vocabulary_size, config.seq_len, config.dim, config.latent_dim),
        Critic(vocabulary_size, config.seq_len, config.dim),
    )


def phases(config: WganGpSettings, players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: WGAN-GP on one-hot lines and rows of probabilities."""
    generator = players.generator
    assert isinstance(generator, Generator)
    encode = partial(one_hot, like=generator.to_symbols.weight)
    game = adversarial_game(
        LOSSES[config.loss], config.penalty_weight, generator.sample_latent, True, encode, config.penalty
    )
    return gan_phases(config, game)


# "orig" is the paper's baseline: one rate for both players, ten critic updates per generator update.
_TTUR = WganGpSettings()
_ORIG = replace(_TTUR, preset="orig", critic_lr=1e-4, critic_steps=10)

# For CPUs: 1/16 of the paper's width, half the paper's batch size, ten times the paper's rates.
_SMALL: dict[str, Any] = {"data": "grammar", "dim": 32, "batch_size": 32, "generator_lr": 1e-3}
_TTUR_SMALL = replace(_TTUR, preset="ttur-small", critic_lr=3e-3, **_SMALL)
_ORIG_SMALL = replace(_ORIG, preset="orig-small", critic_lr=1e-3, **_SMALL)

# Tuned for the lowest JSD after three minutes on two cores; LOG.md has the trials.
_QUICKSTART = replace(
    _TTUR_SMALL, preset="quickstart", critic_lr=7e-3, generator_lr=3e-3, generator_ema=0.995, critic_steps=3,
    penalty_weight=1.0, batch_size=64, iterations=1500, minutes=5.0, eval_every=50, checkpoint_every=400,
)  # fmt: skip

# Words and subwords, for two cores: the rates of `ttur-small`, lines by epochs.
_WORDS = replace(
    _TTUR, preset="wgan-words-ttur", data="grammar", symbols="word", seq_len=20, order="epochs", dim=64,
    generator_lr=1e-3, critic_lr=3e-3,
)  # fmt: skip
_SUBWORDS = replace(_WORDS, preset="wgan-sp1000-ttur", symbols="unigram", vocabulary_size=1000, seq_len=32)

PRESETS = (
    *(_QUICKSTART, _TTUR, _ORIG, _TTUR_SMALL, _ORIG_SMALL),
    *time_scales(_WORDS, orig_lr=1e-3, orig_steps=10),
    *time_scales(_SUBWORDS, orig_lr=1e-3, orig_steps=10),
)
