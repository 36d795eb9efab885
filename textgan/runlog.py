"""RunLog: one run directory, from `options.json` before step 0 to `summary.json` at the end.

`metrics.jsonl` has one row an evaluation and only grows; `samples/ITERATION.txt` holds that evaluation's samples.
TensorBoard's events carry the training clock as their wall time, so its relative axis compares runs by training time.
"""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from data import __version__
from data.errors import InputError
from data.files import atomic_write, write_json

Row = Mapping[str, Any]

OPTIONS, METRICS, SUMMARY = "options.json", "metrics.jsonl", "summary.json"


class RunLog:
    """Writes a run's metrics, samples and TensorBoard events; starts anew or continues at an iteration.

    `rows` are those logged so far; on continuing, rows and samples behind the iteration are dropped, as the run will
    make them again.
    """

    def __init__(self, folder: Path, iteration: int, floor: Mapping[int, float] | None) -> None:
        self.folder = folder
        self._floor = floor
        self.rows: list[Row] = [row for row in read_metrics(folder) if row["iteration"] <= iteration]
        with atomic_write(folder / METRICS) as file:
            file.writelines(_json_line(row) for row in self.rows)
        (folder / "samples").mkdir(exist_ok=True)
        logged = {row["iteration"] for row in self.rows}
        for samples in (folder / "samples").glob("*.txt"):
            if samples.stem.isdecimal() and int(samples.stem) not in logged:
                samples.unlink()
        self._started = float(read_options(folder)["started"])
        self._events = SummaryWriter(str(folder), purge_step=iteration + 1 if iteration else None)
        for n, value in (floor or {}).items():
            self._events.add_scalar(f"floor/jsd_{n}", value, 0, walltime=self._started)

    def has(self, iteration: int) -> bool:
        """Whether this iteration's evaluation is logged already."""
        return bool(self.rows) and self.rows[-1]["iteration"] == iteration

    def log(self, row: Row, samples: Sequence[str]) -> None:
        """Write an evaluation: its row, its samples and their TensorBoard events."""
        iteration, time = row["iteration"], self._started + row["train_seconds"]
        text = "".join(f"{sample}\n" for sample in samples)
        with atomic_write(self.samples_path(iteration)) as file:
            file.write(text.encode())
        with (self.folder / METRICS).open("ab") as metrics:
            metrics.write(_json_line(row))
        for name, value in row.items():
            if name != "iteration" and value is not None:
                group = "jsd" if name.startswith("jsd_") else "progress" if name in _PROGRESS else "training"
                self._events.add_scalar(f"{group}/{name}", value, iteration, walltime=time)
        shown = "\n".join(f"    {sample}" for sample in samples[:20])
        self._events.add_text("samples", shown, iteration, walltime=time)
        self._events.flush()
        self.rows.append(row)

    def samples_path(self, iteration: int) -> Path:
        """Return where the samples of an evaluation lie."""
        return self.folder / "samples" / f"{iteration}.txt"

    def summarise(self) -> dict[str, Any]:
        """Write and return the summary: the best JSD per n and where it was reached, the floor, the totals."""
        lengths = [int(name.removeprefix("jsd_")) for name in self.rows[0] if name.startswith("jsd_")]
        best = {n: min(self.rows, key=lambda row: row[f"jsd_{n}"]) for n in lengths}
        first, last = self.rows[0], self.rows[-1]
        summary = {
            "best": {
                str(n): {"jsd": row[f"jsd_{n}"], "iteration": row["iteration"], "train_seconds": row["train_seconds"]}
                for n, row in best.items()
            },
            "first": {str(n): first[f"jsd_{n}"] for n in lengths},
            "last": {str(n): last[f"jsd_{n}"] for n in lengths},
            "floor": None if self._floor is None else {str(n): value for n, value in self._floor.items()},
            "totals": {name: last[name] for name in ("iteration", *_PROGRESS)},
        }
        write_json(self.folder / SUMMARY, summary)
        return summary

    def close(self) -> None:
        """Flush and close the TensorBoard events."""
        self._events.close()


_PROGRESS = ("critic_updates", "samples_seen", "wall_seconds", "train_seconds")


def write_options(folder: Path, config: Mapping[str, Any], device: torch.device, facts: Mapping[str, Any]) -> None:
    """Write `options.json`: configuration, code, versions, device, and further `facts` (corpus, signature, floor)."""
    options = {
        "config": config,
        "seed": config["seed"],
        **_code_version(),
        "versions": {
            "textgan": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "device": {
            "type": device.type,
            "name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor_name(),
            "threads": torch.get_num_threads(),
        },
        "started": datetime.now(UTC).timestamp(),
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }
    write_json(folder / OPTIONS, options)


def read_options(folder: Path) -> dict[str, Any]:
    """Return a run's options.

    Raises:
        InputError: there is no run in the folder, or its options cannot be read.
    """
    path = folder / OPTIONS
    if not path.exists():
        raise InputError(f"{folder}: not a run (no {OPTIONS}); give the folder of a run")
    try:
        options: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); start again with another --run-dir") from error
    return options


def read_metrics(folder: Path) -> list[Row]:
    """Return the rows of a run's metrics; a last line cut off by a crash is left out.

    Raises:
        InputError: another line is damaged.
    """
    path = folder / METRICS
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise InputError(f"{path}:{number}: damaged row ({error}); remove the line") from error
    return rows


def _json_line(row: Row) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"


def _code_version() -> dict[str, Any]:
    """Return the commit of the checkout this file is in, and whether it was changed; null outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # an installed copy may lie in somebody else's checkout
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
