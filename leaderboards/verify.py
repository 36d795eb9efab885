"""Verify records: the samples are the submitted ones, and scoring them again gives the recorded values.

    python -m leaderboards.verify
    python -m leaderboards.verify leaderboards/records/my-task --reference corpus.txt.gz

Scoring again needs the reference text and the samples. If one is not available, the record is printed as skipped. The
exit status is 1 if a record failed.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.errors import InputError
from data.readers import read_lines
from data.sources import open_oracle
from eval.core.score import without_name
from eval.text.metrics import EXACT_SCORES, score_file
from leaderboards.places import RECORD, chosen_records, record_folders
from leaderboards.records import (
    Band,
    Record,
    SampleEntry,
    ScoreEntry,
    Task,
    deviation,
    naming_damage,
    read_record,
    read_task,
)
from leaderboards.samples import kept_text, read_text, reference_of
from leaderboards.signatures import exact_parts, fits, joint_signature, word_rule
from textgan.engine.run_folder import floors_by_name, values_by_name

_TOLERANCE = 1e-9
_CURVE_TOLERANCE = 1e-4  # curves are stored with 4 decimals
_WINDOW_TOLERANCE = 1e-6  # window means with 6


@dataclass(frozen=True)
class VerifyCommand:
    """Flags of `python -m leaderboards.verify`."""

    places: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of records, or folders above them. Default: all records of the checkout."""
    reference: str | None = None
    """Reference text. Default: the source named in the record."""
    samples: Path | None = None
    """Samples of a record that stores only their hash."""


def verify(record: Record, task: Task, reference: str | None, samples: Path | None) -> list[str]:
    """Return the errors in a record; none if it is sound.

    Text is scored again. Of images, a record keeps a grid only: its hash and the record's values are checked. Published
    numbers have no samples and always pass. If `reference` is None, the source named in the record is the reference;
    `samples` are needed only if the record stores nothing but their hash.

    Raises:
        InputError: the samples are not stored and not given, or the reference text cannot be read.
    """
    try:
        with naming_damage(record.folder / RECORD):
            errors = _contradictions(record)
            options = reference_of(record, reference) if task.metrics and record.samples else None
    except InputError as error:
        return [str(error)]
    if record.kind != "published" and not fits(record.signature, task.signature):
        errors.append(f"scored as {record.signature}, but the task takes {task.signature}")
    if errors:
        return errors
    paths = [_path(record, entry, samples) for entry in record.samples]
    for path, entry in zip(paths, record.samples, strict=True):
        if not path.exists():
            errors.append(f"{path.name} is missing")
        elif entry.sha256 not in _hashes(path):
            errors.append(f"{path.name} is not as it was submitted")
    if errors or options is None:
        return errors
    for path, entry in zip(paths, record.samples, strict=True):
        scores = score_file(path, task.metrics, options, word_rule(record.signature))
        signatures = [*(score.signature for score in scores), *exact_parts(record.signature)]
        if without_name(signature := joint_signature(signatures)) != without_name(record.signature):
            errors.append(f"{path.name} is scored as {signature}, the record says {record.signature}")
            continue
        values = values_by_name(scores)
        for name, floor in floors_by_name(scores).items():
            if task.floor is not None and not abs(task.floor.get(name, floor) - floor) <= _TOLERANCE:
                errors.append(f"real lines score {name} {floor:.6f}, but the task says {task.floor[name]:.6f}")
        if "nll_oracle" in entry.scores:
            values["nll_oracle"] = _oracle_loss(path, options.corpus.data)
        of_samples = {name: value for name, value in entry.scores.items() if name in values or name not in EXACT_SCORES}
        if of_samples.keys() != values.keys():
            errors.append(f"{path.name} is scored by {', '.join(values)}, the record has {', '.join(of_samples)}")
            continue
        for name, value in of_samples.items():
            if not abs(values[name] - value) <= _TOLERANCE:  # also true for NaN
                errors.append(f"{path.name} scores {name} {values[name]:.6f}, the record says {value:.6f}")
    return errors


def _oracle_loss(path: Path, data: str) -> float:
    """Return the mean of -log o over the symbols of a file's lines, in nats, under the oracle o of a `--data` value.

    It is NaN, which equals no recorded loss, if the lines are not of equal length or hold symbols that o lacks.
    """
    oracle, lines = open_oracle(data), [line.split() for block in read_lines(path) for line in block]
    try:
        return -float(oracle.log_probs(np.array(lines, np.int64)).mean())
    except (IndexError, ValueError):
        return math.nan


def _contradictions(record: Record) -> list[str]:
    """Return inconsistencies between a record's displayed values and its data."""
    errors = []
    for name, score in record.scores.items():
        if record.kind == "published":
            continue
        expected = fmean(score.runs or ()) if record.kind == "runs" else record.samples[0].scores[name]
        if score.end is None or not abs(expected - score.end) <= _TOLERANCE:
            errors.append(f"{name} at the end is {score.end}, but the record's data give {expected}")
        if record.kind == "runs" and not _same(spread := deviation(score.runs or ()), score.sd):
            errors.append(f"{name} has a standard deviation of {score.sd}, but its runs give {spread}")
        if record.curve is not None and name in record.curve.bands:
            at_last = [entry.scores.get(name) for entry in record.samples]
            errors += _curve_contradictions(name, score, record.curve.minutes, record.curve.bands[name], at_last)
        elif record.kind == "runs" and score.best_run is not None:
            errors.append(f"{name} has no curve, but the best run's is {score.best_run}")
        elif record.kind == "runs" and [*(score.runs or ())] != [entry.scores[name] for entry in record.samples]:
            errors.append(f"{name} has no curve, and its runs are not the scores of their last samples")
    return errors


