"""Features of random convolutions: no download, and the distance follows noise, blur and similar disturbances.

The Fréchet distance of these features is called FD-random, never FID: they do not recognise objects, and must not be
compared with published values.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from data.errors import InputError
from eval.core.device import arithmetic
from eval.images.extractors.extractor import CPU, Extractor

_CHANNELS = (4, 4, 4)
_CELLS = 4
_SMALLEST = 16


def random_conv_extractor(seed: int = 0, device: torch.device = CPU) -> Extractor:
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
    for out in _CHANNELS:
        weight = torch.randn(out, channels, 3, 3, generator=random) * (2 / (9 * channels)) ** 0.5
        weight -= weight.mean((2, 3), keepdim=True)
        bias = 0.1 * torch.randn(out, generator=random)
        layers.append((weight.to(device, memory_format=torch.channels_last), bias.to(device)))
        channels = out

    def features(images: Tensor) -> Tensor:
        if min(images.shape[2:]) < _SMALLEST:
            raise InputError(f"images of {list(images.shape[2:])} pixels; need at least {_SMALLEST} per side")
        x = images.float() / 127.5 - 1
        parts = [x.mean((2, 3)), x.std((2, 3), correction=0)]
        for weight, bias in layers:
            # Repeat the border: padding with zeros would draw an edge around every image.
            x = F.pad(F.avg_pool2d(x, 2), (1, 1, 1, 1), mode="replicate")
            with arithmetic("float32", device):
                x = F.leaky_relu(F.conv2d(x, weight, bias), 0.2)
            parts += [F.adaptive_avg_pool2d(x, _CELLS).flatten(1), x.std((2, 3), correction=0)]
        return torch.cat(parts, 1)

    dims = 2 * 3 + (_CELLS**2 + 1) * sum(_CHANNELS)
    return Extractor(f"random-conv-2@seed{seed}", dims, device, features)
