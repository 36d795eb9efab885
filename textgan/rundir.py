"""A run's folder as others read it: its options, its metrics, where runs are. Starts without torch."""

import glob
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError

OPTIONS, METRICS, SUMMARY = "options.json", "metrics.jsonl", "summary.json"

Row = Mapping[str, Any]


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
