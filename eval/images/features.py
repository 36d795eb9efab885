"""The extraction of features from images, batch by batch. Images are uint8 [N, 3, H, W], best memory-mapped."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from tqdm import tqdm

from data.errors import InputError
from eval.core.processes import rank_zero_first
from eval.images.extractors.extractor import Extractor
from eval.images.frechet import FeatureStatistics

BATCH_SIZE = 64

_NO_IMAGES = "no images; give at least one"


def extract(images: NDArray[np.uint8], extractor: Extractor, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Return the features [N, D] of images uint8 [N, 3, H, W], in order.

    Raises:
        InputError: no images, images of another type or shape, or NaN or infinity among the features.
    """
    features: Tensor | None = None
    filled = 0
    for batch in _batches(images, extractor, batch_size):
        if features is None:
            features = batch.new_empty(len(images), batch.shape[1])
        features[filled : filled + len(batch)] = batch
        filled += len(batch)
    if features is None:
        raise InputError(_NO_IMAGES)
    if not features.isfinite().all():
        raise InputError(f"NaN or infinity in features of {extractor.signature}; check the weights")
    on_cpu: NDArray[np.float32] = features.cpu().numpy()
    return on_cpu


def statistics_of(images: NDArray[np.uint8], extractor: Extractor, batch_size: int = BATCH_SIZE) -> FeatureStatistics:
    """Return the feature statistics of images without ever holding all features; sums are in float64 on the device.

    The sums are of differences from the first batch's mean, which is close enough to the overall mean to lose no
    digits, so each batch is added in place.

    Raises:
        InputError: no images, images of another type or shape, or NaN or infinity among the features.
    """
    shift: Tensor | None = None
    for batch in _batches(images, extractor, batch_size):
        features = batch.double()
        if shift is None:
            shift = features.mean(0)
            total, scatter = torch.zeros_like(shift), shift.new_zeros(shift.numel(), shift.numel())
        features = features - shift
        total += features.sum(0)
        scatter.addmm_(features.T, features)
    if shift is None:
        raise InputError(_NO_IMAGES)
    mean = total / len(images)
    scatter = (scatter - torch.outer(total, mean)) / max(len(images) - 1, 1)
    return FeatureStatistics(len(images), (shift + mean).cpu().numpy(), scatter.cpu().numpy(), extractor.signature)


def shared_statistics(images: NDArray[np.uint8], extractor: Extractor, batch_size: int) -> FeatureStatistics:
    """Return the feature statistics of images, the same in all processes; each process extracts an equal share.

    Raises:
        InputError: fewer images than processes, or NaN or infinity among the features.
    """
    rank, size = distributed.get_rank(), distributed.get_world_size()

    def require_shares() -> None:
        if len(images) < size:
            raise InputError(f"{len(images)} images for {size} processes; start fewer processes")

    rank_zero_first(require_shares)
    share = images[rank * len(images) // size : (rank + 1) * len(images) // size]
    local = statistics_of(share, extractor, batch_size)
    dims = local.mean.size
    sent = torch.from_numpy(np.concatenate([[len(share)], local.mean, local.covariance.ravel()]))
    received = [torch.empty_like(sent) for _ in range(size)]
    distributed.all_gather(received, sent)
    first, *others = (
        FeatureStatistics(int(row[0]), row[1 : dims + 1], row[dims + 1 :].reshape(dims, dims), extractor.signature)
        for row in (tensor.numpy() for tensor in received)
    )
    for other in others:
        first = first.merge(other)
    return first


def _batches(images: NDArray[np.uint8], extractor: Extractor, batch_size: int) -> Iterator[Tensor]:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"images of {images.dtype} {list(images.shape)}; need uint8 [N, 3, H, W]")
    with tqdm(total=len(images), desc="features", unit="image", disable=None, delay=1, leave=False) as bar:
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            yield _features(batch, extractor)
            bar.update(len(batch))


@torch.inference_mode()
def _features(images: NDArray[np.uint8], extractor: Extractor) -> Tensor:
    batch = torch.from_numpy(np.array(images))  # a copy: a memory map may be read-only
    if extractor.device.type == "cuda":
        # From page-locked memory the upload does not wait for the previous batch.
        batch = batch.pin_memory().to(extractor.device, non_blocking=True)
    return extractor.features(batch.contiguous(memory_format=torch.channels_last))
