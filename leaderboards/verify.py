"""Check records: the samples are those that were submitted, and they score what the record says.

    python -m leaderboards.verify
    python -m leaderboards.verify leaderboards/records/my-task --reference corpus.txt.gz

Scoring again needs the reference text, and samples that are not kept; where they cannot be had, that is said.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.corpus import CorpusOptions
from data.errors import InputError
from eval.text.metrics import score_file
from eval.text.reference import ReferenceOptions
from leaderboards.records import (
    RECORD,
    Record,
    Task,
    chosen_records,
    joint_signature,
    kept_text,
    naming_damage,
    read_record,
    read_task,
    read_text,
    record_folders,
    values_by_name,
    word_rule,
)

_TOLERANCE = 1e-9
_ROUNDED = 1e-4  # curves are
_WINDOWS_ROUNDED = 1e-6


@dataclass(frozen=True)
class VerifyCommand:
    """Flags of `python -m leaderboards.verify`."""

    places: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Records, or folders that hold some. Default: all of the checkout."""
    reference: str | None = None
    """The reference text, if it is not where the record says."""
    samples: Path | None = None
    """The samples of a record that does not keep them."""


def verify(record: Record, task: Task, reference: str | None, samples: Path | None) -> list[str]:
    """Return what is wrong with a record.

    Nothing is wrong with published numbers, which have no samples; of images, of which a record keeps only some, the
    hash alone is checked.

    Args:
        record: to be checked.
        task: of the record.
        reference: the reference text, if it is not where the record says.
        samples: the samples, if the record does not keep them.

    Raises:
        InputError: the samples are not kept and not given, or the reference text cannot be read.
    """
    try:
        with naming_damage(record.folder / RECORD):
            wrong = _contradictions(record)
            options = _reference(record, reference) if task.metrics and record.samples else None
    except InputError as error:
        return [str(error)]
    if record.kind != "published" and record.signature != task.signature:
        wrong.append(f"scored as {record.signature}, but the task takes {task.signature}")
    if wrong:
        return wrong
    paths = [_path(record, entry, samples) for entry in record.samples]
    for path, entry in zip(paths, record.samples, strict=True):
        if not path.exists():
            wrong.append(f"{path.name} is missing")
        elif entry["sha256"] not in _hashes(path):
            wrong.append(f"{path.name} is not as it was submitted")
    if wrong or options is None:
        return wrong
    for path, entry in zip(paths, record.samples, strict=True):
        scores = score_file(path, task.metrics, options, word_rule(record.signature))
        if (found := joint_signature(scores)) != record.signature:
            wrong.append(f"{path.name} is scored as {found}, the record says {record.signature}")
            continue
        values = values_by_name(scores)
        if entry["scores"].keys() != values.keys():
            wrong.append(f"{path.name} is scored by {', '.join(values)}, the record has {', '.join(entry['scores'])}")
            continue
        for name, value in entry["scores"].items():
            if not abs(values[name] - value) <= _TOLERANCE:  # NaN is no number
                wrong.append(f"{path.name} scores {name} {values[name]:.6f}, the record says {value:.6f}")
    return wrong


def _contradictions(record: Record) -> list[str]:
    """Return inconsistencies between the values that tables and curves show of a record and the data that it holds."""
    wrong = []
    for name, score in record.scores.items():
        if record.kind == "runs":
            follows = fmean(score["runs"])
        elif record.kind == "samples":
            follows = record.samples[0]["scores"][name]
        else:
            continue
        if not abs(follows - score["end"]) <= _TOLERANCE:
            wrong.append(f"{name} at the end is {score['end']}, but what it holds gives {follows}")
        if record.curve is not None:
            lowest = min(value for value in record.curve[name]["low"] if value is not None)
            if not abs(lowest - score["best_run"]) <= _ROUNDED:
                wrong.append(f"the best run's {name} is {score['best_run']}, but the curve's is {lowest}")
            if "windows" in score:  # records of older versions have the curve alone
                wrong += _not_of_windows(name, score, record.curve)
    return wrong


