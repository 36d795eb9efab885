"""Write the files of a run's folder, from `options.json` before step 0 to `summary.json` at the end.

`metrics.jsonl` is append-only, one row per evaluation; on resume, rows after the checkpoint are dropped and recomputed.
`samples/ITERATION.*` holds the samples of an evaluation. TensorBoard events carry the training clock as their wall
time, so TensorBoard's relative axis compares runs by training time. The scores of real data are a separate TensorBoard
run, `real data`, which puts them into the charts of the scores.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from torch.utils.tensorboard import SummaryWriter

from data.errors import InputError, note
from data.files import atomic_write, locked_folder, remove_partial, write_json
from data.naming import as_flag
from data.outputs import require_output_folder
from eval.core.score import without_name
from textgan.engine.progress import Clock
from textgan.engine.provenance import code_version, describe_device, versions
from textgan.engine.run_folder import (
    FORMAT,
    METRICS,
    OPTIONS,
    SUMMARY,
    DeclaredScore,
    Row,
    as_format,
    declared_scores,
    headline,
    of_group,
    read_metrics,
    read_options,
    score_title,
    start_settings,
)
from textgan.engine.trainer import Trainer

REAL_DATA = "real data"
"""Subfolder of a run with the TensorBoard events of real data's scores."""


@dataclass(frozen=True)
class SampleFile:
    """Samples of an evaluation: suffix and content of their file, and a function that shows them in TensorBoard.

    `show(events, iteration, walltime)` adds the samples to TensorBoard's events.
    """

    suffix: str
    content: bytes
    show: Callable[[SummaryWriter, int, float], None]


