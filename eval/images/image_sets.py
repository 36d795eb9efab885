"""Image sets to score or to score against, how they are named on a command line, and what makes their features.

A set is a source of `data.images`, the folder of a training run on images with `samples.npz` in it, or a file of
statistics (.npz with mu and sigma), of which no images are known.
"""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from data.errors import InputError, note, require_at_least
from data.files import DAMAGED_ARRAYS, sha256_of_file
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
    """Images known by their features, or at least by the statistics of these.

    `feature_signature` names all that the features depend on but the images: extractor and size in pixels. `count` is None where
    a published file of statistics does not say. `features` [N, D] and `part`, the statistics of so many random images,
    are None where statistics are all there is; `logits` [N, classes] also where features are no classifier's.
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
        """Name and size."""
        return self.name if self.count is None else f"{self.name} ({self.count:,} images)"

    def required_features(self, metric: str) -> NDArray[np.floating]:
        """Return the features [N, D] for a metric that cannot do without.

        Raises:
            InputError: only their statistics are known.
        """
        if self.features is None:
            raise InputError(f"{self.name}: statistics hold no features, which {metric} needs; give the images")
        return self.features()

    def signature(self, metric: str, samples: int, settings: Mapping[str, str | int]) -> Signature:
        """Return what a score of so many samples against this set depends on."""
        settings = {**self.settings(), **settings, "ref": f"{self.name}@{self.sha256[:12]}", "samples": samples}
        return Signature(metric, settings)

    def settings(self) -> dict[str, str | int]:
        """Return what the features depend on, as a signature has it."""
        features, _, size = self.feature_signature.rpartition("/")
        return {"features": features, "size": size} if features else {"features": self.feature_signature}


@dataclass(frozen=True, kw_only=True)
class InceptionFlags:
    """Flags that say how the Inception network makes features of images."""

    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights of the Inception network (.pth, .safetensors). Default: the published ones, downloaded once."""
    resize: Resize = "tensorflow1"
    """How images are enlarged for Inception: as its original graph does, or as the program pytorch-fid."""
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Side after a centre crop. Default: the source's own, or as the images are."""
    batch_size: Annotated[int, tyro.conf.arg(metavar="IMAGES")] = BATCH_SIZE
    """Images at a time."""
    device: Device = "auto"
    """Where features are computed; auto takes CUDA where there is one."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            InputError: naming the flag.
        """
        require_at_least("--batch-size", self.batch_size, 1)


@dataclass(frozen=True, kw_only=True)
class ExtractorFlags(InceptionFlags):
    """Flags that say what makes features of images."""

    features: FeatureKind = "inception"
    """What makes the features: the Inception network of FID, or random convolutions (no download, not FID)."""
    precision: Precision = "float32"
    """Arithmetic of the Inception network: tf32 (CUDA) and bf16 are faster, move the distance, and are signed."""
    compile: bool = False
    """Compile the Inception network first: a minute, then faster; features are the same to rounding."""

    def __post_init__(self) -> None:
        """Refuse flags that do not go together.

        Raises:
            InputError: naming the flag.
        """
        super().__post_init__()
        refuse_inception_flags(self.features, self.weights, self.precision, self.compile)

    def open_extractor(self) -> Extractor:
        """Return what makes the features.

        Raises:
            InputError: the weights cannot be had, or there is no CUDA.
        """
        device, compiled_for = choose_device(self.device), self.batch_size if self.compile else None
        return open_extractor(self.features, self.weights, self.resize, device, self.precision, compiled_for)


def open_sets(samples: str, reference: str, count: int | None, flags: ExtractorFlags) -> tuple[ImageSet, ImageSet]:
    """Return the samples, the first `count` of them, and the reference, with features that compare.

    Raises:
        InputError: one cannot be read, or they differ in size or in what made their features.
    """
    require_different(samples, reference)
    first, second = _open(samples, flags.size, count), _open(reference, flags.size, None)
    pictures = [each for each in (first, second) if isinstance(each, ImageDataset)]
    if len({_size(each) for each in pictures}) == 2:
        sizes = " and ".join(f"{each.name} is {_size(each)}" for each in pictures)
        raise InputError(f"{sizes} pixels; give --size to crop and resize both alike")
    files = [read_statistics(each) for each in (first, second) if isinstance(each, Path)]
    if pictures:
        extractor = flags.open_extractor()
        feature_signature, dims = _made_by(extractor, pictures[0]), extractor.dims
        of_pictures = {each.sha256: dataset_set(each, extractor, flags.batch_size) for each in pictures}
    else:
        known = (each.extractor for each in files if each.extractor != UNKNOWN_EXTRACTOR)
        feature_signature, dims = next(known, UNKNOWN_EXTRACTOR), files[0].mean.size
    first_set, second_set = (
        _statistics_set(each, feature_signature, dims) if isinstance(each, Path) else of_pictures[each.sha256]
        for each in (first, second)
    )
    return first_set, second_set


