"""Recurrent WGAN-GP: a GRU writes lines, another scores them, and no maximum likelihood comes before (rnn.wgan).

Press et al. 2017, "Language Generation with Recurrent Generative Adversarial Networks without Pre-training"
(arXiv 1706.01399). The noise is the generator's first hidden state. The generator gives a row of probabilities per
symbol, and the critic scores rows, so that gradients pass through them, as in WGAN-GP. Three means replace maximum
likelihood (section 3):

    curriculum         a phase per length 1 .. L of lines
    variable lengths   in the phase of length l, each line of a batch is cut to a length drawn from 1 .. l
    teacher helping    the generator reads the symbols of a real line, and adds the last row alone;
                       without it, the generator reads the rows that it has written

A sample has the most likely symbol of each row, and the generator reads it before the next row, as published: samples
differ by their noise alone, and the critic drives rows towards one-hot rows, which real lines have. A line has no
density here, so there are no exact scores. The critic sees padding as a symbol; a sample ends at its first one.

The published code puts rows of zeros before short lines; here the critic's score comes from the state after the last
row of a line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from data.batches import Order
from eval.core.device import without_autocast
from textgan.engine.game import Game, Networks
from textgan.engine.losses import gradient_penalty, wasserstein_critic, wasserstein_generator
from textgan.engine.phases import Phase, critic_scale, gan_phases, generator_scale
from textgan.engine.processes import own_draw
from textgan.engine.settings import GanSettings
from textgan.engine.updates import Turn, parse_rule
from textgan.models.common import one_hot
from textgan.models.line_settings import time_scales
from textgan.models.lines import in_line
from textgan.models.settings import TextSettings


class Generator(nn.Module):
    """Maps noise [B, dim] to rows of probabilities [B, T, V], one symbol after the other.

    Args:
        vocabulary_size: V.
        seq_len: symbols per sample.
        dim: width of embedding, hidden state and noise.
        noise_deviation: standard deviation of the noise.
    """

    def __init__(self, vocabulary_size: int, seq_len: int, dim: int, noise_deviation: float) -> None:
        super().__init__()
        self.vocabulary_size, self.seq_len, self.noise_deviation = vocabulary_size, seq_len, noise_deviation
        self.embedding = nn.Embedding(vocabulary_size + 1, dim)  # the last row is the start symbol's
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.to_symbols = nn.Linear(dim, vocabulary_size)

    def along(self, noise: Tensor, ids: Tensor) -> Tensor:
        """Return the rows [B, T, V] of each symbol, after the symbols before it in lines [B, T]."""
        before = torch.cat([ids.new_full((len(ids), 1), self.vocabulary_size), ids[:, :-1]], dim=1)
        with without_autocast(noise.device):
            features, _ = self.gru(self.embedding(before), noise.unsqueeze(0))
            return self.to_symbols(features).softmax(dim=-1)  # type: ignore[no-any-return]

    def write(self, noise: Tensor, length: int, soft: bool) -> Tensor:
        """Return rows [B, length, V]; the next one follows the row itself if `soft`, else its most likely symbol."""
        state, rows = noise.unsqueeze(0), []
        embedded = self.embedding.weight[-1].expand(len(noise), -1)  # [B, dim]
        with without_autocast(noise.device):
            for _ in range(length):
                features, state = self.gru(embedded.unsqueeze(1), state)
                rows.append(self.to_symbols(features.squeeze(1)).softmax(dim=-1))
                embedded = rows[-1] @ self.embedding.weight[:-1] if soft else self.embedding(rows[-1].argmax(dim=-1))
        return torch.stack(rows, dim=1)

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """Draw ids [count, L] of lines: the most likely symbol of each position, and padding after the first one."""
        ids = self.write(self.sample_noise(count, random), self.seq_len, soft=False).argmax(dim=-1)
        return ids * in_line(ids)

    def sample_noise(self, count: int, random: torch.Generator) -> Tensor:
        """Draw normal noise [count, dim]."""
        weight = self.embedding.weight
        noise = torch.randn(count, weight.shape[1], generator=random, device=random.device, dtype=weight.dtype)
        return self.noise_deviation * noise


class Critic(nn.Module):
    """Scores the beginnings of lines of rows, by the hidden state of a GRU after their last row."""

    def __init__(self, vocabulary_size: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.to_score = nn.Linear(dim, 1)

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores [B] of the first `lengths` [B] rows of lines [B, T, V]."""
        # cuDNN's GRU lacks the second derivatives of the penalty.
        with without_autocast(rows.device), torch.backends.cudnn.flags(enabled=False):
            features, _ = self.gru(rows @ self.embedding.weight)  # [B, T, dim]
            last = features[torch.arange(len(rows), device=rows.device), lengths - 1]
            scores: Tensor = self.to_score(last).squeeze(-1)
        return scores


