from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data.corpus import CorpusOptions
from data.errors import InputError
from eval.ngram_sampler import sample_ngram_model
from eval.text.reference import ReferenceOptions, open_reference


def source(path: Path, lines: list[str], padding: bool = True) -> tuple[ReferenceOptions, Path]:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return ReferenceOptions(CorpusOptions(str(path), seq_len=6, split=False), 3, padding), path


def test_symbols_follow_as_often_as_in_the_text(tmp_path: Path) -> None:
    # After "a": "b" 3 of 4 times; after "ab": "c" 2 of 3 times.
    reference = open_reference(source(tmp_path / "t.txt", ["abcx", "abcx", "abdx", "axxx"])[0])
    assert reference.train is not None
    starts = np.repeat(reference.train[:1], 40_000, axis=0)
    bigram = reference.text.tokenizer.decode(sample_ngram_model(reference.text, 2, starts, np.random.default_rng(0)))
    trigram = reference.text.tokenizer.decode(sample_ngram_model(reference.text, 3, starts, np.random.default_rng(0)))
    assert Counter(line[1] for line in bigram)["b"] / 40_000 == pytest.approx(3 / 4, abs=0.01)
    assert {line[:2] for line in trigram} == {"ab"}
    assert Counter(line[2] for line in trigram)["c"] / 40_000 == pytest.approx(2 / 3, abs=0.01)
    unigram = reference.text.tokenizer.decode(sample_ngram_model(reference.text, 1, starts, np.random.default_rng(0)))
    share = Counter("".join(line.ljust(6, "␀") for line in unigram))["x"] / 240_000
    assert share == pytest.approx(6 / 24, abs=0.005)


def test_a_history_that_only_ends_lines_is_shortened(tmp_path: Path) -> None:
    # "fg" ends every line, so nothing follows it, nor "g" alone: the symbols' own shares count.
    reference = open_reference(source(tmp_path / "t.txt", ["abcdfg", "bcddfg"])[0])
    assert reference.train is not None
    starts = np.repeat(reference.train[:1][:, 4:], 50_000, axis=0)
    ids = sample_ngram_model(reference.text, 3, starts, np.random.default_rng(0))
    third = Counter(line[2] for line in reference.text.tokenizer.decode(ids))
    for symbol, share in {"a": 1 / 12, "b": 2 / 12, "c": 2 / 12, "d": 3 / 12, "f": 2 / 12, "g": 2 / 12}.items():
        assert third[symbol] / 50_000 == pytest.approx(share, abs=0.01)


def test_impossible_orders_are_refused(tmp_path: Path) -> None:
    reference = open_reference(source(tmp_path / "t.txt", ["abcdef"])[0])
    without = open_reference(source(tmp_path / "t.txt", ["abcdef"], padding=False)[0])
    assert reference.train is not None
    for text, order in ((reference.text, 0), (reference.text, 4), (without.text, 2)):
        with pytest.raises(InputError, match=f"--order {order}: t.txt allows 1 to 3, padding counted"):
            sample_ngram_model(text, order, reference.train[:], np.random.default_rng(0))