def dataset_set(pictures: ImageDataset, extractor: Extractor, batch_size: int = BATCH_SIZE) -> ImageSet:
    """Return pictures with their features, which are extracted or read from the cache when they are asked for."""
    feature_signature = _made_by(extractor, pictures)

    def statistics(some: int | None = None) -> FeatureStatistics:
        return replace(dataset_statistics(pictures, extractor, batch_size, some), extractor=feature_signature)

    def features() -> NDArray[np.floating]:
        return dataset_features(pictures, extractor, batch_size)

    to_logits = extractor.logits

    def logits() -> NDArray[np.floating]:
        assert to_logits is not None
        found: NDArray[np.floating] = to_logits(torch.from_numpy(features().copy()).to(extractor.device)).cpu().numpy()
        return found

    return ImageSet(
        pictures.name, pictures.sha256, len(pictures.images), feature_signature, statistics, features, statistics,
        None if to_logits is None else logits,
    )  # fmt: skip


def open_images(spec: str, size: int | None, count: int | None) -> ImageDataset:
    """Return the pictures of a source or of a run; of a run those in its `samples.npz`.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    run = expand_user(spec)
    if (run / _RUN_OPTIONS).is_file():
        drawn = run / _RUN_SAMPLES
        if not drawn.exists():
            command = as_command("python", "-m", "images.sample", run, "--count", "50000", "--output", drawn)
            raise InputError(f"{run}: a run without {_RUN_SAMPLES}; draw them: {command}")
        newest = max((int(each.name) for each in run.glob("checkpoints/*") if each.name.isdecimal()), default=0)
        if (iteration := _iteration(drawn)) is not None and iteration < newest:
            told = f"of iteration {iteration:,}, the run's newest checkpoint of {newest:,}"
            note(f"{drawn} is {told}; draw it again")
        spec = str(drawn)
    return open_dataset(ImageOptions(spec, size, count))


def _iteration(path: Path) -> int | None:
    """Return of which iteration samples say that they are; damaged ones are left to the reader of images."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return int(arrays["iteration"])
    except (KeyError, TypeError, *DAMAGED_ARRAYS):
        return None


def _open(spec: str, size: int | None, count: int | None) -> ImageDataset | Path:
    """Return pictures, or the path of a file of statistics."""
    path = expand_user(spec)
    if not _holds_statistics(path):
        return open_images(spec, size, count)
    if count is not None:
        raise InputError(f"--count {count}: {path} holds statistics, of all its images together; give the images")
    return path


def _holds_statistics(path: Path) -> bool:
    """Whether an .npz file holds mu and sigma; a damaged one is left to the reader of images, who says so."""
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
        raise InputError(f"{path}: statistics of {statistics.mean.size:,} features where {dims:,} are compared")
    if statistics.extractor == UNKNOWN_EXTRACTOR:
        note(f"{path} does not say what made its features; taken for {feature_signature}")
    elif statistics.extractor != feature_signature:
        raise InputError(
            f"{path}: statistics of {statistics.extractor}, not of {feature_signature}; "
            "give --features, --weights, --resize and --size as they were made with"
        )
    found = replace(statistics, extractor=feature_signature)
    name = str(path) if read_once(path) else path.name
    return ImageSet(name, sha256_of_file(local_file(path)), found.count, feature_signature, lambda: found)


def _made_by(extractor: Extractor, pictures: ImageDataset) -> str:
    return f"{extractor.signature}/{_size(pictures)}"


def _size(pictures: ImageDataset) -> str:
    height, width = pictures.images.shape[2:]
    return f"{width}x{height}"
