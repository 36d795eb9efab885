"""Read a run's folder: its options and metrics, of this version and of earlier ones. Starts without torch.

`options.json` says which format the folder has. Format 2 groups the columns of `metrics.jsonl`: `scores/jsd_4`,
`time/train_seconds`, `train/critic_loss`. Format 1 (textgan 0.1.0) wrote the names without groups and recorded no
format. `read_options` and `read_metrics` return both formats as format 2; `as_format` turns a row back into the format
of its run, so that a run keeps one format to its end.
"""

import glob
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.renamed import current_settings
from eval.core.score import upgraded

OPTIONS, METRICS, SUMMARY = "options.json", "metrics.jsonl", "summary.json"

FORMAT = 2

Row = Mapping[str, Any]

TIME = ("critic_updates", "samples_seen", "wall_seconds", "train_seconds")
"""Columns of the group `time`: counters and both clocks. `iteration`, which rows are told apart by, has no group."""

# What format 1 knew of a training step; every other column that is no counter and no clock was a score.
_TRAIN_1 = (
    *("critic_loss", "generator_loss", "gradient_penalty", "wasserstein", "critic_gradient_norm"),
    *("generator_gradient_norm", "critic_update_norm", "generator_update_norm"),
)

# Settings that earlier versions did not have, with the value by which a run does what it did then.
_ADDED_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "textgan.train": {"eval_seconds": None},
    "images.train": {"eval_seconds": None, "precision": "float32"},
}


def read_options(folder: Path) -> dict[str, Any]:
    """Return a run's options, those of an earlier version with the settings and signatures of this one.

    `format` stays that of the folder.

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
    added = _ADDED_SETTINGS.get(options.get("program", ""), {})
    newer = {"format": options.get("format", 1), "config": {**added, **current_settings(options["config"])}}
    if "signature" in options:
        newer["signature"] = upgraded(options["signature"])
    return {**options, **newer}


def read_metrics(folder: Path) -> list[Row]:
    """Return the rows of a run's metrics, their columns named as in format 2 whatever the run's format.

    A last line cut off by a crash is left out.

    Raises:
        InputError: another line is damaged.
    """
    path = folder / METRICS
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}:{number}: damaged row ({error}); remove the line") from error
        rows.append({_grouped(name): value for name, value in row.items()})
    return rows


def _grouped(name: str) -> str:
    """Return a column's name of either format as format 2 has it."""
    if name == "iteration" or "/" in name:
        return name
    group = "time" if name in TIME else "train" if name in _TRAIN_1 else "scores"
    return f"{group}/{name}"


def as_format(row: Row, number: int) -> Row:
    """Return a row of format 2 with the names of the columns that a format of this number has."""
    return row if number == FORMAT else {without_group(name): value for name, value in row.items()}


def without_group(name: str) -> str:
    """Return a column's name without its group: jsd_4 for scores/jsd_4."""
    return name.rpartition("/")[2]


def of_group(row: Row, group: str) -> dict[str, Any]:
    """Return the columns of one group of a row, their names without it."""
    return {without_group(name): value for name, value in row.items() if name.startswith(f"{group}/")}


def score_range(name: str) -> tuple[float, float]:
    """Return the smallest and the largest value of a score: a JSD lies in [0, 1], a distance in [0, infinity)."""
    return (0.0, 1.0) if name.startswith("jsd_") else (0.0, math.inf)


def require_scores(folder: Path) -> list[str]:
    """Return the names of a run's scores.

    Raises:
        InputError: it was made by a version that did not record them.
    """
    options = read_options(folder)
    if "scores" not in options:
        raise InputError(f"{folder}: made by an older version, which did not record its scores' names; train again")
    scores: list[str] = options["scores"]
    return scores


def headline(scores: Iterable[str]) -> list[str]:
    """Return the scores that speak for all: of n-gram JSD the paper's two where they are there, else all."""
    names = list(scores)
    return [name for name in names if name in ("jsd_4", "jsd_6")] or names


def score_title(name: str) -> str:
    """Return how a score of the metrics is shown: "JSD-4" for "jsd_4"."""
    return name.upper().replace("_", "-")


def find_runs(places: Sequence[str]) -> list[Path]:
    """Return the folders of runs: those named, those below folders named, and those a glob finds; each once, sorted.

    A place that exists is that place, whatever its name means to a glob.

    Raises:
        InputError: a place has no run.
    """
    found: dict[Path, Path] = {}
    for place in places:
        runs = {options.parent for match in _matches(place) for options in match.rglob(OPTIONS)}
        if not runs:
            raise InputError(f"{place}: no run there (no {OPTIONS}); give the folder of a run or of several")
        found |= {run.resolve(): run for run in sorted(runs)}
    return sorted(found.values())


def _matches(place: str) -> list[Path]:
    """Return the paths that a place names; only what comes after the folders that exist is a glob."""
    path = Path(place)
    if not place or path.exists():
        return [path] if place else []
    there = next(parent for parent in path.parents if parent.exists())
    pattern = str(path.relative_to(there))
    return [there / match for match in glob.glob(pattern, root_dir=there, recursive=True)]  # noqa: PTH207 (hides .*)
