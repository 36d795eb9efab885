import itertools
import math
import re
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import oracle_lines
from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.oracle import Floats, Oracle, own_oracle, read_oracle
from data.sources import absolute_source, exists, moved, open_oracle, open_source
from data.tokenizers import WordTokenizer
from data.words import WordRule
from tests.helpers.oracle_files import write_oracle
from tests.helpers.paths import REAL_DATA

OWN = own_oracle(0)
SMALL = own_oracle(7, size=5, width=3)


def slow_log_probs(oracle: Oracle, line: list[int], order: tuple[int, ...] = (0, 1, 2, 3)) -> list[float]:
    """Return the log-probabilities of a line's symbols, one number at a time; `order` permutes the gates."""
    width, embedded = len(oracle.recurrent), oracle.embedding.shape[1]
    hidden, cell, before, found = [0.0] * width, [0.0] * width, 0, []
    for symbol in line:
        gates = []
        for gate in order:
            columns = [gate * width + unit for unit in range(width)]
            gates.append(
                [
                    oracle.bias[column]
                    + sum(oracle.embedding[before, i] * oracle.inputs[i, column] for i in range(embedded))
                    + sum(hidden[j] * oracle.recurrent[j, column] for j in range(width))
                    for column in columns
                ]
            )
        into, keep, out, candidate = gates
        cell = [
            cell[j] / (1 + math.exp(-keep[j])) + math.tanh(candidate[j]) / (1 + math.exp(-into[j]))
            for j in range(width)
        ]
        hidden = [math.tanh(cell[j]) / (1 + math.exp(-out[j])) for j in range(width)]
        logits = [
            oracle.output_bias[v] + sum(hidden[j] * oracle.output[j, v] for j in range(width))
            for v in range(oracle.size)
        ]
        found.append(logits[symbol] - math.log(sum(math.exp(logit) for logit in logits)))
        before = symbol
    return found


def entropy(oracle: Oracle, lines: int, seed: int = 3) -> tuple[float, float]:
    """Return the mean of -log o per symbol over drawn lines of 20 symbols, and its standard error."""
    of_lines = -oracle.log_probs(oracle.draw(lines, 20, seed)).mean(axis=1)
    return float(of_lines.mean()), float(of_lines.std(ddof=1)) / math.sqrt(lines)


def test_our_own_oracle_is_the_same_everywhere() -> None:
    # NumPy's PCG64 and ziggurat; computed on x86-64 with NumPy 2.4.
    assert OWN.sha256 == "7f8c46d1de817467e4d913c0bf6b494b30737a313d2f6db0925d4233ec2fd40e"
    assert own_oracle(1).sha256 != OWN.sha256
    assert OWN.embedding.shape == (5000, 32)
    assert OWN.output.shape == (32, 5000)
    assert abs(OWN.output.std() - 1) < 0.01


def test_probabilities_are_those_of_an_lstm_written_out() -> None:
    lines = SMALL.draw(4, 6, seed=0)
    expected = [slow_log_probs(SMALL, line) for line in lines.tolist()]
    np.testing.assert_allclose(SMALL.log_probs(lines), expected, rtol=0, atol=1e-12)
    # Known to be wrong: PyTorch's order of gates (input, forget, candidate, output).
    wrong = [slow_log_probs(SMALL, line, (0, 1, 3, 2)) for line in lines.tolist()]
    assert np.abs(SMALL.log_probs(lines) - wrong).max() > 0.01


def test_draws_have_the_probabilities_of_all_lines() -> None:
    oracle, length, count = own_oracle(5, size=3, width=4), 4, 20_000
    every = np.array(list(itertools.product(range(3), repeat=length)))
    probabilities = np.exp(oracle.log_probs(every).sum(axis=1))
    assert abs(probabilities.sum() - 1) < 1e-12
    drawn = oracle.draw(count, length, seed=2)
    counts = np.bincount(drawn @ 3 ** np.arange(length)[::-1], minlength=3**length)
    errors = np.sqrt(count * probabilities * (1 - probabilities))
    assert (np.abs(counts - count * probabilities) < 4.5 * errors + 1).all()
    exact = -float(probabilities @ np.log(probabilities))
    of_lines = -oracle.log_probs(drawn).sum(axis=1)
    assert abs(of_lines.mean() - exact) < 4 * of_lines.std() / math.sqrt(count)


