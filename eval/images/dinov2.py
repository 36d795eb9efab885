"""DINOv2 (Oquab et al. 2023, arXiv 2304.07193): a vision transformer trained without labels, for FD-DINOv2.

The distance of its features agrees better with people's judgement than FID does (Stein et al. 2023, arXiv 2306.04675).
Tensors are named as in the hub's file of `facebook/dinov2-large`. Weights are for 37 x 37 patches; for fewer, position
embeddings are interpolated as in the published code: bicubic without antialiasing, at a scale of (patches + 0.1) / 37.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 224
PATCH = 14
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, from 0 to 1."""

_EPSILON = 1e-6


@dataclass(frozen=True)
class VisionTransformer:
    """Sizes of a network: `grid` patches per side of the images that it was trained on."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    grid: int = 37


VIT_L = VisionTransformer()


class _Projections(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))


class _Output(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention = _Projections(width)
        self.output = _Output(width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.attention
        query, key, value = (
            part(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (parts.query, parts.key, parts.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        output: Tensor = self.output.dense(mixed)
        return output


class _Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return output


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lambda1 = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.lambda1


class Layer(nn.Module):
    """Self-attention, then a perceptron of four times the width; each has its input normalised, its output scaled."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=_EPSILON) for _ in range(2))
        self.attention = _Attention(width, heads)
        self.layer_scale1, self.layer_scale2 = _Scale(width), _Scale(width)
        self.mlp = _Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = x + self.layer_scale1(self.attention(self.norm1(x)))
        output: Tensor = attended + self.layer_scale2(self.mlp(self.norm2(attended)))
        return output


class _Patches(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, width, PATCH, PATCH)


class _Embeddings(nn.Module):
    def __init__(self, sizes: VisionTransformer) -> None:
        super().__init__()
        self.grid = sizes.grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.mask_token = nn.Parameter(torch.zeros(1, sizes.width))  # used in training alone
        self.position_embeddings = nn.Parameter(torch.zeros(1, sizes.grid**2 + 1, sizes.width))
        self.patch_embeddings = _Patches(sizes.width)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embeddings.projection(pixels)
        side = patches.shape[2]
        first, rest = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        if side != self.grid:
            maps = rest.transpose(1, 2).reshape(1, -1, self.grid, self.grid)
            scale = (side + 0.1) / self.grid
            rest = F.interpolate(maps, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
        tokens = patches.flatten(2).transpose(1, 2) + rest
        return torch.cat([(self.cls_token + first).expand(len(pixels), -1, -1), tokens], 1)


class _Encoder(nn.Module):
    def __init__(self, sizes: VisionTransformer) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(sizes.width, sizes.heads) for _ in range(sizes.layers))


class DinoV2(nn.Module):
    """Map normalised pixels [B, 3, S, S], S a multiple of 14, to the class token's features [B, width]."""

    def __init__(self, sizes: VisionTransformer = VIT_L) -> None:
        super().__init__()
        self.embeddings = _Embeddings(sizes)
        self.encoder = _Encoder(sizes)
        self.layernorm = nn.LayerNorm(sizes.width, eps=_EPSILON)
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.embeddings(pixels)
        for layer in self.encoder.layer:
            x = layer(x)
        features: Tensor = self.layernorm(x[:, 0])
        return features