@dataclass(frozen=True)
class RnnWganSettings(TextSettings, GanSettings):
    """Settings of the recurrent WGAN-GP. The defaults are the preset `rnn-wgan-chars-ttur`."""

    preset: str = "rnn-wgan-chars-ttur"
    model: Literal["rnn-wgan"] = "rnn-wgan"
    data: str = "grammar"
    order: Order = "epochs"
    dim: int = 128
    generator_lr: float = 1e-3
    critic_lr: float = 3e-3
    critic_warm_up: int = 0
    """Iterations before lines of full length that update the critic alone."""
    penalty_weight: float = 1.0
    """Weight of the gradient penalty; 0: none."""
    curriculum: int = 200
    """Iterations per length of lines below the full one; 0: full length from the start."""
    teacher_helping: Literal["on", "off"] = "on"
    """on: the generator adds the last symbol of a real line; off: it writes whole lines."""
    noise_deviation: float = 3.0
    """Standard deviation of the generator's noise, its first hidden state."""

    minimums: ClassVar[Mapping[str, int]] = {
        **TextSettings.minimums, **GanSettings.minimums, "penalty_weight": 0, "curriculum": 0,
    }  # fmt: skip
    positive: ClassVar[tuple[str, ...]] = (*TextSettings.positive, "critic_lr", "noise_deviation")

    @property
    def iterations_before(self) -> int:
        """Iterations of shorter lines and of warm-up, which are part of --iterations."""
        return super().iterations_before + self.curriculum * (self.seq_len - 1)


def networks(config: RnnWganSettings, vocabulary_size: int) -> Networks:
    """Return generator and critic, with uninitialised weights."""
    generator = Generator(vocabulary_size, config.seq_len, config.dim, config.noise_deviation)
    return Networks(generator, Critic(vocabulary_size, config.dim))


def phases(config: RnnWganSettings, _players: Networks) -> Sequence[Phase]:
    """Return the phases of a run: one per length of lines; schedules and optimisers begin anew in each."""
    game = partial(recurrent_wgan, penalty_weight=config.penalty_weight, teacher=config.teacher_helping == "on")
    steps, rule = config.curriculum, parse_rule(config.rule)
    scales = generator_scale(config, steps, config.generator_steps), critic_scale(config, steps)
    shorter = [Phase(f"length {length}", game(length), *scales, steps, rule) for length in range(1, config.seq_len)]
    return gan_phases(config, game(config.seq_len), shorter if steps else ())


def recurrent_wgan(length: int, penalty_weight: float, teacher: bool) -> Game:
    """Return the game of generator and critic on lines of at most `length` symbols.

    Args:
        length: largest length of lines; the length of each line of a batch is drawn from 1 to this one.
        penalty_weight: weight of the gradient penalty; 0: none.
        teacher: whether the generator adds the last row to a real line, or writes all rows.
    """

    def lines(networks: Networks, real: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows [B, T, V] of real and generated lines, and the lengths [B] of both."""
        generator = networks.generator
        assert isinstance(generator, Generator)
        ids = real[:, :length]
        random = turn.random
        lengths = own_draw(
            lambda rows: torch.randint(1, length + 1, (rows,), generator=random, device=ids.device), len(ids)
        )
        noise = own_draw(lambda rows: generator.sample_noise(rows, random), len(ids))
        rows = one_hot(ids, like=generator.to_symbols.weight)
        if not teacher:
            return rows, generator.write(noise, length, soft=True), lengths
        last = torch.arange(length, device=ids.device) == lengths.unsqueeze(1) - 1  # [B, T]
        return rows, torch.where(last.unsqueeze(-1), generator.along(noise, ids), rows), lengths

    def generator(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        _, fake, lengths = lines(networks, real, turn)
        return {"loss": wasserstein_generator(networks.require_critic()(fake, lengths))}

    def critic(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        score = networks.require_critic()
        with torch.set_grad_enabled(turn.second_order):
            rows, fake, lengths = lines(networks, real, turn)
        real_scores, fake_scores = score(torch.cat([rows, fake]), lengths.repeat(2)).chunk(2)
        loss = wasserstein_critic(real_scores, fake_scores)
        measured = {"wasserstein": -loss}
        if penalty_weight:
            uniform = partial(torch.rand, generator=turn.random, device=rows.device, dtype=rows.dtype)
            alpha = own_draw(uniform, len(rows))
            measured["gradient_penalty"] = gradient_penalty(partial(score, lengths=lengths), rows, fake, alpha)
            loss = loss + penalty_weight * measured["gradient_penalty"]
        return {"loss": loss, **measured}

    return Game(generator, critic)


# Narrow networks learn faster with less noise and a weaker penalty than the published ones.
_CHARS = RnnWganSettings()
# The published code: 15,000 iterations per length, each of 10 critic and 50 generator updates at one rate.
_FULL = replace(
    _CHARS, preset="rnn-wgan-ttur", data="lm1b", dim=512, generator_lr=1e-4, critic_lr=3e-4, penalty_weight=10.0,
    curriculum=15_000, noise_deviation=10.0, iterations=480_000,
)  # fmt: skip
_ORIG = replace(
    _FULL, preset="rnn-wgan-orig", critic_lr=1e-4, generator_steps=50, critic_steps=10,
)  # fmt: skip
_CHARS_TTUR, _CHARS_ORIG, _CHARS_CONTROL = time_scales(_CHARS, orig_lr=1e-3, orig_steps=1)

PRESETS = (_CHARS_TTUR, replace(_CHARS_ORIG, generator_steps=5), _CHARS_CONTROL, _FULL, _ORIG)
