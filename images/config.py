"""ImageConfig: every knob of a training run on images, and the presets."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from data.errors import InputError
from data.images.dataset import ImageOptions
from data.images.sources import absolute_source
from eval.core.device import Precision
from eval.images.features import FeatureKind, metric_name, refuse_inception_flags
from eval.images.inception import Resize
from textgan.engine.settings import Settings

Model = Literal["dcgan", "wgan-gp"]
LossName = Literal["non-saturating", "minimax", "least-squares", "hinge", "wasserstein"]


@dataclass(frozen=True)
class ImageConfig(Settings):
    """A training run on images. The defaults are those of the paper's DCGAN on CelebA with two time scales."""

    preset: str = "dcgan-celeba-ttur"
    """Named settings that the other flags start from: quickstart (two CPU cores, minutes), ttur-small and orig-small (two time scales and one, for CPUs), MODEL-DATA-METHOD for the paper's (dcgan on celeba, cifar10, svhn and lsun, wgan-gp on cifar10 and lsun; ttur and orig)."""
    data: str = "celeba"
    """Training images: shapes (embedded), celeba, cifar10, svhn or lsun-bedrooms (a sample of 287,968; each also as NAME:PATH), hub:NAME[:COLUMN], a .parquet, .npz or .npy file, or a folder of images and parquet files (with subfolders, without hidden files; links are followed once)."""
    count: int | None = None
    """Images at most, the first ones. Default: all of them."""
    size: int = 64
    """Pixels a side, a multiple of 16."""
    flips: Literal["off", "on"] = "off"
    """Whether to mirror real images, left to right, with probability one half."""
    model: Model = "dcgan"
    """Networks: dcgan, or wgan-gp (the residual ones)."""
    loss: LossName = "non-saturating"
    """What the players minimise."""
    dim: int = 64
    """Width of the networks, in channels, where they are narrowest."""
    latent_dim: int = 100
    """Length of the generator's noise vector."""
    compat: Literal["corrected", "paper"] = "corrected"
    """Whether to repeat the published code's fault that shaped its numbers: at 32 pixels its residual critic gives four images one score."""
    features: FeatureKind = "inception"
    """Features for the Fréchet distance: inception (FID; needs its weights), or random-conv (FD-random; needs nothing)."""
    weights: Path | None = None
    """File with the weights of the Inception network. Default: fetched once."""
    resize: Resize = "tensorflow1"
    """How images are brought to the Inception network's size."""
    precision: Precision = "float32"
    """Arithmetic of the Inception network: tf32 (CUDA) and bf16 are faster, move the distance, and are signed."""
    penalty_weight: float = 0.0
    """Weight of the gradient penalty; 0 leaves it out."""
    beta2: float = 0.999
    """Adam's decay of the second moment, an update."""
    critic_lr: float = 1e-5
    """Learning rate of the critic (Adam)."""
    generator_lr: float = 5e-4
    """Learning rate of the generator (Adam)."""
    iterations: int | None = 255_000
    """Generator iterations after which the run ends (None: only --minutes ends it)."""
    eval_samples: int = 50_000
    """Samples an evaluation scores."""
    eval_every: int = 5000
    """Generator iterations between evaluations."""
    checkpoint_every: int = 5000
    """Generator iterations between checkpoints."""

    minimums: ClassVar[dict[str, int]] = {**Settings.minimums, "count": 1, "dim": 1, "latent_dim": 1, "eval_samples": 2}

    def __post_init__(self) -> None:
        """Refuse values no run can have.

        Raises:
            InputError: naming the flag.
        """
        super().__post_init__()
        if self.size < 32 or self.size % 16:
            raise InputError(f"--size {self.size}: must be 32 or a larger multiple of 16")
        refuse_inception_flags(self.features, self.weights, self.precision)
        if self.compat == "paper" and not self.folds:
            raise InputError("--compat paper: the fault is one of --model wgan-gp at --size 32 alone")
        if self.folds and self.batch_size % 4:
            raise InputError(f"--batch-size {self.batch_size}: must be a multiple of 4 with --compat paper")

    @property
    def scores(self) -> list[str]:
        """Name of the run's one score in its metrics."""
        return [metric_name("fid", self.features).replace("-", "_")]

    @property
    def may_change(self) -> set[str]:
        """Settings that may differ when the run is continued; the hash of the weights is in the signature."""
        return super().may_change | {"weights"}

    @property
    def folds(self) -> bool:
        """Whether the critic gives four images one score."""
        return self.compat == "paper" and self.model == "wgan-gp" and self.size == 32

    @property
    def pictures(self) -> ImageOptions:
        """What the run trains on and is scored against."""
        return ImageOptions(absolute_source(self.data), self.size, self.count)

    def with_absolute_paths(self) -> Self:
        """Return the same settings with files named so that they are found from any working folder."""
        return replace(super().with_absolute_paths(), weights=None if self.weights is None else self.weights.resolve())

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as a JSON-serialisable object."""
        weights = None if self.weights is None else str(self.weights.resolve())
        return {**super().as_json(), "data": absolute_source(self.data), "weights": weights}


def _of_the_paper(
    model: Model, data: str, ttur: tuple[float, float], orig: float, iterations: tuple[int, int]
) -> list[ImageConfig]:
    """Return both methods of an experiment: the rates of critic and generator, and the one rate for both.

    Iterations are those of either method.
    """
    name = data.partition("-")[0]
    common = ImageConfig(data=data, size=32 if data in ("cifar10", "svhn") else 64)
    if model == "wgan-gp":
        common = replace(
            common, model="wgan-gp", loss="wasserstein", latent_dim=128, penalty_weight=10.0, beta1=0.0, beta2=0.9,
            eval_every=1000, checkpoint_every=1000,
        )  # fmt: skip
    critic_lr, generator_lr = ttur
    steps = 5 if model == "wgan-gp" else 1
    return [
        replace(
            common,
            preset=f"{model}-{name}-ttur",
            critic_lr=critic_lr,
            generator_lr=generator_lr,
            iterations=iterations[0],
        ),
        replace(
            common,
            preset=f"{model}-{name}-orig",
            critic_lr=orig,
            generator_lr=orig,
            critic_steps=steps,
            iterations=iterations[1],
        ),
    ]


# Table 1 of the paper; iterations are where its curves end, those of WGAN-GP, which are by the minute, about so.
_PAPER = [
    *_of_the_paper("dcgan", "celeba", (1e-5, 5e-4), 5e-4, (255_000, 255_000)),
    *_of_the_paper("dcgan", "cifar10", (1e-4, 5e-4), 1e-4, (120_000, 120_000)),
    *_of_the_paper("dcgan", "svhn", (1e-5, 1e-4), 5e-5, (185_000, 185_000)),
    *_of_the_paper("dcgan", "lsun-bedrooms", (1e-5, 1e-4), 5e-5, (400_000, 400_000)),
    *_of_the_paper("wgan-gp", "cifar10", (3e-4, 1e-4), 1e-4, (235_000, 65_000)),
    *_of_the_paper("wgan-gp", "lsun-bedrooms", (3e-4, 1e-4), 1e-4, (84_000, 23_000)),
]

# For CPUs: a quarter of the paper's width, on images that need no download, scored without a download.
_TTUR_SMALL = ImageConfig(
    preset="ttur-small", data="shapes", size=32, dim=16, critic_lr=1e-4, generator_lr=5e-4, iterations=100_000,
    features="random-conv", eval_samples=2000, eval_every=250, checkpoint_every=1000,
)  # fmt: skip
_ORIG_SMALL = replace(_TTUR_SMALL, preset="orig-small", critic_lr=2e-4, generator_lr=2e-4)
# Tuned to show shapes after five minutes on two cores, scoring included; LOG.md has the trials.
_QUICKSTART = replace(
    _TTUR_SMALL, preset="quickstart", generator_lr=1e-3, batch_size=32, generator_ema=0.995, iterations=8000,
    minutes=4.0, eval_every=500,
)  # fmt: skip

PRESETS: dict[str, ImageConfig] = {config.preset: config for config in (_QUICKSTART, _TTUR_SMALL, _ORIG_SMALL, *_PAPER)}
