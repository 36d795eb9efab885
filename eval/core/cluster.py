"""Ray: connect to a cluster, or start one on this machine, and reduce many items to one value by a tree of tasks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from data.errors import InputError

NOT_INSTALLED = "--executor ray: Ray is not installed; pip install 'textgan[ray]'"

_RETRIES = 3

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def ray_cluster(address: str | None, cores: int | None = None) -> Iterator[None]:
    """Connect to the Ray cluster at an address, and disconnect at the end; None: start one here, and end it.

    Args:
        address: HOST:PORT of a cluster, or `auto`.
        cores: number of cores of a cluster on this machine; None: all.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(NOT_INSTALLED) from error
    try:
        # Without an address Ray would join a cluster that runs on this machine.
        ray.init(address=address or "local", num_cpus=None if address else cores)
    except ConnectionError as error:
        raise InputError(f"--address {address}: no Ray cluster answers; start one with `ray start --head`") from error
    try:
        yield
    finally:
        ray.shutdown()


def reduce_on_ray(items: Sequence[T], count: Callable[[T], R], join: Callable[[R, R], R]) -> R:
    """Return the join of `count(item)` over one or more items, each call a task on the connected Ray cluster.

    Neighbours are joined in pairs, level by level, so that all workers share the joining. A task whose worker is lost
    runs again, up to three times, and so does a task whose value is lost with a machine.

    Raises:
        InputError: `count` or `join` raised it, or a task lost four workers.
    """
    import ray

    counted, joined = (ray.remote(max_retries=_RETRIES)(call) for call in (count, join))
    level = [counted.remote(item) for item in items]
    while len(level) > 1:
        pairs = [level[start : start + 2] for start in range(0, len(level), 2)]
        level = [joined.remote(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    try:
        value: R = ray.get(level[0])
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error  # the error inside a task
        if isinstance(cause, InputError):
            raise cause from None
        if isinstance(cause, ray.exceptions.RayError):
            reason = str(cause).strip().partition("\n")[0]
            raise InputError(
                f"--executor ray: a task lost {_RETRIES + 1} workers ({reason}); is memory short?"
            ) from error
        raise
    return value
