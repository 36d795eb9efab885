"""Write records: one per method from runs, or one from a file of samples.

    python -m leaderboards.submit suites/suite --task lm1b-small
    python -m leaderboards.submit samples.txt --task grammar-char32 --name "my model"
    python -m leaderboards.submit samples.txt --task by-words --name "my model" --metrics bleu --reference corpus.txt
    python -m leaderboards.submit --rescore my-task --metrics jsd bleu

The first record of a task fixes the signature; records with another signature are refused. A record may have any name,
from which the folder's name is derived. Nothing is written until all samples are scored and all records checked.
`--rescore TASK` scores the kept samples of a task again by other metrics; `--rescore TASK --help` lists the flags.
"""

import gzip
import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from data.command import parse_command, run_command
from data.errors import InputError
from data.files import atomic_folder
from data.inputs import require_lasting
from data.naming import as_command, as_flag, given_flags, printable
from data.sources import absolute_source, exists
from data.words import Splitting, WordRule
from eval.text.cli import ReferenceFlags, chosen_options
from eval.text.metrics import HEADLINES, require_metrics, score_file
from eval.text.reference import ReferenceOptions, recorded_reference
from eval.text.samples import open_samples
from eval.text.words import note_unspaced, open_word_reference
from leaderboards.places import RECORD, TASK, chosen_records, folder_name, record_folders, task_folder
from leaderboards.records import (
    Record,
    SampleEntry,
    Task,
    as_json,
    read_record,
    read_task,
    record_json,
    task_json,
)
from leaderboards.rescore import run_rescore
from leaderboards.samples import kept_text, reference_of
from leaderboards.signatures import exact_parts, fits, joint_signature, told_apart, word_rule
from leaderboards.submission import Submission, from_runs, in_table_order, of_samples, portable_reference, sha256_of
from textgan.engine.run_folder import declared, find_runs, floors_by_name, headline, values_by_name
from textgan.runs.aggregate import group_runs, load_run


@dataclass(frozen=True)
class SubmitCommand:
    """Flags of `python -m leaderboards.submit`."""

    sources: tyro.conf.Positional[tuple[str, ...]]
    """Run folders (or folders above them, or globs), or one text file of samples."""
    task: str
    """Task of the records, for example lm1b-char32."""
    name: str | None = None
    """Name of the record; required for samples. Default for runs: the preset."""
    note: str = ""
    """Note for readers, shown in the table."""
    title: str | None = None
    """Title of a new task. Default: the name of the task."""
    reference: str | None = None
    """Real text to score samples against, or the part of it that an existing task takes. Default: the one recorded
    beside the samples, else the task's, else grammar."""
    held_out: str | None = None
    """Real text for the floor of word metrics. Default: the reference's held-out lines."""
    metrics: tuple[str, ...] | None = None
    """Metrics of a new task. Default: jsd."""
    shown: tuple[str, ...] | None = None
    """Scores in the table of a new task, as bleu_4. Default: the headline scores, as jsd_4 and jsd_6."""
    words: Splitting | None = None
    """Word rule of a new task: split at punctuation too (default), only at white space, or into characters."""
    lower_case: bool = False
    """Lower-case the words of a new task."""
    hash_only: bool = False
    """Store only the hash of the samples, for example if you may not publish them."""
    records: Path | None = None
    """Folder of all records. Default: leaderboards/records in the checkout; required outside one."""


def submit(command: SubmitCommand) -> list[Path]:
    """Write the records and return their folders.

    Raises:
        InputError: a source cannot be read, the signatures of source and task differ, a record of this name exists, or
            a flag does not apply. Nothing is written in these cases.
    """
    if not command.sources:
        raise InputError("nothing to submit: name runs, or a file of samples")
    require_metrics(command.metrics or ())
    folder = task_folder(chosen_records(command.records), command.task)
    task = read_task(folder) if (folder / TASK).exists() else None
    fixed_by_task = ("title", "metrics", "shown", "words", "lower_case")
    _refuse(command, fixed_by_task if task else (), f"fixed by task {command.task}; leave it out, or name a new --task")
    name, note, title = (
        None if text is None else _in_one_line(flag, text)
        for flag, text in (("--name", command.name), ("--note", command.note), ("--title", command.title))
    )
    sample_files = [source for source in command.sources if source == "-" or _is_file(Path(source))]
    if sample_files:
        if len(command.sources) > 1:
            raise InputError(f"{sample_files[0]}: submit a file of samples alone, with its own --name")
        if not name:
            raise InputError("--name: say what made these samples")
        submissions = [_from_samples(command, folder, task, Path(sample_files[0]), name, note or "")]
    else:
        folders = find_runs(command.sources)  # a missing source is reported before a flag
        _refuse(
            command,
            ("reference", "held_out", "metrics", "words", "lower_case", "hash_only"),
            "not for runs, which are already scored; leave it out",
        )
        if name == "":
            raise InputError("--name: empty; leave it out, or name these runs")
        groups = group_runs([load_run(folder) for folder in folders])
        if command.name is not None and len(groups) > 1:
            raise InputError(f"--name {name}: the runs belong to {len(groups)} methods; submit one method at a time")
        # A task without exact scores also takes models without a density.
        exact = task is None or bool(exact_parts(task.signature))
        submissions = [from_runs(group, name or group.name, note or "", exact) for group in groups]
    return _write(folder, task, submissions, title or command.task, command.shown)


def _is_file(path: Path) -> bool:
    return path.exists() and not path.is_dir()


def _refuse(command: SubmitCommand, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(command, name) not in (None, False):
            raise InputError(f"{as_flag(name)}: {why}")


def _in_one_line(flag: str, text: str) -> str:
    """Return text in Unicode's composed form, each run of white space and control characters replaced by a space.

    Raises:
        InputError: the text is not UTF-8.
    """
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise InputError(f"{flag} {text!r}: not UTF-8; write it in UTF-8")
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(" " if unicodedata.category(char) == "Cc" else char for char in composed).split())


