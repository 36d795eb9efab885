"""Critics of lines: a convolutional network with features and scores of lines, and an LSTM that scores every prefix."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eval.core.device import at_least_float32, without_autocast

Filters = Sequence[tuple[int, int]]
"""Widths of convolutions, in symbols, and their numbers of filters."""


class CnnFeatures(nn.Module):
    """Convolutions over embedded symbols, and the largest response per filter (Kim 2014, arXiv 1408.5882).

    Args:
        vocabulary_size: V.
        dim: width of the embedding.
        filters: widths of the convolutions, and their numbers of filters.
        representations: number S of parts of the embedding, which share the filters (RelGAN, Nie et al. 2019).
    """

    def __init__(self, vocabulary_size: int, dim: int, filters: Filters, representations: int = 1) -> None:
        super().__init__()
        self.representations = representations
        self.embedding = nn.Embedding(vocabulary_size, dim)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(1, count, (width, dim // representations)) for width, count in filters
        )
        self._widest = max(width for width, _ in filters)

    def features(self, x: Tensor) -> Tensor:
        """Return the features [B S, F] of lines: ids [B, L] or rows of probabilities [B, L, V]."""
        embedded = _embedded(self.embedding, x)  # [B, L, dim]
        embedded = F.pad(embedded, (0, 0, 0, max(0, self._widest - embedded.shape[1])))
        parts = embedded.view(*embedded.shape[:2], self.representations, -1)
        parts = parts.transpose(1, 2).flatten(0, 1)  # [B S, L, dim / S]
        responses = [F.relu(_largest_response(layer, parts)) for layer in self.convolutions]
        return at_least_float32(torch.cat(responses, dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, so that a critic without a score has no weights for one."""
        return self.features(x)


class TextCnn(CnnFeatures):
    """A linear score of features; the score of a line is the mean over the parts of its embedding."""

    def __init__(self, vocabulary_size: int, dim: int, filters: Filters, representations: int = 1) -> None:
        super().__init__(vocabulary_size, dim, filters, representations)
        self.to_score = nn.Linear(sum(count for _, count in filters), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores [B] of lines: ids [B, L] or rows of probabilities [B, L, V]."""
        return self.score(self.features(x))

    def score(self, features: Tensor) -> Tensor:
        """Return the scores [B] of lines with features [B S, F]."""
        scores: Tensor = self.to_score(features).view(-1, self.representations)  # [B, S]
        return at_least_float32(scores).mean(dim=1)


class PrefixCritic(nn.Module):
    """An LSTM that scores every prefix of a line (de Masson d'Autume et al. 2019, arXiv 1905.09922)."""

    def __init__(self, vocabulary_size: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, dim)
        self.lstm = nn.LSTM(dim, dim, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.to_score = nn.Linear(dim, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Return a score per prefix of lines [B, L]: the t-th is of the first t symbols."""
        with without_autocast(ids.device):
            features = self.lstm(self.embedding(ids))[0]  # [B, L, dim]
        scores: Tensor = self.to_score(self.norm(features)).squeeze(-1)  # [B, L]
        return at_least_float32(scores)


def _largest_response(layer: nn.Module, x: Tensor) -> Tensor:
    """Return the largest response [N, F] of filters that span the width of lines [N, L, width].

    A product with windows of the lines; torch's convolution of one channel takes up to three times as long on a CPU.
    """
    assert isinstance(layer, nn.Conv2d)
    windows = x.unfold(1, layer.kernel_size[0], 1).transpose(2, 3).flatten(2)  # [N, L', span * width]
    return F.linear(windows, layer.weight.flatten(1), layer.bias).max(dim=1).values


def _embedded(embedding: nn.Embedding, x: Tensor) -> Tensor:
    """Return embedded lines [B, L, dim] of ids [B, L] or rows of probabilities [B, L, V]."""
    embedded: Tensor = x @ embedding.weight if x.is_floating_point() else embedding(x)
    return embedded
