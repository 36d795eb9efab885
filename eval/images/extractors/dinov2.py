"""Features of DINOv2 ViT-L/14, for FD-DINOv2: 1,024 features, weights from a file of the hub."""

from pathlib import Path

import torch
from torch import Tensor

from data.errors import InputError
from eval.core.device import arithmetic
from eval.images.clean_resize import clean_resized
from eval.images.dinov2 import DEVIATION, MEAN, SIZE, VIT_L, DinoV2, VisionTransformer
from eval.images.extractors.extractor import CPU, Extractor
from eval.images.weights import Published, load_weights

_URL = "https://huggingface.co/facebook/dinov2-large/resolve/main/model.safetensors"


def dinov2_extractor(weights: Path | None, device: torch.device = CPU, sizes: VisionTransformer = VIT_L) -> Extractor:
    """Return the extractor of DINOv2's class token, on images resized as in clean-fid to 224 pixels.

    Any weights with the published names and shapes are accepted: the signature holds their hash.

    Args:
        weights: the hub's file, or one with the same tensors.
        device: device that computes the features.
        sizes: sizes of the network.

    Raises:
        InputError: no file is given, or it is absent, damaged or holds other weights.
    """
    if weights is None:
        raise InputError(f"--features dinov2-vitl14: download {_URL}, and name it with --weights")
    with torch.device("meta"):
        network = DinoV2(sizes)
    digest = load_weights(network, weights, Published("weights of DINOv2 ViT-L/14", _URL))
    network.to(device)
    mean, deviation = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, DEVIATION))

    def features(images: Tensor) -> Tensor:
        pixels = (clean_resized(images, SIZE) / 255 - mean) / deviation
        with arithmetic("float32", device):
            return network(pixels)  # type: ignore[no-any-return]

    return Extractor(f"dinov2-vitl14@{digest}/clean", sizes.width, device, features)
