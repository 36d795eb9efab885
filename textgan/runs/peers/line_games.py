"""Losses of the games of lines as a reader of each paper writes them, on networks of `textgan.runs.peers.lines`.

A loss takes the networks of generator and critic (None if the game has none), real lines [B, L], and the run's
settings. Prefixes are completed one after the other, each from its first symbol.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.runs.peers.lines import Cnn, Lines, OneHotLstm, PrefixLstm, in_line

Reward = Callable[[Tensor], Tensor]
"""Rewards [N] of lines [N, L]."""


def likelihood(generator: Lines, _critic: None, real: Tensor, _settings: Any) -> Tensor:
    """Return the mean of -log p over symbols and ends of lines."""
    return negative_log_likelihood(generator, real)


def negative_log_likelihood(model: Lines, ids: Tensor) -> Tensor:
    """Return the mean of -log p over symbols and ends of lines [B, L]."""
    return -model.log_probs(ids).sum() / in_line(ids).sum()


def one_hot_likelihood(generator: OneHotLstm, _critic: None, real: Tensor, _settings: Any) -> Tensor:
    """Return the mean of -log p over all positions, padding too."""
    return F.cross_entropy(generator(real).flatten(0, 1), real.flatten())


def reinforce(log_probs: Tensor, rewards: Tensor) -> Tensor:
    """Return the loss of REINFORCE for rewards [B, L], with the mean of the other lines as baseline (Williams 1992)."""
    baseline = (rewards.sum(dim=0) - rewards) / (len(rewards) - 1)
    return -(log_probs * (rewards - baseline)).sum(dim=1).mean()


@torch.no_grad()
def prefix_values(generator: Lines, reward: Reward, drawn: Tensor, rollouts: int) -> Tensor:
    """Return the mean reward [B, L] of completions of every prefix; of whole lines if there are no rollouts."""
    whole = reward(drawn)
    if rollouts == 0:
        return whole.unsqueeze(1).expand(drawn.shape)
    values = []
    for t in range(1, drawn.shape[1]):
        rewards = [reward(generator.complete(drawn[:, :t])) for _ in range(rollouts)]
        values.append(torch.stack(rewards).mean(dim=0))
    return torch.stack([*values, whole], dim=1)


def seqgan(generator: Lines, critic: Cnn, real: Tensor, settings: Any) -> Tensor:
    """Return SeqGAN's loss with the critic's probability as reward (Yu et al. 2017, arXiv 1609.05473)."""
    drawn = generator.draw(len(real))
    values = prefix_values(generator, lambda lines: torch.sigmoid(critic(lines)), drawn, settings.rollouts)
    return reinforce(generator.log_probs(drawn), values)


def discriminate(generator: Lines, critic: Cnn, real: Tensor, _settings: Any) -> Tensor:
    """Return -E[log D(real)] - E[log(1 - D(drawn))] (Goodfellow et al. 2014, equation 1)."""
    real_scores, drawn_scores = critic(real), critic(generator.draw(len(real)))
    return _two_classes(real_scores, drawn_scores)


def discriminate_prefixes(generator: Lines, critic: PrefixLstm, real: Tensor, _settings: Any) -> Tensor:
    """Return twice the mean cross-entropy over all prefixes of real and drawn lines, up to their ends."""
    lines = torch.cat([real, generator.draw(len(real))])
    labels = torch.cat([torch.ones_like(real), torch.zeros_like(real)])
    scores = critic(lines)
    losses = F.binary_cross_entropy_with_logits(scores, labels.to(scores), reduction="none")
    return 2 * losses[in_line(lines)].mean()


def maligan(generator: Lines, critic: Cnn, real: Tensor, _settings: Any) -> Tensor:
    """Return MaliGAN's loss (Che et al. 2017, arXiv 1702.07983, algorithm 1, baseline 1 / B)."""
    drawn = generator.draw(len(real))
    with torch.no_grad():
        d = torch.sigmoid(critic(drawn))
        ratio = d / (1 - d)
        weights = ratio / ratio.sum() - 1 / len(drawn)
    return -(weights * generator.log_probs(drawn).sum(dim=1)).sum()


