"""Sentence features without a download: states of a small LSTM trained on the real lines.

The model predicts the next word of a line, with fixed seed, sizes and iterations. The features of a line are the mean
state of the LSTM over the positions of the line. Equal real lines give equal weights on one machine; the hash of the
weights is in the signature, since another machine may round differently.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from data.cache import cache_folder, open_arrays, open_cached, read_manifest, save_array, write_manifest
from data.files import sha256_of_json
from data.words import WordRule
from eval.images.weights import weights_sha256
from eval.sentences.batches import Encoder, by_length, padded

_MANIFEST = "model.json"
_FORMAT = 1
_END, _UNKNOWN, _START = 0, 1, 2
_FIRST_WORD = 3


@dataclass(frozen=True)
class LmSettings:
    """How the language model is built and trained; another value gives other features.

    `words` is the number of words with an id of their own, the most frequent ones. Lines are cut at `length` words.
    """

    words: int = 1000
    length: int = 40
    width: int = 64
    iterations: int = 400
    batch_size: int = 64
    rate: float = 3e-3
    clip: float = 5.0
    seed: int = 0


class LanguageModel(nn.Module):
    """A distribution over the next word: embedding, one LSTM layer (Hochreiter & Schmidhuber 1997), logits of V ids."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.to_words = nn.Linear(width, size)

    def states(self, ids: Tensor) -> Tensor:
        """Return the states [B, T, width] of the LSTM after each of ids [B, T]."""
        states: Tensor = self.lstm(self.embedding(ids))[0]
        return states

    def features(self, ids: Tensor) -> Tensor:
        """Return the mean states [B, width] of lines [B, T] over the start and the words of each line."""
        kept = (ids != _END).unsqueeze(-1)
        return (self.states(ids) * kept).sum(1) / kept.sum(1)

    def loss(self, ids: Tensor) -> Tensor:
        """Return the mean negative log-probability, in nats, of the words and line ends of lines [B, T].

        A line begins with the start symbol and ends with at least one end symbol; a second one is not predicted.
        """
        before, after = ids[:, :-1], ids[:, 1:]
        predicted = before != _END
        logits = self.to_words(self.states(before)[predicted])
        return F.cross_entropy(logits, after[predicted])


def train(rows: Sequence[Sequence[int]], size: int, settings: LmSettings) -> LanguageModel:
    """Return a model of rows of word ids, each from the start symbol on, by Adam (Kingma & Ba 2015)."""
    random = np.random.default_rng(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = LanguageModel(size, settings.width)
    optimiser = torch.optim.Adam(model.parameters(), settings.rate)
    for _ in tqdm(range(settings.iterations), "language model", disable=None, delay=1, leave=False):
        chosen = random.integers(len(rows), size=settings.batch_size)
        loss = model.loss(padded([[*rows[i], _END] for i in chosen], _END))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
    return model.eval()


def open_language_model(lines: Sequence[str], rule: WordRule, settings: LmSettings | None = None) -> Encoder:
    """Return the encoder of a language model of these lines, from the cache if it has been trained before.

    Args:
        lines: real lines.
        rule: how lines are split into words.
        settings: sizes and training; other values than the defaults are for tests.
    """
    settings = settings or LmSettings()
    split = rule.splitter()
    words = [split(line)[1][: settings.length] for line in lines]
    common = [word for word, _ in Counter(chain.from_iterable(words)).most_common(settings.words)]
    numbers = {word: number for number, word in enumerate(common, start=_FIRST_WORD)}
    size = _FIRST_WORD + len(numbers)

    def row(line_words: Sequence[str]) -> list[int]:
        return [_START, *(numbers.get(word, _UNKNOWN) for word in line_words)]

    def build(folder: Path) -> None:
        model = train([row(line_words) for line_words in words], size, settings)
        for name, weights in model.state_dict().items():
            save_array(folder / f"{name}.npy", weights.numpy())
        write_manifest(folder, _MANIFEST, {"settings": asdict(settings), "rule": asdict(rule)})

    identity = [_FORMAT, torch.__version__, asdict(settings), asdict(rule), words]
    folder = cache_folder() / "language-models" / sha256_of_json(identity)[:20]
    weights = open_cached(folder, _read, build)
    model = LanguageModel(size, settings.width).eval()
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    digest = sha256_of_json([weights_sha256(weights), common, asdict(rule), settings.length])

    def encode(samples: Sequence[str]) -> NDArray[np.float32]:
        rows = [row(split(line)[1][: settings.length]) for line in samples]
        return by_length(rows, lambda some: model.features(padded(some, _END)))

    return Encoder(f"lstm-{settings.width}-{digest[:12]}", encode)


def _read(folder: Path) -> Mapping[str, NDArray[np.float32]]:
    return open_arrays(folder, read_manifest(folder, _MANIFEST))
