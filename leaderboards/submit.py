"""Make records: of runs, a record for each method, or of a file of samples.

    python -m leaderboards.submit suites/suite --task lm1b-small
    python -m leaderboards.submit samples.txt --task grammar-char32 --name "3-gram model"
    python -m leaderboards.submit samples.txt --task by-words --name mine --metrics bleu --reference corpus.txt

A task takes scores of one signature: its first record decides which, others are refused. Any name will do for a record;
its folder has a name made from it. Nothing is written before all is scored and checked.
"""

import gzip
import hashlib
import json
import math
import shlex
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tyro

from data.command import parse_command, run_command
from data.errors import InputError
from data.files import atomic_folder
from data.inputs import require_lasting
from data.naming import as_command, printable
from data.words import Splitting, WordRule
from eval.text.cli import ReferenceFlags, chosen_options, real_lines
from eval.text.metrics import score_file
from eval.text.samples import open_samples
from eval.text.words import note_unspaced, open_word_reference
from images.train import IMAGES
from leaderboards.records import (
    RECORD,
    TASK,
    Kind,
    Record,
    Task,
    chosen_records,
    folder_name,
    joint_signature,
    kept_text,
    read_record,
    read_task,
    record_folders,
    record_name,
    task_folder,
    values_by_name,
    word_rule,
)
from textgan.engine.experiment import TrainingProgram
from textgan.engine.run_folder import find_runs, headline, read_metrics, read_options, require_scores
from textgan.engine.settings import as_flags
from textgan.runs.aggregate import Group, group_runs, load_run, summarize, window_count
from textgan.train import TEXT

_POINTS = 60
_PROGRAMS: Mapping[str, TrainingProgram[Any]] = {program.module: program for program in (TEXT, IMAGES)}


@dataclass(frozen=True)
class SubmitCommand:
    """Flags of `python -m leaderboards.submit`."""

    sources: tyro.conf.Positional[tuple[str, ...]]
    """Folders of runs (or folders of such, or globs), or one text file of samples."""
    task: str
    """Task that the records belong to, as lm1b-char32."""
    name: str | None = None
    """Name of the record. Default: of runs, their preset; needed for samples."""
    note: str = ""
    """What a reader should know of it."""
    title: str | None = None
    """Title of a task that is new."""
    reference: str | None = None
    """Real text to score samples against. Default: the one recorded beside them, else grammar."""
    held_out: str | None = None
    """Real text for the floor of metrics of words. Default: the reference's own held-out lines."""
    metrics: tuple[str, ...] | None = None
    """Metrics of a task that is new. Default: jsd."""
    shown: tuple[str, ...] | None = None
    """Scores that tables of a new task show, as bleu_4. Default: jsd_4 and jsd_6, or all where it has none of them."""
    words: Splitting | None = None
    """Where words of a new task end: at punctuation too (default), at white space alone, or after each character."""
    lower_case: bool = False
    """Words of a new task are compared in lower case."""
    hash_only: bool = False
    """Keep the hash of the samples alone, where they are not yours to give away."""
    records: Path | None = None
    """Folder of all records. Default: the checkout's; needed without one."""


@dataclass(frozen=True)
class Submission:
    """A record to be written, with its task's metrics and floor if the task is new. `files` are kept beside it."""

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


def submit(command: SubmitCommand) -> list[Path]:
    """Write the records and return their folders.

    Raises:
        InputError: a source cannot be read, its signature is not the task's, a record of this name exists, or a flag
            does not fit; nothing is written then.
    """
    if not command.sources:
        raise InputError("nothing to submit: name runs, or a file of samples")
    folder = task_folder(chosen_records(command.records), command.task)
    task = read_task(folder) if (folder / TASK).exists() else None
    of_task = ("title", "metrics", "shown", "words", "lower_case")
    _refuse(command, of_task if task else (), f"{command.task} has its own; name a new --task")
    name, note, title = (
        None if text is None else _in_one_line(flag, text)
        for flag, text in (("--name", command.name), ("--note", command.note), ("--title", command.title))
    )
    of_samples = [source for source in command.sources if source == "-" or _is_file(Path(source))]
    if of_samples:
        if len(command.sources) > 1:
            raise InputError(f"{of_samples[0]}: submit a file of samples alone, with a --name of its own")
        if not name:
            raise InputError("--name: say what made these samples")
        made = [_of_samples(command, task, Path(of_samples[0]), name, note or "")]
    else:
        folders = find_runs(command.sources)  # a source that is missing is named first
        _refuse(
            command,
            ("reference", "held_out", "metrics", "words", "lower_case", "hash_only"),
            "of runs, which have been scored",
        )
        if name == "":
            raise InputError("--name: empty; leave it out, or name these runs")
        groups = group_runs([load_run(folder) for folder in folders])
        if command.name is not None and len(groups) > 1:
            raise InputError(f"--name {name}: these runs are {len(groups)} methods; submit them one by one")
        made = [_of_runs(group, name or group.name, note or "") for group in groups]
    return _write(folder, task, made, title or command.task, command.shown)


