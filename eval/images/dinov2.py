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


@dataclass(frozen=True)
class VisionTransformer:
    """Sizes of a network: `grid` patches per side of the images that it was trained on."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    grid: int = 37


VIT_L = VisionTransformer()


class Layer(nn.Module):
    """Self-attention, then a perceptron of four times the width, each normalised before, scaled after, and added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = nn.ModuleDict(
            {
                "attention": nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")}),
                "output": nn.ModuleDict({"dense": nn.Linear(width, width)}),
            }
        )
        self.layer_scale1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.layer_scale2 = _Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        split = {
            name: part(normed).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for name, part in self.attention["attention"].items()
        }
        mixed = F.scaled_dot_product_attention(split["query"], split["key"], split["value"])
        x = x + self.layer_scale1(self.attention["output"]["dense"](mixed.transpose(1, 2).flatten(2)))
        return x + self.layer_scale2(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))))


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lambda1 = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.lambda1


class _Embeddings(nn.Module):
    def __init__(self, sizes: VisionTransformer) -> None:
        super().__init__()
        self.grid = sizes.grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.mask_token = nn.Parameter(torch.zeros(1, sizes.width))  # used in training alone
        self.position_embeddings = nn.Parameter(torch.zeros(1, sizes.grid**2 + 1, sizes.width))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(3, sizes.width, PATCH, PATCH)})

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embeddings["projection"](pixels)
        side = patches.shape[2]
        first, rest = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        if side != self.grid:
            maps = rest.transpose(1, 2).unflatten(2, (self.grid, self.grid))
            scale = (side + 0.1) / self.grid
            rest = F.interpolate(maps, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
        tokens = patches.flatten(2).transpose(1, 2) + rest
        return torch.cat([(self.cls_token + first).expand(len(pixels), -1, -1), tokens], 1)


class DinoV2(nn.Module):
    """Map normalised pixels [B, 3, S, S], S a multiple of 14, to the class token's features [B, width]."""

    def __init__(self, sizes: VisionTransformer = VIT_L) -> None:
        super().__init__()
        self.embeddings = _Embeddings(sizes)
        layers = nn.ModuleList(Layer(sizes.width, sizes.heads) for _ in range(sizes.layers))
        self.encoder = nn.ModuleDict({"layer": layers})
        self.layernorm = nn.LayerNorm(sizes.width, eps=1e-6)
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.embeddings(pixels)
        for layer in self.encoder["layer"]:
            x = layer(x)
        features: Tensor = self.layernorm(x[:, 0])
        return features
