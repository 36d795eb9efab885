"""The reference: real text that samples are scored against, and the record of it beside the samples.

Thanks to the record, `python -m eval.jsd FILE` needs no flags for samples drawn by a run.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data.corpus import Corpus, CorpusOptions, open_corpus
from data.errors import InputError
from data.files import write_json
from data.inputs import read_once
from data.line_ids import Ids, Lines
from data.naming import as_command, printable
from data.outputs import is_special, require_output, told_on, write_output
from data.sources import absolute_source, exists, moved
from eval.core.sampling import fixed_sample
from eval.text.reference_counts import ReferenceCounts, count_reference

FOLDER_RECORD = "reference.json"

_PACKED = (".gz", ".zst")


@dataclass(frozen=True)
class ReferenceOptions:
    """The settings of a reference, recorded beside samples so that they can be scored again in the same way."""

    corpus: CorpusOptions
    ngram: int = 6
    padding: bool = True

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> "ReferenceOptions":
        """Return the options in a reference record, or in a leaderboard's record.

        Raises:
            KeyError, TypeError: the record has other entries.
        """
        return cls(CorpusOptions(**record["corpus"]), record["ngram"], record["padding"])


@dataclass(frozen=True)
class Reference:
    """Real text to score against: its n-gram counts, and ids [lines, seq_len] of lines for the floor.

    `train` are the counted lines, `held_out` lines that are not counted. If none are held out, the floor uses lines of
    `train`, taken out of the counts. Both are None for saved counts. `held_out_sha256` identifies held-out lines of
    another text than the reference.
    """

    text: ReferenceCounts
    train: Lines | None
    held_out: Lines | None
    held_out_sha256: str = ""

    def real_lines(self, count: int) -> Ids | None:
        """Return ids of `count` held-out lines, always the same ones, or None if there are fewer."""
        return None if self.held_out is None else _choose(self.held_out, count)

    def reference_lines(self, count: int) -> Ids | None:
        """Return ids of `count` counted lines, always the same ones, or None if there are fewer."""
        return None if self.train is None else _choose(self.train, count)


def _choose(lines: Lines, count: int) -> Ids | None:
    return None if len(lines) < count else lines[fixed_sample(len(lines), count)]


def open_reference(options: ReferenceOptions, corpus: Corpus | None = None) -> Reference:
    """Return the reference; its n-gram counts are read from the cache or added to it.

    Raises:
        InputError: the corpus cannot be read, or has no n-grams of length `options.ngram`.
    """
    corpus = corpus or open_corpus(options.corpus)
    text = count_reference(corpus, options.ngram, options.padding, options.corpus.vocabulary_size)
    return Reference(text, corpus.train, corpus.held_out if len(corpus.held_out) else None)


def reference_record(options: ReferenceOptions, corpus: Corpus) -> dict[str, Any]:
    """Return the reference record: the JSON object that is written beside samples.

    Raises:
        InputError: the corpus was read from a pipe, which cannot be read again.
    """
    data = absolute_source(options.corpus.data)
    return {**asdict(replace(options, corpus=replace(options.corpus, data=data))), "corpus_sha256": corpus.sha256}


def record_path(samples: Path) -> Path:
    """Return the path of a samples file's reference record; `reference.json` is the record of a whole folder."""
    return samples.with_name(f"{samples.name}.reference.json")


def samples_output(output: str, inputs: Sequence[str] = ()) -> Path:
    """Return --output as a path, after checking that samples and the record beside them can be written.

    Raises:
        InputError: they cannot be written; see `require_output`.
    """
    if output.endswith(("/", os.sep)):  # Path drops a final slash
        raise InputError(f"--output {output}: a folder; give a file in it")
    path = Path(output)
    require_output("--output", path, inputs=inputs)
    if not is_special(path):
        require_output("--output", record_path(path), (".json",))
    return path


def _records(samples: Path) -> Iterator[Path]:
    """Yield the paths where a samples file's record may lie, including its names before it was packed or unpacked."""
    yield record_path(samples)
    plain = samples.with_suffix("") if samples.suffix in _PACKED else samples
    for other in (plain, *(plain.with_name(plain.name + ending) for ending in _PACKED)):
        if not other.exists():
            yield record_path(other)
    yield samples.with_name(FOLDER_RECORD)


def write_samples(path: Path, lines: Sequence[str], reference: dict[str, Any], what: str = "samples") -> None:
    """Write samples to a text file with their reference record beside it, and print the command that scores them.

    Samples written to a pipe, a device or stdout get no record.
    """
    with write_output(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
    wrote = f"wrote {len(lines):,} {what} to {printable(path)}"
    if is_special(path):
        print(wrote, file=told_on(path))
        return
    write_json(record_path(path), reference)
    print(f"{wrote}; score them: {as_command('python', '-m', 'eval.jsd', path)}")


def recorded_reference(samples: Path) -> tuple[ReferenceOptions, str] | None:
    """Return the options of the reference recorded beside a samples file and the sha256 of its corpus, or None.

    Raises:
        InputError: the record cannot be read.
    """
    if read_once(samples):
        return None
    for path in _records(samples):
        if not path.exists():
            continue
        try:
            recorded = json.loads(path.read_text("utf-8"))
            return ReferenceOptions.recorded(recorded), recorded["corpus_sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: not a reference record ({error}); name the reference with --reference"
            ) from error
    return None


def open_recorded(options: ReferenceOptions, sha256: str, folder: Path) -> tuple[ReferenceOptions, Corpus]:
    """Open a recorded reference's corpus; if the project was moved since, find the corpus by its hash.

    Args:
        options: the recorded options.
        sha256: the recorded hash of the corpus.
        folder: the folder of the record or of the run.

    Returns:
        The options with the present path of the corpus, and the corpus.

    Raises:
        InputError: the corpus cannot be read, or has changed.
    """
    recorded = options.corpus.data
    problem = ""
    for data in (recorded, *moved(recorded, folder)):
        chosen = replace(options, corpus=replace(options.corpus, data=data))
        try:
            corpus = open_corpus(chosen.corpus)
        except InputError as error:
            problem = problem or str(error).partition(";")[0]
            continue
        if corpus.sha256 == sha256:
            return chosen, corpus
        problem = f"{data}: not as it was when the samples were made"
    raise InputError(f"{problem}; name it with --reference")


def relocated(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a reference record with the present path of the data, if the project that holds `folder` was moved.

    The data are not opened; the hash in the record is checked when they are read.
    """
    data = record["corpus"]["data"]
    if not exists(data):
        data = next(iter(moved(data, folder)), data)
    return {**record, "corpus": {**record["corpus"], "data": data}}
