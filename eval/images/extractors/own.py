"""Features by a function of the user's own: MODULE:FUNCTION, of images uint8 [N, H, W, 3], that returns [N, D]."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.errors import InputError
from data.files import sha256_of_file
from eval.images.extractors.extractor import Extractor


def own_extractor(spec: str, device: torch.device) -> Extractor:
    """Return the extractor of a function, named MODULE:FUNCTION; Python looks for the module as in an import.

    The function gets a batch of images as a NumPy array uint8 [N, H, W, 3] and returns numbers [N, D], a NumPy array or
    a tensor. The signature holds the SHA-256 of the Python file that defines the function. A library or a file of
    weights is not in this hash: name its version in the file, so that features are not read from the cache after the
    library or the weights change.

    Raises:
        InputError: there is no such module or function, or no Python file defines the function.
    """
    function, source = _function(spec)
    widths: set[int] = set()

    def features(images: Tensor) -> Tensor:
        returned = function(images.permute(0, 2, 3, 1).contiguous().cpu().numpy())
        rows = np.asarray(returned.detach().cpu() if isinstance(returned, Tensor) else returned)
        if rows.ndim != 2 or len(rows) != len(images) or rows.dtype.kind not in "fiu" or not rows.size:
            found = f"{rows.dtype} {list(rows.shape)} for {len(images)} images"
            raise InputError(f"--features {spec}: returned {found}; return numbers [{len(images)}, D]")
        widths.add(rows.shape[1])
        if len(widths) > 1:
            sizes = " and ".join(map(str, sorted(widths)))
            raise InputError(f"--features {spec}: returned {sizes} features per image; return equally many for all")
        return torch.from_numpy(rows.astype(np.float32)).to(device)

    name = spec.replace(":", ".")
    return Extractor(f"own-{name}@{sha256_of_file(source)[:12]}", None, device, features)


def _function(spec: str) -> tuple[Callable[[Any], Any], Path]:
    """Return the function and the Python file that defines it."""
    module_name, _, name = spec.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise InputError(f"--features {spec}: give MODULE:FUNCTION, such as my_features:embed for my_features.py")
    # `python -m` finds modules of the working folder; a console command does not. Installed modules come first.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module itself lacks a package: its traceback names the line
        remedy = "run the command in the folder of the module, or add the folder to PYTHONPATH"
        raise InputError(f"--features {spec}: Python finds no module {error.name}; {remedy}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"--features {spec}: {module_name} has no function {name}; check the name")
    try:
        source = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        source = None
    if source is None:
        raise InputError(f"--features {spec}: no Python file defines it, so it cannot be signed; wrap it in a function")
    return function, Path(source)
