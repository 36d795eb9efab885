"""RunLog: one run directory, from `options.json` before step 0 to `summary.json` at the end. Knows no text.

`metrics.jsonl` has one row an evaluation and only grows, but that a run which is continued drops the rows after its
checkpoint, to make them again; `samples/ITERATION.*` holds that evaluation's samples. TensorBoard's events carry the
training clock as their wall time, so its relative axis compares runs by training time.
"""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from torch.utils.tensorboard import SummaryWriter

from data import __version__
from data.errors import InputError
from data.files import atomic_write, locked_folder, remove_partial, write_json
from data.outputs import require_output_folder
from textgan.progress import Clock
from textgan.rundir import METRICS, OPTIONS, SUMMARY, Row, read_metrics, read_options
from textgan.trainer import Learner, StepStats


@dataclass(frozen=True)
class Samples:
    """Samples of an evaluation as a run keeps them: the content of a file, and how TensorBoard shows it.

    `show(events, iteration, walltime)` adds them to TensorBoard's events.
    """

    suffix: str
    content: bytes
    show: Callable[[SummaryWriter, int, float], None]


class RunLog:
    """Writes a run's metrics, samples and TensorBoard events; starts anew or continues at an iteration.

    `rows` are those logged so far; on continuing, rows and samples after the iteration are dropped. `floor` holds what
    real data scores, by the scores' names.
    """

    def __init__(self, folder: Path, iteration: int, floor: Mapping[str, float] | None) -> None:
        self.folder = folder
        self._floor = floor
        self.rows = [row for row in read_metrics(folder) if row["iteration"] <= iteration]
        kept = b"".join(_json_line(row) for row in self.rows)
        if not (folder / METRICS).exists() or (folder / METRICS).read_bytes() != kept:
            with atomic_write(folder / METRICS) as file:
                file.write(kept)
        (folder / SUMMARY).unlink(missing_ok=True)
        logged = {str(row["iteration"]) for row in self.rows}
        for samples in (folder / "samples").iterdir():
            if samples.stem.isdecimal() and samples.stem not in logged:
                samples.unlink()
        options = read_options(folder)
        self._started = float(options["started"])
        # TensorBoard forgets what an earlier process wrote from here on.
        self._events = SummaryWriter(str(folder), purge_step=self.rows[-1]["iteration"] + 1 if self.rows else 0)
        if not self.rows:
            for name, value in (floor or {}).items():
                self._events.add_scalar(f"floor/{name}", value, 0, walltime=self._started)
            # TensorBoard's hparams tab groups runs with equal settings, so the seed must not be among them.
            settings = {name: value for name, value in options["config"].items() if name not in ("seed", "run_dir")}
            shown = {name: value for name, value in settings.items() if value is not None}
            assert self._events.file_writer is not None
            self._events.file_writer.add_summary(hparams_pb(shown, start_time_secs=self._started))

    def has(self, iteration: int) -> bool:
        """Whether this iteration's evaluation is logged already."""
        return bool(self.rows) and self.rows[-1]["iteration"] == iteration

    def log(self, row: Row, samples: Samples) -> None:
        """Write an evaluation: its row, its samples and their TensorBoard events."""
        iteration, time = row["iteration"], self._started + row["train_seconds"]
        with atomic_write(self.folder / "samples" / f"{iteration}{samples.suffix}") as file:
            file.write(samples.content)
        with (self.folder / METRICS).open("ab") as metrics:
            metrics.write(_json_line(row))
        for name, value in row.items():
            if name != "iteration" and value is not None:
                group = "progress" if name in _PROGRESS else "training" if name in _STATS else "scores"
                self._events.add_scalar(f"{group}/{name}", value, iteration, walltime=time)
        samples.show(self._events, iteration, time)
        self._events.flush()
        self.rows.append(row)

    def summarise(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write and return the summary: each score's best value and where, the floor, the totals, and other facts."""
        first, last = self.rows[0], self.rows[-1]
        names = [name for name in last if name not in {"iteration", *_PROGRESS, *_STATS}]
        best = {name: min(self.rows, key=lambda row: row[name]) for name in names}
        summary = {
            "best": {
                name: {"value": row[name], "iteration": row["iteration"], "train_seconds": row["train_seconds"]}
                for name, row in best.items()
            },
            "first": {name: first[name] for name in names},
            "last": {name: last[name] for name in names},
            "floor": self._floor,
            "totals": {name: last[name] for name in ("iteration", *_PROGRESS)},
            **facts,
        }
        write_json(self.folder / SUMMARY, summary)
        return summary

    def close(self) -> None:
        """Flush and close the TensorBoard events."""
        self._events.close()


_PROGRESS = ("critic_updates", "samples_seen", "wall_seconds", "train_seconds")
_STATS = tuple(field.name for field in fields(StepStats))


def make_row(trainer: Learner, clock: Clock, stats: StepStats | None, scores: Mapping[str, float]) -> Row:
    """Return a row of metrics; before the first step of a process there are no losses, and they are None."""
    return {
        "iteration": trainer.iteration,
        "critic_updates": trainer.critic_updates,
        "samples_seen": trainer.samples_seen,
        **asdict(clock),
        **scores,
        **(dict.fromkeys(_STATS) if stats is None else asdict(stats)),
    }


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a run's folder and keep other processes from training in it meanwhile; clear what a killed one left there.

    Raises:
        InputError: another process is training there, or the folder holds the output of another command.
    """
    require_output_folder("--run-dir", folder, "run")
    with locked_folder(folder, f"{folder}: another process is training there; choose another --run-dir"):
        for place in (folder, folder / "checkpoints", folder / "samples"):
            remove_partial(place)
        yield


def begin_or_continue(
    folder: Path, config: Mapping[str, Any], may_change: Set[str], device: torch.device, facts: Mapping[str, Any]
) -> None:
    """Write the options of a new run, or check that the folder's run has the same ones.

    Args:
        folder: of the run.
        config: the resolved settings.
        may_change: settings in which a continued run may differ.
        device: where it trains.
        facts: what else is recorded; `facts["data_sha256"]` and `facts["signature"]` must stay as they are.

    Raises:
        InputError: the folder holds a run with another value of a setting, which is named, or other data or scores.
    """
    if not (folder / OPTIONS).exists():
        if (folder / "checkpoints").exists():
            raise InputError(f"{folder}: checkpoints without {OPTIONS}; choose another --run-dir, or clear this one")
        (folder / "samples").mkdir(exist_ok=True)
        _write_options(folder, config, device, facts)
        return
    options = read_options(folder)
    for name, value in config.items():
        if name not in options["config"]:
            raise InputError(
                f"{folder}: begun by a version without --{name.replace('_', '-')}; choose another --run-dir"
            )
        before = options["config"][name]
        if before != value and name not in may_change:
            raise InputError(
                f"--{name.replace('_', '-')} {value}: the run in {folder} has {before}; "
                "continue it with that, or choose another --run-dir"
            )
    if (before := options["device"]["type"]) != device.type:
        raise InputError(f"--device {device.type}: the run in {folder} is on {before}; choose another --run-dir")
    if options["data_sha256"] != facts["data_sha256"]:
        raise InputError(f"--data: not what the run in {folder} began with; choose another --run-dir")
    if (before := options.get("signature")) != facts.get("signature"):
        raise InputError(f"{folder}: its scores are {before}, not {facts.get('signature')}; choose another --run-dir")
    if options["config"] != config:  # a larger budget, say
        write_json(folder / OPTIONS, {**options, "config": config})


def _write_options(folder: Path, config: Mapping[str, Any], device: torch.device, facts: Mapping[str, Any]) -> None:
    tf32 = {"matmul": torch.backends.cuda.matmul.allow_tf32, "convolutions": torch.backends.cudnn.allow_tf32}
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
            # PyTorch's default is TF32 in convolutions.
            "tf32": [name for name, used in tf32.items() if used] if device.type == "cuda" else [],
        },
        "started": datetime.now(UTC).timestamp(),
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }
    write_json(folder / OPTIONS, options)


def _json_line(row: Row) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"


def _code_version() -> dict[str, Any]:
    """Return the commit of the checkout this file is in, and whether it was changed; null outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=here, check=True, capture_output=True, text=True, timeout=30
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
