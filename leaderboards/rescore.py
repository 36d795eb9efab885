"""Score the kept samples of a task again, by other metrics or by another word rule.

    python -m leaderboards.submit --rescore my-task --metrics jsd bleu

All records of the task change, or none. A score whose signature stays keeps its windows and curve; any other score of
runs is the score of their last samples. Published numbers stay as they are.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from data.command import parse_command
from data.errors import InputError
from data.files import temporary_folder
from data.naming import as_command, printable, without_folder
from data.words import Splitting, WordRule
from eval.core.score import Score, without_name
from eval.text.metrics import EXACT_SCORES, HEADLINES, require_metrics, score_file
from leaderboards.places import RECORD, TASK, chosen_records, record_folders
from leaderboards.records import (
    Record,
    ScoreEntry,
    Task,
    as_json,
    deviation,
    read_record,
    read_task,
    record_json,
    task_json,
)
from leaderboards.samples import reference_of
from leaderboards.signatures import exact_parts, fits, joint_signature, word_rule
from leaderboards.submission import in_table_order, of_samples, portable_reference
from textgan.engine.run_folder import declared, floors_by_name, headline, score_name, values_by_name


@dataclass(frozen=True)
class RescoreCommand:
    """Flags of `python -m leaderboards.submit --rescore`."""

    rescore: str
    """Task whose kept samples are scored again."""
    metrics: tuple[str, ...] | None = None
    """Metrics of the task from now on. Default: as before."""
    shown: tuple[str, ...] | None = None
    """Scores in the task's table from now on. Default: as before; if none of these is scored, as for a new task."""
    words: Splitting | None = None
    """Word rule of the task from now on. Default: as before."""
    lower_case: bool = False
    """Lower-case the words from now on. Default: as before; with --words, words are left as they are."""
    reference: str | None = None
    """Real text to score against. Default: the source named in each record."""
    held_out: str | None = None
    """Real text for the floor of word metrics. Default: the reference's held-out lines."""
    records: Path | None = None
    """Folder of all records. Default: leaderboards/records in the checkout; required outside one."""


def rescore(command: RescoreCommand) -> Path:
    """Score the samples of all records of a task, write the scores into the records, and return the task's folder.

    Raises:
        InputError: there is no task of this name, it has no metrics of text, a record does not keep its samples, the
            reference cannot be read, or a flag's value is impossible. Nothing is written in these cases.
    """
    places = chosen_records(command.records)
    folder = places / command.rescore
    if folder.parent != places or not (folder / TASK).exists():
        raise InputError(f"--rescore {command.rescore}: no task of this name in {places}")
    require_metrics(command.metrics or ())
    with _replaced(folder.resolve()) as temporary:
        task = read_task(folder)
        old = [record for record in map(read_record, record_folders(folder)) if record.kind != "published"]
        if not task.metrics or not old:
            raise InputError(f"--rescore {task.name}: its samples are images, or it has published numbers only")
        if lost := [record.name for record in old if any(entry.file is None for entry in record.samples)]:
            raise InputError(f"--rescore {task.name}: the samples of {', '.join(lost)} are not kept; remove the record")
        metrics = command.metrics or task.metrics
        rule = word_rule(task.signature) if "|words:" in task.signature else WordRule("punctuation")
        if command.words or command.lower_case:
            rule = WordRule(command.words or rule.words, command.lower_case)
        for record in old:
            options = reference_of(record, command.reference)
            paths = [record.folder / (entry.file or "") for entry in record.samples]
            scored = [score_file(path, metrics, options, rule, command.held_out) for path in paths]
            new = _with_scores(record, scored)
            if command.reference is not None and without_folder(options.corpus.data) != _recorded_name(record):
                new = replace(new, facts={**record.facts, **portable_reference({"reference": asdict(options)})})
            if record is old[0]:
                signature = joint_signature([*(score.signature for score in scored[0]), *exact_parts(task.signature)])
                changed = replace(_task(command, task, old, scored[0]), metrics=metrics, signature=signature)
            if not fits(new.signature, signature):
                raise InputError(f"{record.name} is scored as {new.signature}, but {old[0].name} as {signature}")
            (temporary / record.folder.name / RECORD).write_bytes(as_json(record_json(new), record.name))
        (temporary / TASK).write_bytes(as_json(task_json(changed), task.name))
    return folder


