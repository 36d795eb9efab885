"""Features of images: what makes them, and how a data set's are extracted batch by batch.

Images are uint8 [N, 3, H, W], best memory-mapped. FID is the Fréchet distance of Inception features. That of random
convolutions' features is "FD-random", never FID: it needs no download and follows noise, blur and the like, but knows
no objects, and its values compare with no published ones.
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
    """What turns images uint8 [B, 3, H, W] on `device` into features [B, dims].

    `signature` names all that the features depend on: statistics with different ones do not compare. `logits` turns
    features into class logits [B, 1008] for the Inception Score, where there are classes.
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
    """Return the extractor of a kind; what is said of Inception does not matter to the other: see `refuse_inception_flags`.

    Raises:
        InputError: no such precision on the device, or the Inception network's weights cannot be had.
    """
    if kind == "inception":
        extractor = inception_extractor(weights, resize, device, precision, compiled_for)
        if extractor.signature.startswith("inception-custom"):
            note(f"{weights} is not the published file; its scores compare with none but its own")
        return extractor
    return random_conv_extractor(device=device)


def refuse_inception_flags(
    kind: FeatureKind, weights: Path | None, precision: Precision, compiled: bool = False
) -> None:
    """Refuse flags that random convolutions have no use for.

    Raises:
        InputError: naming the flag.
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
    """Return the extractor of FID: pool_3 of the Inception network of 2015-12-05, 2,048 features.

    Args:
        weights: a file of weights; None: the published ones.
        resize: how images are enlarged.
        device: where features are computed.
        precision: less than float32 is faster on GPUs, moves the distance, and stands in the signature.
        compiled_for: batch size to compile the network for, with its first batch; others run as they are. Features are
            the same to rounding, and so is the signature.

    Raises:
        InputError: no such precision on the device; see `load_inception`.
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

    Three layers of four channels with leaky ReLU, each at half the size of the one before, the first at half that of
    the image; with each channel's standard deviation, and colours' means and deviations, that is 210 features. Weights
    are normal with variance 2 / fan-in, their means taken out; biases have a standard deviation of 0.1; all are drawn
    on the CPU from the seed.

    Averages over the whole image would not know where anything is: the distance then does not grow with a swirl. Nor
    does it where the finest detail is seen, which any swirl blurs and a stronger one sharpens again. With weights that
    sum to 0, how bright images are does not drown what is in them.
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
            raise InputError(f"images of {list(images.shape[2:])} pixels; need at least {_RANDOM_SMALLEST} a side")
        x = images.float() / 127.5 - 1
        found = [x.mean((2, 3)), x.std((2, 3), correction=0)]
        for weight, bias in layers:
            # Repeated borders: zeros would be an edge around every image.
            x = F.pad(F.avg_pool2d(x, 2), (1, 1, 1, 1), mode="replicate")
            with arithmetic("float32", device):
                x = F.leaky_relu(F.conv2d(x, weight, bias), 0.2)
            found += [F.adaptive_avg_pool2d(x, _RANDOM_CELLS).flatten(1), x.std((2, 3), correction=0)]
        return torch.cat(found, 1)

    dims = 2 * 3 + (_RANDOM_CELLS**2 + 1) * sum(_RANDOM_CHANNELS)
    return Extractor(f"random-conv-2@seed{seed}", dims, device, features)


def metric_name(metric: Literal["fid", "kid"], feature_signature: str) -> str:
    """Return what a distance of features is called, by their kind or signature: "fid" of Inception's alone."""
    kind = feature_signature.partition("-")[0]
    return metric if kind == "inception" else f"{metric[0]}d-{kind}"


def extract(images: NDArray[np.uint8], extractor: Extractor, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Return the features [N, D] of images uint8 [N, 3, H, W], in order.

    Raises:
        InputError: these are not such images, or NaN or infinity came out.
    """
    features = torch.empty(len(images), extractor.dims, device=extractor.device)
    filled = 0
    for batch in _batches(images, extractor, batch_size):
        features[filled : filled + len(batch)] = batch
        filled += len(batch)
    if not features.isfinite().all():
        raise InputError(f"NaN or infinity in features of {extractor.signature}; check the weights")
    found: NDArray[np.float32] = features.cpu().numpy()
    return found


def statistics_of(images: NDArray[np.uint8], extractor: Extractor, batch_size: int = BATCH_SIZE) -> FeatureStatistics:
    """Return the statistics of images' features without ever holding them all; summed in float64 on the device.

    Sums are of differences to the first batch's mean, which lies close enough to the mean to lose no digits; so a batch
    adds to them in place.

    Raises:
        InputError: these are not such images, or NaN or infinity came out.
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
    """Return the statistics of images' features, each process having extracted its share; in all of them the same.

    Raises:
        InputError: fewer images than processes, or NaN or infinity came out.
    """
    rank, size, dims = distributed.get_rank(), distributed.get_world_size(), extractor.dims

    def require_shares() -> None:
        if len(images) < size:
            raise InputError(f"{len(images)} images for {size} processes; start fewer")

    rank_zero_first(require_shares)
    share = images[rank * len(images) // size : (rank + 1) * len(images) // size]
    own = statistics_of(share, extractor, batch_size)
    sent = torch.from_numpy(np.concatenate([[len(share)], own.mean, own.covariance.ravel()]))
    received = [torch.empty_like(sent) for _ in range(size)]
    distributed.all_gather(received, sent)
    first, *others = (
        FeatureStatistics(int(each[0]), each[1 : dims + 1], each[dims + 1 :].reshape(dims, dims), extractor.signature)
        for each in (tensor.numpy() for tensor in received)
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
        # From page-locked memory the upload does not wait for the batch before.
        batch = batch.pin_memory().to(extractor.device, non_blocking=True)
    return extractor.features(batch.contiguous(memory_format=torch.channels_last))
