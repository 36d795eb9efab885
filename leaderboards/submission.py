"""A record before it is written: from the runs of a method, its scores, curves, options and last samples."""

import gzip
import hashlib
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import InputError
from data.errors import note as print_note
from data.naming import as_flag_words, without_folder
from eval.core.score import Better, Score
from eval.sentences.metrics import FEATURE_METRICS, FEATURE_SIGNATURES
from eval.text.metrics import EXACT_SCORES
from leaderboards.records import Band, Curve, Record, SampleEntry, ScoreEntry
from leaderboards.signatures import joint_signature
from textgan.engine.run_folder import SUMMARY, headline, read_metrics, read_options, score_name
from textgan.runs.aggregate import Axis, Group, MethodSummary, summarize, window_count

_POINTS = 60


@dataclass(frozen=True)
class Submission:
    """A record to write: `files` go into its folder; `metrics`, `floor` and `shown` are used if the task is new."""

    record: Record
    metrics: Sequence[str]
    floor: Mapping[str, float] | None
    shown: Mapping[str, Better]
    files: Mapping[str, bytes]


def from_runs(group: Group, name: str, note: str, exact: bool) -> Submission:
    """Return the record of the runs of one method: scores at the end, windows, curve, options and last samples.

    Scores of sentence features are left out: on another machine the features' language model may have other weights.

    Args:
        group: the runs.
        name: name of the record.
        note: note for readers.
        exact: whether the record has the runs' exact scores.

    Raises:
        InputError: a run has no samples of its last iteration, no score is left, or runs were scored with different
            settings.
    """
    declared, floor = group.runs[0].scores, group.runs[0].floor
    declared = {
        score: of
        for score, of in declared.items()
        if (exact or score not in EXACT_SCORES) and of.signature.partition("|")[0] not in FEATURE_SIGNATURES
    }
    floor = None if floor is None else {score: value for score, value in floor.items() if score in declared}
    if not declared:
        raise InputError(f"{name}: no score that another machine can verify; train with --scores jsd among others")
    unfinished = [run.folder for run in group.runs if not (run.folder / SUMMARY).exists()]
    if 0 < len(unfinished) < len(group.runs):
        raise InputError(f"{unfinished[0]}: has not used its budget, unlike other runs of {name}; continue it first")
    if unfinished:
        print_note(f"{', '.join(map(str, unfinished))}: the budget is not used; a continued run has other scores")
    run_options = [read_options(run.folder) for run in group.runs]
    # Runs of equal numbers of iterations end after different minutes; windows of minutes would leave out their ends.
    by_count = (
        run.config["minutes"] is None or run.x("iterations")[-1] >= (run.config["iterations"] or math.inf)
        for run in group.runs
    )
    axis: Axis = "iterations" if all(by_count) else "minutes"
    points, _ = window_count([group], axis, _POINTS)
    summaries = {score: summarize([group], score, axis, points, None, at_last=True)[0] for score in declared}
    edges = next(iter(summaries.values())).x
    minutes = np.mean([np.interp(edges, run.x(axis), run.x("minutes")) for run in group.runs], axis=0)
    bands = {
        score: Band(
            mean=_rounded(summary.windows.mean(axis=0)),
            low=_rounded(summary.windows.min(axis=0)),
            high=_rounded(summary.windows.max(axis=0)),
        )
        for score, summary in summaries.items()
    }
    rows = [read_metrics(run.folder)[-1] for run in group.runs]
    facts = {
        "command": run_options[0].get("command") or _rebuilt_command(run_options[0]),
        "seeds": [run.config["seed"] for run in group.runs],
        "commits": sorted({str(options["commit"]) for options in run_options}),
        "date": max(options["started_utc"] for options in run_options)[:10],
        "device": run_options[0]["device"],
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
        scored = {score: row[f"scores/{score}"] for score in declared}
        samples.append(SampleEntry(file, sha256_of(content), scored, seed, row["iteration"]))
        files[f"options-seed{seed}.json"] = (
            json.dumps(_portable(options), indent=1, ensure_ascii=False).encode() + b"\n"
        )
    signatures = [score.signature for score in declared.values()]
    record = Record(
        folder=Path(),
        name=name,
        kind="runs",
        signature=joint_signature(signatures),
        facts=facts,
        scores={score: _entry(summary, declared[score].better) for score, summary in summaries.items()},
        samples=samples,
        curve=Curve([round(x, 4) for x in minutes.tolist()], bands),
        settings=portable_settings(run_options[0]["config"]),
    )
    named = run_options[0]["config"].get("scores", [])  # of text; images are not scored again
    metrics = [metric for metric in named if metric not in FEATURE_METRICS]
    shown = {score: declared[score].better for score in in_table_order(headline(declared))}
    return Submission(record, metrics, floor, shown, files)


def _entry(summary: MethodSummary, better: Better) -> ScoreEntry:
    return ScoreEntry(
        better=better,
        end=summary.end,
        best_run=summary.best_run[0],
        best_mean=summary.best_mean[0],
        sd=summary.deviation,
        interval=summary.interval,
        runs=summary.ends.tolist(),
        windows=[_rounded(means, 6) for means in summary.windows],
    )


def in_table_order(scores: Sequence[str]) -> list[str]:
    """Return the scores of a new task in the order of its table, Self-BLEU first.

    The last score sorts the records, and random words have the best Self-BLEU.
    """
    return sorted(scores, key=lambda name: not name.startswith("self_bleu"))


def of_samples(scored: Sequence[Score]) -> dict[str, ScoreEntry]:
    """Return the entries of a record of samples: scores with intervals and corrected values."""
    return {
        score_name(name): ScoreEntry(
            better=score.better,
            end=value.value,
            interval=None if value.low is None or value.high is None else (value.low, value.high),
            corrected=value.corrected,
        )
        for score in scored
        for name, value in score.values.items()
    }


def sha256_of(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of samples."""
    return hashlib.sha256(content).hexdigest()


def _last_samples(run: Path, iteration: int) -> Path:
    for path in (run / "samples" / f"{iteration}{suffix}" for suffix in (".txt", ".png")):
        if path.exists():
            return path
    raise InputError(
        f"{run / 'samples'}: no samples of the last iteration, {iteration}; continue the run, or restore the file"
    )


def _rounded(values: Any, digits: int = 4) -> list[float | None]:
    return [round(float(value), digits) if math.isfinite(value) else None for value in values]


def _rebuilt_command(options: Mapping[str, Any]) -> str:
    """Return the command of a run that did not record one, with all recorded settings except seed and folder."""
    config = options["config"]
    # Of the two intervals, only one can be given.
    left_out = {"seed", "run_dir", "eval_seconds" if config.get("eval_seconds") is None else "eval_every"}
    words = ["python", "-m", options["program"]]
    for name, value in portable_settings(config).items():
        if name not in left_out:
            words += as_flag_words(name, value)
    return shlex.join(words)


def portable_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings without seed and folder, with file names in place of paths."""
    kept = {name: value for name, value in config.items() if name not in ("seed", "run_dir")}
    return {name: without_folder(value) if isinstance(value, str) else value for name, value in kept.items()}


def _portable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's options without paths on its machine."""
    kept = {name: value for name, value in options.items() if name != "argv"}
    config = {**portable_settings(options["config"]), "seed": options["config"]["seed"]}
    return {**kept, "config": config, **portable_reference(options)}


def portable_reference(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry `reference` of a text run's options without paths on its machine; {} for image runs."""
    if "reference" not in options:
        return {}
    reference = options["reference"]
    corpus = {**reference["corpus"], "data": without_folder(reference["corpus"]["data"])}
    return {"reference": {**reference, "corpus": corpus}}
