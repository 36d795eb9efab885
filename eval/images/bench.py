"""Time Inception features in each precision, eager and compiled, and measure the effect on the Fréchet distance.

The images are split at random into halves, and one half is blurred by one pixel. `fid` is the distance between the
halves in one precision. `mixed` is the distance between the same images in this precision and in float32: the error of
comparing statistics across precisions, which the signature prevents. The first batch is not timed: it compiles the
network and picks kernels.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import InputError
from data.images.dataset import ImageOptions, open_dataset
from eval.core.device import Precision
from eval.images.disturbances import gaussian_blur, split
from eval.images.extractors.inception import inception_extractor
from eval.images.features import extract
from eval.images.flags import InceptionFlags
from eval.images.frechet import FeatureStatistics, distance


@dataclass(frozen=True)
class Timing:
    """Speed and distances of one way to compute features."""

    precision: Precision
    compiled: bool
    images_per_second: float
    fid: float
    mixed: float


def measure(
    source: str, count: int | None, flags: InceptionFlags, device: torch.device, eager_only: bool = False
) -> list[Timing]:
    """Return a timing per precision, eager and (unless `eager_only`) compiled; eager float32 is the first.

    Raises:
        InputError: the weights or the images cannot be read, or half the images do not fill two batches.
    """
    dataset = open_dataset(ImageOptions(source, flags.size, count))
    first, second = split(dataset)
    if len(first) < 2 * flags.batch_size:
        raise InputError(f"{dataset.name}: halves of {len(first)} images do not fill two batches; lower --batch-size")
    halves = first, gaussian_blur(second, 1)
    precisions: tuple[Precision, ...] = ("float32", "tf32", "bf16") if device.type == "cuda" else ("float32", "bf16")
    exact_features: list[NDArray[np.float32]] = []
    timings = []
    for precision in precisions:
        for compiled_for in (None,) if eager_only else (None, flags.batch_size):
            extractor = inception_extractor(flags.weights, flags.resize, device, precision, compiled_for)
            extract(first[: flags.batch_size], extractor, flags.batch_size)
            start = time.perf_counter()
            features = [extract(half, extractor, flags.batch_size) for half in halves]
            seconds = time.perf_counter() - start
            exact_features = exact_features or features
            ours, blurred, exact = (FeatureStatistics.of(half, "") for half in (*features, exact_features[0]))
            rate = sum(map(len, halves)) / seconds
            timings.append(
                Timing(precision, compiled_for is not None, rate, distance(ours, blurred), distance(ours, exact))
            )
    return timings
