from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.corpus import CorpusOptions, open_corpus
from eval.text.line_ngrams import LineNgrams, character_ngrams, line_ngrams
from tests.helpers.oracles import Dictionary, Window, dictionary_counts, line_dictionary, windows_of
from tests.helpers.text import VOCABULARY_SIZES, draw_lines


def by_line(found: LineNgrams, windows: list[Window]) -> list[Dictionary]:
    lines: list[Dictionary] = [Counter() for _ in range(found.lines)]
    for line, index, count in zip(found.line.tolist(), found.index.tolist(), found.count.tolist(), strict=True):
        assert windows[index] not in lines[line]  # one entry for each line and n-gram in it
        lines[line][windows[index]] = count
    return lines


@pytest.mark.fuzz
@given(st.data())
def test_the_ngrams_of_lines_equal_dictionaries(data: st.DataObject) -> None:
    base, ngram, padding = data.draw(VOCABULARY_SIZES), data.draw(st.integers(1, 8)), data.draw(st.booleans())
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
    whole = dictionary_counts(ids, ngram, padding)
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
    ids, base = corpus.train[:300], corpus.tokenizer.size
    for padding in (True, False):
        found = character_ngrams(ids, ngram, base, padding)
        assert by_line(found, windows_of(found.keys, ngram, base)) == [
            line_dictionary(line, ngram, padding) for line in ids.tolist()
        ]
