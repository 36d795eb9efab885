import numpy as np
import pytest
import torch

from data.line_ids import LineIds, starts_of
from textgan.engine import rows as rows_module
from textgan.engine.rows import device_rows

CPU = torch.device("cpu")
PICTURES = np.random.default_rng(0).integers(256, size=(50, 3, 4, 4), dtype=np.uint8)
LINES = LineIds(np.arange(1, 41, dtype=np.uint16), starts_of(np.array([3, 0, 7, 30])), 5)
NUMBERS = np.array([[3, 0, 3], [2, 1, 0]])


@pytest.mark.parametrize("rows", [PICTURES, LINES])
def test_batches_are_the_rows_with_these_numbers(rows: np.ndarray | LineIds, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rows[:][NUMBERS]
    found = {}
    for free, block in ((0, 7), (10**6, 7), (10**6, 10**6)):
        monkeypatch.setattr(rows_module, "_free_memory", lambda _device, free=free: free)
        monkeypatch.setattr(rows_module, "_BLOCK", block)
        each = device_rows(rows, np.int32, CPU)
        assert len(each) == len(rows)
        found[free] = each.resident is not None
        batches = each.take(NUMBERS)
        assert batches.dtype == torch.int32
        assert batches.tolist() == expected.tolist()
    assert found == {0: False, 10**6: True}


def test_rows_are_resident_if_they_take_a_quarter_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for dtype, size in ((np.uint8, 50 * 48), (np.int32, 4 * 50 * 48)):
        for free, fits in ((4 * size, True), (4 * size - 1, False)):
            monkeypatch.setattr(rows_module, "_free_memory", lambda _device, free=free: free)
            assert (device_rows(PICTURES, dtype, CPU).resident is not None) is fits
    monkeypatch.undo()
    assert device_rows(PICTURES, np.uint8, CPU).resident is None  # a CPU reads the file
