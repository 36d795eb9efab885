"""A BERT encoder with random weights in the layout of a sentence-transformers folder, small enough to loop over."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "runn", "##ing", "the", "a", "cat", "dog", "sat"),
    *(".", ",", "!", "cafe", "##s", "漢", "字", "dots"),
)
CONFIG = {
    "model_type": "bert", "hidden_act": "gelu", "hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2,
    "num_hidden_layers": 2, "layer_norm_eps": 1e-12, "max_position_embeddings": 16, "type_vocab_size": 2,
    "vocab_size": len(WORDS),
}  # fmt: skip


@cache
def tiny_weights(seed: int = 0) -> dict[str, Tensor]:
    """Draw weights under the names of the hub's checkpoints."""
    random = torch.Generator().manual_seed(seed)
    size, wide = 8, 12
    shapes: dict[str, tuple[int, ...]] = {
        f"embeddings.{name}_embeddings.weight": (rows, size)
        for name, rows in (("word", len(WORDS)), ("position", 16), ("token_type", 2))
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
        parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
        linear = {
            **dict.fromkeys(parts, (size, size)),
            "intermediate.dense": (wide, size),
            "output.dense": (size, wide),
        }
        for part, shape in linear.items():
            shapes |= {f"{name}.{part}.weight": shape, f"{name}.{part}.bias": shape[:1]}
    shapes |= {f"{name}.{part}": (size,) for name in norms for part in ("weight", "bias")}
    return {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}


def write_tiny_bert(
    folder: Path, normalised: bool = True, weights: dict[str, Tensor] | None = None, **config: Any
) -> Path:
    """Write a folder with weights, vocabulary and settings; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}), "utf-8")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
    modules = ["Transformer", "Pooling", *["Normalize"] * normalised]
    types = [{"type": f"sentence_transformers.models.{name}"} for name in modules]
    (folder / "modules.json").write_text(json.dumps(types), "utf-8")
    save_file(tiny_weights() if weights is None else weights, folder / "model.safetensors")
    return folder
