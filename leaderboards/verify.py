"""Check records: the samples are those that were submitted, and they score what the record says.

    python -m leaderboards.verify
    python -m leaderboards.verify leaderboards/records/my-task --reference corpus.txt.gz

Scoring again needs the reference text, and samples that are not kept; where they cannot be had, that is said.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import tyro

from data.command import parse_command, run_command
from data.corpus import CorpusOptions
from data.errors import InputError
from data.naming import printable
from eval.reference import ReferenceOptions
from eval.score import upgraded
from leaderboards.records import RECORD, RECORDS, Record, read_record, read_task
from leaderboards.scoring import Metric, by_name, joint_signature, read_text, score_file, word_rule

_TOLERANCE = 1e-9
_ROUNDED = 1e-4  # curves are


@dataclass(frozen=True)
class VerifyCommand:
    """Flags of `python -m leaderboards.verify`."""

    places: tyro.conf.Positional[tuple[Path, ...]] = (RECORDS,)
    """Records, or folders that hold some. Default: all."""
    reference: str | None = None
    """The reference text, where it does not lie where the record says."""
    samples: Path | None = None
    """The samples of a record that does not keep them."""


def verify(record: Record, metrics: Sequence[Metric], reference: str | None, samples: Path | None) -> list[str]:
    """Return what is wrong with a record.

    Nothing is wrong with published numbers, which have no samples; of images, of which a record keeps only some, the
    hash alone is checked.

    Args:
        record: to be checked.
        metrics: those of its task.
        reference: the reference text, where it does not lie where the record says.
        samples: the samples, where the record does not keep them.

    Raises:
        InputError: the samples are not kept and not given, or the reference text cannot be read.
    """
    wrong = _contradictions(record)
    paths = [_path(record, entry, samples) for entry in record.samples]
    for path, entry in zip(paths, record.samples, strict=True):
        if not path.exists():
            wrong.append(f"{path.name} is missing")
        elif _sha256(path) != entry["sha256"]:
            wrong.append(f"{path.name} is not as it was submitted")
    if wrong or not metrics:
        return wrong
    options = _reference(record, reference)
    for path, entry in zip(paths, record.samples, strict=True):
        scores = score_file(path, metrics, options, word_rule(record.signature))
        if (found := joint_signature(scores)) != upgraded(record.signature):
            wrong.append(f"{path.name} is scored as {found}, the record says {record.signature}")
            continue
        values = by_name(scores)
        if entry["scores"].keys() != values.keys():
            wrong.append(f"{path.name} is scored by {', '.join(values)}, the record has {', '.join(entry['scores'])}")
            continue
        for name, value in entry["scores"].items():
            if not abs(values[name] - value) <= _TOLERANCE:  # NaN is no number
                wrong.append(f"{path.name} scores {name} {values[name]:.6f}, the record says {value:.6f}")
    return wrong


def _contradictions(record: Record) -> list[str]:
    """Return where what tables show of a record does not follow from what it holds."""
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
    return wrong


def _sha256(path: Path) -> str | None:
    """Return the hash of a file's content, None where it is damaged."""
    try:
        return hashlib.sha256(read_text(path)).hexdigest()
    except InputError:
        return None


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


def main(arguments: list[str]) -> int:
    """Verify records, a line each."""
    command = parse_command(VerifyCommand, arguments, "leaderboards.verify", __doc__)
    folders = sorted(path.parent for place in command.places for path in place.rglob(RECORD))
    if not folders:
        raise InputError(f"{command.places[0]}: no record there (no {RECORD})")
    failed = False
    for folder in folders:
        try:
            metrics = read_task(folder.parent).metrics
            wrong = verify(read_record(folder), metrics, command.reference, command.samples)
            said = "; ".join(wrong) or "ok"
        except InputError as error:
            wrong, said = [], f"not scored again ({error})"
        failed |= bool(wrong)
        print(printable(f"{'FAILED' if wrong else 'passed' if said == 'ok' else 'skipped'}  {folder}: {said}"))
    return 1 if failed else 0


if __name__ == "__main__":
    run_command(main)
