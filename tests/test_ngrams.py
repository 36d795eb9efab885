from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.vocabulary import Ids
from eval import ngrams as ngrams_module
from eval.ngrams import NgramCounts, count_ngrams, merge, reference_counts

Dictionary = Counter[tuple[int, ...]]


def dictionary_counts(ids: Ids, ngram: int, padding: bool = True) -> Dictionary:
    """The obvious way: a dictionary of tuples."""
    counts: Dictionary = Counter()
    for line in ids.tolist():
        for start in range(len(line) - ngram + 1):
            window = tuple(line[start : start + ngram])
            if padding or 0 not in window:
                counts[window] += 1
    return counts


def key_of(window: tuple[int, ...], base: int) -> int:
    key = 0
    for symbol in window:
        key = key * base + symbol
    return key


def as_integer(key: Any, ngram: int, base: int) -> int:
    """Undo the packing: a wide key is two words, the low one holding as many symbols as 64 bits take."""
    if not isinstance(key, bytes):
        return int(key)
    word = key.ljust(16, b"\0")
    high, low = int.from_bytes(word[:8], "big"), int.from_bytes(word[8:], "big")
    in_low: int = max(n for n in range(1, ngram) if base**n <= 1 << 64)
    return int(high * base**in_low + low)


SIZES = st.sampled_from([3, 7, 76, 256, 1625, 2050])


@given(st.data())
def test_counts_equal_a_dictionary(data: st.DataObject) -> None:
    base, ngram = data.draw(SIZES), data.draw(st.integers(1, 8))
    ids = data.draw(arrays(np.uint16, (data.draw(st.integers(1, 6)), 10), elements=st.integers(0, base - 1)))
    padding = data.draw(st.booleans())
    counted = count_ngrams(ids, ngram, base, padding)
    expected = {key_of(window, base): n for window, n in dictionary_counts(ids, ngram, padding).items()}
    keys = [as_integer(key, ngram, base) for key in counted.keys]
    assert dict(zip(keys, counted.counts.tolist(), strict=True)) == expected
    assert all(a < b for a, b in pairwise(keys))
    assert counted.total == sum(expected.values())


@given(st.data())
def test_parts_merge_to_the_whole_in_any_order(data: st.DataObject) -> None:
    base = data.draw(SIZES)
    ids = data.draw(arrays(np.uint16, (12, 8), elements=st.integers(0, min(base - 1, 5))))
    cuts = sorted(data.draw(st.sets(st.integers(1, 11))))
    parts = [count_ngrams(part, 7, base) for part in np.split(ids, cuts)]
    merged = merge(data.draw(st.permutations(parts)))
    whole = count_ngrams(ids, 7, base)
    assert (merged.keys == whole.keys).all()
    assert (merged.counts == whole.counts).all()


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(0).integers(0, 9, (100, 12)).astype(np.uint8)
    whole = count_ngrams(ids, 3, 9)
    monkeypatch.setattr(ngrams_module, "_CHUNK_LINES", 7)
    chunked = count_ngrams(ids, 3, 9)
    assert (chunked.keys == whole.keys).all()
    assert (chunked.counts == whole.counts).all()


@pytest.mark.parametrize("base", [9, 2050])
def test_lookup_finds_what_is_there_and_nothing_else(base: int) -> None:
    random = np.random.default_rng(1)
    ids, other = (random.integers(0, 9, (50, 12)).astype(np.uint16) for _ in range(2))
    counted, queries = count_ngrams(ids, 6, base), count_ngrams(other, 6, base)
    expected = dictionary_counts(ids, 6)
    asked = sorted(dictionary_counts(other, 6))
    assert counted.lookup(queries.keys).tolist() == [expected[window] for window in asked]
    nothing = NgramCounts(counted.keys[:0], counted.counts[:0])
    assert nothing.lookup(queries.keys).tolist() == [0] * len(asked)


def test_reference_counts_are_cached_checked_and_rebuilt(
    text_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = open_corpus(CorpusOptions(str(text_file)))
    first = reference_counts(corpus, 3, padding=True)
    expected = Counter(dictionary_counts(corpus.train, 3).values())
    assert Counter(first[3].counts.tolist()) == expected
    with monkeypatch.context() as patch:
        patch.setattr(ngrams_module, "count_ngrams", None)  # counting again would fail
        assert isinstance(reference_counts(corpus, 3, padding=True)[3].keys, np.memmap)
    for array in cache.glob("ngrams/*/counts.npy"):
        array.write_bytes(array.read_bytes()[:-8])
    assert Counter(reference_counts(corpus, 3, padding=True)[3].counts.tolist()) == expected
    assert capsys.readouterr().err.count("damaged cache entry") == 3


def test_padding_rules_do_not_share_a_cache_entry(text_file: Path) -> None:
    corpus = open_corpus(CorpusOptions(str(text_file)))
    assert reference_counts(corpus, 1, padding=True)[1].total == corpus.train.size
    assert reference_counts(corpus, 1, padding=False)[1].total == int((corpus.train != 0).sum())


@pytest.mark.parametrize(
    ("ngram", "message"), [(0, "--ngram 0"), (33, "allows n from 1 to"), (8, "shorter than n = 8")]
)
def test_impossible_lengths_are_refused(tmp_path: Path, ngram: int, message: str) -> None:
    path = tmp_path / "short.txt"
    path.write_text("abc\nabcdefg\n", "utf-8")
    corpus = open_corpus(CorpusOptions(str(path), split=False))
    with pytest.raises(InputError, match=message):
        reference_counts(corpus, ngram, padding=True)