def _recorded_name(record: Record) -> str | None:
    """Return the name of the real text that a record was scored against."""
    reference = record.facts.get("reference")
    return None if reference is None else str(reference["corpus"]["data"])


def _kept(record: Record, scored: Sequence[Score]) -> list[str]:
    """Return the names of the scores that a record keeps: exact scores, and scores with the same signature."""
    before = without_name(record.signature).split("; ")
    same = (score for score in scored if without_name(str(score.signature)) in before)
    names = {score_name(name) for score in same for name in score.values}
    return [name for name in record.scores if name in names or name in EXACT_SCORES]


def _with_scores(record: Record, scored: Sequence[Sequence[Score]]) -> Record:
    """Return a record with the scores of its sample files in place of its scores, unless the signature stays."""
    kept = _kept(record, scored[0])
    values = [values_by_name(each) for each in scored]
    entries = of_samples(scored[0])
    if record.kind == "runs":
        entries = {name: _of_runs(entry, [each[name] for each in values]) for name, entry in entries.items()}
    samples = [
        replace(entry, scores={**each, **{name: entry.scores[name] for name in kept}})
        for entry, each in zip(record.samples, values, strict=True)
    ]
    bands = {} if record.curve is None else {name: band for name, band in record.curve.bands.items() if name in kept}
    return replace(
        record,
        signature=joint_signature([*(score.signature for score in scored[0]), *exact_parts(record.signature)]),
        scores={**entries, **{name: record.scores[name] for name in kept}},
        samples=samples,
        curve=replace(record.curve, bands=bands) if record.curve is not None and bands else None,
    )


def _of_runs(entry: ScoreEntry, values: Sequence[float]) -> ScoreEntry:
    """Return the entry of runs by the score of each run's last samples."""
    return ScoreEntry(entry.better, fmean(values), sd=deviation(values), runs=values)


def _task(command: RescoreCommand, task: Task, records: Sequence[Record], scored: Sequence[Score]) -> Task:
    """Return the task with the floors and the shown scores of its first record, which is scored; exact scores stay.

    Raises:
        InputError: a score to show is not scored.
    """
    exact = {name: entry.better for each in records for name, entry in each.scores.items() if name in EXACT_SCORES}
    exact |= {name: better for name, better in task.shown.items() if name in EXACT_SCORES}
    directions = {**{name: entry.better for name, entry in of_samples(scored).items()}, **exact}
    if unknown := [name for name in command.shown or () if name not in directions]:
        raise InputError(f"--shown {unknown[0]}: not scored; choose from {', '.join(directions)}")
    shown = command.shown or [name for name in task.shown if name in directions]
    shown = shown or in_table_order(headline(declared(scored, HEADLINES)))
    kept = [*(() if command.held_out else _kept(records[0], scored)), *EXACT_SCORES]
    before = {name: value for name, value in (task.floor or {}).items() if name in kept}
    floor = {**floors_by_name(scored), **before}
    return replace(task, floor=floor or None, shown={name: directions[name] for name in shown})


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """Yield a copy of a folder that takes the folder's place when the block ends without an error.

    A process that is killed between the two renames leaves the old folder beside it, under a hidden name.

    Raises:
        InputError: another process has added or removed files of the folder meanwhile.
    """
    temporary, before = temporary_folder(folder), temporary_folder(folder)
    try:
        shutil.copytree(folder, temporary, dirs_exist_ok=True)
        files = _files(temporary)
        yield temporary
        folder.rename(before)
        try:
            if _files(before) != files:
                raise InputError(f"{folder}: changed by another submission meanwhile; try again")
            temporary.rename(folder)
        except BaseException:
            before.rename(folder)
            raise
        shutil.rmtree(before)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if before.exists() and not any(before.iterdir()):
            before.rmdir()


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def run_rescore(arguments: Sequence[str]) -> int:
    """Score a task again, print what to do next, and return the exit status."""
    command = parse_command(RescoreCommand, arguments, "leaderboards.submit", __doc__)
    print(f"wrote {printable(rescore(command))}")
    flags: list[str | Path] = [] if command.records is None else ["--records", command.records]
    print(f"next: {as_command('python', '-m', 'leaderboards.build', *flags)}")
    return 0
