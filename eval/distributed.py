"""Statistics of features on several GPUs or machines, each process of `torchrun` taking its share of the images.

torchrun --nproc-per-node 8 -m eval.fid stats celeba --output celeba.npz
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from data.errors import InputError
from eval.features import Extractor, statistics_of
from eval.frechet import FeatureStatistics

T = TypeVar("T")


@contextmanager
def joined() -> Iterator[int]:
    """Join the processes that `torchrun` started, if it did, on a GPU of one's own; yield this one's number."""
    if not {"WORLD_SIZE", "RANK"} <= os.environ.keys():
        yield 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    # What is gathered lies in memory, and is sent once; the others wait while the first one downloads and decodes.
    distributed.init_process_group("gloo", timeout=timedelta(days=1))
    try:
        yield distributed.get_rank()
    finally:
        distributed.destroy_process_group()


def first_alone(open_: Callable[[], T]) -> T:
    """Return what `open_` does in every process; the first one fills the cache and downloads before the others come.

    Where it fails, the others leave without a word.
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


def shared_statistics(images: NDArray[np.uint8], extractor: Extractor, batch_size: int) -> FeatureStatistics:
    """Return the statistics of images' features, each process having extracted its share; in all of them the same.

    Raises:
        InputError: fewer images than processes, or NaN or infinity came out.
    """
    rank, size, dims = distributed.get_rank(), distributed.get_world_size(), extractor.dims

    def require_shares() -> None:
        if len(images) < size:
            raise InputError(f"{len(images)} images for {size} processes; start fewer")

    first_alone(require_shares)
    share = images[rank * len(images) // size : (rank + 1) * len(images) // size]
    own = statistics_of(share, extractor, batch_size)
    sent = torch.from_numpy(np.concatenate([[len(share)], own.mean, own.covariance.ravel()]))
    received = [torch.empty_like(sent) for _ in range(size)]
    distributed.all_gather(received, sent)
    first, *others = (
        FeatureStatistics(int(each[0]), each[1 : dims + 1], each[dims + 1 :].reshape(dims, dims), extractor.signature)
        for each in (tensor.numpy() for tensor in received)
    )
    for other in others:
        first = first.merge(other)
    return first
