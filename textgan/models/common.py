"""One-hot lines and initial weights of networks."""

import math

import torch
from torch import Tensor, nn

from textgan.models.lines import LineModel


def one_hot(ids: Tensor, like: Tensor) -> Tensor:
    """Return ids [B, L] as one-hot rows [B, L, V], of the type of the weights `like` [V, ...]."""
    rows = torch.zeros(*ids.shape, len(like), device=ids.device, dtype=like.dtype)
    return rows.scatter_(-1, ids.unsqueeze(-1), 1.0)


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw the initial weights as in the published code, which differs much from PyTorch's defaults.

    Convolutions are uniform with standard deviation sqrt(4 / (fan_in + fan_out)) (a fan is channels times kernel size);
    linear layers are Glorot uniform, with standard deviation sqrt(2 / (fan_in + fan_out)); biases are zero. All weights
    of an LSTM or a GRU are uniform in +-1 / sqrt(dim). Embeddings are normal with standard deviation 0.1.

    All weights of a line model are normal, as SeqGAN's, with standard deviation 0.1, or 1 / sqrt(dim) if dim is above
    100; layer normalisation starts as the identity.
    """
    if isinstance(network, LineModel):
        _initialise_normal(network, min(0.1, network.embedding.embedding_dim**-0.5), random)
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fans = (layer.weight.shape[0] + layer.weight.shape[1]) * math.prod(layer.weight.shape[2:])
            variance = (4 if isinstance(layer, nn.Conv2d) else 2) / fans
            bound = math.sqrt(3 * variance)
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=random)
                assert layer.bias is not None
                layer.bias.zero_()
        elif isinstance(layer, nn.LSTM | nn.GRU):
            bound = layer.hidden_size**-0.5
            with torch.no_grad():
                for weight in layer.parameters():
                    weight.uniform_(-bound, bound, generator=random)
        elif isinstance(layer, nn.Embedding):
            with torch.no_grad():
                layer.weight.normal_(std=0.1, generator=random)


@torch.no_grad()
def _initialise_normal(network: nn.Module, deviation: float, random: torch.Generator) -> None:
    for layer in network.modules():
        if not isinstance(layer, nn.LayerNorm):
            for weight in layer.parameters(recurse=False):
                weight.normal_(std=deviation, generator=random)
