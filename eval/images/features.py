"""Feature extractors of images, and the extraction of features batch by batch.

Images are uint8 [N, 3, H, W], best memory-mapped. FID is the Fréchet distance of Inception features. The distance of
random-convolution features is called FD-random, never FID: it needs no download and follows noise, blur and similar
disturbances, but does not recognise objects, and must not be compared with published values.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.nn import functional as F
from tqdm import tqdm

from data.errors import InputError, note
from eval.core.device import Precision, arithmetic, compiled
from eval.core.processes import rank_zero_first
from eval.images.frechet import FeatureStatistics
from eval.images.inception import FEATURES, Resize, resized
from eval.images.inception_weights import load_inception

BATCH_SIZE = 64

FeatureKind = Literal["inception", "random-conv"]

_CPU = torch.device("cpu")
_RANDOM_CHANNELS = (4, 4, 4)
_RANDOM_CELLS = 4
_RANDOM_SMALLEST = 16


@dataclass(frozen=True)
class Extractor:
    """A map of images uint8 [B, 3, H, W] on `device` to features [B, dims].

    `signature` names everything the features depend on: statistics with different signatures do not compare. `logits`
    maps features to class logits [B, 1008] for the Inception Score; None if there are no classes.
    """

    signature: str
    dims: int
    device: torch.device
    features: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor] | None = None


def open_extractor(
    kind: FeatureKind,
    weights: Path | None,
    resize: Resize,
    device: torch.device,
    precision: Precision = "float32",
    compiled_for: int | None = None,
) -> Extractor:
    """Return the extractor of a kind. The Inception arguments are ignored for `random-conv`.

    Raises:
        InputError: the device does not support the precision, or the Inception weights cannot be read or downloaded.
    """
    if kind == "inception":
        extractor = inception_extractor(weights, resize, device, precision, compiled_for)
        if extractor.signature.startswith("inception-custom"):
            note(f"{weights} is not the published file; compare scores only if they use these weights")
        return extractor
    return random_conv_extractor(device=device)


def refuse_inception_flags(
    kind: FeatureKind, weights: Path | None, precision: Precision, compiled: bool = False
) -> None:
    """Refuse Inception flags for random convolutions.

    Raises:
        InputError: a flag does not apply; the message names it.
    """
    for flag, given in (
        (f"--weights {weights}", weights is not None),
        (f"--precision {precision}", precision != "float32"),
        ("--compile", compiled),
    ):
        if given and kind != "inception":
            raise InputError(f"{flag}: only with --features inception")


def inception_extractor(
    weights: Path | None = None,
    resize: Resize = "tensorflow1",
    device: torch.device = _CPU,
    precision: Precision = "float32",
    compiled_for: int | None = None,
) -> Extractor:
    """Return the extractor of FID: layer pool_3 of the Inception network of 2015-12-05, 2,048 features.

    Args:
        weights: file of weights; None: the published weights.
        resize: method of resizing images to the network's input.
        device: device that computes the features.
        precision: below float32 is faster on GPUs but changes the distance, so it is part of the signature.
        compiled_for: batch size to compile the network for, at the first batch; batches of other sizes run eagerly.
            Features are equal up to rounding, so the signature is the same.

    Raises:
        InputError: the device does not support the precision; see also `load_inception`.
    """
    if precision == "tf32" and device.type != "cuda":
        raise InputError(f"--precision tf32: not on {device.type}; say float32 or bf16, or --device cuda")
    network, name = load_inception(weights)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = network if compiled_for is None else compiled(network, compiled_for)

    def features(images: Tensor) -> Tensor:
        pixels = resized(images, resize)
        with arithmetic(precision, device):
            return forward(pixels).float()

    return Extractor(
        f"{name}/{resize}" + ("" if precision == "float32" else f"/{precision}-{device.type}"),
        FEATURES,
        device,
        features,
        network.logits,
    )


def random_conv_extractor(seed: int = 0, device: torch.device = _CPU) -> Extractor:
    """Return the extractor of FD-random: colours, and random 3x3 convolutions averaged over the cells of a 4x4 grid.

    Three layers of four channels with leaky ReLU, each at half the side of the previous layer, the first at half the
    side of the image; with each channel's standard deviation and each colour's mean and standard deviation, 210
    features. Weights are normal with variance 2 / fan-in, minus the mean of each kernel; biases are normal with
    standard deviation 0.1; all are drawn on the CPU from the seed.

    Averages over the whole image would lose positions, and the distance would not grow with a swirl. Nor would it with
    convolutions at full resolution: any swirl blurs the finest detail, and a stronger swirl sharpens it again. Kernels
    that sum to 0 keep the brightness of images from drowning their content.
    """
    random = torch.Generator().manual_seed(seed)
    layers, channels = [], 3
    for out in _RANDOM_CHANNELS:
        weight = torch.randn(out, channels, 3, 3, generator=random) * (2 / (9 * channels)) ** 0.5
        weight -= weight.mean((2, 3), keepdim=True)
        bias = 0.1 * torch.randn(out, generator=random)
        layers.append((weight.to(device, memory_format=torch.channels_last), bias.to(device)))
        channels = out

    def features(images: Tensor) -> Tensor:
        if min(images.shape[2:]) < _RANDOM_SMALLEST:
            raise InputError(f"images of {list(images.shape[2:])} pixels; need at least {_RANDOM_SMALLEST} per side")
        x = images.float() / 127.5 - 1
        parts = [x.mean((2, 3)), x.std((2, 3), correction=0)]
        for weight, bias in layers:
            # Repeat the border: padding with zeros would draw an edge around every image.
            x = F.pad(F.avg_pool2d(x, 2), (1, 1, 1, 1), mode="replicate")
            with arithmetic("float32", device):
                x = F.leaky_relu(F.conv2d(x, weight, bias), 0.2)
            parts += [F.adaptive_avg_pool2d(x, _RANDOM_CELLS).flatten(1), x.std((2, 3), correction=0)]
        return torch.cat(parts, 1)

    dims = 2 * 3 + (_RANDOM_CELLS**2 + 1) * sum(_RANDOM_CHANNELS)
    return Extractor(f"random-conv-2@seed{seed}", dims, device, features)


def metric_name(metric: Literal["fid", "kid"], feature_signature: str) -> str:
    """Return a distance's name by the kind or signature of the features: "fid" for Inception, else e.g. "fd-random"."""
    kind = feature_signature.partition("-")[0]
    return metric if kind == "inception" else f"{metric[0]}d-{kind}"


