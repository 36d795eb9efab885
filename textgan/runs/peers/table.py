"""The peer of each game of text: networks with sizes and weights of the package's own, and losses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from textgan.engine.game import Networks
from textgan.runs.pairs import Step
from textgan.runs.peers import line_games, rnn_wgan, wgan_gp
from textgan.runs.peers.lines import cnn_like, lines_like, one_hot_lstm_like, prefix_lstm_like
from textgan.runs.peers.step import Loss, step_of

Like = Callable[[nn.Module], nn.Module]
"""Returns a peer's network with sizes and weights of the package's own."""


@dataclass(frozen=True)
class Peer:
    """Networks and losses of a game; None for the critic of a game without one."""

    generator: Like
    generator_loss: Loss
    critic: Like | None = None
    critic_loss: Loss | None = None


PEERS: Mapping[str, Peer] = {
    "mle": Peer(one_hot_lstm_like, line_games.one_hot_likelihood),
    "likelihood": Peer(lines_like, line_games.likelihood),
    "jsdgan": Peer(lines_like, line_games.jsdgan),
    "cot": Peer(lines_like, line_games.cot, lines_like, line_games.mediate),
    "dense": Peer(lines_like, line_games.dense, prefix_lstm_like, line_games.discriminate_prefixes),
    "seqgan": Peer(lines_like, line_games.seqgan, cnn_like, line_games.discriminate),
    "maligan": Peer(lines_like, line_games.maligan, cnn_like, line_games.discriminate),
    "rankgan": Peer(lines_like, line_games.rankgan, cnn_like, line_games.rank),
    "dpgan": Peer(lines_like, line_games.dpgan, lines_like, line_games.expect),
    "relgan": Peer(lines_like, line_games.relgan, cnn_like, line_games.compare_pairs),
    "gsgan": Peer(lines_like, line_games.gsgan, cnn_like, line_games.discriminate_relaxed),
    "textgan-mmd": Peer(lines_like, line_games.match_features, cnn_like, line_games.discriminate_features),
    "rnn-wgan": Peer(rnn_wgan.generator_like, rnn_wgan.generator_loss, rnn_wgan.critic_like, rnn_wgan.critic_loss),
}
"""Peers by model; WGAN-GP's takes a step of its own."""


def peer_step(settings: Any, networks: Networks, device: torch.device) -> Step:
    """Return the training step of a run's peer, which takes batches of ids [B, L] in the host's memory.

    Args:
        settings: settings of a run on text.
        networks: the run's own networks.
        device: device of both.

    Raises:
        InputError: the peer lacks a part of the networks.
    """
    if settings.model == "wgan-gp":
        return _wgan_gp_step(settings, len(networks.generator.state_dict()["to_symbols.weight"]), device)
    peer = PEERS[settings.model]
    if peer.critic is None:
        return step_of([peer.generator(networks.generator)], [peer.generator_loss], settings, device)
    assert peer.critic_loss is not None
    both = [peer.generator(networks.generator), peer.critic(networks.require_critic())]
    return step_of(both, [peer.generator_loss, peer.critic_loss], settings, device)


def _wgan_gp_step(settings: Any, symbols: int, device: torch.device) -> Step:
    generator = wgan_gp.Generator(symbols, settings.seq_len, settings.dim, settings.latent_dim).to(device)
    critic = wgan_gp.Critic(symbols, settings.seq_len, settings.dim).to(device)
    betas = settings.beta1, settings.beta2
    optimisers = [
        torch.optim.Adam(generator.parameters(), settings.generator_lr, betas),
        torch.optim.Adam(critic.parameters(), settings.critic_lr, betas),
    ]
    return partial(wgan_gp.train_step, generator, critic, optimisers, weight=settings.penalty_weight)
