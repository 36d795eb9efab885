"""Provenance of a run: commit, package versions, device."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.missing import textgan_version
from textgan.engine.processes import world_size


def versions() -> dict[str, str]:
    """Return the versions of textgan, Python, torch and NumPy."""
    ours = {"textgan": textgan_version(), "python": platform.python_version()}
    return {**ours, "torch": torch.__version__, "numpy": np.__version__}


def describe_device(device: torch.device) -> dict[str, Any]:
    """Return a device's type and name, the numbers of threads and processes, and the operations computed in TF32."""
    tf32 = {"matmul": torch.backends.cuda.matmul.allow_tf32, "convolutions": torch.backends.cudnn.allow_tf32}
    return {
        "type": device.type,
        "name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor_name(),
        "threads": torch.get_num_threads(),
        "processes": world_size(),
        # By default PyTorch uses TF32 in convolutions.
        "tf32": [name for name, used in tf32.items() if used] if device.type == "cuda" else [],
    }


def code_version() -> dict[str, Any]:
    """Return the commit of this file's git checkout, and whether it has local changes; None for both outside of one."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=here, check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # an installed copy may lie in another project's checkout
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _processor_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({os.cpu_count()} cores)"
    return f"{platform.processor() or platform.machine()} ({os.cpu_count()} cores)"
