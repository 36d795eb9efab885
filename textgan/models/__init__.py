"""Models of text."""

from textgan.models.mle import LanguageModel
from textgan.models.settings import Model
from textgan.models.wgan_gp import Generator

LineNetwork = Generator | LanguageModel


def make_sampler(model: Model, vocabulary_size: int, seq_len: int, dim: int, latent_dim: int) -> LineNetwork:
    """Return a model's network for sampling lines, with uninitialised weights."""
    if model == "lstm":
        return LanguageModel(vocabulary_size, seq_len, dim)
    return Generator(vocabulary_size, seq_len, dim, latent_dim)
