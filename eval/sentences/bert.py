"""Sentence embeddings of a BERT encoder from a folder in the layout of the Hugging Face hub.

The folder of `all-MiniLM-L6-v2` holds config.json, model.safetensors, vocab.txt, and the settings of
sentence-transformers (Reimers & Gurevych 2019, arXiv 1908.10084). The embedding of a line is the mean over its symbols
of the last layer's states, scaled to length 1 if modules.json has a Normalize module. Nothing is unpickled, and no code
of the hub is run.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from data.errors import InputError
from data.files import sha256_of_file, sha256_of_json
from eval.core.device import choose_device
from eval.sentences.batches import Encoder, by_length, padded
from eval.sentences.wordpiece import PADDING, WordPiece

Weights = Mapping[str, Tensor]

_LONGEST = 512
_MEAN = "pooling_mode_mean_tokens"


@dataclass(frozen=True)
class BertSettings:
    """Sizes of an encoder (the names of config.json), and how its states become one embedding."""

    num_hidden_layers: int
    num_attention_heads: int
    layer_norm_eps: float
    normalised: bool = False
    longest: int = _LONGEST


def embed(weights: Weights, settings: BertSettings, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the embeddings [B, D] of symbols' ids [B, T]; the mask [B, T] is true at symbols, false at padding.

    Devlin et al. (2019, arXiv 1810.04805): layers of self-attention and of a wider layer with GELU (Hendrycks & Gimpel
    2016, by the error function), each followed by layer normalisation of its sum with the input.
    """

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def normalised(name: str, x: Tensor) -> Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.layer_norm(x, scale.shape, scale, shift, settings.layer_norm_eps)

    tables = [weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")]
    x = normalised("embeddings.LayerNorm", tables[0][ids] + tables[1][: ids.shape[1]] + tables[2][0])  # [B, T, D]
    seen = None if mask.all() else mask[:, None, None]  # [B, 1, 1, T]
    for layer in range(settings.num_hidden_layers):
        name = f"encoder.layer.{layer}"
        parts = (linear(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value"))
        q, k, v = (part.view(*part.shape[:2], settings.num_attention_heads, -1).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).flatten(2)
        x = normalised(f"{name}.attention.output.LayerNorm", x + linear(f"{name}.attention.output.dense", mixed))
        wide = F.gelu(linear(f"{name}.intermediate.dense", x))
        x = normalised(f"{name}.output.LayerNorm", x + linear(f"{name}.output.dense", wide))
    kept = mask.unsqueeze(-1)
    mean = (x * kept).sum(1) / kept.sum(1)
    return F.normalize(mean, dim=1) if settings.normalised else mean


def open_bert(folder: Path) -> Encoder:
    """Return the encoder in a folder; the signature holds the hash of weights, vocabulary and settings.

    Raises:
        InputError: a file is missing or damaged, or the model is no BERT with mean pooling.
    """
    config = _read(folder / "config.json")
    settings = _settings(folder, config)
    lower_case = bool(_read(folder / "tokenizer_config.json", {}).get("do_lower_case", True))
    words = WordPiece.read(folder / "vocab.txt", lower_case)
    path = folder / "model.safetensors"
    try:
        loaded = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: no weights ({error}); fetch the model's folder again") from error
    device = choose_device("auto")
    weights = {name.removeprefix("bert."): tensor.to(device, torch.float32) for name, tensor in loaded.items()}
    _require_shapes(path, weights, config, len(words.ids))
    files = [sha256_of_file(path), sha256_of_file(folder / "vocab.txt")]
    digest = sha256_of_json([*files, vars(settings), lower_case])

    def batch(rows: list[list[int]]) -> Tensor:
        ids = padded(rows, words.ids[PADDING]).to(device)
        mask = padded([[1] * len(row) for row in rows], 0).to(device, torch.bool)
        return embed(weights, settings, ids, mask)

    def encode(lines: Sequence[str]) -> NDArray[np.float32]:
        return by_length([words.encode(line, settings.longest) for line in lines], batch)

    return Encoder(f"bert-{settings.num_hidden_layers}x{config['hidden_size']}-{digest[:12]}", encode)


def _settings(folder: Path, config: Mapping[str, Any]) -> BertSettings:
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for name, value in wanted.items():
        if config.get(name, value) != value:
            raise InputError(f"{folder}: {name} is {config[name]}, not {value}; name the folder of a BERT encoder")
    pooling = _read(folder / "1_Pooling" / "config.json", {})
    if not pooling.get(_MEAN, True):
        raise InputError(f"{folder}: no mean pooling; name the folder of a model with {_MEAN}")
    if other := [name for name, on in pooling.items() if name.startswith("pooling_mode_") and on and name != _MEAN]:
        raise InputError(f"{folder}: {other[0]}; name the folder of a model with {_MEAN} alone")
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in _read(folder / "modules.json", [])]
    if unknown := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
        raise InputError(f"{folder}: has a module {unknown[0]}; name the folder of a model without it")
    normalised = "Normalize" in kinds
    positions = int(config.get("max_position_embeddings", _LONGEST))
    longest = _read(folder / "sentence_bert_config.json", {}).get("max_seq_length") or positions
    try:
        layers, heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
        epsilon = float(config.get("layer_norm_eps", 1e-12))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'config.json'}: not BERT's settings ({error}); fetch it again") from error
    return BertSettings(layers, heads, epsilon, normalised, min(int(longest), positions))


def _read(path: Path, default: Any = None) -> Any:
    """Return a JSON file's content; the default, if there is one, for a missing file."""
    if default is not None and not path.exists():
        return default
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable ({error}); name the folder of a sentence-transformers model") from error


def _require_shapes(path: Path, weights: Weights, config: Mapping[str, Any], words: int) -> None:
    """Check that all weights of the encoder are there, finite and of the right sizes."""
    size, wide = config.get("hidden_size"), config.get("intermediate_size")
    shapes: dict[str, tuple[Any, ...]] = {
        "embeddings.word_embeddings.weight": (config.get("vocab_size", words), size),
        "embeddings.position_embeddings.weight": (config.get("max_position_embeddings", _LONGEST), size),
        "embeddings.token_type_embeddings.weight": (config.get("type_vocab_size", 2), size),
    }
    square = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    linear = {**dict.fromkeys(square, (size, size)), "intermediate.dense": (wide, size), "output.dense": (size, wide)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
        for part, shape in linear.items():
            shapes |= {f"{name}.{part}.weight": shape, f"{name}.{part}.bias": shape[:1]}
    shapes |= {f"{name}.{part}": (size,) for name in norms for part in ("weight", "bias")}
    for name, shape in shapes.items():
        if name not in weights or tuple(weights[name].shape) != shape:
            raise InputError(f"{path}: {name} is not [{', '.join(map(str, shape))}]; fetch the model's folder again")
        if not math.isfinite(float(weights[name].sum())):
            raise InputError(f"{path}: NaN or infinity in {name}; fetch the model's folder again")
