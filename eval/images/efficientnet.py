"""EfficientNet-Lite0: a classifier of ImageNet whose weights come from the package index.

It is the smallest EfficientNet (Tan & Le 2019, arXiv 1905.11946) without squeeze-and-excitation and with ReLU6, as
published for TensorFlow; convolutions pad as TensorFlow's "SAME" does. Tensors are named as in the published weights.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 1280
CLASSES = 1000
SIZE = 224


@dataclass(frozen=True)
class _Stage:
    """Blocks of equal width; only the first has a stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    out: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM = 32


class SameConv(nn.Conv2d):
    """Convolution without bias, padded so that the output has ceil(size / stride) pixels; an odd pixel comes last."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for size, kernel, stride in zip((x.shape[3], x.shape[2]), self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(x, padding))


class Block(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, 1x1 projection; a shortcut if shapes agree."""

    def __init__(self, channels: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = channels * expansion
        self.expands, self.shortcut = expansion > 1, stride == 1 and channels == out
        if self.expands:
            self._expand_conv = SameConv(channels, width)
            self._bn0 = _norm(width)
        self._depthwise_conv = SameConv(width, width, kernel, stride, groups=width)
        self._bn1 = _norm(width)
        self._project_conv = SameConv(width, out)
        self._bn2 = _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        projected: Tensor = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + projected if self.shortcut else projected


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=0.001)


class EfficientNetLite0(nn.Module):
    """Map pixels [B, 3, 224, 224], (x - 127) / 128, to the features [B, 1280] before the classes, in inference mode."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, _STEM, 3, 2)
        self._bn0 = _norm(_STEM)
        blocks: list[Block] = []
        channels = _STEM
        for stage in _STAGES:
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(Block(channels, stage.out, stage.expansion, stage.kernel, stride))
                channels = stage.out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(channels, FEATURES)
        self._bn1 = _norm(FEATURES)
        self._fc = nn.Linear(FEATURES, CLASSES)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits [B, 1000] of ImageNet's classes from features [B, 1280]."""
        logits: Tensor = self._fc(features)
        return logits
