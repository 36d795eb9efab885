"""Check records: the samples are those that were submitted, and they score what the record says.

    python -m leaderboards.verify
    python -m leaderboards.verify leaderboards/records/my-task --reference corpus.txt.gz

Scoring again needs the reference text; where it cannot be had, only hashes are checked, and that is said.
"""

import gzip
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from data.command import parse_command, run_command
from data.corpus import CorpusOptions
from data.errors import InputError
from data.sources import read_lines
from eval.jsd import score_ids, signature
from eval.reference import Reference, ReferenceOptions, open_reference
from eval.samples import Samples, encode_samples
from leaderboards.records import RECORD, RECORDS, Record, read_record

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class VerifyCommand:
    """Flags of `python -m leaderboards.verify`."""

    places: tyro.conf.Positional[tuple[Path, ...]] = (RECORDS,)
    """Records, or folders that hold some. Default: all."""
    reference: str | None = None
    """The reference text, where it does not lie where the record says."""


def verify(record: Record, reference: str | None) -> list[str]:
    """Return what is wrong with a record; nothing is wrong with published numbers, which have no samples.

    Raises:
        InputError: the reference text cannot be read.
    """
    wrong = []
    for entry in record.samples:
        path = record.folder / entry["file"]
        text = gzip.decompress(path.read_bytes()) if path.exists() else None
        if text is None:
            wrong.append(f"{entry['file']} is missing")
        elif hashlib.sha256(text).hexdigest() != entry["sha256"]:
            wrong.append(f"{entry['file']} is not as it was submitted")
    if wrong or not record.samples:
        return wrong
    real = _reference(record, reference)
    for entry in record.samples:
        path = record.folder / entry["file"]
        ids = encode_samples(Samples(path.name, lambda path=path: read_lines(path)), real.text).ids  # type: ignore[misc]
        if (found := str(signature(real.text, len(ids)))) != record.signature:
            wrong.append(f"{entry['file']} is scored as {found}, the record says {record.signature}")
            continue
        scores = {f"jsd_{n}": value for n, value in score_ids(ids, real.text).items()}
        for name, value in entry["scores"].items():
            if abs(scores[name] - value) > _TOLERANCE:
                wrong.append(f"{entry['file']} scores {name} {scores[name]:.6f}, the record says {value:.6f}")
    return wrong


def _reference(record: Record, data: str | None) -> Reference:
    made = record.facts["reference"]
    corpus = CorpusOptions(**made["corpus"])
    corpus = corpus if data is None else replace(corpus, data=data)
    return open_reference(ReferenceOptions(corpus, made["ngram"], made["padding"]))


def main(arguments: list[str]) -> int:
    """Verify records, a line each."""
    command = parse_command(VerifyCommand, arguments, "leaderboards.verify", __doc__)
    folders = sorted(path.parent for place in command.places for path in place.rglob(RECORD))
    if not folders:
        raise InputError(f"{command.places[0]}: no record there (no {RECORD})")
    failed = False
    for folder in folders:
        try:
            wrong = verify(read_record(folder), command.reference)
            said = "; ".join(wrong) or "ok"
        except InputError as error:
            wrong, said = [], f"hashes ok, not scored again ({error})"
        failed |= bool(wrong)
        print(f"{'FAILED' if wrong else 'passed'}  {folder}: {said}")
    return 1 if failed else 0


if __name__ == "__main__":
    run_command(main)
