"""Bias and variance of the gradient estimators of sequence GANs, by enumeration of all lines of three symbols.

Generator and data are random tables of logits over the 27 lines of three symbols, and the critic is the best one at
every prefix, so that each estimator has an exact gradient to be compared with: of the divergence that the game of the
generator and the best critic descends on. The losses are the ones that train models here. Expectations are sums over
all lines or pairs of lines; weights that are normalised over a batch, and relaxed draws, are means over a fixed sample.

    python -m textgan.theory estimators
    python -m textgan.theory estimators --output estimators.svg
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from eval.core.tables import Block
from textgan.models.estimators import (
    cot_loss,
    identity,
    importance,
    jsd_weights,
    minus_log_fake,
    odds,
    probability,
    reinforce,
    returns,
)
from textgan.models.lines import in_line
from textgan.runs.plots import COLOURS
from textgan.theory.enumeration import (
    Enumeration,
    best_critic,
    best_mediator,
    completions,
    divergence_gradient,
    drawn_log_probs,
    enumeration,
    kl,
    prefix_probabilities,
)
from textgan.theory.experiment import Findings, TheoryFlags, panels, run_experiment
from textgan.theory.moments import BATCH, Estimate, completion_variance, of_batches, of_pairs, of_relaxed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BETAS = (1.0, 5.0, 20.0, 100.0)
"""Inverse temperatures of relaxed draws."""

Divergence = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """An estimator beside the exact gradient of its divergence.

    Attributes:
        estimator: the estimator.
        divergence: the divergence.
        bias: length of mean minus exact gradient, relative to the length of the exact gradient.
        error: standard error of the mean, relative to the same length; 0 if the mean is exact.
        cosine: cosine of the angle between mean and exact gradient.
        norm: length of the mean, relative to the same length.
        variance: variance per line, relative to the squared length of the mean.
    """

    estimator: str
    divergence: str
    bias: float
    error: float
    cosine: float
    norm: float
    variance: float


def row(estimator: str, divergence: str, estimate: Estimate, exact: Tensor) -> Row:
    """Compare an estimate with the exact gradient [P]; the sampling error is taken out of the squared bias."""
    length, norm = float(exact.norm()), float(estimate.mean.norm())
    squared = float((estimate.mean - exact).square().sum()) - estimate.error**2
    return Row(
        estimator,
        divergence,
        bias=math.sqrt(max(squared, 0.0)) / length,
        error=estimate.error / length,
        cosine=float(estimate.mean @ exact) / (length * norm),
        norm=norm / length,
        variance=estimate.variance / norm**2,
    )


DIVERGENCES: Mapping[str, Divergence] = {
    "KL(d||m)": lambda g, d: kl(d, (g + d) / 2),
    "2 JSD": lambda g, d: kl(g, (g + d) / 2) + kl(d, (g + d) / 2),
    "KL(g||d)": kl,
    "KL(d||g)": lambda g, d: kl(d, g),
}
"""Divergences of the densities g of the generator and d of the data; m is their mean."""


def all_rows(game: Enumeration) -> list[Row]:
    """Return a row per estimator."""
    exact = {name: divergence_gradient(game, divergence) for name, divergence in DIVERGENCES.items()}
    return [
        *reward_rows(game, exact),
        *density_rows(game, exact),
        *relaxed_rows(game, "RelGAN", soft=False),
        *relaxed_rows(game, "GSGAN", soft=True),
    ]


def reward_rows(game: Enumeration, exact: Mapping[str, Tensor]) -> list[Row]:
    """Return the rows of estimators that reinforce drawn lines."""
    lines, drawn = game.lines, game.probabilities
    logits = best_critic(game)  # [K, L]
    whole, per_prefix = logits[:, -1:].expand_as(logits), probability(logits)
    values = completions(game, probability(logits[:, -1]))

    def rewarded(rewards: Tensor) -> Estimate:
        return of_pairs(game, lambda p, n: reinforce(drawn_log_probs(p, lines[n]), rewards[n]), drawn)

    def without_baseline(rewards: Tensor) -> Estimate:
        return of_pairs(game, lambda p, n: -(drawn_log_probs(p, lines[n]) * rewards[n]).sum(dim=1).mean(), drawn)

    def completed(count: int) -> Estimate:
        added = completion_variance(game, probability(logits[:, -1])) / count
        return Estimate(rewarded(values).mean, rewarded(values).variance + added)

    def prefix_kl(g: Tensor, d: Tensor) -> Tensor:
        return DIVERGENCES["KL(d||m)"](prefix_probabilities(lines, g), prefix_probabilities(lines, d))

    by_divergence = {
        "KL(d||m)": {
            "D, without a baseline": without_baseline(probability(whole)),
            "D": rewarded(probability(whole)),
            "D, 1 completion": completed(1),
            "D, 16 completions": completed(16),
            "D, all completions": rewarded(values),
            "D, all completions, without a baseline": without_baseline(values),
        },
        "2 JSD": {"-log(1 - D)": rewarded(minus_log_fake(whole))},
        "KL(g||d)": {"log D/(1 - D)": rewarded(identity(whole))},
        "KL(d||g)": {
            "D/(1 - D)": rewarded(odds(whole)),
            "MaliGAN": of_batches(game, importance, logits[:, -1], drawn),
        },
        "sum of KL(d||m) of prefixes": {
            f"dense D, gamma {gamma:g}": rewarded(returns(per_prefix, gamma)) for gamma in (1.0, 0.95, 0.23)
        },
    }
    targets = {**exact, "sum of KL(d||m) of prefixes": divergence_gradient(game, prefix_kl)}
    return [
        row(name, divergence, estimate, targets[divergence])
        for divergence, estimates in by_divergence.items()
        for name, estimate in estimates.items()
    ]


def density_rows(game: Enumeration, exact: Mapping[str, Tensor]) -> list[Row]:
    """Return the rows of CoT and JSDGAN; JSDGAN's data are every third line."""
    lines, mediator, log_g = game.lines, best_mediator(game), game.probabilities.log()
    count, data = len(lines[::3]), torch.zeros_like(log_g)
    data[::3] = 1 / count
    exact_jsd = divergence_gradient(game, lambda g, _: DIVERGENCES["2 JSD"](g, data))
    weights = count * log_g.exp() * F.softplus(-math.log(count) - log_g)  # [K]

    def published(log_probs: Tensor, n: Tensor) -> Tensor:
        return cot_loss(log_probs, mediator[n], in_line(lines[n]))

    def full(log_probs: Tensor, n: Tensor) -> Tensor:
        return cot_loss(log_probs, mediator[n], in_line(lines[n]), drawn_log_probs(log_probs, lines[n]))

    def weighted(log_probs: Tensor, n: Tensor) -> Tensor:
        return -(weights[n] * drawn_log_probs(log_probs, lines[n]).sum(dim=1)).mean()

    normalised = of_batches(game, lambda values: jsd_weights(values, count), log_g, data)
    scale = float(exact_jsd.norm() / normalised.mean.norm())  # weights of sum 1 have no scale
    normalised = Estimate(scale * normalised.mean, scale**2 * normalised.variance, normalised.samples)
    return [
        row("CoT", "2 JSD", of_pairs(game, published, game.probabilities), exact["2 JSD"]),
        row("CoT, prefix gradient", "2 JSD", of_pairs(game, full, game.probabilities), exact["2 JSD"]),
        row("JSDGAN, weights not normalised", "2 JSD", of_pairs(game, weighted, data), exact_jsd),
        row("JSDGAN", "2 JSD, scaled", normalised, exact_jsd),
    ]