def test_a_line_is_the_same_whatever_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    many = SMALL.draw(50, 6, seed=4)
    monkeypatch.setattr("data.oracle._BLOCK_LOGITS", 35)  # 7 lines per block
    assert SMALL.draw(20, 6, seed=4).tolist() == many[:20].tolist()
    assert SMALL.draw(20, 6, seed=5).tolist() != many[:20].tolist()


@pytest.fixture(scope="module")
def published() -> Oracle:
    folder = REAL_DATA / "oracle"
    if not folder.exists():
        pytest.skip(f"needs {folder}")
    return read_oracle(folder)


def transposed(oracle: Oracle) -> Oracle:
    """Return the oracle whose square matrices are read the other way round, gate by gate."""

    def turned(matrices: Floats) -> Floats:
        return np.concatenate([matrix.T for matrix in np.split(matrices, 4, axis=1)], axis=1)

    return replace(oracle, inputs=turned(oracle.inputs), recurrent=turned(oracle.recurrent))


def test_the_published_oracle_has_the_published_entropy(published: Oracle) -> None:
    # Published: 5.750. By 10,000 lines each: 5.7485 as SeqGAN reads the matrices, 5.776 as Falling Short's code does.
    found, error = entropy(published, 200)
    assert error < 0.05
    assert abs(found - 5.7485) < 4 * error
    other, error = entropy(transposed(published), 200)
    assert abs(other - 5.776) < 4 * error
    # Known to be wrong: reading SeqGAN's lines with the other oracle.
    assert -transposed(published).log_probs(published.draw(50, 20, seed=3)).mean() > 10


def test_our_own_oracle_has_the_entropy_of_its_kind() -> None:
    # Six oracles of this kind: mean 5.937, standard deviation 0.121.
    found, _ = entropy(OWN, 100)
    assert abs(found - 5.937) < 4 * 0.121


DRAWS = oracle_lines._DRAWS


@pytest.fixture(autouse=True)
def _few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle_lines, "_DRAWS", {"train": (300, 1), "held_out": (200, 2)})


def test_numbers_and_seeds_of_lines_are_fixed() -> None:
    assert DRAWS == {"train": (10_000, 11), "held_out": (10_000, 12)}
    assert oracle_lines.SEQ_LEN == 20


def small_corpus(tmp_path: Path, **options: Any) -> CorpusOptions:
    folder = write_oracle(tmp_path / "small", SMALL)
    return CorpusOptions(f"oracle:{folder}", **{"seq_len": 20, "vocabulary_size": 5000, "symbols": "word", **options})


def test_lines_become_numbers_of_the_fixed_list(tmp_path: Path) -> None:
    corpus = open_corpus(small_corpus(tmp_path, lines=30))
    assert corpus.tokenizer == WordTokenizer(("0", "1", "2", "3", "4"), WordRule("whitespace"))
    assert corpus.name == "small"
    # Ids of the drawn symbols, after padding and unknown; the seeds are the recorded ones.
    assert (corpus.train[:] - 2).tolist() == SMALL.draw(30, 20, seed=1).tolist()
    assert (corpus.held_out[:] - 2).tolist() == SMALL.draw(200, 20, seed=2).tolist()
    assert not set(map(tuple, corpus.train[:])) & set(map(tuple, corpus.held_out[:]))
    assert corpus.absent == [0, 1]
    padded = open_corpus(small_corpus(tmp_path, lines=30, seq_len=21))
    assert padded.absent == [1]


def test_held_out_lines_stay_where_they_equal_training_lines(tmp_path: Path) -> None:
    # An oracle that nearly always repeats one symbol: without its frequent lines, held-out lines would be no sample.
    likely = replace(SMALL, output_bias=np.array([7.0, 0, 0, 0, 0]))
    folder = write_oracle(tmp_path / "likely", likely)
    corpus = open_corpus(replace(small_corpus(tmp_path), data=f"oracle:{folder}"))
    common = set(corpus.tokenizer.decode(corpus.train[:])) & set(corpus.tokenizer.decode(corpus.held_out[:]))
    assert common
    assert len(corpus.held_out) == 200


