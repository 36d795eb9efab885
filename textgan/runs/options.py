"""Where and how many runs are executed at a time."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ExecutorOptions:
    """Where and how runs are executed."""

    executor: Literal["inline", "processes", "ray"] = "processes"
    """inline: one after the other in this process; processes: on this machine; ray: on Ray (extra textgan[ray])."""
    workers: int = 2
    """Runs at a time; each gets its share of this machine's cores."""
    retries: int = 2
    """How often a run that was killed is continued from its checkpoint before it counts as failed."""
    address: str | None = None
    """Address of a Ray cluster, for --executor ray. Default: a cluster of this machine's own."""
    gpus: float = 0.0
    """GPUs a run asks Ray for; a fraction lets runs share one."""
