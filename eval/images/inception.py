"""The Inception network of 2015-12-05: a Fréchet distance of its features is called FID.

It is Inception v3 (Szegedy et al. 2015, arXiv 1512.00567) as TensorFlow published it, with 1,008 classes. The weights
are named as in the PyTorch port. Images are bytes, and the method of resizing them to 299 x 299 changes every distance:

- `tensorflow1`, as in the original graph (and torch-fidelity): bilinear without half-pixel centres, (x - 128) / 128;
- `pytorch-fid`, as in the program of that name: bilinear with half-pixel centres, 2 x / 255 - 1;
- `clean`, as in clean-fid: bicubic with antialiasing in floats (`eval.images.clean_resize`), (x - 128) / 128.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

from eval.images.clean_resize import clean_resized

Resize = Literal["tensorflow1", "pytorch-fid", "clean"]
RESIZE: Resize = "tensorflow1"
"""Resizing of the original graph, the default."""

FEATURES = 2048
CLASSES = 1008
SIZE = 299


def resized(images: Tensor, resize: Resize, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images uint8 [B, 3, H, W] of any size as the network's input [B, 3, 299, 299], about -1 to 1."""
    if resize == "clean":
        return (clean_resized(images, SIZE).to(dtype) - 128) / 128
    x = images.to(dtype)
    if resize == "pytorch-fid":
        return 2 * F.interpolate(x / 255, (SIZE, SIZE), mode="bilinear", align_corners=False) - 1
    return (_resize_tensorflow1(_resize_tensorflow1(x, 2), 3) - 128) / 128


def _resize_tensorflow1(x: Tensor, axis: int) -> Tensor:
    """Interpolate along an axis: output i is at i * size / 299 in the input; the last value repeats."""
    size = x.shape[axis]
    at = torch.arange(SIZE, device=x.device, dtype=torch.float64) * (size / SIZE)
    low = at.long()
    weight = (at - low).to(x.dtype).view(-1, *[1] * (x.ndim - 1 - axis))
    high = (low + 1).clamp(max=size - 1)
    return torch.lerp(x.index_select(axis, low), x.index_select(axis, high), weight)


class Unit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU. `same` pads, so that stride 1 keeps the size."""

    def __init__(
        self, channels: int, out: int, kernel: int | tuple[int, int] = 1, stride: int = 1, same: bool = True
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if same else (0, 0)
        self.conv = nn.Conv2d(channels, out, sides, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def fold_batch_norms(network: nn.Module) -> None:
    """Multiply the batch normalisations of a network's units into their convolutions.

    Features are equal up to rounding, and take one pass less through the memory per convolution.
    """
    for unit in network.modules():
        if isinstance(unit, Unit) and isinstance(unit.bn, nn.BatchNorm2d):
            unit.conv = fuse_conv_bn_eval(unit.conv, unit.bn)
            unit.bn = nn.Identity()


class BlockA(nn.Module):
    """Branches of 1x1, 5x5 and two 3x3 convolutions, and an average pool: to 224 + `pooled` channels."""

    def __init__(self, channels: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(channels, 64)
        self.branch5x5_1 = Unit(channels, 48)
        self.branch5x5_2 = Unit(48, 64, 5)
        self.branch3x3dbl_1 = Unit(channels, 64)
        self.branch3x3dbl_2 = Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3)
        self.branch_pool = Unit(channels, pooled)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pool = self.branch_pool(_average_pool(x))
        return torch.cat([self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, pool], 1)


class BlockB(nn.Module):
    """Halve the side of the image: 288 channels to 768."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = Unit(288, 384, 3, 2, same=False)
        self.branch3x3dbl_1 = Unit(288, 64)
        self.branch3x3dbl_2 = Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3, 2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class BlockC(nn.Module):
    """Branches of 7x7 convolutions split into 1x7 and 7x1, with `width` inner channels: 768 channels to 768."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(768, 192)
        self.branch7x7_1 = Unit(768, width)
        self.branch7x7_2 = Unit(width, width, (1, 7))
        self.branch7x7_3 = Unit(width, 192, (7, 1))
        self.branch7x7dbl_1 = Unit(768, width)
        self.branch7x7dbl_2 = Unit(width, width, (7, 1))
        self.branch7x7dbl_3 = Unit(width, width, (1, 7))
        self.branch7x7dbl_4 = Unit(width, width, (7, 1))
        self.branch7x7dbl_5 = Unit(width, 192, (1, 7))
        self.branch_pool = Unit(768, 192)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_average_pool(x))], 1)


class BlockD(nn.Module):
    """Halve the side of the image: 768 channels to 1,280."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = Unit(768, 192)
        self.branch3x3_2 = Unit(192, 320, 3, 2, same=False)
        self.branch7x7x3_1 = Unit(768, 192)
        self.branch7x7x3_2 = Unit(192, 192, (1, 7))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1))
        self.branch7x7x3_4 = Unit(192, 192, 3, 2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class BlockE(nn.Module):
    """Branches ending in a 1x3 beside a 3x1 convolution in place of a 3x3: to 2,048 channels.

    The last block pools by the maximum, all other blocks by the average: an oddity of the graph of 2015-12-05 that the
    features depend on.
    """

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        self.last = last
        self.branch1x1 = Unit(channels, 320)
        self.branch3x3_1 = Unit(channels, 384)
        self.branch3x3_2a = Unit(384, 384, (1, 3))
        self.branch3x3_2b = Unit(384, 384, (3, 1))
        self.branch3x3dbl_1 = Unit(channels, 448)
        self.branch3x3dbl_2 = Unit(448, 384, 3)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1))
        self.branch_pool = Unit(channels, 192)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([*parts, self.branch_pool(_max_pool(x) if self.last else _average_pool(x))], 1)


def _average_pool(x: Tensor) -> Tensor:
    """Average over 3x3 pixels without counting the padding, as TensorFlow does."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


class Inception(nn.Module):
    """Map the output of `resized` [B, 3, 299, 299] to the features of layer pool_3 [B, 2048], in inference mode.

    Submodules are named as in the published weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2, same=False)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, same=False)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB()
        self.Mixed_6b = BlockC(128)
        self.Mixed_6c = BlockC(160)
        self.Mixed_6d = BlockC(160)
        self.Mixed_6e = BlockC(192)
        self.Mixed_7a = BlockD()
        self.Mixed_7b = BlockE(1280, last=False)
        self.Mixed_7c = BlockE(2048, last=True)
        self.fc = nn.Linear(FEATURES, CLASSES)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Mixed_6e(self.Mixed_6d(self._lower_layers(x)))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        # The mean of bfloat16 values is kept in float32.
        return x.mean((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))

    def spatial(self, x: Tensor) -> Tensor:
        """Return a map [B, 192, 17, 17] of the output of `resized`: TensorFlow's tensor mixed_6/conv, of sFID."""
        maps: Tensor = self.Mixed_6d.branch1x1(self._lower_layers(x))
        return maps

    def _lower_layers(self, x: Tensor) -> Tensor:
        """Return the maps [B, 768, 17, 17] that Mixed_6d reads."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        maps: Tensor = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        return maps

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits [B, 1008] of features [B, 2048] for the Inception Score: without the bias.

        Salimans et al. (2016) multiply by the last layer's matrix only, possibly an oversight; all published scores use
        these logits. With `fc.bias` added they are the classifier's logits, and scores are higher (real CIFAR-10 images
        11.2 instead of 11.0, https://github.com/openai/improved-gan/issues/39).
        """
        return F.linear(features, self.fc.weight)