def relaxed_rows(game: Enumeration, name: str, soft: bool) -> list[Row]:
    """Return the rows of RelGAN or GSGAN (`soft`) by inverse temperature, with the best critic extended to rows."""
    exact = divergence_gradient(game, DIVERGENCES["KL(d||m)"])
    rewards = probability(best_critic(game)[:, -1])
    return [row(f"{name}, beta {beta:g}", "KL(d||m)", of_relaxed(game, rewards, beta, soft), exact) for beta in BETAS]


def study(_flags: TheoryFlags) -> Findings:
    """Compare every estimator with the exact gradient."""
    rows = all_rows(enumeration(seq_len=3))
    short = relaxed_rows(enumeration(seq_len=1), "one symbol", soft=False)  # nothing is fed back
    table = [["estimator", "divergence", "relative bias", "standard error", "cosine", "norm", "variance"]]
    for each in rows:
        error = f"{each.error:.3f}" if each.error else "exact"
        numbers = [f"{each.bias:.3f}", error, f"{each.cosine:.4f}", f"{each.norm:.3f}", f"{each.variance:.3g}"]
        table.append([each.estimator, each.divergence, *numbers])
    biases = ", ".join(f"{each.bias:.3f} (beta {beta:g})" for each, beta in zip(short, BETAS, strict=True))
    notes = [
        f"Variance: per line in batches of {BATCH}, relative to the squared length of the mean gradient.",
        f"Lines of one symbol, RelGAN and GSGAN: relative bias {biases}",
    ]
    block = Block("Gradient estimators against exact gradients, 27 lines of three symbols", table, notes)
    return Findings([block], [asdict(each) for each in rows], lambda: draw(rows, short))


def main(arguments: list[str]) -> int:
    """Run the experiment."""
    return run_experiment(TheoryFlags, study, arguments, "estimators", __doc__)


def draw(rows: Sequence[Row], short: Sequence[Row]) -> "Figure":
    """Draw variance and bias of each estimator, and the bias of relaxed draws against beta.

    Args:
        rows: the rows of lines of three symbols.
        short: the rows of relaxed draws of one symbol, by beta.
    """
    figure, axes = panels(1, 3, "Bias and variance of gradient estimators, with the best critic", 3.8, 4.6)
    names = [each.estimator for each in rows]
    families = {"MaliGAN": 2, "dense": 4, "RelGAN": 1, "GSGAN": 1, "CoT": 3, "JSDGAN": 3}
    colours = [COLOURS[families.get(name.split(",")[0].split(" ")[0], 0)] for name in names]
    for panel, values, title in (
        (axes[0], [each.variance for each in rows], "variance per line"),
        (axes[1], [each.bias for each in rows], "relative bias"),
    ):
        panel.scatter(values, range(len(rows)), c=colours, s=22, zorder=2)
        panel.set(title=title, yticks=range(len(rows)), yticklabels=names, ylim=(len(rows) - 0.5, -0.5))
    axes[0].set(xscale="log")
    axes[1].set(xlim=(-0.03, None))
    axes[1].tick_params(labelleft=False)
    relaxed = {"lines of 1 symbol": short, **{
        f"{name}, 3 symbols": [each for each in rows if each.estimator.startswith(name)] for name in ("RelGAN", "GSGAN")
    }}  # fmt: skip
    for (name, found), colour in zip(relaxed.items(), COLOURS, strict=False):
        biases, errors = [each.bias for each in found], [each.error for each in found]
        axes[2].errorbar(BETAS, biases, errors, fmt="o-", ms=4, lw=1.2, color=colour, label=name)
    axes[2].set(title="relaxed draws", xlabel="inverse temperature beta", ylabel="relative bias", xscale="log")
    axes[2].set_ylim(0, 0.7)
    axes[2].legend()
    return figure
