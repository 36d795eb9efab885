"""The state of a suite's runs, read from their folders while they train."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from data.errors import InputError
from data.files import is_locked
from data.inputs import expand_user
from eval.core.tables import Block, Format, fixed, render
from textgan.engine.progress import Budget
from textgan.engine.run_folder import (
    METRICS,
    OPTIONS,
    SUMMARY,
    declared_scores,
    headline,
    of_group,
    read_metrics,
    read_options,
    score_title,
)
from textgan.engine.settings import Settings
from textgan.runs.executors import is_finished, share_done

State = Literal["finished", "running", "stopped", "failed", "waiting"]

_LOG_BYTES = 1 << 16
_ERROR = re.compile(r"error: |[\w.]*(Error|Exception)\b")


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    A run is running while a process holds the lock of its folder, failed if its log ends with an error, and waiting if
    it has no options yet. `share` is the used fraction of the budget; it, `iteration`, `minutes` of training and the
    headline `scores` are those at the last evaluation. `ends` is the expected end of a running run at the rate so far,
    None if unknown.
    """

    name: str
    state: State
    share: float = 0.0
    iteration: int = 0
    minutes: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    ends: datetime | None = None
    message: str = ""


def suite_status(folder: Path, planned: Sequence[Settings]) -> list[RunStatus]:
    """Return the states of planned runs, in their order, and of all other runs in a suite's folder, by name.

    Raises:
        InputError: nothing is planned, and there is no run in the folder.
    """
    folder = expand_user(folder)
    logs = {path.with_suffix("") for path in folder.glob("*.log")}
    wanted: dict[Path, Settings | None] = {config.folder: config for config in planned}
    for run in sorted(logs | {path.parent for path in folder.glob(f"*/{OPTIONS}")}):
        wanted.setdefault(run, None)
    if not wanted:
        raise InputError(f"{folder}: no run there; name the suite's folder with --suite-dir")
    return [run_status(run, config) for run, config in wanted.items()]


def run_status(folder: Path, planned: Settings | None = None) -> RunStatus:
    """Return the state of one run, judged by the planned settings, else by the recorded ones."""
    try:
        state, message = _state(folder, planned)
        rows = read_metrics(folder)
        if not rows:
            return RunStatus(folder.name, state, message=message)
        recorded = read_options(folder)["config"]
    except InputError as error:
        return RunStatus(folder.name, "failed", message=str(error))
    last = rows[-1]
    budget = Budget(recorded["iterations"], recorded["minutes"])
    if planned is not None:
        budget = Budget(planned.iterations, planned.minutes)
    share = share_done(rows, budget)
    ends = None
    if state == "running" and share > 0:
        remaining = last["time/wall_seconds"] * (1 - share) / share
        ends = datetime.fromtimestamp((folder / METRICS).stat().st_mtime + remaining).astimezone()
    scores = of_group(last, "scores")
    shown = {name: scores[name] for name in headline(declared_scores(folder)) if name in scores}
    return RunStatus(
        folder.name, state, share, last["iteration"], last["time/train_seconds"] / 60, shown, ends, message
    )


def _state(folder: Path, planned: Settings | None) -> tuple[State, str]:
    """Return a run's state, and the error that ended it."""
    if (folder / SUMMARY).exists() and (planned is None or is_finished(planned)):
        return "finished", ""
    if is_locked(folder):
        return "running", ""
    if error := _last_error(folder):
        return "failed", error
    return ("stopped" if (folder / OPTIONS).exists() else "waiting"), ""


def _last_error(folder: Path) -> str:
    """Return the last line of a run's log if it is an error, and the run was not evaluated after it; else ""."""
    log, metrics = folder.with_name(f"{folder.name}.log"), folder / METRICS
    if not log.exists() or (metrics.exists() and metrics.stat().st_mtime > log.stat().st_mtime):
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        last = file.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    return last if _ERROR.match(last) else ""


def shown_status(folder: Path, statuses: Sequence[RunStatus], output_format: Format) -> str:
    """Render the states of a suite's runs as a table."""
    names = list(dict.fromkeys(name for status in statuses for name in status.scores))
    head = ["run", "state", "done", "iteration", "minutes", *map(score_title, names), "expected end"]
    rows = [
        [
            status.name,
            status.state,
            f"{status.share:.0%}",
            f"{status.iteration:,}",
            fixed(status.minutes, 1),
            *(fixed(status.scores[name], 3) if name in status.scores else "-" for name in names),
            "-" if status.ends is None else f"{status.ends:%Y-%m-%d %H:%M}",
        ]
        for status in statuses
    ]
    records = [
        {
            "run": status.name,
            "state": status.state,
            "share": status.share,
            "iteration": status.iteration,
            "minutes": status.minutes,
            **{name: status.scores.get(name) for name in names},
            "expected_end": None if status.ends is None else status.ends.isoformat(timespec="seconds"),
            "message": status.message,
        }
        for status in statuses
    ]
    counts = ", ".join(f"{count} {state}" for state, count in Counter(status.state for status in statuses).items())
    notes = [f"{status.name}: {status.message}" for status in statuses if status.message]
    return render(output_format, [Block(f"{folder}: {counts}", [head, *rows], notes)], records)
