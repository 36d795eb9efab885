"""A record before it is written: from the runs of a method, its scores, curves, options and last samples."""

import gzip
import hashlib
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from data.errors import InputError
from images.train import IMAGES
from leaderboards.records import Kind
from textgan.engine.run_folder import read_metrics, read_options, require_scores
from textgan.engine.settings import as_flags
from textgan.runs.aggregate import Group, summarize, window_count
from textgan.runs.program import TrainingProgram
from textgan.train import TEXT

_POINTS = 60
_PROGRAMS: Mapping[str, TrainingProgram[Any]] = {program.module: program for program in (TEXT, IMAGES)}


@dataclass(frozen=True)
class Submission:
    """A record to write: `files` go into its folder; `metrics` and `floor` are used if the task is new."""

    name: str
    kind: Kind
    metrics: Sequence[str]
    signature: str
    floor: Mapping[str, float] | None
    facts: Mapping[str, Any]
    scores: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]
    curve: Mapping[str, Any] | None
    files: Mapping[str, bytes]


def from_runs(group: Group, name: str, note: str) -> Submission:
    """Return the record of the runs of one method: scores at the end, windows, curve, options and last samples.

    Raises:
        InputError: a run has no samples of its last iteration.
    """
    signature, floor = group.runs[0].signature, group.runs[0].floor
    run_options = [read_options(run.folder) for run in group.runs]
    names = require_scores(group.runs[0].folder)
    points, _ = window_count([group], "minutes", _POINTS)
    summaries = {name: summarize([group], name, "minutes", points, None)[0] for name in names}
    scores = {
        name: {
            "best_run": summary.best_run[0],
            "best_mean": summary.best_mean[0],
            "end": summary.end,
            "sd": summary.deviation,
            "interval": summary.interval,
            "runs": summary.ends.tolist(),
            "windows": [_rounded(means, 6) for means in summary.windows],
            "better": "lower",
        }
        for name, summary in summaries.items()
    }
    curve = {"minutes": _rounded(next(iter(summaries.values())).x)} | {
        name: {
            "mean": _rounded(summary.windows.mean(axis=0)),
            "low": _rounded(summary.windows.min(axis=0)),
            "high": _rounded(summary.windows.max(axis=0)),
        }
        for name, summary in summaries.items()
    }
    program = _PROGRAMS[run_options[0]["program"]]
    config = _portable_config(run_options[0]["config"], program)
    rows = [read_metrics(run.folder)[-1] for run in group.runs]
    facts = {
        "command": shlex.join(
            [
                "python",
                "-m",
                program.module,
                *as_flags(type(program.presets[config["preset"]])(**{**config, "seed": 0}), program.presets),
            ]
        ),
        "seeds": [run.config["seed"] for run in group.runs],
        "commits": sorted({str(options["commit"]) for options in run_options}),
        "date": max(options["started_utc"] for options in run_options)[:10],
        "device": run_options[0]["device"],
        "critic_lr": config["critic_lr"] if rows[0]["time/critic_updates"] else None,
        "generator_lr": config["generator_lr"],
        "critic_steps": config["critic_steps"] if rows[0]["time/critic_updates"] else None,
        "minutes": [row["time/train_seconds"] / 60 for row in rows],
        "iterations": [row["iteration"] for row in rows],
        "note": note,
        **portable_reference(run_options[0]),
    }
    files: dict[str, bytes] = {}
    samples = []
    for run, row, options in zip(group.runs, rows, run_options, strict=True):
        seed = run.config["seed"]
        path = _last_samples(run.folder, row["iteration"])
        content, is_text = path.read_bytes(), path.suffix == ".txt"
        file = f"samples-seed{seed}{path.suffix}" + (".gz" if is_text else "")
        files[file] = gzip.compress(content, mtime=0) if is_text else content
        entry = sample_entry(file, content, {name: row[f"scores/{name}"] for name in names})
        samples.append({**entry, "seed": seed, "iteration": row["iteration"]})
        cleaned = {**options, "config": _portable_config(options["config"], program), **portable_reference(options)}
        files[f"options-seed{seed}.json"] = json.dumps(cleaned, indent=1, ensure_ascii=False).encode() + b"\n"
    metrics: list[str] = ["jsd"] if program is TEXT else []
    return Submission(name, "runs", metrics, signature, floor, facts, scores, samples, curve, files)


def _last_samples(run: Path, iteration: int) -> Path:
    for path in (run / "samples" / f"{iteration}{suffix}" for suffix in (".txt", ".png")):
        if path.exists():
            return path
    raise InputError(
        f"{run / 'samples'}: no samples of the last iteration, {iteration}; continue the run, or restore the file"
    )


def sample_entry(file: str | None, text: bytes, scores: Mapping[str, float]) -> dict[str, Any]:
    """Return the entry of one file of samples in a record; `file` is None if the record does not keep them."""
    return {"file": file, "sha256": hashlib.sha256(text).hexdigest(), "scores": dict(scores)}


def _rounded(values: Any, digits: int = 4) -> list[float | None]:
    return [round(float(value), digits) if math.isfinite(value) else None for value in values]


def _portable_config(config: Mapping[str, Any], program: TrainingProgram[Any]) -> dict[str, Any]:
    """Return a run's settings without paths on its machine and without settings that this version does not have."""
    current = {field.name for field in fields(program.presets[config["preset"]])}
    kept = {name: value for name, value in config.items() if name in current - {"weights"}}
    return {**kept, "data": without_folder(config["data"]), "run_dir": None}


def portable_reference(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry `reference` of a text run's options without paths on its machine; {} for image runs."""
    if "reference" not in options:
        return {}
    reference = options["reference"]
    corpus = {**reference["corpus"], "data": without_folder(reference["corpus"]["data"])}
    return {"reference": {**reference, "corpus": corpus}}


def without_folder(source: str) -> str:
    """Return a source without its folder: "kind:name" for "kind:/folder/name", "name" for "/folder/name"."""
    kind, colon, rest = source.partition(":")
    if not colon or Path(source).is_absolute():
        return Path(source).name
    name, more, column = rest.partition(":")
    return f"{kind}:{Path(name).name if Path(name).is_absolute() else name}{more}{column}"
