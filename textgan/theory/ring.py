"""Train a GAN on a ring of eight Gaussians under each update rule, by the trainer of real runs.

The generator must cover eight separate modes. Under every rule the same networks start from the same weights and get
the same samples; the table counts covered modes and good samples of 16 independent GANs per rule, trained side by side.

    python -m textgan.theory ring
    python -m textgan.theory ring --paths 32 --iterations 2000 --output ring.svg
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from data.errors import require_at_least
from eval.core.tables import Block, fixed
from textgan.engine.game import Networks, adversarial_game
from textgan.engine.losses import NON_SATURATING, Loss
from textgan.engine.phases import gan_phases
from textgan.engine.seeds import stream_seed
from textgan.engine.settings import GanSettings
from textgan.engine.trainer import Trainer, make_trainer
from textgan.runs.plots import COLOURS
from textgan.runs.significance import mean_interval
from textgan.theory.experiment import Findings, NoisyFlags, panels, run_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODES, RADIUS, SD = 8, 2.0, 0.05
"""The ring of Metz et al. 2017 (arXiv 1611.02163), with a standard deviation of .05 in place of .02."""
GOOD = 3.0
"""A sample is good within this many standard deviations of a mode (Srivastava et al. 2017, arXiv 1705.07761)."""
COVERED = 0.01
"""A mode is covered if at least this share of all samples is good and at this mode; an eighth would be right."""

RULES = (
    *("alternating", "simultaneous", "optimistic", "extragradient", "extragradient-past", "lookahead"),
    *("consensus:0.01", "symplectic:0.1"),
)
RATE = 0.01
"""Adam's learning rate of both players: equal, so that the rules alone differ."""

_LATENT, _HIDDEN, _BATCH = 2, (32, 32), 64
_SAMPLES, _SHOWN, _POINTS, _LAST = 1000, 500, 20, 5

Points = NDArray[np.float32]
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RingFlags(NoisyFlags):
    """Flags of the experiment."""

    paths: int = 16
    """Number of independent GANs per rule."""
    seed: int = 0
    """Seed of weights, noise and samples."""
    iterations: int = 600
    """Training iterations."""

    def __post_init__(self) -> None:
        """Refuse numbers that no experiment can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        require_at_least("--iterations", self.iterations, 1)


@dataclass(frozen=True)
class Course:
    """The course of a rule's training, at equal intervals.

    Attributes:
        evaluations: gradient evaluations of both players so far [points].
        modes: covered modes [points, paths].
        good: proportion of good samples [points, paths].
        samples: samples at the end [samples, paths, 2].
    """

    evaluations: Values
    modes: Values
    good: Values
    samples: Points

    @property
    def end(self) -> tuple[Values, Values]:
        """Covered modes and proportion of good samples, means over the last quarter of the training [paths] each."""
        return self.modes[-_LAST:].mean(axis=0), self.good[-_LAST:].mean(axis=0)


class Perceptrons(nn.Module):
    """Independent multilayer perceptrons with tanh, one per path: x [B, paths, in] to [B, paths, out].

    Smooth networks have Lipschitz gradients while their weights are bounded (assumption A1); networks with ReLU have
    not. All weights are one tensor: with small networks the optimiser's time goes by the number of tensors.
    """

    def __init__(self, paths: int, sizes: Sequence[int], random: torch.Generator) -> None:
        super().__init__()
        self._shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]  # the last row is the bias
        drawn = []
        for inputs, outputs in pairwise(sizes):
            bound = math.sqrt(3 / inputs)  # uniform, with variance 1 / inputs
            drawn.append(torch.empty(paths, inputs * outputs).uniform_(-bound, bound, generator=random))
            drawn.append(torch.zeros(paths, outputs))
        self.weights = nn.Parameter(torch.cat(drawn, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs [B, paths, out]."""
        x = x.transpose(0, 1)  # [paths, B, in]
        parts = torch.split(self.weights, [inputs * outputs for inputs, outputs in self._shapes], dim=1)
        for number, (part, shape) in enumerate(zip(parts, self._shapes, strict=True)):
            layer = part.view(-1, *shape)  # [paths, in + 1, out]
            x = torch.baddbmm(layer[:, -1:], x.tanh() if number else x, layer[:, :-1])  # [paths, B, out]
        return x.transpose(0, 1)


def centres() -> Tensor:
    """Return the means of the modes [8, 2]."""
    angles = 2 * math.pi * torch.arange(MODES) / MODES
    return RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)


def draw_ring(count: int, paths: int, random: torch.Generator) -> Tensor:
    """Draw samples of the ring [count, paths, 2]."""
    modes = torch.randint(MODES, (count, paths), generator=random)
    return centres()[modes] + SD * torch.randn(count, paths, 2, generator=random)


