from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.text import counts as counts_module
from eval.text.counts import NgramCounts, count_ngrams, count_up_to, merge, pack, renumber, unpack
from tests.helpers.oracles import dictionary_counts


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
    monkeypatch.setattr(counts_module, "_CHUNK_LINES", 7)
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


@pytest.mark.fuzz
@given(st.data())
def test_counting_up_to_n_equals_counting_each_n(data: st.DataObject) -> None:
    base, most = data.draw(SIZES), data.draw(st.integers(1, 8))
    symbols = st.integers(0, min(base - 1, data.draw(st.sampled_from([2, 2050]))))
    ids = data.draw(
        arrays(np.uint16, (data.draw(st.integers(1, 5)), data.draw(st.integers(most, 9))), elements=symbols)
    )
    padding = data.draw(st.booleans())
    counted = count_up_to(ids, most, base, padding)
    assert list(counted) == list(range(1, most + 1))
    for ngram, counts in counted.items():
        expected = {key_of(window, base): n for window, n in dictionary_counts(ids, ngram, padding).items()}
        keys = [as_integer(key, ngram, base) for key in counts.keys]
        assert dict(zip(keys, counts.counts.tolist(), strict=True)) == expected
        assert all(a < b for a, b in pairwise(keys))


@given(st.data())
def test_unpacking_undoes_packing(data: st.DataObject) -> None:
    base, ngram = data.draw(SIZES), data.draw(st.integers(1, 8))
    ids = data.draw(arrays(np.uint16, (data.draw(st.integers(0, 6)), ngram), elements=st.integers(0, base - 1)))
    assert (unpack(pack(ids, ngram, base).ravel(), ngram, base) == ids).all()


@given(st.data())
def test_renumbered_counts_are_those_of_renumbered_lines(data: st.DataObject) -> None:
    old, new, ngram = data.draw(SIZES), data.draw(SIZES), data.draw(st.integers(1, 7))
    ids = data.draw(arrays(np.uint16, (5, 8), elements=st.integers(0, old - 1)))
    numbers = data.draw(arrays(np.uint32, old, elements=st.integers(0, new - 1)))
    ours = renumber(count_ngrams(ids, ngram, old), ngram, old, numbers, new)
    theirs = count_ngrams(numbers[ids], ngram, new)
    assert (ours.keys == theirs.keys).all()
    assert (ours.counts == theirs.counts).all()


def test_renumbering_in_parts_is_renumbering(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(0).integers(0, 9, (50, 12)).astype(np.uint8)
    counted, numbers = count_ngrams(ids, 3, 9), np.array([0, 1, 2, 2, 2, 5, 6, 7, 7], np.uint32)
    whole = renumber(counted, 3, 9, numbers, 9)
    monkeypatch.setattr(counts_module, "_RENUMBERED_KEYS", 7)
    parts = renumber(counted, 3, 9, numbers, 9)
    assert (parts.keys == whole.keys).all()
    assert (parts.counts == whole.counts).all()


@pytest.mark.parametrize("base", [9, 2050])
def test_counts_without_some_lines_are_those_of_the_others(base: int) -> None:
    ids = np.random.default_rng(2).integers(0, 4, (60, 9)).astype(np.uint16)
    left = count_ngrams(ids, 6, base).minus(count_ngrams(ids[::3], 6, base))
    others = count_ngrams(ids[np.arange(60) % 3 != 0], 6, base)
    assert (left.keys == others.keys).all()
    assert (left.counts == others.counts).all()


def test_maxima_merge_as_sums_do() -> None:
    a = NgramCounts(np.array([1, 3, 5], np.uint64), np.array([2, 4, 1]))
    b = NgramCounts(np.array([3, 4, 5], np.uint64), np.array([1, 9, 7]))
    merged = merge([a, b], np.maximum)
    assert merged.keys.tolist() == [1, 3, 4, 5]
    assert merged.counts.tolist() == [2, 4, 9, 7]


def test_the_norm_is_euclidean() -> None:
    assert NgramCounts(np.array([1, 3], np.uint64), np.array([3, 4])).norm == 5.0
