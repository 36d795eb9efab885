"""Training data on the device: all of it if it fits, else the rows of each batch.

Neither way waits for the device: resident rows are selected there, and uploads come from pinned memory.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

_SHARE = 1 / 4
_BLOCK = 2**14


class Rows(Protocol):
    """Training data, one row per sample: an array [N, ...], or an object that is indexed like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and the shape of a row."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class DeviceRows:
    """Training data whose batches are tensors on a device.

    Attributes:
        rows: the rows [N, ...] on the host.
        dtype: type of the batches.
        device: device of the batches.
        resident: all rows on the device; None: each batch is uploaded.
    """

    rows: Rows
    dtype: DTypeLike
    device: torch.device
    resident: Tensor | None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, numbers: NDArray[np.int64]) -> Tensor:
        """Return the rows [..., *row] with these numbers [...]."""
        if self.resident is not None:
            return self.resident[uploaded(numbers, self.device)]
        return uploaded(self.rows[numbers].astype(self.dtype, copy=False), self.device)


def device_rows(rows: Rows, dtype: DTypeLike, device: torch.device) -> DeviceRows:
    """Return rows for a device; they are resident on CUDA if they take at most a quarter of its free memory."""
    size = math.prod(rows.shape) * np.dtype(dtype).itemsize
    if size > _SHARE * _free_memory(device):
        return DeviceRows(rows, dtype, device, None)
    resident = torch.empty(rows.shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, device=device)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK].astype(dtype)  # a copy: a memory map may be read-only
        resident[start : start + _BLOCK].copy_(torch.from_numpy(block))
    return DeviceRows(rows, dtype, device, resident)


def uploaded(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on the device; to CUDA it is copied from pinned memory, without waiting."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _free_memory(device: torch.device) -> int:
    """Return the free bytes of a CUDA device; 0 on a CPU, where rows stay in their files."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
