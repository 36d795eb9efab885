"""Bits under a causal language model in the hub's layout, against one symbol after the other (development extra)."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from data.errors import InputError
from data.words import WHITE_SPACE
from eval.sentences import causal_lm
from eval.sentences.causal_lm import open_causal_lm
from eval.sentences.perplexity import score

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = {"<end>": 0, "<unk>": 1, "the": 2, "cat": 3, "dog": 4, "sat": 5}
LINES = ["the cat sat", "", "dog", "the zebra sat cat the dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with random weights, 2 layers of width 8, and a vocabulary of 6 words."""
    place: Path = tmp_path_factory.mktemp("tiny-gpt2")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, "<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", unk_token="<unk>").save_pretrained(
        place
    )
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=6,
        n_positions=16,
        n_embd=8,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=1.0,
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(place)
    return place


@torch.no_grad()
def slow_bits(folder: Path, line: str) -> float:
    model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = [0, *(WORDS.get(word, 1) for word in line.split()), 0]
    bits = 0.0
    for end in range(1, len(ids)):
        logits = model(torch.tensor([ids[:end]])).logits[0, -1]
        bits -= float(logits.log_softmax(-1)[ids[end]]) / math.log(2)
    return bits


def test_bits_are_those_of_one_symbol_after_the_other(folder: Path) -> None:
    outside = open_causal_lm(str(folder))
    slow = [slow_bits(folder, line) for line in LINES]
    bits, sizes, *_ = outside.bits(LINES)
    assert bits.tolist() == pytest.approx(slow, rel=1e-4)
    assert sizes["character"].tolist() == [len(line) + 1 for line in LINES]
    perplexity, entropy = score(LINES, outside, WHITE_SPACE)
    assert perplexity.values["bits-per-word"].value == pytest.approx(sum(slow) / 10, rel=1e-4)
    assert str(perplexity.signature).startswith(f"perplexity|model:causal-lm|len:16|outside:{folder.name}@")
    assert entropy.metric == "sample-entropy"


@pytest.mark.parametrize("symbols", [1, 8, 20])
def test_long_lines_are_read_in_smaller_batches(folder: Path, monkeypatch: pytest.MonkeyPatch, symbols: int) -> None:
    expected = open_causal_lm(str(folder)).bits(LINES * 3)[0]
    monkeypatch.setattr(causal_lm, "_MOST_SYMBOLS", symbols)
    assert open_causal_lm(str(folder)).bits(LINES * 3)[0].tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_lines_longer_than_the_model_reads_are_refused(folder: Path) -> None:
    outside = open_causal_lm(str(folder))
    outside.bits(["cat " * 14])
    with pytest.raises(InputError, match=r"line 2: 15 symbols; .* reads at most 14; shorten the line"):
        outside.bits(["cat", "cat " * 15])


def test_the_signature_changes_with_the_tokenizer(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, other := tmp_path / folder.name)
    rules = json.loads((other / "tokenizer.json").read_text("utf-8"))
    rules["normalizer"] = {"type": "Lowercase"}
    (other / "tokenizer.json").write_text(json.dumps(rules), "utf-8")
    before, after = (open_causal_lm(str(place)) for place in (folder, other))
    assert before.bits(["Cat"]).bits != after.bits(["Cat"]).bits
    assert before.settings["outside"] != after.settings["outside"]


def test_a_model_that_is_not_here_is_refused() -> None:
    with pytest.raises(InputError, match="--outside causal-lm:nowhere/none: not on this machine"):
        open_causal_lm("nowhere/none")
