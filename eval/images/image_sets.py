"""Image sets named on the command line: a source, a run folder, or a statistics file.

Any source of `data.images` will do; a run folder belongs to a training run on images and holds `samples.npz`; a
statistics file is an .npz file with mu and sigma, without images.
"""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.cache import DAMAGED_ARRAYS
from data.errors import InputError, note, require_at_least
from data.files import sha256_of_file
from data.images.dataset import ImageDataset, ImageOptions, open_dataset
from data.inputs import expand_user, local_file, read_once, require_different
from data.naming import as_command
from eval.core.device import Device, Precision, choose_device
from eval.core.score import Signature
from eval.images.feature_cache import dataset_features, dataset_statistics
from eval.images.features import BATCH_SIZE, Extractor, FeatureKind, open_extractor, refuse_inception_flags
from eval.images.frechet import UNKNOWN_EXTRACTOR, FeatureStatistics, read_statistics
from eval.images.inception import Resize

_RUN_OPTIONS, _RUN_SAMPLES = "options.json", "samples.npz"


@dataclass(frozen=True)
class ImageSet:
    """A set of images, given by features or only by feature statistics.

    `feature_signature` names everything the features depend on besides the images: extractor and size in pixels.
    `count` is None if a published statistics file does not give it. `part(n)` returns the statistics of n random
    images. `part` and `features` [N, D] are None for a statistics file; so are `logits` [N, classes], which are also
    None if the features are not a classifier's.
    """

    name: str
    sha256: str
    count: int | None
    feature_signature: str
    statistics: Callable[[], FeatureStatistics]
    features: Callable[[], NDArray[np.floating]] | None = None
    part: Callable[[int], FeatureStatistics] | None = None
    logits: Callable[[], NDArray[np.floating]] | None = None

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


@dataclass(frozen=True, kw_only=True)
class InceptionFlags:
    """Flags of the Inception network."""

    weights: Path | None = None
    """Inception weights (.pth, .safetensors). Default: the published ones, downloaded once."""
    resize: Resize = "tensorflow1"
    """Resizing for Inception: as in the original graph, or as in the program pytorch-fid."""
    size: int | None = None
    """Side of the images after a centre crop, in pixels. Default: the source's, or no cropping."""
    batch_size: int = BATCH_SIZE
    """Images per batch."""
    device: Device = "auto"
    """Device that computes the features; auto takes CUDA if there is one."""

    def __post_init__(self) -> None:
        """Refuse a batch size below 1.

        Raises:
            InputError: the message names the flag.
        """
        require_at_least("--batch-size", self.batch_size, 1)


@dataclass(frozen=True, kw_only=True)
class ExtractorFlags(InceptionFlags):
    """Flags of the feature extractor."""

    features: FeatureKind = "inception"
    """Features: of the Inception network (FID), or of random convolutions (FD-random, no download)."""
    precision: Precision = "float32"
    """Precision of Inception; tf32 (CUDA) and bf16 are faster, but change distance and signature."""
    compile: bool = False
    """Compile Inception first: takes a minute, then runs faster; same features up to rounding."""

    def __post_init__(self) -> None:
        """Refuse Inception flags for other features.

        Raises:
            InputError: the message names the flag.
        """
        super().__post_init__()
        refuse_inception_flags(self.features, self.weights, self.precision, self.compile)

    def open_extractor(self) -> Extractor:
        """Return the extractor that the flags describe.

        Raises:
            InputError: the weights cannot be read or downloaded, or there is no CUDA.
        """
        device, compiled_for = choose_device(self.device), self.batch_size if self.compile else None
        return open_extractor(self.features, self.weights, self.resize, device, self.precision, compiled_for)


def open_sets(samples: str, reference: str, count: int | None, flags: ExtractorFlags) -> tuple[ImageSet, ImageSet]:
    """Return the first `count` samples and the whole reference, with features that compare.

    Raises:
        InputError: a set cannot be read, or the two differ in image size or extractor.
    """
    require_different(samples, reference)
    first, second = _open(samples, flags.size, count), _open(reference, flags.size, None)
    datasets = [opened for opened in (first, second) if isinstance(opened, ImageDataset)]
    if len({_size(dataset) for dataset in datasets}) == 2:
        sizes = " and ".join(f"{dataset.name} is {_size(dataset)}" for dataset in datasets)
        raise InputError(f"{sizes} pixels; give --size to crop and resize both")
    files = [read_statistics(opened) for opened in (first, second) if isinstance(opened, Path)]
    if datasets:
        extractor = flags.open_extractor()
        feature_signature, dims = _feature_signature(extractor, datasets[0]), extractor.dims
        sets = {dataset.sha256: dataset_set(dataset, extractor, flags.batch_size) for dataset in datasets}
    else:
        known = (statistics.extractor for statistics in files if statistics.extractor != UNKNOWN_EXTRACTOR)
        feature_signature, dims = next(known, UNKNOWN_EXTRACTOR), files[0].mean.size
    first_set, second_set = (
        _statistics_set(opened, feature_signature, dims) if isinstance(opened, Path) else sets[opened.sha256]
        for opened in (first, second)
    )
    return first_set, second_set


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
        None if to_logits is None else logits,
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


def _open(spec: str, size: int | None, count: int | None) -> ImageDataset | Path:
    """Return images, or the path of a statistics file."""
    path = expand_user(spec)
    if not _holds_statistics(path):
        return open_images(spec, size, count)
    if count is not None:
        raise InputError(f"--count {count}: {path} holds statistics of all its images; give the images instead")
    return path


def _holds_statistics(path: Path) -> bool:
    """Whether an .npz file holds mu and sigma; damage is reported when the images are read."""
    if not (path.is_file() or read_once(path)):
        return False
    try:
        with zipfile.ZipFile(local_file(path)) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError):
        return False


def _statistics_set(path: Path, feature_signature: str, dims: int) -> ImageSet:
    statistics = read_statistics(path)
    if statistics.mean.size != dims:
        raise InputError(f"{path}: statistics of {statistics.mean.size:,} features, but the other set has {dims:,}")
    if statistics.extractor == UNKNOWN_EXTRACTOR:
        note(f"{path} names no feature extractor; assuming {feature_signature}")
    elif statistics.extractor != feature_signature:
        raise InputError(
            f"{path}: statistics of {statistics.extractor}, not of {feature_signature}; "
            "give the --features, --weights, --resize and --size they were made with"
        )
    statistics = replace(statistics, extractor=feature_signature)
    name = str(path) if read_once(path) else path.name
    return ImageSet(name, sha256_of_file(local_file(path)), statistics.count, feature_signature, lambda: statistics)


def _feature_signature(extractor: Extractor, dataset: ImageDataset) -> str:
    return f"{extractor.signature}/{_size(dataset)}"


def _size(dataset: ImageDataset) -> str:
    height, width = dataset.images.shape[2:]
    return f"{width}x{height}"
