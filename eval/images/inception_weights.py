"""The published weights of the Inception network: download, verify, and load them without unpickling any code."""

import hashlib
import math
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from tqdm import tqdm

from data.cache import cache_folder
from data.errors import InputError
from data.files import atomic_write, sha256_of_file
from data.inputs import require_file
from eval.images.inception import Inception

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
    tensors = _read(path)
    with torch.device("meta"):  # without random initial weights
        network = Inception()
    expected = {name: value for name, value in network.state_dict().items() if not _is_counter(name)}
    tensors = {name: value for name, value in tensors.items() if not _is_counter(name)}
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "is missing" if name in expected else "does not belong there"
        raise InputError(f"{path}: weight {name} {what}; give the Inception weights of 2015-12-05, {URL}")
    for name, value in expected.items():
        if not isinstance(tensors[name], Tensor) or tensors[name].shape != value.shape:
            shape = list(getattr(tensors[name], "shape", []))
            raise InputError(f"{path}: weight {name} is {shape}, not {list(value.shape)}; give the weights at {URL}")
    network.to_empty(device="cpu").load_state_dict(tensors, strict=False)
    name = "inception-2015-12-05" if sha256_of_file(path) == SHA256 else "inception-custom"
    return network, f"{name}@{_hash(network)}"


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
        file.write(save({name: value for name, value in network.state_dict().items() if not _is_counter(name)}))


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


def _read(path: Path) -> Mapping[str, Any]:
    require_file(path)
    damaged = f"{path}: damaged or no weights; fetch it again from {URL}"
    if path.suffix == ".safetensors":
        try:
            return load(path.read_bytes())  # `load_file` takes only UTF-8 file names
        except SafetensorError as error:
            raise InputError(damaged) from error
    if not _is_whole(path):
        raise InputError(damaged)
    try:
        # Only tensors and plain containers: any other class in the file is refused.
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise InputError(damaged) from error
    if not isinstance(weights, Mapping):
        raise InputError(damaged)
    return weights


def _is_whole(path: Path) -> bool:
    """Whether a .pth file is undamaged: a zip file by its checksums, another file by the hash of the published one.

    PyTorch itself does not check the checksums.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, NotImplementedError, EOFError):
        return sha256_of_file(path) == SHA256


def _is_counter(name: str) -> bool:
    """Whether a tensor is a batch normalisation's count of batches: newer PyTorch writes it, inference ignores it."""
    return name.endswith(".num_batches_tracked")


def _hash(network: Inception) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if not _is_counter(name):
            digest.update(name.encode())
            digest.update(value.contiguous().numpy())
    return digest.hexdigest()[:12]
