import gzip
import hashlib
import json
import subprocess
import sys
import zlib
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from data import corpus as corpus_module
from data.corpus import Corpus, CorpusOptions, encode_source, open_corpus
from data.errors import InputError
from data.readers import Source
from data.tokenizers import PADDING, UNKNOWN, CharTokenizer, Level, WordTokenizer
from data.words import WordRule
from tests.helpers.text import short_lines, write_lines


def decoded(corpus: Corpus) -> tuple[list[str], list[str]]:
    return corpus.tokenizer.decode(corpus.train[:]), corpus.tokenizer.decode(corpus.held_out[:])


def test_lines_come_back_and_held_out_lines_are_never_training_lines(text_file: Path) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    text_file.write_text("\n".join(lines * 3), "utf-8")  # every line three times
    corpus = open_corpus(CorpusOptions(str(text_file), seq_len=40))
    train, held_out = decoded(corpus)
    assert sorted(train + held_out) == sorted(lines * 3)
    assert not set(train) & set(held_out)
    assert 0.08 < len(held_out) / len(lines * 3) < 0.12


def test_without_a_split_all_lines_are_training_lines_in_order(text_file: Path) -> None:
    corpus = open_corpus(CorpusOptions(str(text_file), seq_len=40, split=False))
    assert decoded(corpus) == (text_file.read_text("utf-8").splitlines(), [])


