"""Timing of calls, and figures beside a rival's."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """What was measured: a figure with its unit and, where there is a rival, the rival's figure in the same unit.

    `ratio` says how many times better the figure is.
    """

    name: str
    figure: float
    unit: str
    rival: str | None = None
    rival_figure: float | None = None
    ratio: float | None = None


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return seconds and result of a call."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def best_of(times: int, call: Callable[[], Any]) -> float:
    """Return the seconds of the fastest of some calls."""
    return min(timed(call)[0] for _ in range(times))