class RunLog:
    """Writes a run's metrics, samples and TensorBoard events, from the start or continuing at an iteration.

    `rows` are the rows logged so far; rows and samples after the iteration are dropped. `floor` maps score names to the
    scores of real data, None if unknown.
    """

    def __init__(self, folder: Path, iteration: int, floor: Mapping[str, float] | None) -> None:
        self.folder = folder
        self._floor = floor
        self.rows = [row for row in read_metrics(folder) if row["iteration"] <= iteration]
        options, self._scores = read_options(folder), declared_scores(folder)
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
        # TensorBoard drops events of earlier processes from this step on.
        purge_step = self.rows[-1]["iteration"] + 1 if self.rows else 0
        self._events = SummaryWriter(str(folder), purge_step=purge_step)
        self._real_data_events = SummaryWriter(str(folder / REAL_DATA), purge_step=purge_step) if floor else None
        if not self.rows:
            charts = {score_title(name): ["Multiline", [f"scores/{name}"]] for name in headline(self._scores)}
            self._events.add_custom_scalars({"Scores of all runs": charts})
            # TensorBoard's hparams tab groups runs with equal settings, so the seed must not be among them.
            settings = {name: value for name, value in options["config"].items() if name not in ("seed", "run_dir")}
            shown = {
                name: " ".join(value) if isinstance(value, list) else value
                for name, value in settings.items()
                if value is not None
            }
            assert self._events.file_writer is not None
            self._events.file_writer.add_summary(hparams_pb(shown, start_time_secs=self._started))

    def log(self, row: Row, samples: SampleFile) -> None:
        """Write the row, the samples and the TensorBoard events of an evaluation."""
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
        if self._floor and self._real_data_events is not None:
            for name, value in self._floor.items():
                self._real_data_events.add_scalar(f"scores/{name}", value, iteration, walltime=time)
            self._real_data_events.flush()
        self.rows.append(row)

    def summarise(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write and return the summary: best, first and last value of each score, floor, totals, and other facts."""
        first, last = self.rows[0], self.rows[-1]
        best = {}
        for name, score in self._scores.items():
            row = min(self.rows, key=lambda row: (score.sign * row[f"scores/{name}"], row["iteration"]))
            place = {"iteration": row["iteration"], "train_seconds": row["time/train_seconds"]}
            best[name] = {"value": row[f"scores/{name}"], **place}
        summary = {
            "best": best,
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
        if self._real_data_events is not None:
            self._real_data_events.close()

    def _line(self, row: Row) -> bytes:
        return json.dumps(as_format(row, self._format), allow_nan=False).encode() + b"\n"


def make_row(trainer: Trainer, clock: Clock, stats: Mapping[str, float]) -> Row:
    """Return a row of metrics without scores; `stats` has no losses and norms before a process's first step."""
    time = {f"time/{name}": value for name, value in {**trainer.counters, **asdict(clock)}.items()}
    return {"iteration": trainer.iteration, **time, **{f"train/{name}": value for name, value in stats.items()}}


def with_scores(row: Row, scores: Mapping[str, float]) -> Row:
    """Return a row of metrics with its scores, between the groups `time/` and `train/`."""
    before = {name: value for name, value in row.items() if not name.startswith("train/")}
    return {**before, **{f"scores/{name}": value for name, value in scores.items()}, **row}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create and lock a run's folder against other processes; remove the partial files of a killed process.

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
    """Write `options.json` for a new run, or check that the folder's run can be continued with these options.

    Args:
        folder: the run's folder.
        config: the resolved settings.
        may_change: settings that may change when a run is continued.
        device: device of the training.
        facts: further entries of `options.json`; `data_sha256`, `start` and the signatures in `scores` may not change.

    Raises:
        InputError: the folder's run has a different setting (named in the message), device, data or signature, or has
            already used more than the given budget.
    """
    if not (folder / OPTIONS).exists():
        if (folder / "checkpoints").exists():
            raise InputError(f"{folder}: checkpoints without {OPTIONS}; choose another --run-dir, or clear this one")
        (folder / "samples").mkdir(exist_ok=True)
        started = datetime.now(UTC)
        options = {
            "format": FORMAT,
            "config": config,
            "seed": config["seed"],
            **code_version(),
            "versions": versions(),
            "device": describe_device(device),
            "started": started.timestamp(),
            "started_utc": started.isoformat(timespec="seconds"),
            **facts,
        }
        write_json(folder / OPTIONS, options)
        return
    options = read_options(folder)
    for name, value in config.items():
        if name not in options["config"]:
            raise InputError(f"{folder}: begun by a version without {as_flag(name)}; choose another --run-dir")
        before = options["config"][name]
        if before != value and name not in may_change:
            raise InputError(
                f"{as_flag(name)} {value}: the run in {folder} has {before}; "
                "continue it with that, or choose another --run-dir"
            )
    rows = read_metrics(folder)
    if rows:
        _require_larger_budget(folder, config, options["config"], rows[-1])
    if (before := options["device"]["type"]) != device.type:
        raise InputError(f"--device {device.type}: the run in {folder} is on {before}; choose another --run-dir")
    if options["data_sha256"] != facts["data_sha256"]:
        raise InputError(f"--data: differs from the data of the run in {folder}; choose another --run-dir")
    _require_same_scores(folder, facts["scores"])
    if not _same_start(config["start"], options, facts):
        raise InputError(f"--start {config['start']}: not the start of the run in {folder}; choose another --run-dir")
    changes = _changes(folder, options, device, rows[-1]) if rows else []
    if changes or options["config"] != config:  # for instance a larger budget, or data moved to another path
        continued = [*options.get("continued", []), *changes]
        (folder / SUMMARY).unlink(missing_ok=True)  # of the smaller budget: with the new one the run is not finished
        write_json(folder / OPTIONS, {**options, **facts, "config": config, "continued": continued})


def _same_start(start: str | None, options: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether a run that is continued names the start that it began from; the start may have moved."""
    begun = options.get("start")
    if begun is None or start is None:
        return begun is None and start is None
    if facts.get("start", begun) != begun:
        return False
    moved = Path(start) != Path(options["config"]["start"]).resolve()
    return not moved or start_settings(read_options(Path(start))["config"]) == begun["settings"]


def _require_same_scores(folder: Path, scores: Mapping[str, Any]) -> None:
    """Refuse to continue a run with scores that do not compare with the logged ones.

    Raises:
        InputError: names the first of these scores.
    """
    before = declared_scores(folder)
    now = {name: DeclaredScore(**score) for name, score in scores.items()}
    for name in [*before, *now]:
        was, is_now = (None if name not in of else without_name(of[name].signature) for of in (before, now))
        if was != is_now:
            raise InputError(f"{folder}: its {name} is {was}, not {is_now}; choose another --run-dir")


def _require_larger_budget(folder: Path, config: Mapping[str, Any], before: Mapping[str, Any], last: Row) -> None:
    """Refuse to lower a budget below what the run has used: `options.json` would contradict the metrics.

    Raises:
        InputError: names the budget.
    """
    used = {"iterations": last["iteration"], "minutes": last["time/train_seconds"] / 60}
    for name, amount in used.items():
        budget = config[name]
        if budget is not None and budget < amount and (before[name] is None or budget < before[name]):
            raise InputError(
                f"--{name} {budget}: the run in {folder} has trained for {amount:.6g} {name}; "
                "raise it, or choose another --run-dir"
            )


def _changes(folder: Path, options: Mapping[str, Any], device: torch.device, last: Row) -> list[dict[str, Any]]:
    """Return changes of threads, processes, processor and torch since the run last trained, and print a note.

    Floating-point sums depend on all four, so losses and scores differ from those of an uninterrupted run.
    """
    now = datetime.now(UTC)
    if now.timestamp() < options["started"] + last["time/wall_seconds"]:
        note(
            f"{folder}: the system's clock is earlier than when the run was last written; TensorBoard "
            "orders events by this clock, and may not show the curves from here on"
        )
    before = {"processes": 1, **options["device"], **options["versions"]}
    for change in options.get("continued", []):
        before |= change
    here = {**describe_device(device), **versions()}
    changed = {name: here[name] for name in ("threads", "processes", "name", "torch") if here[name] != before.get(name)}
    if not changed:
        return []
    differences = ", ".join(f"{name} {value} (before: {before.get(name)})" for name, value in changed.items())
    note(f"{folder}: continued with {differences}; numbers differ from an uninterrupted run's")
    return [{"iteration": last["iteration"], "utc": now.isoformat(timespec="seconds"), **changed}]
