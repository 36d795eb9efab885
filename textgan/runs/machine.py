"""The machine and the sizes of a bench, in words and for records."""

from typing import Any

import torch

from textgan.engine.loop import Experiment
from textgan.engine.settings import Settings
from textgan.runs.flops import lacks_bfloat16


def facts_of(experiment: Experiment, config: Settings) -> dict[str, Any]:
    """Return the sizes of a run and the machine, for records."""
    return {
        "batch_size": config.batch_size, "eval_samples": config.eval_samples, "device": str(experiment.device),
        "threads": torch.get_num_threads(), "training_precision": config.training_precision,
    }  # fmt: skip


def cadence(config: Settings) -> str:
    """Return what lies between two evaluations of a run, in words."""
    return f"{config.eval_every:,} iterations" if config.eval_seconds is None else f"{config.eval_seconds:g} seconds"


def on_machine(experiment: Experiment) -> str:
    """Return device and number of threads in words."""
    return f"{experiment.device}, {torch.get_num_threads()} threads"


def share(rate: float, peak: float, precision: str) -> str:
    """Return a rate of operations as a share of the peak in words."""
    return f"{rate / peak:.0%} of this machine's matrix products in {precision}, {peak / 1e9:,.1f} GFLOP/s"


def precision_notes(config: Settings, device: torch.device) -> list[str]:
    """Return a note if the device lacks the run's arithmetic."""
    lacking = config.training_precision == "bf16" and lacks_bfloat16(device)
    return ["no bfloat16 arithmetic here: bf16 is emulated, and slow"] if lacking else []
