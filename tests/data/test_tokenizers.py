from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.tokenizers import CODE_POINTS, PADDING, UNKNOWN, CharTokenizer

ABC = CharTokenizer("abc")


def counts_of(text: str) -> np.ndarray:
    counts = np.zeros(CODE_POINTS, np.int64)
    for character, count in Counter(text).items():
        counts[ord(character)] = count
    return counts


def test_ids_are_padding_unknown_then_characters() -> None:
    assert ABC.encode(["abc", "cx", ""]).padded(4).tolist() == [[2, 3, 4, 0], [4, 1, 0, 0], [0, 0, 0, 0]]


def test_long_lines_are_cut() -> None:
    assert ABC.encode(["abcabc"]).padded(4).tolist() == [[2, 3, 4, 2]]


def test_decode_strips_padding_at_the_end_only() -> None:
    ids = np.array([[0, 2, 0, 3, 0, 0], [1, 2, 1, 0, 0, 0]], np.uint8)
    assert ABC.decode(ids) == [f"{PADDING}a{PADDING}b", f"{UNKNOWN}a{UNKNOWN}"]


@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1))
def test_any_ids_survive_writing_and_reading(rows: list[list[int]]) -> None:
    ids = np.array(rows, np.uint8)
    assert (ABC.encode(ABC.decode(ids)).padded(6) == ids).all()


def test_most_frequent_characters_ties_by_code_point() -> None:
    assert CharTokenizer.from_counts(counts_of("bbaacdddd€€€"), 4).characters == "d€ab"


def test_marks_and_line_ends_are_never_characters() -> None:
    text = f"{PADDING * 9}{UNKNOWN * 9}\n\n\n\r\r\ufeff\ufeffa"
    assert CharTokenizer.from_counts(counts_of(text), 10).characters == "a"


@pytest.mark.parametrize(("characters", "dtype"), [(254, np.uint8), (255, np.uint16), (2048, np.uint16)])
def test_ids_take_the_smallest_type(characters: int, dtype: type) -> None:
    tokenizer = CharTokenizer("".join(map(chr, range(0x4E00, 0x4E00 + characters))))
    ids = tokenizer.encode([tokenizer.characters]).padded(characters)
    assert ids.dtype == dtype
    assert ids.tolist() == [list(range(2, characters + 2))]


def test_characters_outside_the_basic_plane() -> None:
    tokenizer = CharTokenizer("😀a")
    assert tokenizer.encode(["a😀b"]).padded(4).tolist() == [[3, 2, 1, 0]]
    assert tokenizer.decode(tokenizer.encode(["a😀"]).padded(4)) == ["a😀"]
