"""Image sets named on the command line: a source, a run folder, a file of features, or a statistics file.

Any source of `data.images` will do; a run folder belongs to a training run on images and holds `samples.npz`; a
file of features is an .npy file of floats [N, D], made by the user; a statistics file is an .npz file with mu and
sigma. The last two have no images.
"""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.cache import DAMAGED_ARRAYS
from data.errors import InputError, note
from data.files import sha256_of_file
from data.images.dataset import ImageDataset, ImageOptions, open_dataset
from data.inputs import expand_user, local_file, read_once, require_different
from data.naming import as_command
from eval.core.sampling import fixed_sample
from eval.core.score import Signature
from eval.images.extractors.extractor import Extractor
from eval.images.feature_cache import dataset_features, dataset_statistics
from eval.images.feature_files import SIGNATURE, open_features
from eval.images.features import BATCH_SIZE
from eval.images.flags import ExtractorFlags
from eval.images.frechet import UNKNOWN_EXTRACTOR, FeatureStatistics, read_statistics

_RUN_OPTIONS, _RUN_SAMPLES = "options.json", "samples.npz"


@dataclass(frozen=True)
class ImageSet:
    """A set of images, given by features or only by feature statistics.

    `feature_signature` names everything the features depend on besides the images: extractor and size in pixels.
    `count` is None if a published statistics file does not give it. `part(n)` returns the statistics of n random
    images. `part` and `features` [N, D] are None for a statistics file; so are `logits` [N, classes], which are also
    None if the features are not a classifier's. `images` uint8 [N, 3, H, W] are None for both kinds of files without
    images.
    """

    name: str
    sha256: str
    count: int | None
    feature_signature: str
    statistics: Callable[[], FeatureStatistics]
    features: Callable[[], NDArray[np.floating]] | None = None
    part: Callable[[int], FeatureStatistics] | None = None
    logits: Callable[[], NDArray[np.floating]] | None = None
    images: NDArray[np.uint8] | None = None

    @property
    def title(self) -> str:
        """Name and number of images."""
        return self.name if self.count is None else f"{self.name} ({self.count:,} images)"

    def required_features(self, metric: str) -> NDArray[np.floating]:
        """Return the features [N, D] for a metric that needs them.

        Raises:
            InputError: only the statistics are known.
        """
        if self.features is None:
            raise InputError(f"{self.name}: statistics hold no features, which {metric} needs; give the images")
        return self.features()

    def signature(self, metric: str, samples: int, settings: Mapping[str, str | int]) -> Signature:
        """Return the signature of a score of `samples` images against this set."""
        settings = {**self.settings(), **settings, "ref": f"{self.name}@{self.sha256[:12]}", "samples": samples}
        return Signature(metric, settings)

    def settings(self) -> dict[str, str | int]:
        """Return the fields of a signature that describe the features."""
        features, _, size = self.feature_signature.rpartition("/")
        return {"features": features, "size": size} if features else {"features": self.feature_signature}


def open_sets(samples: str, reference: str, count: int | None, flags: ExtractorFlags) -> tuple[ImageSet, ImageSet]:
    """Return the first `count` samples and the whole reference, with features that compare.

    Raises:
        InputError: a set cannot be read, or the two differ in image size or extractor.
    """
    require_different(samples, reference)
    opened = [_open(samples, flags.size, count), _open(reference, flags.size, None)]
    datasets = [each for each in opened if isinstance(each, ImageDataset)]
    given = [each for each in opened if isinstance(each, ImageSet)]
    if len({_size(dataset) for dataset in datasets}) == 2:
        sizes = " and ".join(f"{dataset.name} is {_size(dataset)}" for dataset in datasets)
        raise InputError(f"{sizes} pixels; give --size to crop and resize both")
    if datasets and any(each.features is not None for each in given):
        raise InputError(f"{given[0].name} holds features, {datasets[0].name} images; give the same kind for both")
    if datasets:
        extractor = flags.open_extractor()
        feature_signature, dims = _feature_signature(extractor, datasets[0]), extractor.dims
    else:
        flags.refuse_unused(given[0].name)
        known = (each.feature_signature for each in given if each.feature_signature != UNKNOWN_EXTRACTOR)
        feature_signature, dims = next(known, UNKNOWN_EXTRACTOR), _width(given[0])
    first, second = (
        dataset_set(each, extractor, flags.batch_size)
        if isinstance(each, ImageDataset)
        else _comparable(each, feature_signature, dims)
        for each in opened
    )
    return first, second


