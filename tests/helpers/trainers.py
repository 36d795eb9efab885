"""A tiny WGAN-GP in double precision, and its batches."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tests.helpers.oracles import BETA1, BETA2
from textgan.engine.game import Networks, adversarial_game
from textgan.engine.losses import WASSERSTEIN
from textgan.engine.phases import gan_phases
from textgan.engine.trainer import Trainer, make_trainer
from textgan.models.common import initialise
from textgan.models.wgan_gp import Critic, Generator, WganGpSettings

BATCH, LENGTH, SYMBOLS, LATENT = 4, 6, 5, 3
RATES = {"generator": 1e-3, "critic": 3e-3}
WEIGHT = 10.0
SETTINGS = WganGpSettings(
    generator_lr=RATES["generator"], critic_lr=RATES["critic"], generator_schedule="power:0.6",
    critic_schedule="power:0.6", beta1=BETA1, beta2=BETA2, batch_size=BATCH, seed=11,
)  # fmt: skip


def draw(size: int, random: torch.Generator) -> Tensor:
    return torch.randn(size, LATENT, generator=random, dtype=torch.float64)


def a_trainer(score_together: bool = True, dtype: torch.dtype = torch.float64, **changes: Any) -> Trainer:
    random = torch.Generator().manual_seed(7)
    networks = Networks(Generator(SYMBOLS, LENGTH, 4, LATENT), Critic(SYMBOLS, LENGTH, 4))
    for network in (networks.generator, networks.require_critic()):
        initialise(network.double(), random)
        network.to(dtype)
    config = replace(SETTINGS, **changes)
    game = adversarial_game(WASSERSTEIN, WEIGHT, lambda size, random: draw(size, random).to(dtype), score_together)
    return make_trainer(config, gan_phases(config, game), networks, torch.device("cpu"))


def critic_of(trainer: Trainer) -> nn.Module:
    assert trainer.critic is not None
    return trainer.critic.network


def real_batches(iteration: int, count: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(iteration)
    ids = torch.randint(SYMBOLS, (count, BATCH, LENGTH), generator=random)
    return list(torch.eye(SYMBOLS, dtype=torch.float64)[ids])
