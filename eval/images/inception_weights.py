"""The published weights of the Inception network, downloaded once and verified."""

import hashlib
import math
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tqdm import tqdm

from data.cache import cache_folder
from data.errors import InputError
from data.files import atomic_write, sha256_of_file
from eval.images.inception import Inception
from eval.images.weights import Published, load_weights

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30


def load_inception(weights: Path | None = None) -> tuple[Inception, str]:
    """Return the network and a name with a hash: inception-2015-12-05@HASH, or inception-custom@HASH for other files.

    The hash (12 hexadecimal digits) is of the tensors, equal for both file formats. Only the published file itself
    gets the first name.

    Args:
        weights: a .pth or .safetensors file with the published tensor names; None: the published file, from the cache
            or, once, from the release page of the PyTorch port.

    Raises:
        InputError: the file is absent and cannot be fetched, is damaged, or holds other weights.
    """
    path = published_weights() if weights is None else weights
    with torch.device("meta"):  # without random initial weights
        network = Inception()
    digest = load_weights(network, path, Published("Inception weights of 2015-12-05", URL, SHA256))
    name = "inception-2015-12-05" if sha256_of_file(path) == SHA256 else "inception-custom"
    return network, f"{name}@{digest}"


def published_weights() -> Path:
    """Return the path of the published file in the cache folder; download it if absent or damaged.

    Raises:
        InputError: the file cannot be fetched, or the download is damaged.
    """
    path = cache_folder() / "weights" / URL.rpartition("/")[2]
    if path.is_file() and sha256_of_file(path) == SHA256:
        return path
    by_hand = f"download {URL} elsewhere and put it at {path}, or name it with --weights"
    try:
        with urllib.request.urlopen(URL, timeout=_TIMEOUT_SECONDS) as response:
            _save(response, path, by_hand)
    except (urllib.error.URLError, ConnectionError, TimeoutError, HTTPException) as error:
        raise InputError(f"the Inception weights cannot be fetched ({error}); {by_hand}") from error
    return path


def save_random_weights(path: Path, seed: int = 0) -> None:
    """Write random weights (.safetensors) that keep the scale of features, to time the network without a download.

    Convolutions are normal with variance 2 / fan-in (He et al. 2015, arXiv 1502.01852); batch normalisation is the
    identity.
    """
    random = torch.Generator().manual_seed(seed)
    network = Inception()
    for name, value in network.named_parameters():
        if value.dim() > 1:
            value.normal_(0, math.sqrt(2 / value[0].numel()), generator=random)
        else:
            value.fill_(float(name.endswith("bn.weight")))
    with atomic_write(path) as file:
        file.write(save(network.state_dict()))


def _save(response: Any, path: Path, by_hand: str) -> None:
    size = int(response.headers.get("Content-Length") or 0)
    digest = hashlib.sha256()
    with (
        atomic_write(path) as file,
        tqdm(total=size, desc="Inception weights", unit="B", unit_scale=True, disable=None) as bar,
    ):
        while block := response.read(_BLOCK_BYTES):
            file.write(block)
            digest.update(block)
            bar.update(len(block))
        if digest.hexdigest() != SHA256:
            raise InputError(f"the Inception weights came damaged (SHA-256 {digest.hexdigest()[:8]}...); {by_hand}")
