"""Tasks and records on disk: scores, the settings that led to them, and the samples that prove them.

`records/TASK/task.json` holds the title, the signature and the floor (the score of real data) of a task.
`records/TASK/NAME/` is a record: `record.json`, the options of each run, and the last samples of each run. Hidden
folders and folders without a `record.json` are ignored.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import stdev
from typing import Any, Literal

from data.errors import InputError
from eval.core.score import Better, upgraded
from leaderboards.places import RECORD, TASK, record_folders
from leaderboards.signatures import fits, told_apart
from leaderboards.typed import typed

Kind = Literal["runs", "samples", "published"]


@dataclass(frozen=True)
class Task:
    """The title, signature, floor and metrics shared by all records of a task.

    Records of models without a density lack the signature's parts of exact scores, and these scores.
    `metrics` score the samples; it is empty for images and published numbers. `shown` maps the scores in the tables to
    the direction that is better. `signature` is empty if the task has published numbers only.
    """

    name: str
    title: str
    signature: str
    floor: Mapping[str, float] | None
    metrics: Sequence[str]
    shown: Mapping[str, Better]


def deviation(runs: Sequence[float]) -> float | None:
    """Return the standard deviation of the scores of runs; None for a single run."""
    return stdev(runs) if len(runs) > 1 else None


@dataclass(frozen=True)
class ScoreEntry:
    """A record's results by one score; entries that its kind does not have are None.

    Attributes:
        better: whether lower or higher values are better.
        end: the score: of samples; of runs, the mean of `runs`; of published numbers, at the end of training.
        best_run: best window mean of a single run; training is divided into windows of equal length.
        best_mean: best window mean, averaged over runs.
        sd: standard deviation of `runs`.
        interval: 95 % confidence interval of `end`.
        corrected: estimate at infinite sample size, for samples.
        runs: each run's mean over the last tenth of training, or the score of the run's last samples if it was
            evaluated fewer than ten times.
        windows: window means [runs, windows]; None before a run's first evaluation.
        headline: number in the paper's table, for published numbers.
    """

    better: Better = "lower"
    end: float | None = None
    best_run: float | None = None
    best_mean: float | None = None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    corrected: float | None = None
    runs: Sequence[float] | None = None
    windows: Sequence[Sequence[float | None]] | None = None
    headline: float | None = None

    @property
    def sign(self) -> int:
        """1 if lower values are better, else -1."""
        return 1 if self.better == "lower" else -1


@dataclass(frozen=True)
class SampleEntry:
    """A file of samples: its name, None if the samples are not kept; SHA-256 of the text or image; scores by name."""

    file: str | None
    sha256: str
    scores: Mapping[str, float]
    seed: int | None = None
    iteration: int | None = None


@dataclass(frozen=True)
class Band:
    """Mean, lowest and highest of the runs in each window; None before the first evaluation of a run."""

    mean: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]


@dataclass(frozen=True)
class Curve:
    """Curves of runs: the right edges of the windows, in mean minutes of training, and a band per score."""

    minutes: Sequence[float]
    bands: Mapping[str, Band]


@dataclass(frozen=True)
class Record:
    """A record: the scores, facts, settings and samples of a method at a task.

    `facts` are for readers: a note; the reference of text; for runs also command, seeds, commits, date, device,
    minutes and iterations. `settings` of runs are without seed and paths. `scores` and curves go by names as "jsd_4".
    """

    folder: Path
    name: str
    kind: Kind
    signature: str
    facts: Mapping[str, Any]
    scores: Mapping[str, ScoreEntry]
    samples: Sequence[SampleEntry]
    curve: Curve | None
    settings: Mapping[str, Any]


def read_task(folder: Path) -> Task:
    """Read the task in a folder.

    Raises:
        InputError: the folder has no readable task.json.
    """
    path = folder / TASK
    with naming_damage(path):
        content = json.loads(path.read_text("utf-8"))
        task: Task = typed(Task, {**content, "name": folder.name}, "")
        return replace(task, signature=upgraded(task.signature))


def read_record(folder: Path) -> Record:
    """Read the record in a folder.

    Raises:
        InputError: the folder has no readable record.json.
    """
    path = folder / RECORD
    with naming_damage(path):
        content = json.loads(path.read_text("utf-8"))
        if (bands := content.get("curve")) is not None:
            bands = dict(bands)
            content["curve"] = {"minutes": bands.pop("minutes"), "bands": bands}
        # Records of 0.1.0 have three settings, among the facts.
        names = ("critic_lr", "generator_lr", "critic_steps")
        recorded = {
            name: value for name, value in content.get("facts", {}).items() if name in names and value is not None
        }
        record: Record = typed(Record, {"settings": recorded, **content, "folder": folder}, "")
        for entry in record.samples:
            if entry.file is not None and Path(entry.file).name != entry.file:
                raise ValueError(f"{entry.file!r} is not the name of a file in its folder")
        return replace(record, signature=upgraded(record.signature))


def task_json(task: Task) -> dict[str, Any]:
    """Return the content of `task.json`."""
    content = asdict(task)
    del content["name"]
    return content


def record_json(record: Record) -> dict[str, Any]:
    """Return the content of `record.json`; entries that are None are left out of scores and samples."""
    content = asdict(record)
    del content["folder"]
    if record.curve is not None:
        content["curve"] = {"minutes": content["curve"]["minutes"], **content["curve"]["bands"]}
    content["scores"] = {name: _known(entry) for name, entry in content["scores"].items()}
    content["samples"] = [{"file": entry["file"], **_known(entry)} for entry in content["samples"]]
    return content


def as_json(value: Any, name: str) -> bytes:
    """Return the bytes of a JSON file; `name` is the record or task in the message.

    Raises:
        InputError: a score is infinite or NaN.
    """
    try:
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise InputError(f"{name}: a score is not finite ({error}); check the samples") from error
    return text.encode("utf-8", "backslashreplace") + b"\n"  # for file names that are not UTF-8: JSON's own escapes


def _known(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


@contextmanager
def naming_damage(path: Path, remedy: str = "submit again") -> Iterator[None]:
    """Turn errors caused by damaged content into an InputError that names the file `path` and the remedy.

    Raises:
        InputError: the file is missing, or holds something that `leaderboards.submit` does not write.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {remedy}") from error
    except KeyError as error:
        raise InputError(f"{path}: no {error}; {remedy}") from error
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); {remedy}") from error