def _from_samples(
    command: SubmitCommand, folder: Path, task: Task | None, path: Path, name: str, note: str
) -> Submission:
    text = kept_text(path)
    if command.reference is not None:
        require_lasting(command.reference)
    options = _reference(command.reference, folder, path)
    rule = WordRule(command.words or "punctuation", command.lower_case)
    metrics: Sequence[str] = command.metrics or ("jsd",)
    if task is not None:
        metrics, rule = task.metrics, word_rule(task.signature)
    elif set(metrics) != {"jsd"}:
        note_unspaced(open_samples(path, "refuse"), open_word_reference(options.corpus, rule))
    if not metrics:
        raise InputError(
            f"--task {command.task}: takes no text; records of this task are image runs or published numbers"
        )
    scored = score_file(path, metrics, options, rule, command.held_out)
    file = "samples.txt.gz" if not command.hash_only else None
    record = Record(
        folder=Path(),
        name=name,
        kind="samples",
        signature=joint_signature(score.signature for score in scored),
        facts={"note": note, **portable_reference({"reference": asdict(options)})},
        scores=of_samples(scored),
        samples=[SampleEntry(file, sha256_of(text), values_by_name(scored))],
        curve=None,
        settings={},
    )
    shown = declared(scored, HEADLINES)
    files = {} if file is None else {file: gzip.compress(text, mtime=0)}
    return Submission(
        record,
        metrics,
        floors_by_name(scored) or None,
        {each: shown[each].better for each in in_table_order(headline(shown))},
        files,
    )


def _reference(given: str | None, folder: Path, samples: Path) -> ReferenceOptions:
    """Return the lines to score samples against: the ones recorded beside them, or else the task's, or all of `given`.

    A task scores against a part of a text, say its training lines; `given` names the text in place of the file in the
    task's records.
    """
    if given is None and recorded_reference(samples) is not None:
        return chosen_options(ReferenceFlags(), samples)
    for record in _readable_records(folder):
        if "reference" in record.facts:
            options = reference_of(record, given)
            if not exists(absolute_source(options.corpus.data)):
                raise InputError(
                    f"{options.corpus.data}: the text of {folder.name} is not here; name it by --reference"
                )
            return options
    return chosen_options(ReferenceFlags(reference=() if given is None else (given,)), samples)


def _readable_records(folder: Path) -> Iterator[Record]:
    """Yield a task's records but for damaged ones, which `leaderboards.build` reports."""
    for path in record_folders(folder):
        with suppress(InputError):
            yield read_record(path)


def _write(
    folder: Path, task: Task | None, submissions: Sequence[Submission], title: str, shown: Sequence[str] | None
) -> list[Path]:
    """Write all records, and the task if it is new, or nothing."""
    with_exact = [each for each in submissions if exact_parts(each.record.signature)]
    first = (with_exact or submissions)[0]
    signature = first.record.signature if task is None else task.signature
    names = {record.name: record.folder for record in _readable_records(folder)}
    taken = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    written: dict[str, dict[str, bytes]] = {}
    for submission in submissions:
        record, name = submission.record, submission.record.name
        if not fits(record.signature, signature):
            difference = told_apart(record.signature, signature)
            raise InputError(f"{name}: {difference}; score it as {folder.name} is, or begin a task of another name")
        if name in names:
            raise InputError(f"{names[name]}: there is a record of this name; give another --name, or remove it first")
        place = folder_name(name, [*taken, *written])
        written[place] = {**submission.files, RECORD: as_json(record_json(record), name)}
    paths = [folder / place for place in written]
    if task is not None:
        if read_task(folder) != task:
            raise InputError(f"{folder}: changed by another submission meanwhile; submit again")
        done: list[Path] = []
        try:
            for path, files in zip(paths, written.values(), strict=True):
                with atomic_folder(path) as temporary:
                    _fill(temporary, files)
                _require_ours(path / RECORD, files[RECORD])
                done.append(path)
        except BaseException:
            for path in done:
                shutil.rmtree(path)
            raise
        return paths
    scores = first.record.scores
    if unknown := [score for score in shown or () if score not in scores]:
        raise InputError(f"--shown {unknown[0]}: not scored; choose from {', '.join(scores)}")
    chosen = {score: scores[score].better for score in shown} if shown else first.shown
    new = Task(folder.name, title, signature, first.floor, first.metrics, chosen)
    with atomic_folder(folder) as temporary:
        _fill(temporary, {TASK: as_json(task_json(new), title)})
        for place, files in written.items():
            (temporary / place).mkdir()
            _fill(temporary / place, files)
    for path, files in zip(paths, written.values(), strict=True):
        _require_ours(path / RECORD, files[RECORD])
    return paths


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _require_ours(path: Path, content: bytes) -> None:
    """Raise an InputError if another process has written this record in the meantime."""
    if not path.exists() or path.read_bytes() != content:
        raise InputError(f"{path.parent}: made by another submission meanwhile; submit again")


def main(arguments: list[str]) -> int:
    """Run the command: write the records and print the folders."""
    if "--rescore" in given_flags(arguments):
        return run_rescore(arguments)
    command = parse_command(SubmitCommand, arguments, "leaderboards.submit", __doc__)
    for folder in submit(command):
        print(f"wrote {printable(folder)}")
    flags: list[str | Path] = [] if command.records is None else ["--records", command.records]
    print(f"next: {as_command('python', '-m', 'leaderboards.build', *flags)}")
    return 0


if __name__ == "__main__":
    run_command(main)
