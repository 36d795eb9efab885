"""The flags --device, --precision, --training-precision and --compile, applied to PyTorch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from data.errors import InputError

if TYPE_CHECKING:  # a command that only declares the flag starts without torch
    import torch
    from torch import Tensor

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "tf32", "bf16"]


def choose_device(device: Device) -> "torch.device":
    """Return the torch device for a value of --device; auto is CUDA if available.

    Raises:
        InputError: CUDA was requested but is not available.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise InputError("--device cuda: this machine or this build of torch has no CUDA; say --device cpu")
    return torch.device("cuda" if has_cuda and device != "cpu" else "cpu")


def compiled(network: Callable[["Tensor"], "Tensor"], batch_size: int) -> Callable[["Tensor"], "Tensor"]:
    """Return the network compiled for batches of `batch_size`; a smaller last batch runs uncompiled.

    Compiling again for the last batch would take longer than running it.
    """
    import torch
    from torch._dynamo.exc import TorchDynamoException  # seconds to import

    full = torch.compile(network, dynamic=False)

    def forward(pixels: "Tensor") -> "Tensor":
        if len(pixels) != batch_size:
            return network(pixels)
        try:
            return full(pixels)
        except TorchDynamoException as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"--compile: PyTorch cannot compile here ({reason}); leave it out") from error

    return forward


@contextmanager
def arithmetic(precision: Precision, device: "torch.device") -> Iterator[None]:
    """Set the precision of matrix products and convolutions: float32, TF32 (CUDA only) or bfloat16.

    PyTorch's default on CUDA silently uses TF32 in convolutions. In bfloat16, weights stay in float32 and are converted
    at each use.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        # The cache of converted weights would keep weights without gradients from a use under no_grad.
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def without_autocast(device: "torch.device") -> "torch.autocast":
    """Return a context without autocast, for recurrent layers, which few processors compute in bfloat16."""
    import torch

    return torch.autocast(device.type, enabled=False)


def at_least_float32(x: "Tensor") -> "Tensor":
    """Return a tensor of a shorter type, such as bfloat16, in float32, and others as they are."""
    return x.float() if x.dtype.itemsize < 4 else x
