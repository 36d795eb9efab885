"""Flags of image commands: the features, and the images' size."""

from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError, require_at_least
from data.naming import as_flag_words, changed_fields
from eval.core.device import Device, Precision, choose_device
from eval.images.extractors.choice import open_extractor, refuse_other_flags, require_features
from eval.images.extractors.extractor import Extractor
from eval.images.features import BATCH_SIZE
from eval.images.inception import RESIZE, Resize


@dataclass(frozen=True, kw_only=True)
class InceptionFlags:
    """Flags of the Inception network."""

    weights: Path | None = None
    """Weights of the network (.pth, .safetensors). Default: Inception's are downloaded once, EfficientNet's are in an
    installed package."""
    resize: Resize = RESIZE
    """Resizing for Inception: as in the original graph, as in pytorch-fid, or as in clean-fid."""
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

    features: str = "inception"
    """inception (FID), inception-spatial (sFID), random-conv (FD-random, no download), efficientnet-lite0 (from a
    package), dinov2-vitl14 (from a file), or MODULE:FUNCTION, a Python function of images uint8 [N, H, W, 3] that
    returns features [N, D]."""
    precision: Precision = "float32"
    """Precision of Inception; tf32 (CUDA) and bf16 are faster, but change distance and signature."""
    compile: bool = False
    """Compile Inception first: takes a minute, then runs faster; same features up to rounding."""

    def __post_init__(self) -> None:
        """Refuse unknown features, and Inception flags for other features.

        Raises:
            InputError: the message names the flag.
        """
        super().__post_init__()
        require_features(self.features)
        refuse_other_flags(self.features, self.weights, self.precision, self.compile, self.resize)

    def refuse_unused(self, given: str) -> None:
        """Refuse flags of features and images where the features or statistics of both sets are given.

        Raises:
            InputError: the message names the flag and one of the files, `given`.
        """
        names = ("features", "weights", "resize", "size", "precision", "compile")
        if changed := changed_fields(self, names):
            flag = " ".join(as_flag_words(changed[0], getattr(self, changed[0])))
            raise InputError(f"{flag}: the features of {given} are computed already; leave the flag out")

    def open_extractor(self) -> Extractor:
        """Return the extractor that the flags describe.

        Raises:
            InputError: the weights cannot be read or downloaded, or there is no CUDA.
        """
        device, compiled_for = choose_device(self.device), self.batch_size if self.compile else None
        return open_extractor(self.features, self.weights, self.resize, device, self.precision, compiled_for)
