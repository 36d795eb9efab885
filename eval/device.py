"""Where to compute, as flags say it."""

from typing import TYPE_CHECKING, Literal

from data.errors import InputError

if TYPE_CHECKING:  # what only has the flag starts without torch
    import torch

Device = Literal["auto", "cpu", "cuda"]


def choose_device(device: Device) -> "torch.device":
    """Return the device of a flag's value; auto takes CUDA where there is one.

    Raises:
        InputError: CUDA was asked for and there is none.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise InputError("--device cuda: this machine or this build of torch has no CUDA; say --device cpu")
    return torch.device("cuda" if has_cuda and device != "cpu" else "cpu")
