"""Floating-point operations of a WGAN-GP iteration, and the peak of this machine's matrix products.

An operation is a multiplication or an addition: a multiply-add counts as two.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from eval.core.device import Precision, arithmetic
from eval.core.timing import best_of

_PRODUCTS = 10


@torch.no_grad()
def forward_flops(network: nn.Module, x: Tensor) -> int:
    """Return the floating-point operations of matrix products and convolutions in one forward pass on a batch x."""
    with FlopCounterMode(display=False) as counter:
        network(x)
    return int(counter.get_total_flops())


def iteration_flops(generator: int, critic: int, critic_steps: int) -> int:
    """Return the operations that an iteration of WGAN-GP needs, from the operations of one forward pass per network.

    A backward pass costs one forward pass for the gradient by the input and one for the gradient by the weights.

    - Update of the generator: the generator forward and back by input and weights (3 passes), the critic forward and
      back by its input (2).
    - Update of the critic: the generator forward (1), the critic forward and back on real and on generated lines (6),
      the penalty (4): forward, gradient by the input, and the derivatives of this gradient.

    With F for either network, an iteration with one critic update needs 16 F.
    """
    return 3 * generator + 2 * critic + critic_steps * (generator + 10 * critic)


def product_peak(precision: Precision, device: torch.device) -> float:
    """Return the operations per second of the fastest of ten products of two square matrices on this machine.

    The matrices are 2,048 wide on a CPU and 8,192 wide on CUDA, and hold bfloat16 numbers for bf16.
    """
    width = 8192 if device.type == "cuda" else 2048
    matrix = torch.full((width, width), 0.5, device=device, dtype=torch.bfloat16 if precision == "bf16" else None)

    def product() -> None:
        torch.mm(matrix, matrix)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with arithmetic(precision, device):
        product()
        return float(2 * width**3 / best_of(_PRODUCTS, product))


def lacks_bfloat16(device: torch.device, processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the device has no bfloat16 arithmetic; False on processors of unknown features (not Linux)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) < (8, 0)
    return processor.is_file() and not {"avx512_bf16", "amx_bf16", "bf16"} & set(processor.read_text().split())
