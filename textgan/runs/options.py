"""Flags of the commands that execute many runs."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ExecutorOptions:
    """Flags for executing many runs."""

    executor: Literal["inline", "processes", "ray"] = "processes"
    """inline: sequential, in this process; processes: parallel; ray: on Ray (extra textgan[ray])."""
    workers: int = 2
    """Number of parallel runs; they share this machine's cores equally."""
    retries: int = 2
    """Restarts of a killed run, from its checkpoint, before it counts as failed."""
    address: str | None = None
    """Address of a Ray cluster, for --executor ray. Default: start one on this machine."""
    gpus: float = 0.0
    """GPUs per run, for --executor ray; a fraction lets runs share a GPU."""