def _is_file(path: Path) -> bool:
    return path.exists() and not path.is_dir()


def _refuse(command: SubmitCommand, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(command, name) not in (None, False):
            raise InputError(f"--{name.replace('_', '-')}: {why}; leave it out")


def _in_one_line(flag: str, text: str) -> str:
    """Return text in Unicode's composed form, with a space for all white space and control characters in a row.

    Raises:
        InputError: it is not UTF-8.
    """
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise InputError(f"{flag} {text!r}: not UTF-8; write it in UTF-8")
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(" " if unicodedata.category(each) == "Cc" else each for each in composed).split())


def _of_runs(group: Group, name: str, note: str) -> Submission:
    signature, floor = group.runs[0].signature, group.runs[0].floor
    options = [read_options(run.folder) for run in group.runs]
    names = require_scores(group.runs[0].folder)
    points, _ = window_count([group], "minutes", _POINTS)
    found = {name: summarize([group], name, "minutes", points, None)[0] for name in names}
    scores = {
        name: {
            "best_run": each.best_run[0],
            "best_mean": each.best_mean[0],
            "end": each.end,
            "sd": each.deviation,
            "interval": each.interval,
            "runs": each.ends.tolist(),
            "windows": [_rounded(of_run, 6) for of_run in each.windows],
            "better": "lower",
        }
        for name, each in found.items()
    }
    curve = {"minutes": _rounded(next(iter(found.values())).x)} | {
        name: {
            "mean": _rounded(each.windows.mean(axis=0)),
            "low": _rounded(each.windows.min(axis=0)),
            "high": _rounded(each.windows.max(axis=0)),
        }
        for name, each in found.items()
    }
    program = _PROGRAMS[options[0]["program"]]
    config = _without_place(options[0]["config"], program)
    rows = [read_metrics(run.folder)[-1] for run in group.runs]
    facts = {
        "command": shlex.join(
            ["python", "-m", program.module, *as_flags(program.settings(**{**config, "seed": 0}), program.presets)]
        ),
        "seeds": [run.config["seed"] for run in group.runs],
        "commits": sorted({str(each["commit"]) for each in options}),
        "date": max(each["started_utc"] for each in options)[:10],
        "device": options[0]["device"],
        "critic_lr": config["critic_lr"] if rows[0]["time/critic_updates"] else None,
        "generator_lr": config["generator_lr"],
        "critic_steps": config["critic_steps"] if rows[0]["time/critic_updates"] else None,
        "minutes": [row["time/train_seconds"] / 60 for row in rows],
        "iterations": [row["iteration"] for row in rows],
        "note": note,
        **_portable(options[0]),
    }
    files: dict[str, bytes] = {}
    samples = []
    for run, row, of_run in zip(group.runs, rows, options, strict=True):
        seed = run.config["seed"]
        path = _last_samples(run.folder, row["iteration"])
        content, is_text = path.read_bytes(), path.suffix == ".txt"
        file = f"samples-seed{seed}{path.suffix}" + (".gz" if is_text else "")
        files[file] = gzip.compress(content, mtime=0) if is_text else content
        entry = _sample_entry(file, content, {name: row[f"scores/{name}"] for name in names})
        samples.append({**entry, "seed": seed, "iteration": row["iteration"]})
        cleaned = {**of_run, "config": _without_place(of_run["config"], program), **_portable(of_run)}
        files[f"options-seed{seed}.json"] = json.dumps(cleaned, indent=1, ensure_ascii=False).encode() + b"\n"
    metrics: list[str] = ["jsd"] if program is TEXT else []
    return Submission(name, "runs", metrics, signature, floor, facts, scores, samples, curve, files)


def _last_samples(run: Path, iteration: int) -> Path:
    for path in (run / "samples" / f"{iteration}{suffix}" for suffix in (".txt", ".png")):
        if path.exists():
            return path
    raise InputError(f"{run / 'samples'}: no samples of the last iteration, {iteration}; continue the run, or restore")


def _of_samples(command: SubmitCommand, task: Task | None, path: Path, name: str, note: str) -> Submission:
    text = kept_text(path)
    flags = ReferenceFlags(reference=command.reference, held_out=command.held_out)
    if command.reference is not None:
        require_lasting(command.reference)
    options = chosen_options(flags, path)
    rule = WordRule(command.words or "punctuation", command.lower_case)
    metrics: Sequence[str] = command.metrics or ("jsd",)
    if task is not None:
        metrics, rule = task.metrics, word_rule(task.signature)
    elif set(metrics) != {"jsd"}:
        note_unspaced(open_samples(path, flags.invalid_utf8), open_word_reference(options.corpus, rule))
    if not metrics:
        raise InputError(f"--task {command.task}: takes no text, as its records are of images or published numbers")
    real = None if command.held_out is None else real_lines(flags, open_word_reference(options.corpus, rule))
    found = score_file(path, metrics, options, rule, real)
    estimates = {record_name(name): (each, score.better) for score in found for name, each in score.values.items()}
    scores = {
        name: {
            "end": each.value,
            "interval": None if each.low is None else (each.low, each.high),
            "corrected": each.corrected,
            "better": better,
        }
        for name, (each, better) in estimates.items()
    }
    floors = {name: each.floor for name, (each, _) in estimates.items() if each.floor is not None}
    file = "samples.txt.gz" if not command.hash_only else None
    samples = [_sample_entry(file, text, values_by_name(found))]
    files = {} if file is None else {file: gzip.compress(text, mtime=0)}
    facts = {"note": note, **_portable({"reference": asdict(options)})}
    signature = joint_signature(found)
    return Submission(name, "samples", metrics, signature, floors or None, facts, scores, samples, None, files)


