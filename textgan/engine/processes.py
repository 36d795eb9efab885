"""One training run in several processes, which torchrun starts; with one process these functions change nothing.

Every process holds all weights, draws the whole batch and all random numbers of an iteration, and computes the
gradients of its own rows. A loss that is a mean over the batch is the mean of the processes' losses, so averaged
gradients are the gradients of the whole batch. Rank 0 alone evaluates and writes; it tells the others to go on.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, nn
from torch import distributed as dist

from data.errors import InputError
from data.naming import printable
from textgan.engine.settings import GanSettings, Settings
from textgan.engine.updates import parse_rule

_LONGEST_EVALUATION = timedelta(days=1)  # the others wait for rank 0


class LostProcessError(Exception):
    """Another process of the run has ended."""


def world_size() -> int:
    """Return the number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


@contextmanager
def joined() -> Iterator[None]:
    """Join the run's processes, if the environment says that there are several (`WORLD_SIZE`), and leave at the end.

    Each process takes the GPU with its number on the machine. All but rank 0 are silent. If another process
    ended, this one ends with status 1.

    Raises:
        InputError: the other variables of torchrun are missing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    has_cuda = torch.cuda.is_available()
    if has_cuda and _local_rank() < torch.cuda.device_count():
        torch.cuda.set_device(_local_rank())
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if has_cuda else "gloo", timeout=_LONGEST_EVALUATION)
    except ValueError as error:
        raise InputError(f"WORLD_SIZE {os.environ['WORLD_SIZE']}: {error}; start with torchrun, or unset it") from error
    try:
        with ExitStack() as stack:
            if rank():
                nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            try:
                yield
            except LostProcessError as error:
                print(printable(f"error: {error}; the same command continues the run"), file=sys.stderr)
                sys.exit(1)
    finally:
        dist.destroy_process_group()


@contextmanager
def after_rank_0() -> Iterator[None]:
    """Let rank 0 come first: it fills caches that the others read, and its errors end all.

    Raises:
        LostProcessError: rank 0 ended.
    """
    if rank():
        of_rank_0()
    yield
    if not rank():
        of_rank_0()


def of_rank_0(number: int = 0) -> int:
    """Return the number that rank 0 gives.

    Raises:
        LostProcessError: a process ended.
    """
    if world_size() == 1:
        return number
    sent = torch.tensor(number)
    with _connected():
        dist.broadcast(sent, src=0)
    return int(sent)


def own_rows(batch: Tensor) -> Tensor:
    """Return this process's rows of a batch [B, ...]; B is a multiple of the number of processes."""
    return batch.chunk(world_size())[rank()]


def own_draw(draw: Callable[[int], Tensor], rows: int) -> Tensor:
    """Return this process's rows of random numbers, which every process draws for the whole batch.

    Args:
        draw: draws numbers [B, ...] for a number of rows.
        rows: number of this process's rows.
    """
    return own_rows(draw(rows * world_size()))


def averaged(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the means over all processes of tensors of one type, in one exchange.

    Raises:
        LostProcessError: a process ended.
    """
    if world_size() == 1:
        return list(tensors)
    sums = torch.cat([tensor.detach().flatten() for tensor in tensors])
    with _connected():
        dist.all_reduce(sums)
    means = torch.split(sums / world_size(), [tensor.numel() for tensor in tensors])
    return [mean.view(tensor.shape) for mean, tensor in zip(means, tensors, strict=True)]


def shared(network: nn.Module, config: Settings, device: torch.device) -> nn.Module:
    """Return a network whose gradients may be averaged over processes: batch normalisation takes the whole batch.

    Raises:
        InputError: the run cannot be shared by its processes; names the flag.
    """
    if world_size() == 1:
        return network
    if config.batch_size % world_size():
        raise InputError(f"--batch-size {config.batch_size}: must be a multiple of the {world_size()} processes")
    if config.diagnostics:
        raise InputError("--diagnostics: only with one process; leave it out, and continue with it later")
    if isinstance(config, GanSettings) and parse_rule(config.rule).second_order:
        raise InputError(f"--rule {config.rule}: only with one process; choose another rule")
    if device.type == "cuda" and _local_rank() >= torch.cuda.device_count():
        raise InputError(
            f"--nproc-per-node: this machine has {torch.cuda.device_count()} GPUs; start one process per GPU"
        )
    if not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in network.modules()):
        return network
    if device.type != "cuda":
        raise InputError(
            f"--device {device.type}: batch normalisation over several processes needs CUDA; start one process"
        )
    synchronised: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return synchronised


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise LostProcessError(f"another process of the run has ended ({reason})") from error


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))
