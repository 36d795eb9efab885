"""Bits of lines under a causal language model of the Hugging Face hub that is on this machine, such as GPT-2.

The model is loaded by `transformers`, from safetensors, without code of the hub and without the network.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from data.errors import InputError
from data.files import sha256_of_json
from eval.core.device import choose_device
from eval.images.weights import weights_sha256
from eval.sentences.batches import by_length, padded
from eval.sentences.perplexity import LineBits, OutsideModel

_MOST_SYMBOLS = 4096  # per batch: GPT-2's logits of that many symbols take 0.8 GB


def open_causal_lm(name: str) -> OutsideModel:
    """Return the model of a hub name or folder; the signature holds the hash of its weights and tokenizer.

    A line is read after the model's start symbol (GPT-2: the end symbol), and its end symbol counts.

    Raises:
        InputError: transformers is not installed, the model is not on this machine, or it has no end symbol.
    """
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        remedy = "needs transformers; pip install 'textgan[perplexity]'"
        raise InputError(f"--outside causal-lm:{name}: {remedy}") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(name, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"--outside causal-lm:{name}: not on this machine ({reason}); where there is a network: hf download {name}"
        ) from error
    end = tokenizer.eos_token_id
    start = end if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if end is None:
        raise InputError(f"--outside causal-lm:{name}: has no end symbol; choose a model such as gpt2")
    device = choose_device("auto")
    model = model.to(device, torch.float32).eval()
    longest = getattr(model.config, "max_position_embeddings", None) or 1024

    def batch(rows: list[list[int]]) -> torch.Tensor:
        few = max(1, _MOST_SYMBOLS // len(rows[-1]))  # rows are sorted by length
        return torch.cat([batch_bits(rows[start : start + few]) for start in range(0, len(rows), few)])

    def batch_bits(rows: list[list[int]]) -> torch.Tensor:
        ids = padded(rows, end).to(device)
        seen = padded([[1] * len(row) for row in rows], 0).to(device)
        logits = model(input_ids=ids, attention_mask=seen).logits[:, :-1]
        losses = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        return (losses * seen[:, 1:]).sum(1, keepdim=True) / math.log(2)

    def bits(lines: Sequence[str]) -> LineBits:
        rows = [[start, *tokenizer.encode(line, add_special_tokens=False), end] for line in lines]
        for number, row in enumerate(rows, start=1):
            if len(row) > longest:
                raise InputError(
                    f"line {number}: {len(row) - 2:,} symbols; {name} reads at most {longest - 2:,}; shorten the line"
                )
        characters = np.array([len(line) + 1.0 for line in lines])
        return LineBits(by_length(rows, batch)[:, 0].astype(np.float64), {"character": characters})

    weights = {key: value.cpu().numpy() for key, value in model.state_dict().items()}
    symbols = {"vocabulary": tokenizer.get_vocab(), "start": start, "end": end}
    if tokenizer.is_fast:
        symbols["rules"] = tokenizer.backend_tokenizer.to_str()
    outside = f"{Path(name).name}@{sha256_of_json([weights_sha256(weights), symbols])[:12]}"
    return OutsideModel(outside, {"model": "causal-lm", "len": longest, "outside": outside}, bits)