def _sample_entry(file: str | None, text: bytes, scores: Mapping[str, float]) -> dict[str, Any]:
    return {"file": file, "sha256": hashlib.sha256(text).hexdigest(), "scores": dict(scores)}


def _rounded(values: Any, digits: int = 4) -> list[float | None]:
    return [round(float(value), digits) if math.isfinite(value) else None for value in values]


def _without_place(config: Mapping[str, Any], program: TrainingProgram[Any]) -> dict[str, Any]:
    """Return a run's settings without where on a machine its files lay; of newer settings, the defaults."""
    known = {field.name for field in fields(program.settings)}
    kept = {name: value for name, value in config.items() if name in known - {"weights"}}
    return {**kept, "data": _without_folder(config["data"]), "run_dir": None}


def _portable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run on text says of its reference, without where on a machine that lay."""
    if "reference" not in options:
        return {}
    reference = options["reference"]
    corpus = {**reference["corpus"], "data": _without_folder(reference["corpus"]["data"])}
    return {"reference": {**reference, "corpus": corpus}}


def _without_folder(source: str) -> str:
    """Return a source's name: of "kind:/where/it/lies" or "/where/it/lies" without the folder."""
    kind, colon, rest = source.partition(":")
    if not colon or Path(source).is_absolute():
        return Path(source).name
    name, more, column = rest.partition(":")
    return f"{kind}:{Path(name).name if Path(name).is_absolute() else name}{more}{column}"


def _write(
    folder: Path, task: Task | None, made: Sequence[Submission], title: str, shown: Sequence[str] | None
) -> list[Path]:
    """Write records, and their task if it is new: all of them, or none."""
    first = made[0]
    signature = first.signature if task is None else task.signature
    names = {}
    for path in record_folders(folder):
        with suppress(InputError):  # a damaged record is no reason to refuse another; `leaderboards.build` names it
            names[read_record(path).name] = path
    taken = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    written: dict[str, dict[str, bytes]] = {}
    for each in made:
        if each.signature != signature:
            raise InputError(f"{each.name}: scored as {each.signature}, but {folder.name} takes {signature}")
        if each.name in names:
            where = names[each.name]
            raise InputError(f"{where}: there is a record of this name; give another --name, or remove it first")
        record = {field.name: getattr(each, field.name) for field in fields(Record)[1:]}
        place = folder_name(each.name, [*taken, *written])
        written[place] = {**each.files, RECORD: _as_json(record, each.name)}
    paths = [folder / place for place in written]
    if task is not None:
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
    if unknown := [score for score in shown or () if score not in first.scores]:
        raise InputError(f"--shown {unknown[0]}: not scored; choose from {', '.join(first.scores)}")
    about = {
        "title": title, "signature": signature, "floor": first.floor, "metrics": first.metrics,
        "shown": {score: first.scores[score]["better"] for score in shown or headline(first.scores)},
    }  # fmt: skip
    with atomic_folder(folder) as temporary:
        _fill(temporary, {TASK: _as_json(about, title)})
        for place, files in written.items():
            (temporary / place).mkdir()
            _fill(temporary / place, files)
    for path, files in zip(paths, written.values(), strict=True):
        _require_ours(path / RECORD, files[RECORD])
    return paths


def _as_json(value: Any, name: str) -> bytes:
    try:
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise InputError(f"{name}: a score is not finite ({error}), so it is no record; look at the samples") from error
    return text.encode("utf-8", "backslashreplace") + b"\n"  # JSON's own escapes: names of files may be no UTF-8


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _require_ours(path: Path, content: bytes) -> None:
    """Refuse a folder that another process has made meanwhile."""
    if not path.exists() or path.read_bytes() != content:
        raise InputError(f"{path.parent}: made by another submission meanwhile; submit again")


def main(arguments: list[str]) -> int:
    """Submit, and say what was written."""
    command = parse_command(SubmitCommand, arguments, "leaderboards.submit", __doc__)
    for folder in submit(command):
        print(f"wrote {printable(folder)}")
    where: list[str | Path] = [] if command.records is None else ["--records", command.records]
    print(f"now: {as_command('python', '-m', 'leaderboards.build', *where)}")
    return 0


if __name__ == "__main__":
    run_command(main)