def _same(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else abs(one - other) <= _TOLERANCE


def _curve_contradictions(
    name: str, score: ScoreEntry, minutes: Sequence[float], band: Band, at_last: Sequence[float | None]
) -> list[str]:
    """Return inconsistencies between a score's displayed values, its curve, and its window means [runs, windows].

    `at_last` are the scores of the runs' last samples: the values at the end, if there are fewer than ten windows.
    """
    side = band.low if score.better == "lower" else band.high
    best = min((value for value in side if value is not None), key=lambda value: score.sign * value)
    if score.best_run is None or not abs(best - score.best_run) <= _CURVE_TOLERANCE:
        return [f"the best run's {name} is {score.best_run}, but the best value of the curve is {best}"]
    if score.windows is None:  # missing in records of older versions
        return []
    windows = np.array(score.windows, float)  # None becomes NaN: no evaluation yet
    if windows.shape != (len(score.runs or ()), len(minutes)) or np.isnan(windows[:, -1]).any():
        return [f"{name} has no mean for each of {len(score.runs or ())} runs and {len(minutes)} windows"]
    means = windows.mean(axis=0)
    ends = np.nanmean(windows[:, -max(1, windows.shape[1] // 10) :], axis=1).tolist()
    if windows.shape[1] < 10 and list(score.runs or ()) == at_last:
        ends = at_last
    sign = score.sign
    expected = {
        "best run": (score.best_run, sign * np.nanmin(sign * windows), _WINDOW_TOLERANCE),
        "best mean": (score.best_mean, sign * np.nanmin(sign * means), _WINDOW_TOLERANCE),
        "end of a run": (score.runs, ends, _WINDOW_TOLERANCE),
        "curve of means": (band.mean, means, _CURVE_TOLERANCE),
        "lower end of the band": (band.low, windows.min(axis=0), _CURVE_TOLERANCE),
        "upper end of the band": (band.high, windows.max(axis=0), _CURVE_TOLERANCE),
    }
    return [
        f"the windows of {name} give another {place}"
        for place, (shown, value, tolerance) in expected.items()
        if not np.allclose(np.array(shown, float), value, rtol=0, atol=tolerance, equal_nan=True)
    ]


def _hashes(path: Path) -> set[str]:
    """Return the hashes of a sample file as it is and with normalised line ends, as different versions stored them."""
    hashes = set()
    for read in (read_text, kept_text):
        with suppress(InputError):  # damaged, or an image
            hashes.add(hashlib.sha256(read(path)).hexdigest())
    return hashes


def _path(record: Record, entry: SampleEntry, samples: Path | None) -> Path:
    if entry.file is not None:
        return record.folder / entry.file
    if samples is None:
        raise InputError(f"samples not kept here, their sha256 is {entry.sha256}; give them with --samples")
    return samples


def _folders(place: Path) -> set[Path]:
    """Return the record folders at or below `place`. Links to tasks and records are followed."""
    inside = {path.parent for path in place.rglob(RECORD)}
    linked = {path for folder in [place, *place.glob("*/")] for path in record_folders(folder)}
    return {path for path in inside | linked if not any(part.startswith(".") for part in path.relative_to(place).parts)}


def _keeps_all_samples(folders: Iterable[Path]) -> bool:
    """Whether all samples of readable records are stored."""
    entries: list[SampleEntry] = []
    for folder in folders:
        with suppress(InputError):
            entries += read_record(folder).samples
    return bool(entries) and all(entry.file is not None for entry in entries)


def main(arguments: list[str]) -> int:
    """Run the command: print one line per record."""
    command = parse_command(VerifyCommand, arguments, "leaderboards.verify", __doc__)
    places = command.places or (chosen_records(None),)
    folders = sorted({folder for place in places for folder in _folders(place)})
    if not folders:
        raise InputError(f"{places[0]}: no record there (no {RECORD})")
    if command.samples is not None and _keeps_all_samples(folders):
        raise InputError(f"--samples {command.samples}: the records keep their samples; leave the flag out")
    failed = False
    for folder in folders:
        errors, skipped = [], ""
        try:
            task, record = read_task(folder.parent), read_record(folder)
        except InputError as error:
            errors = [str(error)]
        else:
            try:
                errors = verify(record, task, command.reference, command.samples)
            except (InputError, OSError) as error:
                skipped = f"not scored again ({error})"
        failed |= bool(errors)
        state = "FAILED" if errors else "skipped" if skipped else "passed"
        print(f"{state}  {folder}: {'; '.join(errors) or skipped or 'ok'}")
    return 1 if failed else 0


if __name__ == "__main__":
    run_command(main)