def quality(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number of covered modes and the proportion of good samples of each path, [paths] each.

    Args:
        samples: samples [count, paths, 2].
    """
    distances, nearest = torch.cdist(samples, centres()).min(dim=-1)  # [count, paths]
    good = distances <= GOOD * SD
    of_mode = (F.one_hot(nearest, MODES) * good[..., None]).float().mean(dim=0)  # [paths, 8]
    return (of_mode >= COVERED).sum(dim=1), good.float().mean(dim=0)


def make_ring(rule: str, flags: RingFlags) -> Trainer:
    """Return the trainer of a rule; the initial weights depend on the seed alone."""
    config = GanSettings(
        data="ring", rule=rule, seed=flags.seed, iterations=flags.iterations, batch_size=_BATCH, generator_lr=RATE,
        critic_lr=RATE, beta1=0.5, beta2=0.99,
    )  # fmt: skip
    random = torch.Generator().manual_seed(stream_seed(flags.seed, "initialise", 0))
    networks = Networks(
        Perceptrons(flags.paths, (_LATENT, *_HIDDEN, 2), random),
        nn.Sequential(Perceptrons(flags.paths, (2, *_HIDDEN, 1), random), nn.Flatten(1)),  # [B, paths]
    )
    # The mean over all scores, times the paths, has the gradient of one GAN in the weights of each path.
    loss = Loss(
        lambda real, fake: flags.paths * NON_SATURATING.critic(real, fake),
        lambda fake: flags.paths * NON_SATURATING.generator(fake),
    )
    game = adversarial_game(loss, 0.0, lambda count, source: noise(count, flags.paths, source), score_together=True)
    return make_trainer(config, gan_phases(config, game), networks, torch.device("cpu"))


def noise(count: int, paths: int, random: torch.Generator) -> Tensor:
    """Draw the generators' noise [count, paths, 2]."""
    return torch.randn(count, paths, _LATENT, generator=random)


def train_ring(rule: str, flags: RingFlags) -> Course:
    """Train under a rule and return the course."""
    trainer = make_ring(rule, flags)

    def source(stream: str) -> torch.Generator:
        return torch.Generator().manual_seed(stream_seed(flags.seed, stream, trainer.iteration))

    def train() -> Iterator[tuple[int, Tensor]]:
        for point in range(1, _POINTS + 1):
            while trainer.iteration < flags.iterations * point // _POINTS:
                trainer.step([draw_ring(_BATCH, flags.paths, source("batches"))], measure=False)
            trainer.require_finite()
            with torch.no_grad():
                samples = trainer.generator.network(noise(_SAMPLES, flags.paths, source("samples")))
            yield trainer.counters["gradient_evaluations"], samples

    evaluations, drawn = zip(*train(), strict=True)
    modes, good = zip(*map(quality, drawn), strict=True)
    return Course(
        np.array(evaluations, float), torch.stack(modes).double().numpy(), torch.stack(good).double().numpy(),
        drawn[-1].numpy(),
    )  # fmt: skip


def study(flags: RingFlags) -> Findings:
    """Train under every rule."""
    courses = {rule: train_ring(rule, flags) for rule in RULES}
    table = [["rule", "gradient evaluations", "covered modes", "[95 %]", "good samples", "[95 %]"]]
    records: list[dict[str, Any]] = []
    for rule, course in courses.items():
        evaluations, (modes, good) = int(course.evaluations[-1]), course.end
        table.append([rule, f"{evaluations:,}", *_with_interval(modes, 1), *_with_interval(good, 2)])
        records += [
            {
                "rule": rule,
                "gan": gan,
                "gradient_evaluations": evaluations,
                "modes": float(covered),
                "good": float(share),
            }
            for gan, (covered, share) in enumerate(zip(modes, good, strict=True))
        ]
    title = f"{MODES} Gaussians, last quarter of {flags.iterations} iterations, means of {flags.paths} GANs per rule"
    note = f"real samples: {MODES} modes, {1 - math.exp(-(GOOD**2) / 2):.2f} good; intervals over GANs are Student's t"
    return Findings([Block(title, table, [note])], records, lambda: draw(courses))


def _with_interval(values: Values, digits: int) -> tuple[str, str]:
    interval = mean_interval(values)
    assert interval is not None  # there are two paths or more
    return fixed(float(values.mean()), digits), f"[{', '.join(fixed(bound, digits) for bound in interval)}]"


def draw(courses: Mapping[str, Course]) -> "Figure":
    """Draw samples of one GAN per rule, the one with the median proportion of good samples, and the course of all."""
    from matplotlib.collections import EllipseCollection

    paths = len(courses[RULES[0]].good[-1])
    figure, axes = panels(3, 3, f"A ring of eight Gaussians: the median GAN of {paths} at the end", 2.3, 2.5)
    colours = dict(zip(courses, (*COLOURS, "#999999"), strict=True))
    for panel, (rule, course) in zip(axes, courses.items(), strict=False):
        modes, good = course.end
        median = np.argsort(course.good[-1], kind="stable")[paths // 2]
        x, y = course.samples[:_SHOWN, median].T
        panel.scatter(x, y, s=2, lw=0, color=colours[rule], rasterized=True)
        size = [2 * GOOD * SD]
        circles = EllipseCollection(
            size, size, [0], units="xy", offsets=centres().numpy(), offset_transform=panel.transData, lw=0.7,
            facecolors="none", edgecolors="#888888",
        )  # fmt: skip
        panel.add_collection(circles)
        panel.set(xlim=(-2.7, 2.7), ylim=(-2.7, 2.7), aspect="equal")
        panel.set_title(f"{rule}\n{modes.mean():.1f} modes, {100 * good.mean():.0f} % good")
        panel.set_axis_off()
    last = axes[len(courses)]
    for rule, course in courses.items():
        last.plot(course.evaluations, course.good.mean(axis=1), color=colours[rule], lw=1.4)
    last.set(ylim=(0, 1), xlabel="gradient evaluations")
    last.set_title("proportion of good samples\nmean of all GANs")
    return figure


def main(arguments: list[str]) -> int:
    """Run the experiment and return its exit status."""
    return run_experiment(RingFlags, study, arguments, "ring", __doc__)
