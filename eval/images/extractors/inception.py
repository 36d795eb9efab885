"""Features of the Inception network: of its last layer for FID, of a layer with positions for sFID.

sFID (Nash et al. 2021, arXiv 2103.03841) is the Fréchet distance of 2,023 features: the first seven channels of a map
of 17 x 17 positions, not averaged over positions. As in the published evaluations of diffusion models (Dhariwal &
Nichol 2021, arXiv 2105.05233), the map is the first branch of the block that TensorFlow names mixed_6.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from data.errors import InputError
from eval.core.device import Precision, arithmetic, compiled, without_autocast
from eval.images.extractors.extractor import CPU, Extractor
from eval.images.inception import FEATURES, Inception, Resize, fold_batch_norms, resized
from eval.images.inception_weights import load_inception

SPATIAL_CHANNELS, SPATIAL_SIDE = 7, 17


def inception_extractor(
    weights: Path | None = None,
    resize: Resize = "tensorflow1",
    device: torch.device = CPU,
    precision: Precision = "float32",
    compiled_for: int | None = None,
) -> Extractor:
    """Return the extractor of FID: layer pool_3 of the Inception network of 2015-12-05, 2,048 features.

    Args:
        weights: file of weights; None: the published weights.
        resize: method of resizing images to the network's input.
        device: device that computes the features.
        precision: below float32 is faster on GPUs but changes the distance, so it is part of the signature.
        compiled_for: batch size to compile the network for, at the first batch, with the resizing unless it is `clean`;
            batches of other sizes run eagerly. Features are equal up to rounding, so the signature is the same.

    Raises:
        InputError: the device does not support the precision; see also `load_inception`.
    """
    network, name = _network(weights, precision, device)
    together = resize != "clean"  # Pillow cannot be compiled

    def of_images(images: Tensor) -> Tensor:
        with without_autocast(device):  # the precision is the network's alone
            pixels = resized(images, resize)
        found: Tensor = network(pixels)
        return found

    forward: Callable[[Tensor], Tensor] = of_images if together else network
    if compiled_for is not None:
        forward = compiled(forward, compiled_for)

    def features(images: Tensor) -> Tensor:
        given = images if together else resized(images, resize)
        with arithmetic(precision, device):
            return forward(given).float()

    return Extractor(
        f"{name}/{resize}{_suffix(precision, device)}",
        FEATURES,
        device,
        features,
        network.logits,
    )


def spatial_extractor(
    weights: Path | None = None,
    resize: Resize = "tensorflow1",
    device: torch.device = CPU,
    precision: Precision = "float32",
) -> Extractor:
    """Return the extractor of sFID: 7 channels of 17 x 17 positions, 2,023 features, position by position.

    Args:
        weights: file of Inception weights; None: the published weights.
        resize: method of resizing images to the network's input.
        device: device that computes the features.
        precision: part of the signature, as for FID.

    Raises:
        InputError: the device does not support the precision; see also `load_inception`.
    """
    network, name = _network(weights, precision, device)

    def features(images: Tensor) -> Tensor:
        pixels = resized(images, resize)
        with arithmetic(precision, device):
            maps = network.spatial(pixels)
        return maps[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1).float()

    dims = SPATIAL_CHANNELS * SPATIAL_SIDE**2
    return Extractor(f"spatial-{name}/{resize}{_suffix(precision, device)}", dims, device, features)


def _network(weights: Path | None, precision: Precision, device: torch.device) -> tuple[Inception, str]:
    """Return the network on the device, without batch normalisation, and its name with the hash of its weights."""
    if precision == "tf32" and device.type != "cuda":
        raise InputError(f"--precision tf32: not on {device.type}; say float32 or bf16, or --device cuda")
    network, name = load_inception(weights)
    fold_batch_norms(network)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, name


def _suffix(precision: Precision, device: torch.device) -> str:
    """Return the end of a signature: nothing for float32, else the precision and the type of device."""
    return "" if precision == "float32" else f"/{precision}-{device.type}"
