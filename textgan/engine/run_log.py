"""Write a run's folder, from `options.json` before step 0 to `summary.json` at the end. Knows no text.

`metrics.jsonl` has one row per evaluation and only grows, except that a continued run drops the rows after its
checkpoint and computes them again; `samples/ITERATION.*` holds the samples of that evaluation. TensorBoard's events
carry the training clock as their wall time, so its relative axis compares runs by training time. The scores of real
data are events of a run of their own, `real data`, so that TensorBoard draws them into the charts of the scores.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from torch.utils.tensorboard import SummaryWriter

from data.errors import InputError, note
from data.files import atomic_write, locked_folder, remove_partial, write_json
from data.outputs import require_output_folder
from eval.core.score import without_name
from textgan.engine.players import StepStats
from textgan.engine.progress import Clock
from textgan.engine.provenance import code_version, describe_device, versions
from textgan.engine.run_folder import (
    FORMAT,
    METRICS,
    OPTIONS,
    SUMMARY,
    Row,
    as_format,
    headline,
    of_group,
    read_metrics,
    read_options,
    score_title,
)
from textgan.engine.trainer import Learner

REAL_DATA = "real data"
"""Folder, inside the run's, of TensorBoard's events with the scores of real data."""


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

    `rows` are those logged so far; on continuing, rows and samples after the iteration are dropped. `floor` holds the
    scores of real data by name, None if they are not known.
    """

    def __init__(self, folder: Path, iteration: int, floor: Mapping[str, float] | None) -> None:
        self.folder = folder
        self._floor = floor
        self.rows = [row for row in read_metrics(folder) if row["iteration"] <= iteration]
        options = read_options(folder)
        self._format = int(options["format"])
        kept = b"".join(self._line(row) for row in self.rows)
        if not (folder / METRICS).exists() or (folder / METRICS).read_bytes() != kept:
            with atomic_write(folder / METRICS) as file:
                file.write(kept)
        (folder / SUMMARY).unlink(missing_ok=True)
        logged = {str(row["iteration"]) for row in self.rows}
        for samples in (folder / "samples").iterdir():
            if samples.stem.isdecimal() and samples.stem not in logged:
                samples.unlink()
        self._started = float(options["started"])
        # TensorBoard forgets what an earlier process wrote from here on.
        purge_step = self.rows[-1]["iteration"] + 1 if self.rows else 0
        self._events = SummaryWriter(str(folder), purge_step=purge_step)
        self._of_real_data = SummaryWriter(str(folder / REAL_DATA), purge_step=purge_step) if floor else None
        if not self.rows:
            charts = {score_title(name): ["Multiline", [f"scores/{name}"]] for name in headline(options["scores"])}
            self._events.add_custom_scalars({"Scores of all runs": charts})
            # TensorBoard's hparams tab groups runs with equal settings, so the seed must not be among them.
            settings = {name: value for name, value in options["config"].items() if name not in ("seed", "run_dir")}
            shown = {name: value for name, value in settings.items() if value is not None}
            assert self._events.file_writer is not None
            self._events.file_writer.add_summary(hparams_pb(shown, start_time_secs=self._started))

    def has(self, iteration: int) -> bool:
        """Whether this iteration's evaluation is logged already."""
        return bool(self.rows) and self.rows[-1]["iteration"] == iteration

    @property
    def last_train_seconds(self) -> float | None:
        """Seconds of training at the last evaluation; None before the first."""
        return float(self.rows[-1]["time/train_seconds"]) if self.rows else None

    def log(self, row: Row, samples: Samples) -> None:
        """Write an evaluation: its row, its samples and their TensorBoard events."""
        iteration, time = row["iteration"], self._started + row["time/train_seconds"]
        with atomic_write(self.folder / "samples" / f"{iteration}{samples.suffix}") as file:
            file.write(samples.content)
        with (self.folder / METRICS).open("ab") as metrics:
            metrics.write(self._line(row))
        for name, value in row.items():
            if name != "iteration" and value is not None:
                self._events.add_scalar(name, value, iteration, walltime=time)
        samples.show(self._events, iteration, time)
        self._events.flush()
        if self._floor and self._of_real_data is not None:
            for name, value in self._floor.items():
                self._of_real_data.add_scalar(f"scores/{name}", value, iteration, walltime=time)
            self._of_real_data.flush()
        self.rows.append(row)

    def summarise(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write and return the summary: each score's best value and where, the floor, the totals, and other facts."""
        first, last = self.rows[0], self.rows[-1]
        best = {name: min(self.rows, key=lambda row: row[f"scores/{name}"]) for name in of_group(last, "scores")}
        summary = {
            "best": {
                name: {
                    "value": row[f"scores/{name}"],
                    "iteration": row["iteration"],
                    "train_seconds": row["time/train_seconds"],
                }
                for name, row in best.items()
            },
            "first": of_group(first, "scores"),
            "last": of_group(last, "scores"),
            "floor": self._floor,
            "totals": {"iteration": last["iteration"], **of_group(last, "time")},
            **facts,
        }
        write_json(self.folder / SUMMARY, summary)
        return summary

    def close(self) -> None:
        """Flush and close the TensorBoard events."""
        self._events.close()
        if self._of_real_data is not None:
            self._of_real_data.close()

    def _line(self, row: Row) -> bytes:
        return json.dumps(as_format(row, self._format), allow_nan=False).encode() + b"\n"


_STATS = tuple(field.name for field in fields(StepStats))


def make_row(trainer: Learner, clock: Clock, stats: StepStats | None, scores: Mapping[str, float]) -> Row:
    """Return a row of metrics; before the first step of a process there are no losses, and they are None."""
    counted = {"critic_updates": trainer.critic_updates, "samples_seen": trainer.samples_seen, **asdict(clock)}
    measured = dict.fromkeys(_STATS) if stats is None else asdict(stats)
    groups: Mapping[str, Mapping[str, Any]] = {"time": counted, "scores": scores, "train": measured}
    return {
        "iteration": trainer.iteration,
        **{f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()},
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
        InputError: the folder holds a run with another value of a setting, which is named, or other data or scores;
            or a run that is past the budget that it is given now.
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
        if before == value:
            continue
        if name not in may_change:
            raise InputError(
                f"--{name.replace('_', '-')} {value}: the run in {folder} has {before}; "
                "continue it with that, or choose another --run-dir"
            )
    rows = read_metrics(folder)
    if rows:
        _require_larger_budget(folder, config, options["config"], rows[-1])
    if (before := options["device"]["type"]) != device.type:
        raise InputError(f"--device {device.type}: the run in {folder} is on {before}; choose another --run-dir")
    if options["data_sha256"] != facts["data_sha256"]:
        raise InputError(f"--data: not what the run in {folder} began with; choose another --run-dir")
    before, now = str(options.get("signature")), str(facts.get("signature"))
    if without_name(before) != without_name(now):
        raise InputError(f"{folder}: its scores are {before}, not {now}; choose another --run-dir")
    changes = _changes(folder, options, device, rows[-1]) if rows else []
    if changes or options["config"] != config:  # a larger budget, say, or data at another place
        continued = [*options.get("continued", []), *changes]
        write_json(folder / OPTIONS, {**options, **facts, "config": config, "continued": continued})


def _require_larger_budget(folder: Path, config: Mapping[str, Any], before: Mapping[str, Any], last: Row) -> None:
    """Refuse a smaller budget than the run has used: its options would say less than was done.

    Raises:
        InputError: naming the budget.
    """
    done = {"iterations": last["iteration"], "minutes": last["time/train_seconds"] / 60}
    for name, used in done.items():
        budget = config[name]
        if budget is not None and budget < used and (before[name] is None or budget < before[name]):
            raise InputError(
                f"--{name} {budget}: the run in {folder} has trained for {used:.6g} {name}; "
                "give at least as many, or choose another --run-dir"
            )


def _changes(folder: Path, options: Mapping[str, Any], device: torch.device, last: Row) -> list[dict[str, Any]]:
    """Note and return in what the place where a run is continued differs from where it trained before.

    Sums of floating-point numbers depend on threads, processor and versions, so the run's numbers do too.
    """
    now = datetime.now(UTC)
    if now.timestamp() < options["started"] + last["time/wall_seconds"]:
        note(
            f"{folder}: the system's clock is earlier than when the run was last written; TensorBoard, which "
            "orders events by it, may miss the curves from here on"
        )
    before = {**options["device"], **options["versions"]}
    for change in options.get("continued", []):
        before |= change
    here = {**describe_device(device), **versions()}
    changed = {name: here[name] for name in ("threads", "name", "torch") if here[name] != before.get(name)}
    if not changed:
        return []
    told = ", ".join(f"{name} {value} (before: {before.get(name)})" for name, value in changed.items())
    note(f"{folder}: continued with {told}; numbers differ from an uninterrupted run's")
    return [{"iteration": last["iteration"], "utc": now.isoformat(timespec="seconds"), **changed}]


def _write_options(folder: Path, config: Mapping[str, Any], device: torch.device, facts: Mapping[str, Any]) -> None:
    options = {
        "format": FORMAT,
        "argv": sys.argv,
        "config": config,
        "seed": config["seed"],
        **code_version(),
        "versions": versions(),
        "device": describe_device(device),
        "started": datetime.now(UTC).timestamp(),
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }
    write_json(folder / OPTIONS, options)
