import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.line_ids import Ids, LineIds, Ragged, blocks, starts_of

LINES = st.lists(st.lists(st.integers(1, 300), max_size=7), max_size=12)


def stored(lines: list[list[int]], seq_len: int) -> LineIds:
    lengths = np.array([len(line) for line in lines], np.int64)
    return LineIds(np.array([number for line in lines for number in line], np.uint16), starts_of(lengths), seq_len)


def padded(lines: list[list[int]], seq_len: int) -> Ids:
    """Lines cut and padded one by one."""
    return np.array([(line + [0] * seq_len)[:seq_len] for line in lines], np.uint16).reshape(-1, seq_len)


@given(LINES, st.integers(1, 9))
def test_lines_are_read_as_a_padded_array(lines: list[list[int]], seq_len: int) -> None:
    ids, expected = stored(lines, seq_len), padded(lines, seq_len)
    assert (len(ids), ids.shape) == (len(lines), expected.shape)
    assert ids[:].tolist() == expected.tolist()
    assert ids[:].dtype == np.uint16
    for chosen in (slice(2, 5), slice(None, None, 3), slice(-2, None), slice(5, 2)):
        assert ids[chosen].tolist() == expected[chosen].tolist()
    if lines:
        numbers = np.random.default_rng(0).integers(-len(lines), len(lines), (2, 3))
        assert ids[numbers].tolist() == expected[numbers].tolist()
    assert [block.tolist() for block in blocks(ids, 5)] == [block.tolist() for block in blocks(expected, 5)]


def test_a_line_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(IndexError):
        stored([[1], [2]], 3)[np.array([2])]


@given(LINES, st.integers(1, 9))
def test_ragged_lines_are_padded_and_chosen(lines: list[list[int]], seq_len: int) -> None:
    ids = stored(lines, seq_len)
    ragged = Ragged(ids.row, np.diff(ids.starts))
    assert ragged.padded(seq_len).tolist() == padded(lines, seq_len).tolist()
    fits = np.array([len(line) <= seq_len for line in lines], bool)
    kept = [line for line in lines if len(line) <= seq_len]
    assert ragged.only(fits).padded(9).tolist() == padded(kept, 9).tolist()