def extract(images: NDArray[np.uint8], extractor: Extractor, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Return the features [N, D] of images uint8 [N, 3, H, W], in order.

    Raises:
        InputError: images of another type or shape, or NaN or infinity among the features.
    """
    features = torch.empty(len(images), extractor.dims, device=extractor.device)
    filled = 0
    for batch in _batches(images, extractor, batch_size):
        features[filled : filled + len(batch)] = batch
        filled += len(batch)
    if not features.isfinite().all():
        raise InputError(f"NaN or infinity in features of {extractor.signature}; check the weights")
    on_cpu: NDArray[np.float32] = features.cpu().numpy()
    return on_cpu


def statistics_of(images: NDArray[np.uint8], extractor: Extractor, batch_size: int = BATCH_SIZE) -> FeatureStatistics:
    """Return the feature statistics of images without ever holding all features; sums are in float64 on the device.

    The sums are of differences from the first batch's mean, which is close enough to the overall mean to lose no
    digits, so each batch is added in place.

    Raises:
        InputError: no images, images of another type or shape, or NaN or infinity among the features.
    """
    shift: Tensor | None = None
    total = torch.zeros(extractor.dims, dtype=torch.float64, device=extractor.device)
    scatter = torch.zeros(extractor.dims, extractor.dims, dtype=torch.float64, device=extractor.device)
    for batch in _batches(images, extractor, batch_size):
        features = batch.double()
        shift = features.mean(0) if shift is None else shift
        features = features - shift
        total += features.sum(0)
        scatter.addmm_(features.T, features)
    if shift is None:
        raise InputError("no images; give at least one")
    mean = total / len(images)
    scatter = (scatter - torch.outer(total, mean)) / max(len(images) - 1, 1)
    return FeatureStatistics(len(images), (shift + mean).cpu().numpy(), scatter.cpu().numpy(), extractor.signature)


def shared_statistics(images: NDArray[np.uint8], extractor: Extractor, batch_size: int) -> FeatureStatistics:
    """Return the feature statistics of images, the same in all processes; each process extracts an equal share.

    Raises:
        InputError: fewer images than processes, or NaN or infinity among the features.
    """
    rank, size, dims = distributed.get_rank(), distributed.get_world_size(), extractor.dims

    def require_shares() -> None:
        if len(images) < size:
            raise InputError(f"{len(images)} images for {size} processes; start fewer processes")

    rank_zero_first(require_shares)
    share = images[rank * len(images) // size : (rank + 1) * len(images) // size]
    local = statistics_of(share, extractor, batch_size)
    sent = torch.from_numpy(np.concatenate([[len(share)], local.mean, local.covariance.ravel()]))
    received = [torch.empty_like(sent) for _ in range(size)]
    distributed.all_gather(received, sent)
    first, *others = (
        FeatureStatistics(int(row[0]), row[1 : dims + 1], row[dims + 1 :].reshape(dims, dims), extractor.signature)
        for row in (tensor.numpy() for tensor in received)
    )
    for other in others:
        first = first.merge(other)
    return first


def _batches(images: NDArray[np.uint8], extractor: Extractor, batch_size: int) -> Iterator[Tensor]:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"images of {images.dtype} {list(images.shape)}; need uint8 [N, 3, H, W]")
    with tqdm(total=len(images), desc="features", unit="image", disable=None, delay=1, leave=False) as bar:
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            yield _features(batch, extractor)
            bar.update(len(batch))


@torch.inference_mode()
def _features(images: NDArray[np.uint8], extractor: Extractor) -> Tensor:
    batch = torch.from_numpy(np.array(images))  # a copy: a memory map may be read-only
    if extractor.device.type == "cuda":
        # From page-locked memory the upload does not wait for the previous batch.
        batch = batch.pin_memory().to(extractor.device, non_blocking=True)
    return extractor.features(batch.contiguous(memory_format=torch.channels_last))