def _not_of_windows(name: str, score: Mapping[str, Any], curve: Mapping[str, Any]) -> list[str]:
    """Return which values of a score are not those of its window means [runs, windows]."""
    windows = np.array(score["windows"], float)  # None is NaN: not scored yet
    if windows.shape != (len(score["runs"]), len(curve["minutes"])) or np.isnan(windows[:, -1]).any():
        return [f"{name} has no mean for each of {len(score['runs'])} runs and {len(curve['minutes'])} windows"]
    means = windows.mean(axis=0)
    last = windows[:, -max(1, windows.shape[1] // 10) :]
    follows = {
        "best run": (score["best_run"], np.nanmin(windows), _WINDOWS_ROUNDED),
        "best mean": (score["best_mean"], np.nanmin(means), _WINDOWS_ROUNDED),
        "end of a run": (score["runs"], np.nanmean(last, axis=1), _WINDOWS_ROUNDED),
        "curve of means": (curve[name]["mean"], means, _ROUNDED),
        "lower end of the band": (curve[name]["low"], windows.min(axis=0), _ROUNDED),
        "upper end of the band": (curve[name]["high"], windows.max(axis=0), _ROUNDED),
    }
    return [
        f"the windows of {name} give another {place}"
        for place, (shown, found, tolerance) in follows.items()
        if not np.allclose(np.array(shown, float), found, rtol=0, atol=tolerance, equal_nan=True)
    ]


def _hashes(path: Path) -> set[str]:
    """Return the hashes that a file's samples may have in a record; older versions did not even out line ends."""
    found = set()
    for read in (read_text, kept_text):
        with suppress(InputError):  # damaged, or a picture
            found.add(hashlib.sha256(read(path)).hexdigest())
    return found


def _path(record: Record, entry: Mapping[str, Any], samples: Path | None) -> Path:
    if entry["file"] is not None:
        return record.folder / str(entry["file"])
    if samples is None:
        raise InputError(f"samples not kept here, their sha256 is {entry['sha256']}; give them with --samples")
    return samples


def _reference(record: Record, data: str | None) -> ReferenceOptions:
    made = record.facts["reference"]
    corpus = CorpusOptions(**made["corpus"])
    corpus = corpus if data is None else replace(corpus, data=data)
    return ReferenceOptions(corpus, made["ngram"], made["padding"])


def _folders(place: Path) -> set[Path]:
    """Return the folders of records: `place` and those below it. Links to tasks and records are followed."""
    inside = {path.parent for path in place.rglob(RECORD)}
    linked = {path for folder in [place, *place.glob("*/")] for path in record_folders(folder)}
    return {path for path in inside | linked if not any(part.startswith(".") for part in path.relative_to(place).parts)}


def main(arguments: list[str]) -> int:
    """Verify records, a line each."""
    command = parse_command(VerifyCommand, arguments, "leaderboards.verify", __doc__)
    places = command.places or (chosen_records(None),)
    folders = sorted({folder for place in places for folder in _folders(place)})
    if not folders:
        raise InputError(f"{places[0]}: no record there (no {RECORD})")
    failed = False
    for folder in folders:
        wrong, skipped = [], ""
        try:
            task, record = read_task(folder.parent), read_record(folder)
        except InputError as error:
            wrong = [str(error)]
        else:
            try:
                wrong = verify(record, task, command.reference, command.samples)
            except (InputError, OSError) as error:
                skipped = f"not scored again ({error})"
        failed |= bool(wrong)
        state = "FAILED" if wrong else "skipped" if skipped else "passed"
        print(f"{state}  {folder}: {'; '.join(wrong) or skipped or 'ok'}")
    return 1 if failed else 0


if __name__ == "__main__":
    run_command(main)
