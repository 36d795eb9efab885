"""Make records: of runs, a record for each method, or of a file of samples.

    python -m leaderboards.submit suites/suite --task lm1b-small
    python -m leaderboards.submit samples.txt --task grammar-char32 --name "3-gram model"
    python -m leaderboards.submit samples.txt --task by-words --name mine --metrics bleu --reference corpus.txt

A task takes scores of one signature: its first record decides which, others are refused.
"""

import gzip
import hashlib
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tyro

from data.command import parse_command, run_command
from data.errors import InputError
from data.files import atomic_folder, write_json
from data.inputs import read_once, require_lasting
from data.naming import as_command, printable
from data.words import Splitting, WordRule
from eval.samples import ScoreFlags, chosen_options, open_samples
from eval.score import upgraded
from eval.words import note_unspaced, open_word_reference, real_lines
from images.train import IMAGES
from leaderboards.records import RECORD, RECORDS, TASK, Kind, read_task
from leaderboards.scoring import Metric, by_name, joint_signature, read_text, record_name, score_file, word_rule
from textgan.curves import Group, group_runs, load_run, standings, window_count
from textgan.experiment import Program
from textgan.rundir import find_runs, headline, read_metrics, read_options, require_scores
from textgan.settings import as_flags
from textgan.train import TEXT

_POINTS = 60
_PROGRAMS: Mapping[str, Program[Any]] = {program.module: program for program in (TEXT, IMAGES)}


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
    metrics: tuple[Metric, ...] | None = None
    """Metrics of a task that is new. Default: jsd."""
    shown: tuple[str, ...] | None = None
    """Scores that tables of a new task show, as bleu_4. Default: jsd_4 and jsd_6, or all where it has none of them."""
    words: Splitting | None = None
    """Where words of a new task end: at punctuation too (default), at white space alone, or after each character."""
    lower_case: bool = False
    """Words of a new task are compared in lower case."""
    hash_only: bool = False
    """Keep the hash of the samples alone, where they are not yours to give away."""
    records: Path = RECORDS
    """Folder of all records."""


def submit(command: SubmitCommand) -> list[Path]:
    """Write the records and return their folders.

    Raises:
        InputError: a source cannot be read, its signature is not the task's, or a record of this name exists.
    """
    if not command.sources:
        raise InputError("nothing to submit: name runs, or a file of samples")
    for flag in ("title", "metrics", "shown", "words", "lower_case"):
        given = getattr(command, flag) != SubmitCommand.__dataclass_fields__[flag].default
        if given and (command.records / command.task / TASK).exists():
            name = flag.replace("_", "-")
            raise InputError(f"--{name}: {command.task} has its own; leave it out, or name a new --task")
    first = Path(command.sources[0])
    if first.is_file() or read_once(first):
        return [_submit_samples(command, first)]
    groups = group_runs([load_run(folder) for folder in find_runs(command.sources)])
    if command.name is not None and len(groups) > 1:
        raise InputError(f"--name {command.name}: these runs are {len(groups)} methods; submit them one by one")
    return [_submit_runs(command, group) for group in groups]