def log_ranks(lines: Tensor, others: Tensor, references: Tensor, scale: float) -> Tensor:
    """Return the mean over references u of log(s(y, u) / (s(y, u) + sum_c s(c, u))), s = exp(scale cos)."""

    def likeness(x: Tensor) -> Tensor:
        return torch.exp(scale * F.cosine_similarity(x.unsqueeze(1), references.unsqueeze(0), dim=2))  # [N, U]

    of_lines, of_others = likeness(lines), likeness(others)
    return torch.log(of_lines / (of_lines + of_others.sum(dim=0))).mean(dim=1)


def rankgan(generator: Lines, critic: Cnn, real: Tensor, settings: Any) -> Tensor:
    """Return SeqGAN's loss with the log rank among real lines as reward (Lin et al. 2017, arXiv 1705.11001)."""
    with torch.no_grad():
        to, among = critic.features(real).tensor_split([settings.references])

    def reward(lines: Tensor) -> Tensor:
        return log_ranks(critic.features(lines), among, to, settings.rank_scale)

    drawn = generator.draw(len(real))
    return reinforce(generator.log_probs(drawn), prefix_values(generator, reward, drawn, settings.rollouts))


def rank(generator: Lines, critic: Cnn, real: Tensor, settings: Any) -> Tensor:
    """Return the mean log rank of drawn lines among real ones minus the mean of real lines among drawn ones."""
    drawn = critic.features(generator.draw(len(real) - settings.references))
    to, compared = critic.features(real).tensor_split([settings.references])
    of_drawn = log_ranks(drawn, compared, to, settings.rank_scale)
    return of_drawn.mean() - log_ranks(compared, drawn, to, settings.rank_scale).mean()


def cot(generator: Lines, mediator: Lines, real: Tensor, _settings: Any) -> Tensor:
    """Return the sum over positions of KL(G_t || M_t) along drawn lines (Lu et al. 2019, arXiv 1804.03782)."""
    drawn = generator.draw(len(real))
    log_g = generator(drawn)
    with torch.no_grad():
        log_m = mediator(drawn)
    divergences: Tensor = (torch.exp(log_g) * (log_g - log_m)).sum(dim=2)
    return (divergences * in_line(drawn)).sum(dim=1).mean()


def mediate(generator: Lines, mediator: Lines, real: Tensor, _settings: Any) -> Tensor:
    """Return the mediator's -log p of real and drawn lines."""
    return negative_log_likelihood(mediator, torch.cat([real, generator.draw(len(real))]))


def returns(rewards: Tensor, gamma: float) -> Tensor:
    """Return the discounted sums of rewards [B, L] from each position on."""
    total = torch.zeros_like(rewards[:, 0])
    sums: list[Tensor] = []
    for t in reversed(range(rewards.shape[1])):
        total = rewards[:, t] + gamma * total
        sums.insert(0, total)
    return torch.stack(sums, dim=1)


def dense(generator: Lines, critic: PrefixLstm, real: Tensor, settings: Any) -> Tensor:
    """Return REINFORCE with a reward per prefix, 2 D - 1 (ScratchGAN, arXiv 1905.09922) or log D (arXiv 1811.02549)."""
    drawn = generator.draw(len(real))
    with torch.no_grad():
        d = torch.sigmoid(critic(drawn))
        rewards = (torch.log(d) if settings.reward == "log-probability" else 2 * d - 1) * in_line(drawn)
    return reinforce(generator.log_probs(drawn), returns(rewards, settings.gamma))


def surprise(critic: Lines, ids: Tensor, cap: float) -> tuple[Tensor, Tensor]:
    """Return min(cap, -log p) per symbol of lines, [B, L], and the mean per line, [B]."""
    words = torch.clamp(-critic.log_probs(ids), max=cap)
    return words, words.sum(dim=1) / in_line(ids).sum(dim=1)


def dpgan(generator: Lines, critic: Lines, real: Tensor, settings: Any) -> Tensor:
    """Return REINFORCE with the surprise of a language model as reward (Xu et al. 2018, arXiv 1802.01345)."""
    drawn = generator.draw(len(real))
    with torch.no_grad():
        words, lines = surprise(critic, drawn, settings.cap)
    return reinforce(generator.log_probs(drawn), returns(words * lines.unsqueeze(1), 1.0))