def dataset_set(dataset: ImageDataset, extractor: Extractor, batch_size: int = BATCH_SIZE) -> ImageSet:
    """Return a data set as an image set; features are read from the cache or extracted on demand."""
    feature_signature = _feature_signature(extractor, dataset)

    def statistics(some: int | None = None) -> FeatureStatistics:
        return replace(dataset_statistics(dataset, extractor, batch_size, some), extractor=feature_signature)

    def features() -> NDArray[np.floating]:
        return dataset_features(dataset, extractor, batch_size)

    to_logits = extractor.logits

    def logits() -> NDArray[np.floating]:
        assert to_logits is not None
        rows = torch.from_numpy(features().copy()).to(extractor.device)
        class_logits: NDArray[np.floating] = to_logits(rows).cpu().numpy()
        return class_logits

    return ImageSet(
        dataset.name, dataset.sha256, len(dataset.images), feature_signature, statistics, features, statistics,
        None if to_logits is None else logits, dataset.images,
    )  # fmt: skip


def open_images(spec: str, size: int | None, count: int | None) -> ImageDataset:
    """Return the images of a source, or the images in the `samples.npz` of a run.

    Raises:
        InputError: there are no images, or they cannot be read.
    """
    run = expand_user(spec)
    if (run / _RUN_OPTIONS).is_file():
        drawn = run / _RUN_SAMPLES
        if not drawn.exists():
            command = as_command("python", "-m", "images.sample", run, "--count", "50000", "--output", drawn)
            raise InputError(f"{run}: a run without {_RUN_SAMPLES}; draw them: {command}")
        newest = max((int(path.name) for path in run.glob("checkpoints/*") if path.name.isdecimal()), default=0)
        if (iteration := _iteration(drawn)) is not None and iteration < newest:
            older = f"{drawn} is of iteration {iteration:,}, the run's newest checkpoint of {newest:,}"
            note(f"{older}; draw it again")
        spec = str(drawn)
    return open_dataset(ImageOptions(spec, size, count))


def _iteration(path: Path) -> int | None:
    """Return the iteration in a samples file, or None; damage is reported when the images are read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return int(arrays["iteration"])
    except (KeyError, TypeError, *DAMAGED_ARRAYS):
        return None


def _open(spec: str, size: int | None, count: int | None) -> ImageDataset | ImageSet:
    """Return images, or the set that a file of features or of statistics describes."""
    path = expand_user(spec)
    if (features := open_features(path, count)) is not None:
        return _feature_set(path, features)
    if not _holds_statistics(path):
        return open_images(spec, size, count)
    if count is not None:
        raise InputError(f"--count {count}: {path} holds statistics of all its images; give the images instead")
    statistics = read_statistics(path)
    return ImageSet(*_name_and_hash(path), statistics.count, statistics.extractor, lambda: statistics)


def _holds_statistics(path: Path) -> bool:
    """Whether an .npz file holds mu and sigma; damage is reported when the images are read."""
    if not (path.is_file() or read_once(path)):
        return False
    try:
        with zipfile.ZipFile(local_file(path)) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError):
        return False


def _feature_set(path: Path, features: NDArray[np.floating]) -> ImageSet:
    def statistics(some: int | None = None) -> FeatureStatistics:
        rows = features if some is None else features[fixed_sample(len(features), some)]
        return FeatureStatistics.of(rows, SIGNATURE)

    return ImageSet(
        *_name_and_hash(path), len(features), SIGNATURE, cache(statistics), lambda: features, statistics
    )  # fmt: skip


def _name_and_hash(path: Path) -> tuple[str, str]:
    return str(path) if read_once(path) else path.name, sha256_of_file(local_file(path))


def _comparable(images: ImageSet, feature_signature: str, dims: int | None) -> ImageSet:
    """Return a set without images whose features compare with the other set's.

    Raises:
        InputError: they have another extractor or size.
    """
    name, width = images.name, _width(images)
    if dims is not None and width != dims:
        what = "statistics" if images.features is None else "rows"
        raise InputError(f"{name}: {what} of {width:,} features, but the other set has {dims:,}; take one network")
    if images.feature_signature == UNKNOWN_EXTRACTOR:
        note(f"{name} names no feature extractor; assuming {feature_signature}")
    elif images.feature_signature != feature_signature:
        raise InputError(
            f"{name}: statistics of {images.feature_signature}, not of {feature_signature}; "
            "give the --features, --weights, --resize and --size they were made with"
        )
    statistics = images.statistics
    return replace(
        images, feature_signature=feature_signature,
        statistics=lambda: replace(statistics(), extractor=feature_signature),
    )  # fmt: skip


def _width(images: ImageSet) -> int:
    """Return the number of features per image."""
    return images.statistics().mean.size if images.features is None else images.features().shape[1]


def _feature_signature(extractor: Extractor, dataset: ImageDataset) -> str:
    return f"{extractor.signature}/{_size(dataset)}"


def _size(dataset: ImageDataset) -> str:
    height, width = dataset.images.shape[2:]
    return f"{width}x{height}"
