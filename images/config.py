"""Settings and presets of training runs on images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from data.errors import InputError
from data.images.dataset import ImageOptions
from data.images.sources import absolute_source
from data.naming import as_flag
from eval.core.device import Precision
from eval.images.extractors.choice import FeatureKind, refuse_other_flags
from eval.images.inception import Resize
from textgan.engine.settings import AdversarialSettings, LossName

Model = Literal["dcgan", "wgan-gp"]
Upsampling = Literal["transposed", "bilinear"]
CriticNorm = Literal["batch", "none"]


@dataclass(frozen=True)
class ImageConfig(AdversarialSettings):
    """Settings of a training run on images. Defaults: the paper's DCGAN on CelebA with two time scales."""

    preset: str = "dcgan-celeba-ttur"
    """Defaults of the other flags: quickstart, ttur-small or orig-small (for CPUs), or the paper's
    MODEL-DATA-METHOD: dcgan-{celeba,cifar10,svhn,lsun} or wgan-gp-{cifar10,lsun}, -ttur or -orig."""
    data: str = "celeba"
    """Images: shapes (embedded), celeba, cifar10, svhn, lsun-bedrooms (each also NAME:PATH),
    hub:NAME[:COLUMN], a .parquet, .npz or .npy file, or a folder of images and parquet files."""
    count: int | None = None
    """Maximum number of images (the first ones). Default: all."""
    size: int = 64
    """Pixels per side: 32, or a larger multiple of 16."""
    flips: Literal["off", "on"] = "off"
    """on: mirror each training image, left to right, with probability 1/2."""
    model: Model = "dcgan"
    """Networks: dcgan, or wgan-gp (residual)."""
    loss: LossName = "non-saturating"
    upsampling: Upsampling = "transposed"
    """Upsampling in DCGAN's generator: 5x5 transposed convolutions, or bilinear interpolation before 3x3
    convolutions, which leaves no checkerboard."""
    critic_norm: CriticNorm = "batch"
    """Normalisation in DCGAN's critic: batch, or none, which gradient penalties and spectral normalisation assume."""
    dim: int = 64
    """Channels of the narrowest layers; wider layers have multiples of it."""
    latent_dim: int = 100
    """Length of the generator's noise vector."""
    compat: Literal["corrected", "paper"] = "corrected"
    """paper: with the published code's fault, one critic score per four images (wgan-gp, 32 pixels)."""
    features: FeatureKind = "inception"
    """Features of the Fréchet distance: inception (FID), inception-spatial (sFID), random-conv (FD-random, no
    download), efficientnet-lite0 (from a package), or dinov2-vitl14 (from a file)."""
    weights: Path | None = None
    """Weights of the features (.pth, .safetensors). Default: Inception's are downloaded once."""
    resize: Resize = "tensorflow1"
    """Method of resizing images for Inception: as in the original graph, as in pytorch-fid, or as in clean-fid."""
    precision: Precision = "float32"
    """Precision of Inception; tf32 (CUDA) and bf16 are faster, but change FID and signature."""
    beta2: float = 0.999
    critic_lr: float = 1e-5
    generator_lr: float = 5e-4
    iterations: int | None = 255_000
    eval_samples: int = 50_000
    eval_every: int = 5000
    checkpoint_every: int = 5000

    minimums: ClassVar[Mapping[str, int]] = {
        **AdversarialSettings.minimums, "count": 1, "dim": 1, "latent_dim": 1, "eval_samples": 2,
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        if self.size < 32 or self.size % 16:
            raise InputError(f"--size {self.size}: must be 32 or a larger multiple of 16")
        refuse_other_flags(self.features, self.weights, self.precision)
        if self.compat == "paper" and not self.folds:
            raise InputError("--compat paper: applies only to --model wgan-gp with --size 32")
        for name, usual in (("upsampling", "transposed"), ("critic_norm", "batch")):
            if (value := getattr(self, name)) != usual and self.model != "dcgan":
                raise InputError(f"{as_flag(name)} {value}: only with --model dcgan; {self.model} has its own")
        if self.folds and self.batch_size % 4:
            raise InputError(f"--batch-size {self.batch_size}: must be a multiple of 4 with --compat paper")

    @property
    def may_change(self) -> set[str]:
        """Settings that may change when the run is continued; the signature holds the hash of the weights."""
        return super().may_change | {"weights"}

    @property
    def folds(self) -> bool:
        """Whether the critic gives one score per four images."""
        return self.compat == "paper" and self.model == "wgan-gp" and self.size == 32

    @property
    def pictures(self) -> ImageOptions:
        """Images for training, which are also the reference of the scores."""
        return ImageOptions(absolute_source(self.data), self.size, self.count)

    def with_absolute_paths(self) -> Self:
        """Return the same settings with absolute paths, valid from any working folder."""
        return replace(super().with_absolute_paths(), weights=None if self.weights is None else self.weights.resolve())

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as a JSON-serialisable object."""
        weights = None if self.weights is None else str(self.weights.resolve())
        return {**super().as_json(), "data": absolute_source(self.data), "weights": weights}


def _of_the_paper(
    model: Model, data: str, ttur: tuple[float, float], orig: float, iterations: tuple[int, int]
) -> list[ImageConfig]:
    """Return the two presets of one experiment of the paper: TTUR, and the original method with one learning rate.

    `ttur` has the rates of critic and generator, `iterations` the generator iterations of TTUR and of the original.
    """
    name = data.partition("-")[0]
    common = ImageConfig(data=data, size=32 if data in ("cifar10", "svhn") else 64)
    if model == "wgan-gp":
        common = replace(
            common, model="wgan-gp", loss="wasserstein", latent_dim=128, penalty_weight=10.0, beta1=0.0, beta2=0.9,
            eval_every=1000, checkpoint_every=1000,
        )  # fmt: skip
    presets = []
    for method, (critic_lr, generator_lr), steps, budget in zip(
        ("ttur", "orig"), (ttur, (orig, orig)), (1, 5 if model == "wgan-gp" else 1), iterations, strict=True
    ):
        presets.append(replace(
            common, preset=f"{model}-{name}-{method}", critic_lr=critic_lr, generator_lr=generator_lr,
            critic_steps=steps, iterations=budget,
        ))  # fmt: skip
    return presets


# Table 1 of the paper; iterations are where its curves end (estimated for WGAN-GP, whose curves are by the minute).
_PAPER = [
    *_of_the_paper("dcgan", "celeba", (1e-5, 5e-4), 5e-4, (255_000, 255_000)),
    *_of_the_paper("dcgan", "cifar10", (1e-4, 5e-4), 1e-4, (120_000, 120_000)),
    *_of_the_paper("dcgan", "svhn", (1e-5, 1e-4), 5e-5, (185_000, 185_000)),
    *_of_the_paper("dcgan", "lsun-bedrooms", (1e-5, 1e-4), 5e-5, (400_000, 400_000)),
    *_of_the_paper("wgan-gp", "cifar10", (3e-4, 1e-4), 1e-4, (235_000, 65_000)),
    *_of_the_paper("wgan-gp", "lsun-bedrooms", (3e-4, 1e-4), 1e-4, (84_000, 23_000)),
]

# For CPUs: a quarter of the paper's width, with images and features that need no download.
_TTUR_SMALL = ImageConfig(
    preset="ttur-small", data="shapes", size=32, dim=16, critic_lr=1e-4, generator_lr=5e-4, iterations=100_000,
    features="random-conv", eval_samples=2000, eval_every=250, checkpoint_every=1000,
)  # fmt: skip
_ORIG_SMALL = replace(_TTUR_SMALL, preset="orig-small", critic_lr=2e-4, generator_lr=2e-4)
# Tuned to show shapes within five minutes on two cores, whatever the seed; LOG.md has the trials. R1 keeps the critic
# from winning, both rates fall to 0, so that the end is the best, and interpolation leaves no checkerboard.
_QUICKSTART = replace(
    _TTUR_SMALL, preset="quickstart", critic_norm="none", penalty="r1", penalty_weight=1.0, upsampling="bilinear",
    critic_lr=1e-3, critic_schedule="linear", generator_lr=2e-3, generator_schedule="linear", generator_ema=0.99,
    batch_size=32, iterations=4000, minutes=5.0, eval_every=500,
)  # fmt: skip

PRESETS: dict[str, ImageConfig] = {config.preset: config for config in (_QUICKSTART, _TTUR_SMALL, _ORIG_SMALL, *_PAPER)}