def expect(generator: Lines, critic: Lines, real: Tensor, settings: Any) -> Tensor:
    """Return the mean surprise of drawn lines minus the mean of real lines."""
    _, drawn = surprise(critic, generator.draw(len(real)), settings.cap)
    return drawn.mean() - surprise(critic, real, settings.cap)[1].mean()


def jsdgan(generator: Lines, _critic: None, real: Tensor, settings: Any) -> Tensor:
    """Return -log p weighted by g log(1 + d / g), normalised over the batch; d = 1 / N (Li et al. 2019, PMLR 89)."""
    log_g = generator.log_probs(real).sum(dim=1)
    with torch.no_grad():
        log_weights = log_g + torch.log(F.softplus(-math.log(settings.lines) - log_g))
        weights = F.softmax(log_weights, dim=0)
    return -(weights * log_g).sum()


def relgan(generator: Lines, critic: Cnn, real: Tensor, _settings: Any, beta: float = 1.0) -> Tensor:
    """Return softplus(D(real) - D(draw)) (Nie et al. 2019, openreview.net/forum?id=rJedV3R5tm)."""
    return F.softplus(critic(real) - critic(generator.relaxed(len(real), beta, soft=False))).mean()


def compare_pairs(generator: Lines, critic: Cnn, real: Tensor, _settings: Any, beta: float = 1.0) -> Tensor:
    """Return softplus(D(draw) - D(real)), the loss of RelGAN's critic."""
    with torch.no_grad():
        rows = generator.relaxed(len(real), beta, soft=False)
    return F.softplus(critic(rows) - critic(real)).mean()


def gsgan(generator: Lines, critic: Cnn, real: Tensor, _settings: Any, beta: float = 1.0) -> Tensor:
    """Return -E[log D(draw)] (Kusner & Hernandez-Lobato 2016, arXiv 1611.04051)."""
    scores = critic(generator.relaxed(len(real), beta, soft=True))
    return F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))


def discriminate_relaxed(generator: Lines, critic: Cnn, real: Tensor, _settings: Any, beta: float = 1.0) -> Tensor:
    """Return -E[log D(real)] - E[log(1 - D(draw))] of relaxed draws."""
    with torch.no_grad():
        rows = generator.relaxed(len(real), beta, soft=True)
    return _two_classes(critic(real), critic(rows))


def squared_mmd(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """Return the biased squared MMD of x [N, F] and y [M, F] under a Gaussian kernel (Gretton et al. 2012, eq. 5)."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        distances = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(dim=2)
        return torch.exp(distances / (-2 * bandwidth**2)).mean()

    return kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)


def match_features(generator: Lines, critic: Cnn, real: Tensor, settings: Any) -> Tensor:
    """Return the squared MMD of features of real lines and relaxed draws (Zhang et al. 2017, arXiv 1706.03850)."""
    drawn = generator.relaxed(len(real), settings.inverse_temperature, soft=True)
    return squared_mmd(critic.features(real).tanh(), critic.features(drawn).tanh(), settings.bandwidth)


def discriminate_features(generator: Lines, critic: Cnn, real: Tensor, settings: Any) -> Tensor:
    """Return the cross-entropy of TextGAN's critic minus the weighted squared MMD."""
    with torch.no_grad():
        rows = generator.relaxed(len(real), settings.inverse_temperature, soft=True)
    of_real, of_drawn = critic.features(real).tanh(), critic.features(rows).tanh()
    penalty: Tensor = settings.mmd_weight * squared_mmd(of_real, of_drawn, settings.bandwidth)
    return _two_classes(critic.score(of_real), critic.score(of_drawn)) - penalty


def _two_classes(real_scores: Tensor, drawn_scores: Tensor) -> Tensor:
    of_real = F.binary_cross_entropy_with_logits(real_scores, torch.ones_like(real_scores))
    return of_real + F.binary_cross_entropy_with_logits(drawn_scores, torch.zeros_like(drawn_scores))
