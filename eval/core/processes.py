"""Run a command in several processes started by `torchrun`, one per GPU.

torchrun --nproc-per-node 8 -m eval.fid stats celeba --output celeba.npz
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


@contextmanager
def process_group() -> Iterator[int]:
    """Join the process group started by `torchrun`, one GPU per process; yield the rank, 0 without `torchrun`."""
    if not {"WORLD_SIZE", "RANK"} <= os.environ.keys():
        yield 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    # gloo: statistics are gathered once, from CPU memory. Ranks above 0 wait while rank 0 downloads and decodes.
    distributed.init_process_group("gloo", timeout=timedelta(days=1))
    try:
        yield distributed.get_rank()
    finally:
        distributed.destroy_process_group()


def rank_zero_first(open_: Callable[[], T]) -> T:
    """Call `open_` in every process, first in rank 0, which downloads and fills the cache; return the result.

    If rank 0 fails, the other ranks exit silently with status 2.
    """
    if not distributed.is_initialized():
        return open_()
    ready = torch.zeros(1)
    if distributed.get_rank() == 0:
        try:
            opened = open_()
            ready += 1
            return opened
        finally:
            distributed.broadcast(ready, 0)
    distributed.broadcast(ready, 0)
    if not ready:
        sys.exit(2)
    return open_()
