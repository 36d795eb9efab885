"""Image features and their statistics in the cache folder: extraction takes longer than all later steps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.cache import cache_folder, open_cached, read_manifest, save_array, write_manifest
from data.files import sha256_of_json
from data.images.dataset import ImageDataset
from eval.core.sampling import fixed_sample
from eval.images.extractors.extractor import Extractor
from eval.images.features import BATCH_SIZE, extract, statistics_of
from eval.images.frechet import FeatureStatistics, read_statistics

_FORMAT = 2
_MANIFEST = "features.json"


def dataset_features(dataset: ImageDataset, extractor: Extractor, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Return the features [N, D] of a data set, memory-mapped.

    Raises:
        InputError: NaN or infinity among the features.
    """

    def write(path: Path) -> None:
        save_array(path, extract(dataset.images, extractor, batch_size))

    path = _cached(dataset, extractor, "features.npy", "all", write)
    features: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return features


def dataset_statistics(
    dataset: ImageDataset, extractor: Extractor, batch_size: int = BATCH_SIZE, some: int | None = None
) -> FeatureStatistics:
    """Return the feature statistics of all images, or of a random sample of `some` images that never changes.

    They are computed from the cached features if there are any; else the features are never all held in memory.

    Raises:
        InputError: NaN or infinity among the features.
    """
    count = len(dataset.images)
    chosen = slice(count) if some is None else fixed_sample(count, some)

    def write(path: Path) -> None:
        if _entry(dataset, extractor, "features.npy", "all").is_dir():
            features = dataset_features(dataset, extractor, batch_size)
            statistics = FeatureStatistics.of(features[chosen], extractor.signature)
        else:
            statistics = statistics_of(dataset.images[chosen], extractor, batch_size)
        statistics.save(path)

    return read_statistics(_cached(dataset, extractor, "statistics.npz", some or "all", write))


def _entry(dataset: ImageDataset, extractor: Extractor, file: str, part: int | str) -> Path:
    key = sha256_of_json([_FORMAT, dataset.sha256, extractor.signature, file, part])[:20]
    return cache_folder() / "features" / key


def _cached(
    dataset: ImageDataset, extractor: Extractor, file: str, part: int | str, write: Callable[[Path], None]
) -> Path:
    """Return the path of a data set's features or statistics in the cache; write them if absent or damaged."""

    def load(folder: Path) -> Path:
        read_manifest(folder, _MANIFEST)
        return folder / file

    def build(folder: Path) -> None:
        write(folder / file)
        write_manifest(folder, _MANIFEST, {"images": dataset.name, "features": extractor.signature, "of": part})

    return open_cached(_entry(dataset, extractor, file, part), load, build)