def test_lines_are_cut_and_padded(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("aab\nabcdefgh\n", "utf-8")
    corpus = open_corpus(CorpusOptions(str(path), seq_len=4, split=False))
    assert corpus.tokenizer == CharTokenizer("abcd")  # of the cut lines, most frequent first; e to h are cut off
    assert corpus.train[:].tolist() == [[2, 2, 3, 0], [2, 3, 4, 5]]


def test_rare_characters_become_unknown(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("aaabbc\n", "utf-8")
    corpus = open_corpus(CorpusOptions(str(path), seq_len=6, vocabulary_size=2, split=False))
    assert decoded(corpus)[0] == [f"aaabb{UNKNOWN}"]


def test_a_padding_mark_in_the_text_is_no_padding(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(f"a{PADDING}a\n", "utf-8")
    corpus = open_corpus(CorpusOptions(str(path), seq_len=4, split=False))
    assert corpus.train[:].tolist() == [[2, 1, 2, 0]]
    assert encode_source(str(path), corpus.tokenizer, 4, "refuse").tolist() == [[2, 1, 2, 0]]


@pytest.mark.parametrize("characters", [250, 300, 2048])
def test_large_vocabularies_take_two_bytes(tmp_path: Path, characters: int) -> None:
    path = tmp_path / "t.txt"
    text = [chr(0x4E00 + i) for i in range(characters)]
    path.write_text("\n".join(text), "utf-8")
    corpus = open_corpus(CorpusOptions(str(path), seq_len=1, split=False))
    assert decoded(corpus)[0] == text
    assert corpus.train[:].dtype == (np.uint8 if characters == 250 else np.uint16)


def test_the_number_of_lines_is_capped(text_file: Path) -> None:
    everything = open_corpus(CorpusOptions(str(text_file)))
    some = open_corpus(CorpusOptions(str(text_file), lines=100))
    assert decoded(some)[0] == decoded(everything)[0][:100]
    assert not set(decoded(some)[0]) & set(decoded(some)[1])


def test_held_out_lines_of_a_source_that_are_training_lines_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(
        "two", "two", lambda: iter([["ab", "b"], ["a", "aa"]]), lambda: iter([["ba", "b", "aa", "ba"]]), train_lines=3
    )
    monkeypatch.setattr(corpus_module, "open_source", lambda spec, invalid_utf8: source)
    # aa is behind the three training lines, so it may be held out; b is one of them.
    assert decoded(open_corpus(CorpusOptions("two", seq_len=2))) == (["ab", "b", "a"], ["ba", "aa", "ba"])


def test_the_second_time_comes_from_the_cache_and_a_change_does_not(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = CorpusOptions(str(text_file))
    first = open_corpus(options)
    monkeypatch.setattr(corpus_module, "_build", None)  # building again would fail
    monkeypatch.chdir(text_file.parent)
    again = open_corpus(CorpusOptions(text_file.name))
    assert again.sha256 == first.sha256
    assert isinstance(again.train.row, np.memmap)
    monkeypatch.undo()
    with text_file.open("a", encoding="utf-8") as file:
        file.write("one more\n")
    assert open_corpus(options).sha256 != first.sha256


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "description"])
def test_a_damaged_cache_is_rebuilt_and_said(
    text_file: Path, cache: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    options = CorpusOptions(str(text_file))
    before = open_corpus(options)
    expected, sha256 = before.train[:].tolist(), before.sha256
    (array,) = cache.glob("corpora/*/train.row.npy")
    match damage:
        case "flip":
            content = bytearray(array.read_bytes())
            content[-1] ^= 1
            array.write_bytes(content)
        case "cut":
            array.write_bytes(array.read_bytes()[:-1])
        case "delete":
            array.unlink()
        case "description":
            array.with_name("corpus.json").write_text('{"name": ', "utf-8")
    after = open_corpus(options)
    assert (after.train[:].tolist(), after.sha256) == (expected, sha256)
    assert "damaged cache entry" in capsys.readouterr().err


def test_nothing_is_left_behind_when_building_fails(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"fine\n" * 1000 + b"\xff\n")
    with pytest.raises(InputError, match=r"bad\.txt:1001"):
        open_corpus(CorpusOptions(str(path)))
    assert list((cache / "corpora").iterdir()) == []


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=r"empty\.txt: no lines"):
        open_corpus(CorpusOptions(str(tmp_path / "empty.txt")))


def options_of(symbols: Level, path: str, **more: Any) -> CorpusOptions:
    if symbols in ("unigram", "bpe"):
        pytest.importorskip("sentencepiece")
    return CorpusOptions(path, seq_len=9, vocabulary_size=60, symbols=symbols, **more)


@pytest.mark.parametrize("symbols", get_args(Level))
def test_lines_are_those_of_a_slow_construction(
    symbols: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_module, "_BLOCK_LINES", 100)
    lines = [f"{line} the end." if number % 7 == 0 else line for number, line in enumerate(short_lines()[:600])]
    corpus = open_corpus(options_of(symbols, write_lines(tmp_path / "t.txt", lines)))
    parts: dict[bool, list[list[int]]] = {False: [], True: []}
    dropped = dict.fromkeys(parts, 0)
    for line in lines:
        ids = corpus.tokenizer.encode([line]).row.tolist()
        held_out = zlib.crc32(line.encode()) % 10 == 0
        if symbols == "char" or len(ids) <= 9:
            parts[held_out].append((ids + [0] * 9)[:9])
        else:
            dropped[held_out] += 1
    assert (corpus.train[:].tolist(), corpus.held_out[:].tolist()) == (parts[False], parts[True])
    assert corpus.dropped == dropped[False]
    assert (corpus.dropped > 10) == (symbols != "char")
    assert corpus.train.shape == (len(parts[False]), 9)
    assert corpus.train.row.size == sum(number > 0 for line in parts[False] for number in line)  # no padding is stored


@pytest.mark.parametrize("symbols", get_args(Level))
def test_the_hash_is_of_padded_arrays_and_of_the_symbols(symbols: Level, text_file: Path, tmp_path: Path) -> None:
    corpus = open_corpus(options_of(symbols, str(text_file)))
    hashes = {}
    for name, lines in (("train.npy", corpus.train), ("held_out.npy", corpus.held_out)):
        np.save(tmp_path / name, lines[:])
        hashes[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    known = corpus.tokenizer.characters if isinstance(corpus.tokenizer, CharTokenizer) else corpus.tokenizer.name
    assert corpus.sha256 == hashlib.sha256(json.dumps([known, hashes], sort_keys=True).encode()).hexdigest()


def test_words_of_lines_left_out_are_not_counted(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.txt", ["a b", "long long long long long", "b c"])
    corpus = open_corpus(CorpusOptions(path, 3, 2, split=False, symbols="word"))
    assert corpus.tokenizer == WordTokenizer(("b", "a"), WordRule("punctuation"))
    assert corpus.train[:].tolist() == [[3, 2, 0], [2, 1, 0]]


def test_words_of_held_out_lines_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("two", "two", lambda: iter([["a b", "B"]]), lambda: iter([["c c c", "a c"]]))
    monkeypatch.setattr(corpus_module, "open_source", lambda spec, invalid_utf8: source)
    corpus = open_corpus(CorpusOptions("two", 3, symbols="word", lower_case=True))
    assert corpus.tokenizer == WordTokenizer(("b", "a"), WordRule("punctuation", lower_case=True))
    assert corpus.held_out[:].tolist() == [[1, 1, 1], [3, 1, 0]]


def test_a_length_that_no_line_has_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.txt", ["a b c", "d e f"])
    with pytest.raises(InputError, match=r"t\.txt: every line has more than --seq-len 2 symbols; raise it"):
        open_corpus(CorpusOptions(path, 2, split=False, symbols="word"))


@pytest.mark.slow
def test_runs_that_start_at_once_share_one_entry(text_file: Path, cache: Path) -> None:
    code = "import sys; from data.corpus import *; print(open_corpus(CorpusOptions(sys.argv[1])).sha256)"
    command = [sys.executable, "-c", code, str(text_file)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    hashes = {process.communicate(timeout=600)[0] for process in processes}
    assert hashes == {open_corpus(CorpusOptions(str(text_file))).sha256 + "\n"}
    (entry,) = (cache / "corpora").iterdir()
    arrays = [f"{part}.{what}.npy" for part in ("held_out", "train") for what in ("row", "starts")]
    assert sorted(file.name for file in entry.iterdir()) == ["corpus.json", *arrays]
    assert json.loads((entry / "corpus.json").read_text("utf-8"))["lines"]["train"] > 1700


def test_real_lines(lm1b_sample: Path) -> None:
    # Shards 10 and 11 of the held-out part have 12,216 lines.
    corpus = open_corpus(CorpusOptions(str(lm1b_sample)))
    assert len(corpus.train) + len(corpus.held_out) == 12_216
    with gzip.open(lm1b_sample, "rt", encoding="utf-8") as file:
        lines = [line.removesuffix("\n")[:32] for line in file]
    assert Counter(chain(*decoded(corpus))) == Counter(lines)
    by_frequency = [character for character, _ in Counter("".join(decoded(corpus)[0])).most_common(20)]
    assert isinstance(corpus.tokenizer, CharTokenizer)
    assert corpus.tokenizer.characters[:20] == "".join(by_frequency)
