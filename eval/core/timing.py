"""Time calls, and report a figure beside the figure of a rival implementation."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """A measurement: `figure` in `unit` and, if there is a rival implementation, `rival_figure` in the same unit.

    `ratio` is the factor by which `figure` is better than the rival's.
    """

    name: str
    figure: float
    unit: str
    rival: str | None = None
    rival_figure: float | None = None
    ratio: float | None = None


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return the duration of a call in seconds, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def best_of(times: int, call: Callable[[], Any]) -> float:
    """Return the duration of the fastest of `times` calls, in seconds."""
    return min(timed(call)[0] for _ in range(times))


def peak_memory() -> int | None:
    """Return the peak of this process's resident memory in bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    return in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def in_bytes(ru_maxrss: int) -> int:
    """Return a peak of `resource.getrusage` in bytes: it is in kilobytes on Linux, in bytes on macOS."""
    return ru_maxrss * (1 if sys.platform == "darwin" else 1024)