def all_tasks(records: Path, damaged: list[InputError] | None = None) -> list[tuple[Task, list[Record]]]:
    """Return every task with its records, in the order of the page.

    The One Billion Word tasks come first, then other tasks with records of this project, then tasks with published
    numbers only; within these groups, text comes before images. Damaged tasks are skipped, and their errors appended
    to `damaged`; if it is None, the first error is raised.

    Raises:
        InputError: a task is damaged, or the signatures of a record and its task differ, and `damaged` is None.
    """
    tasks = []
    for folder in sorted(path for path in records.glob("*/") if not path.name.startswith(".")):
        if (folder / TASK).exists() or record_folders(folder):
            try:
                tasks.append(_with_records(folder))
            except InputError as error:
                if damaged is None:
                    raise
                damaged.append(error)
    return sorted(tasks, key=lambda pair: _page_order(*pair))


def _with_records(folder: Path) -> tuple[Task, list[Record]]:
    task = read_task(folder)
    records = [read_record(path) for path in record_folders(folder)]
    for record in records:
        if record.kind != "published" and not fits(record.signature, task.signature):
            difference = told_apart(record.signature, task.signature)
            raise InputError(f"{record.folder}: {difference}; submit it to a task of its own")
    return task, records


def _page_order(task: Task, records: Sequence[Record]) -> tuple[bool, bool, bool, str]:
    only_published = {record.kind for record in records} == {"published"}
    return not task.name.startswith("lm1b"), only_published, not task.metrics, task.title
