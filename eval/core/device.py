"""Where and how exactly to compute, as flags say it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from data.errors import InputError

if TYPE_CHECKING:  # what only has the flag starts without torch
    import torch
    from torch import Tensor

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "tf32", "bf16"]


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


def compiled(network: Callable[["Tensor"], "Tensor"], batch_size: int) -> Callable[["Tensor"], "Tensor"]:
    """Return the network compiled for full batches; compiling once more for the last one would take longer than it."""
    import torch
    from torch._dynamo.exc import TorchDynamoException  # seconds to import

    whole = torch.compile(network, dynamic=False)

    def forward(pixels: "Tensor") -> "Tensor":
        if len(pixels) != batch_size:
            return network(pixels)
        try:
            return whole(pixels)
        except TorchDynamoException as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"--compile: PyTorch cannot compile here ({reason}); leave it out") from error

    return forward


@contextmanager
def arithmetic(precision: Precision, device: "torch.device") -> Iterator[None]:
    """Multiply as exactly as asked: in float32, on CUDA in TF32 where that is wanted, or in bfloat16.

    PyTorch's own default is TF32 in convolutions on CUDA, without a word.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