def _submit_runs(command: SubmitCommand, group: Group) -> Path:
    signature, floor = group.runs[0].signature, group.runs[0].floor
    options = [read_options(run.folder) for run in group.runs]
    names = require_scores(group.runs[0].folder)
    points, _ = window_count([group], "minutes", _POINTS)
    found = {name: standings([group], name, "minutes", points, None)[0] for name in names}
    scores = {
        name: {
            "best_run": each.best_run[0],
            "best_mean": each.best_mean[0],
            "end": each.end,
            "sd": each.deviation,
            "interval": each.interval,
            "runs": each.ends.tolist(),
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
        "note": command.note,
        **_portable(options[0]),
    }
    files: dict[str, bytes] = {}
    samples = []
    for run, row, of_run in zip(group.runs, rows, options, strict=True):
        seed = run.config["seed"]
        (path,) = (run.folder / "samples").glob(f"{row['iteration']}.*")
        content, is_text = path.read_bytes(), path.suffix == ".txt"
        file = f"samples-seed{seed}{path.suffix}" + (".gz" if is_text else "")
        files[file] = gzip.compress(content, mtime=0) if is_text else content
        entry = _sample_entry(file, content, {name: row[f"scores/{name}"] for name in names})
        samples.append({**entry, "seed": seed, "iteration": row["iteration"]})
        cleaned = {**of_run, "config": _without_place(of_run["config"], program), **_portable(of_run)}
        files[f"options-seed{seed}.json"] = json.dumps(cleaned, indent=1, ensure_ascii=False).encode() + b"\n"
    metrics: list[Metric] = ["jsd"] if program is TEXT else []
    name = command.name or group.name
    return _write(command, name, "runs", metrics, signature, floor, facts, scores, samples, curve, files)


def _submit_samples(command: SubmitCommand, path: Path) -> Path:
    if command.name is None:
        raise InputError("--name: say what made these samples")
    flags = ScoreFlags(path, command.reference, held_out=command.held_out)
    if command.reference is not None:
        require_lasting(command.reference)
    options = chosen_options(flags)
    task_folder = command.records / command.task
    metrics, rule = command.metrics or ("jsd",), WordRule(command.words or "punctuation", command.lower_case)
    if (task_folder / TASK).exists():
        task = read_task(task_folder)
        metrics, rule = tuple(task.metrics), word_rule(task.signature)
    elif set(metrics) != {"jsd"}:
        note_unspaced(open_samples(path, flags.invalid_utf8), open_word_reference(options.corpus, rule))
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
    text = read_text(path)
    file = "samples.txt.gz" if not command.hash_only else None
    samples = [_sample_entry(file, text, by_name(found))]
    files = {} if file is None else {file: gzip.compress(text, mtime=0)}
    facts = {"note": command.note, **_portable({"reference": asdict(options)})}
    signature = joint_signature(found)
    return _write(
        command, command.name, "samples", metrics, signature, floors or None, facts, scores, samples, None, files
    )


def _sample_entry(file: str | None, text: bytes, scores: Mapping[str, float]) -> dict[str, Any]:
    return {"file": file, "sha256": hashlib.sha256(text).hexdigest(), "scores": dict(scores)}


def _rounded(values: Any) -> list[float | None]:
    return [round(float(value), 4) if math.isfinite(value) else None for value in values]


def _without_place(config: Mapping[str, Any], program: Program[Any]) -> dict[str, Any]:
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
    if not colon:
        return Path(source).name
    name, more, column = rest.partition(":")
    return f"{kind}:{Path(name).name if Path(name).is_absolute() else name}{more}{column}"


def _write(
    command: SubmitCommand,
    name: str,
    kind: Kind,
    metrics: Sequence[Metric],
    signature: str,
    floor: Mapping[str, float] | None,
    facts: Mapping[str, Any],
    scores: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    curve: Mapping[str, Any] | None,
    files: Mapping[str, bytes],
) -> Path:
    task_folder = command.records / command.task
    if (task_folder / TASK).exists():
        task = read_task(task_folder)
        if upgraded(signature) != upgraded(task.signature):
            raise InputError(f"{name}: scored as {signature}, but {command.task} takes {task.signature}")
    folder = task_folder / re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).strip("-")
    if folder.exists():
        raise InputError(f"{folder}: there is a record of this name; give another --name, or remove it first")
    with atomic_folder(folder) as temporary:
        for file, content in files.items():
            (temporary / file).write_bytes(content)
        record = {
            "name": name, "kind": kind, "signature": signature, "facts": facts, "scores": scores, "samples": samples,
            "curve": curve,
        }  # fmt: skip
        write_json(temporary / RECORD, record)
    if not (task_folder / TASK).exists():
        shown = command.shown or headline(scores)
        made = {
            "title": command.title or command.task, "signature": signature, "floor": floor,
            "metrics": metrics, "shown": {name: scores[name]["better"] for name in shown},
        }  # fmt: skip
        write_json(task_folder / TASK, made)
    return folder


def main(arguments: list[str]) -> int:
    """Submit, and say what was written."""
    command = parse_command(SubmitCommand, arguments, "leaderboards.submit", __doc__)
    for folder in submit(command):
        print(f"wrote {printable(folder)}")
    where: list[str | Path] = (
        [] if command.records == RECORDS else ["--records", command.records, "--output", command.records.parent]
    )
    print(f"now: {as_command('python', '-m', 'leaderboards.build', *where)}")
    return 0


if __name__ == "__main__":
    run_command(main)
