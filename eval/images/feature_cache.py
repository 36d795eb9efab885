"""Features of pictures, and their statistics, from the cache folder: extraction takes longer than all that follows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.files import cache_folder, open_cached, read_manifest, save_array, sha256_of_json, write_manifest
from data.images.dataset import ImageDataset
from eval.core.sampling import fixed_sample
from eval.images.features import BATCH_SIZE, Extractor, extract, statistics_of
from eval.images.frechet import FeatureStatistics, read_statistics

_FORMAT = 2
_DESCRIPTION = "features.json"


def dataset_features(pictures: ImageDataset, extractor: Extractor, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Return the pictures' features [N, D], memory-mapped.

    Raises:
        InputError: NaN or infinity came out.
    """

    def write(path: Path) -> None:
        save_array(path, extract(pictures.images, extractor, batch_size))

    path = _cached(pictures, extractor, "features.npy", "all", write)
    features: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return features


def dataset_statistics(
    pictures: ImageDataset, extractor: Extractor, batch_size: int = BATCH_SIZE, some: int | None = None
) -> FeatureStatistics:
    """Return the statistics of the features of all pictures, or of `some` of them, always the same ones.

    They are made of the features where the cache has these; else the features are never all held.

    Raises:
        InputError: NaN or infinity came out.
    """
    count = len(pictures.images)
    chosen = slice(count) if some is None else fixed_sample(count, some)

    def write(path: Path) -> None:
        if _entry(pictures, extractor, "features.npy", "all").is_dir():
            features = dataset_features(pictures, extractor, batch_size)
            found = FeatureStatistics.of(features[chosen], extractor.signature)
        else:
            found = statistics_of(pictures.images[chosen], extractor, batch_size)
        found.save(path)

    return read_statistics(_cached(pictures, extractor, "statistics.npz", some or "all", write))


def _entry(pictures: ImageDataset, extractor: Extractor, file: str, part: int | str) -> Path:
    key = sha256_of_json([_FORMAT, pictures.sha256, extractor.signature, file, part])[:20]
    return cache_folder() / "features" / key


def _cached(
    pictures: ImageDataset, extractor: Extractor, file: str, part: int | str, write: Callable[[Path], None]
) -> Path:
    """Return the path of what is made of some pictures' features, written first where it is absent or damaged."""

    def load(folder: Path) -> Path:
        read_manifest(folder, _DESCRIPTION)
        return folder / file

    def build(folder: Path) -> None:
        write(folder / file)
        write_manifest(folder, _DESCRIPTION, {"images": pictures.name, "features": extractor.signature, "of": part})

    return open_cached(_entry(pictures, extractor, file, part), load, build)
