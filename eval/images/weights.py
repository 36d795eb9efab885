"""Weights of published networks: files read without unpickling any code, checked by name and shape, hashed."""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from data.errors import InputError
from data.files import sha256_of_file
from data.inputs import require_file


@dataclass(frozen=True)
class Published:
    """A published file of weights: a title for messages, the place to get the file, and its SHA-256 if it is known."""

    title: str
    source: str
    sha256: str | None = None


def load_weights(network: nn.Module, path: Path, published: Published) -> str:
    """Read the weights of a network, which is on the meta device, from a .pth or .safetensors file; return their hash.

    The hash (12 hexadecimal digits) is of the tensors, equal for both file formats.

    Raises:
        InputError: the file is absent or damaged, or holds other weights.
    """
    tensors = {name: value for name, value in _read(path, published).items() if not _is_counter(name)}
    expected = {name: value for name, value in network.state_dict().items() if not _is_counter(name)}
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "is missing" if name in expected else "does not belong there"
        raise InputError(f"{path}: weight {name} {what}; give the {published.title}, {published.source}")
    for name, value in expected.items():
        if not isinstance(tensors[name], Tensor) or tensors[name].shape != value.shape:
            shape = list(getattr(tensors[name], "shape", []))
            remedy = f"give the weights at {published.source}"
            raise InputError(f"{path}: weight {name} is {shape}, not {list(value.shape)}; {remedy}")
    network.to_empty(device="cpu").load_state_dict(tensors, strict=False)
    weights = {name: value.numpy() for name, value in network.state_dict().items() if not _is_counter(name)}
    return weights_sha256(weights)[:12]


def weights_sha256(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return the hexadecimal SHA-256 of named weights, of names and values in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()


def _read(path: Path, published: Published) -> Mapping[str, Any]:
    require_file(path)
    damaged = f"{path}: damaged or no weights; fetch it again from {published.source}"
    if path.suffix == ".safetensors":
        try:
            return load(path.read_bytes())  # `load_file` takes only UTF-8 file names
        except SafetensorError as error:
            raise InputError(damaged) from error
    if not _is_whole(path, published):
        raise InputError(damaged)
    try:
        # Only tensors and plain containers: any other class in the file is refused.
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise InputError(damaged) from error
    if not isinstance(weights, Mapping):
        raise InputError(damaged)
    return weights


def _is_whole(path: Path, published: Published) -> bool:
    """Whether a .pth file is undamaged: a zip file by its checksums, another file by the hash of the published one.

    PyTorch itself does not check the checksums.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, NotImplementedError, EOFError):
        return sha256_of_file(path) == published.sha256


def _is_counter(name: str) -> bool:
    """Whether a tensor is a batch normalisation's count of batches: newer PyTorch writes it, inference ignores it."""
    return name.endswith(".num_batches_tracked")