def test_the_text_is_numbers_at_every_level_and_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_word = open_corpus(small_corpus(tmp_path))
    monkeypatch.setattr(Oracle, "draw", None)  # drawing again would fail
    by_character = open_corpus(small_corpus(tmp_path, symbols="char", seq_len=39))
    assert by_character.tokenizer.decode(by_character.train[:3]) == by_word.tokenizer.decode(by_word.train[:3])
    first = next(chain.from_iterable(open_source(small_corpus(tmp_path).data).train()))
    assert re.fullmatch(r"[0-4]( [0-4]){19}", first)


def test_the_hash_of_the_weights_names_the_lines(tmp_path: Path) -> None:
    assert open_source("oracle").identity == open_source("oracle:0").identity
    assert [open_source(spec).name for spec in ("oracle", "oracle:007")] == ["oracle-0", "oracle-7"]
    assert open_source("oracle:1").identity != open_source("oracle").identity
    folder = write_oracle(tmp_path / "own", SMALL)
    assert open_oracle(f"oracle:{folder}").sha256 == SMALL.sha256
    assert open_source(f"oracle:{folder}").identity[1] == SMALL.sha256


def test_a_path_of_an_oracle_is_treated_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for spec in ("oracle", "oracle:17"):
        assert absolute_source(spec) == spec
        assert exists(spec)
        assert moved(spec, tmp_path) == []
    assert absolute_source("oracle:here") == f"oracle:{tmp_path}/here"
    assert absolute_source("oracle:./17") == f"oracle:{tmp_path}/17"
    assert absolute_source(f"oracle:{'1' * 19}") == f"oracle:{tmp_path}/{'1' * 19}"
    assert not exists("oracle:/nowhere/oracle")
    (tmp_path / "oracle").mkdir()
    assert moved("oracle:/nowhere/oracle", tmp_path) == [f"oracle:{tmp_path}/oracle"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary_size": 4}, "--vocabulary-size 4: small has 5 symbols; raise it"),
        ({"words": "characters"}, "--words characters: .* leave it out"),
        ({"seq_len": 19}, "every line has more than --seq-len 19 symbols"),
    ],
)
def test_options_that_do_not_fit_an_oracle(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_corpus(small_corpus(tmp_path, **options))


def damage(folder: Path, how: str) -> None:
    match how:
        case "missing":
            (folder / "ui.npz").unlink()
        case "shape":
            np.savez(folder / "ui.npz", np.zeros((3, 4)))
        case "empty":
            (folder / "bo.npy").write_bytes(b"")
        case "pickle":
            np.save(folder / "bo.npy", np.array([{"a": 1}], object), allow_pickle=True)
        case "text":
            (folder / "wo.npz").write_text("weights", "utf-8")
        case "cut off":
            (folder / "wo.npz").write_bytes((folder / "wo.npz").read_bytes()[:-40])
        case "two arrays":
            np.savez(folder / "wo.npz", np.zeros((3, 5)), np.zeros((3, 5)))
        case "NaN":
            np.save(folder / "bo.npy", np.full(5, math.nan))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"small: no ui\.npy or ui\.npz; give a folder with SeqGAN's 15 arrays"),
        ("shape", r"small: ui has shape \(3, 4\), expected \(3, 3\); give a folder"),
        ("empty", r"bo\.npy: not an array of numbers .*; give a folder"),
        ("pickle", r"bo\.npy: not an array of numbers \(Object arrays cannot be loaded.*; give a folder"),
        ("text", r"wo\.npz: not an array of numbers .*; give a folder"),
        ("cut off", r"wo\.npz: not an array of numbers .*; give a folder"),
        ("two arrays", r"wo\.npz: not an array of numbers .*; give a folder"),
        ("NaN", r"bo\.npy: holds NaN or infinity; give a folder"),
    ],
)
def test_a_folder_that_is_no_oracle_is_refused_in_one_line(tmp_path: Path, how: str, message: str) -> None:
    folder = write_oracle(tmp_path / "small", SMALL)
    damage(folder, how)
    with pytest.raises(InputError, match=message) as refusal:
        open_source(f"oracle:{folder}")
    assert "\n" not in str(refusal.value)


def test_no_folder_and_an_empty_value(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"oracle:.*nothing: no such folder; give a folder"):
        open_source(f"oracle:{tmp_path}/nothing")
    with pytest.raises(InputError, match=r"^'oracle:': nothing after the colon"):
        open_source("oracle:")
