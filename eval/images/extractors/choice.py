"""The feature extractor that a user names with --features."""

from pathlib import Path
from typing import Literal, get_args

import torch

from data.errors import InputError, note
from eval.core.device import Precision
from eval.images.extractors.dinov2 import dinov2_extractor
from eval.images.extractors.efficientnet import efficientnet_extractor
from eval.images.extractors.extractor import Extractor
from eval.images.extractors.inception import inception_extractor, spatial_extractor
from eval.images.extractors.own import own_extractor
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.inception import RESIZE, Resize

FeatureKind = Literal["inception", "random-conv", "inception-spatial", "efficientnet-lite0", "dinov2-vitl14"]

_INCEPTION = ("inception", "inception-spatial")
_NAMES = {("fid", "inception"): "fid", ("kid", "inception"): "kid", ("fid", "spatial"): "sfid"}


def open_extractor(
    features: str,
    weights: Path | None,
    resize: Resize,
    device: torch.device,
    precision: Precision = "float32",
    compiled_for: int | None = None,
) -> Extractor:
    """Return the extractor of a kind of features, or of a function MODULE:FUNCTION.

    Resizing, precision and compilation belong to Inception and are ignored for other features.

    Raises:
        InputError: the features are unknown, the device does not support the precision, or the weights or the function
            cannot be read.
    """
    require_features(features)
    if ":" in features:
        return own_extractor(features, device)
    if features == "random-conv":
        return random_conv_extractor(device=device)
    if features == "efficientnet-lite0":
        return efficientnet_extractor(weights, device)
    if features == "dinov2-vitl14":
        return dinov2_extractor(weights, device)
    if features == "inception":
        extractor = inception_extractor(weights, resize, device, precision, compiled_for)
    else:
        extractor = spatial_extractor(weights, resize, device, precision)
    if "inception-custom" in extractor.signature:
        note(f"{weights} is not the published file; compare scores only if they use these weights")
    return extractor


def require_features(features: str) -> None:
    """Refuse unknown features.

    Raises:
        InputError: the value is neither a kind of features nor MODULE:FUNCTION.
    """
    kinds = get_args(FeatureKind)
    if features not in kinds and ":" not in features:
        raise InputError(f"--features {features!r}: choose from {', '.join(kinds)}, or give MODULE:FUNCTION")


def refuse_other_flags(
    features: str, weights: Path | None, precision: Precision, compiled: bool = False, resize: Resize = RESIZE
) -> None:
    """Refuse flags that do not apply to the features.

    Raises:
        InputError: a flag does not apply; the message names it.
    """
    for flag, given, kinds in (
        (f"--weights {weights}", weights is not None, (*_INCEPTION, "efficientnet-lite0", "dinov2-vitl14")),
        (f"--precision {precision}", precision != "float32", _INCEPTION),
        (f"--resize {resize}", resize != RESIZE, _INCEPTION),
        ("--compile", compiled, ("inception",)),
    ):
        if given and features not in kinds:
            raise InputError(f"{flag}: only with --features {', '.join(kinds)}")


def metric_name(metric: Literal["fid", "kid"], features: str) -> str:
    """Return a distance's name by the kind or signature of the features.

    It is "fid" for Inception, "sfid" for its layer with positions, else e.g. "fd-random", "fd-own".
    """
    kind = features.removeprefix("inception-") if features == "inception-spatial" else features.partition("-")[0]
    return _NAMES.get((metric, kind), f"{metric[0]}d-{kind}")
