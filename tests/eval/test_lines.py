from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.corpus import CorpusOptions, open_corpus
from data.vocabulary import Ids
from eval.text.counts import Keys, LineNgrams, character_ngrams, line_ngrams

Window = tuple[int, ...]
Dictionary = Counter[Window]

SIZES = st.sampled_from([3, 76, 256, 2050])


def line_dictionary(line: list[int], ngram: int, padding: bool = True) -> Dictionary:
    """The obvious way: tuples, with or without those that hold padding."""
    windows = (tuple(line[start : start + ngram]) for start in range(len(line) - ngram + 1))
    return Counter(window for window in windows if padding or 0 not in window)


def dictionary(ids: Ids, ngram: int, padding: bool = True) -> Dictionary:
    total: Dictionary = Counter()
    for line in ids.tolist():
        total.update(line_dictionary(line, ngram, padding))
    return total


def windows_of(keys: Keys, ngram: int, base: int) -> list[Window]:
    """Undo the packing, one Python integer at a time: a wide key is two words, the low one as full as 64 bits allow."""
    low = max(n for n in range(1, 65) if base**n <= 1 << 64)
    windows = []
    for key in keys.tolist():
        if isinstance(key, bytes):
            word = key.ljust(16, b"\0")
            number = int.from_bytes(word[:8], "big") * base**low + int.from_bytes(word[8:], "big")
        else:
            number = key
        windows.append(tuple(number // base**power % base for power in reversed(range(ngram))))
    return windows


def draw_lines(data: st.DataObject, base: int, rows: int, seq_len: int) -> Ids:
    """Few different symbols, so that n-grams repeat; lines end early, are empty or full, padding stands inside some."""
    palette = np.array(data.draw(st.lists(st.integers(0, base - 1), min_size=1, max_size=5)))
    size = rows * (seq_len + 1)
    drawn = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8).reshape(rows, -1)
    ends = drawn[:, :1] % (2 * seq_len)
    ids = np.where(np.arange(seq_len) < ends, palette[drawn[:, 1:] % palette.size], 0)
    return ids.astype(np.uint8) if base <= 256 else ids.astype(np.uint16)


def by_line(found: LineNgrams, windows: list[Window]) -> list[Dictionary]:
    lines: list[Dictionary] = [Counter() for _ in range(found.lines)]
    for line, index, count in zip(found.line.tolist(), found.index.tolist(), found.count.tolist(), strict=True):
        assert windows[index] not in lines[line]  # one entry for each line and n-gram in it
        lines[line][windows[index]] = count
    return lines


@pytest.mark.fuzz
@given(st.data())
def test_the_ngrams_of_lines_equal_dictionaries(data: st.DataObject) -> None:
    base, ngram, padding = data.draw(SIZES), data.draw(st.integers(1, 8)), data.draw(st.booleans())
    ids = draw_lines(data, base, data.draw(st.integers(1, 5)), 9)
    found = character_ngrams(ids, ngram, base, padding)
    windows = windows_of(found.keys, ngram, base)
    expected = [line_dictionary(line, ngram, padding) for line in ids.tolist()]
    assert by_line(found, windows) == expected
    assert found.line.tolist() == sorted(found.line.tolist())
    assert all(a < b for a, b in pairwise(windows))
    assert found.sizes.tolist() == [sum(line.values()) for line in expected]
    total, largest = found.total(), found.largest()
    assert windows_of(total.keys, ngram, base) == windows_of(largest.keys, ngram, base) == windows
    whole = dictionary(ids, ngram, padding)
    assert total.counts.tolist() == [whole[window] for window in windows]
    assert largest.counts.tolist() == [max(line[window] for line in expected) for window in windows]


@pytest.mark.fuzz
@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 7, 1 << 32, (1 << 64) - 1]), st.integers(0, 4)), max_size=12),
    st.integers(5, 7),
)
def test_keys_in_any_order_equal_a_dictionary(places: list[tuple[int, int]], lines: int) -> None:
    found = line_ngrams(
        np.array([key for key, _ in places], np.uint64), np.array([line for _, line in places], np.int64), lines
    )
    keys = found.keys.tolist()
    assert keys == sorted({key for key, _ in places})
    entries = zip(found.line.tolist(), found.index.tolist(), found.count.tolist(), strict=True)
    expected = Counter((line, key) for key, line in places)
    assert [(line, keys[index], count) for line, index, count in entries] == [
        (line, key, expected[line, key]) for line, key in sorted(expected)
    ]
    assert found.sizes.tolist() == [sum(line == wanted for _, line in places) for wanted in range(lines)]
    assert found.total().counts.tolist() == [sum(key == wanted for key, _ in places) for wanted in keys]


def test_a_case_by_hand() -> None:
    # abab, b and an empty line; a = 1, b = 2, V = 3: the keys are 3 a + b.
    ids = np.array([[1, 2, 1, 2], [2, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    without = character_ngrams(ids, 2, 3, padding=False)
    assert without.keys.tolist() == [5, 7]
    assert without.sizes.tolist() == [3, 0, 0]
    assert without.total().counts.tolist() == without.largest().counts.tolist() == [2, 1]
    with_padding = character_ngrams(ids, 2, 3, padding=True)
    assert with_padding.keys.tolist() == [0, 5, 6, 7]
    assert with_padding.sizes.tolist() == [3, 3, 3]
    assert with_padding.total().counts.tolist() == [5, 2, 1, 1]
    assert with_padding.largest().counts.tolist() == [3, 2, 1, 1]


@pytest.mark.parametrize("wrong", [lambda window: window[0] != 0, lambda window: window[-1] != 0, any])
def test_padding_anywhere_in_an_ngram_leaves_it_out(wrong: Callable[[Window], bool]) -> None:
    ids = np.array([[1, 0, 2, 1, 2, 0]], np.uint8)
    windows = [(1, 0, 2), (0, 2, 1), (2, 1, 2), (1, 2, 0)]
    found = windows_of(character_ngrams(ids, 3, 3, padding=False).keys, 3, 3)
    assert found == [(2, 1, 2)]
    assert found != sorted(window for window in windows if wrong(window))  # looking at one end, or at all together


@pytest.mark.parametrize("ngram", [1, 4, 7])
def test_real_lines(lm1b_sample: Path, ngram: int) -> None:
    corpus = open_corpus(CorpusOptions(str(lm1b_sample), seq_len=48))
    ids, base = corpus.train[:300], corpus.vocabulary.size
    for padding in (True, False):
        found = character_ngrams(ids, ngram, base, padding)
        assert by_line(found, windows_of(found.keys, ngram, base)) == [
            line_dictionary(line, ngram, padding) for line in ids.tolist()
        ]
