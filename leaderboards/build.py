"""Make the leaderboards from the records: a Markdown table for each task, and one page to sort, filter and look.

    python -m leaderboards.build
    python -m leaderboards.build --check

`--check` writes nothing and fails where the files are not those of the records. The page holds the plotting library and
is not kept with the records; where it has not been built, there is nothing to check.
"""

import base64
import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from data.command import parse_command, run_command
from data.errors import InputError
from data.files import atomic_write
from data.naming import printable
from eval.tables import markdown, markdown_code, markdown_text
from leaderboards.records import RECORDS, Record, Task, all_tasks
from leaderboards.scoring import read_text
from textgan.band_figure import COLOURS
from textgan.rundir import score_title

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_SAMPLE_LINES = 24


@dataclass(frozen=True)
class BuildCommand:
    """Flags of `python -m leaderboards.build`."""

    check: bool = False
    """Write nothing; fail where a file is missing or stale."""
    records: Path = RECORDS
    """Folder of all records."""
    output: Path = RECORDS.parent
    """Folder for the tables and the page."""
    readme: Path = RECORDS.parents[1] / "README.md"
    """Text whose parts between <!-- leaderboard TASK --> and <!-- end --> are the tables of tasks too."""


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number that it is sorted by; None sorts by what it shows."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Line:
    """A line of a leaderboard: a record, or real text."""

    name: str
    kind: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Board:
    """A task's table."""

    head: Sequence[str]
    lines: Sequence[Line]


def board(task: Task, records: Sequence[Record]) -> Board:
    """Return a task's table, the best of the last shown score first, real text at the end; no column is empty."""
    last = list(task.shown)[-1]
    sign = -1 if task.shown[last] == "higher" else 1
    ranked = sorted(records, key=lambda record: _rank(record.scores.get(last, {}), sign))
    lines = [_line(task, record) for record in ranked]
    if task.floor is not None:
        lines.append(_floor_line(task, task.floor))
    head = ["name", "kind", *_FACTS.values()]
    without_runs = all(record.kind == "samples" for record in records)
    for score, better in task.shown.items():
        direction = " (higher is better)" if better == "higher" else ""
        columns = [f" {column}" for column in _COLUMNS.values()] if not without_runs else [""] * len(_COLUMNS)
        head += [f"{score_title(score)}{column}{direction}" for column in columns]
    head.append("note")
    kept = [column for column in range(len(head)) if any(line.cells[column].text for line in lines)]
    cut = [Line(line.name, line.kind, [line.cells[column] for column in kept]) for line in lines]
    return Board([head[column] for column in kept], cut)


_FACTS = {
    "runs": "runs",
    "critic_lr": "critic rate",
    "generator_lr": "generator rate",
    "critic_steps": "critic steps",
}
_COLUMNS = {"best_run": "best run", "best_mean": "best mean", "end": "at the end"}


def _rank(score: Mapping[str, Any], sign: int) -> float:
    known = [sign * score[name] for name in ("best_mean", "end") if score.get(name) is not None]
    return min(known, default=math.inf)


def _line(task: Task, record: Record) -> Line:
    facts = {**record.facts, "runs": record.facts.get("runs") or len(record.facts.get("seeds", ())) or None}
    numbers = [facts.get(name) for name in _FACTS]
    cells = [Cell(record.name), Cell(record.kind)]
    cells += [Cell("" if number is None else f"{number:g}", number) for number in numbers]
    for score in task.shown:
        of_record = record.scores.get(score, {})
        for name in _COLUMNS:
            value, deviation = of_record.get(name), of_record.get("sd")
            spread = "" if name != "end" or deviation is None else f" ± {deviation:.3f}"
            cells.append(Cell("" if value is None else f"{value:.3f}{spread}", value))
    return Line(record.name, record.kind, [*cells, Cell(facts.get("note", ""))])


def _floor_line(task: Task, floor: Mapping[str, float]) -> Line:
    name, note = ("real text", "as many held-out lines") if task.metrics else ("real images", "as many of the others")
    cells = [Cell(name), Cell(name), *(Cell("") for _ in _FACTS)]
    for score in task.shown:
        value = floor.get(score)
        cells += [Cell(""), Cell(""), Cell("" if value is None else f"{value:.3f}", value)]
    return Line(name, name, [*cells, Cell(f"the floor: {note}")])


def as_markdown(task: Task, records: Sequence[Record]) -> str:
    """Return a task's table in Markdown, with its title and signature."""
    about = markdown_code(task.signature) if task.signature else "As published; not scored by this project."
    return f"# {markdown_text(task.title)}\n\n{about}\n\n{_table(board(task, records))}\n\n{_LEGEND}\n"


def _table(made: Board) -> str:
    return markdown([made.head, *([cell.text for cell in line.cells] for line in made.lines)])


_LEGEND = (
    "Best run is the lowest window mean of a single run, best mean the lowest of the mean over runs, both over the "
    "whole training; at the end is the mean over runs of its last tenth, with the standard deviation; samples without "
    "a run have only an end. Lower is better unless a heading says otherwise."
)


def page(tasks: Sequence[tuple[Task, Sequence[Record]]], digest: str) -> str:
    """Return the page: tables, curves and samples of all tasks, in one file that needs no network."""
    import jinja2
    from bokeh.embed import components
    from bokeh.resources import Resources

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    sections = []
    for task, records in tasks:
        drawn = [record for record in records if record.curve is not None]
        script, divs = components([_curves(task, drawn, score) for score in task.shown]) if drawn else ("", ())
        made = board(task, records)
        texts = {record.name: _some_samples(record) for record in records}
        sections.append(
            {
                "task": task,
                "board": made,
                "script": script,
                "divs": divs,
                "samples": {line.name: texts[line.name] for line in made.lines if texts.get(line.name)},
            }
        )
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    return template.render(
        sections=sections,
        bokeh=Resources(mode="inline", components=["bokeh"]).render(),
        digest=digest,
        legend=_LEGEND,
    )


def _curves(task: Task, records: Sequence[Record], score: str) -> Any:
    from bokeh.plotting import figure

    plot = figure(
        height=340, sizing_mode="stretch_width", x_axis_label="minutes of training", y_axis_label=score_title(score),
        tools="pan,box_zoom,wheel_zoom,reset,hover",
    )  # fmt: skip
    for number, record in enumerate(records):
        assert record.curve is not None
        minutes, curve = record.curve["minutes"], record.curve[score]
        known = [value is not None for value in curve["mean"]]
        x, mean, low, high = (
            [value for value, there in zip(values, known, strict=True) if there]
            for values in (minutes, curve["mean"], curve["low"], curve["high"])
        )
        colour = COLOURS[number % len(COLOURS)]
        plot.varea(x, low, high, fill_color=colour, fill_alpha=0.2, legend_label=record.name)
        plot.line(x, mean, line_color=colour, line_width=2, legend_label=record.name)
    if task.floor is not None and score in task.floor:
        plot.hspan(y=[task.floor[score]], line_dash="dashed", line_color="black", legend_label="real data")
    plot.legend.click_policy = "hide"
    plot.legend.label_text_font_size = "9pt"
    return plot


def _some_samples(record: Record) -> str:
    """Return the first lines of a record's samples, or a picture as a data: address."""
    if not record.samples or record.samples[0]["file"] is None:
        return ""
    path = record.folder / record.samples[0]["file"]
    if not path.exists():
        return ""
    if path.suffix == ".png":
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    text = read_text(path).decode()
    return "\n".join(text.split("\n")[:_SAMPLE_LINES])


def _digest(records: Path) -> str:
    """Return a hash of all that the page is made from."""
    made_from = hashlib.sha256(_TEMPLATE.read_bytes() + Path(__file__).read_bytes())
    for path in sorted(records.rglob("*.json")):
        made_from.update(str(path.relative_to(records)).encode() + path.read_bytes())
    return made_from.hexdigest()


def _with_tables(text: str, tasks: Sequence[tuple[Task, Sequence[Record]]]) -> str:
    for task, records in tasks:
        begin, end = f"<!-- leaderboard {task.name} -->\n", "<!-- end -->"
        if begin in text:
            before, _, after = text.partition(begin)
            _, found, rest = after.partition(end)
            if not found:
                raise InputError(f"no {end} after {begin.strip()}; put it below the table's place")
            text = f"{before}{begin}\n{_table(board(task, records))}\n\n{end}{rest}"
    return text


def index(tasks: Sequence[tuple[Task, Sequence[Record]]]) -> str:
    """Return the list of tasks in Markdown."""
    rows = [
        f"- [{markdown_text(task.title)}]({quote(task.name)}.md): {len(records)} records" for task, records in tasks
    ]
    return "\n".join(
        [
            "# Leaderboards",
            "",
            *rows,
            "",
            "To sort, filter and read samples: `python -m leaderboards.build`, then open index.html.",
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    """Write the tables and the page, or check them."""
    command = parse_command(BuildCommand, arguments, "leaderboards.build", __doc__)
    tasks = all_tasks(command.records)
    if not tasks:
        raise InputError(f"{command.records}: no task there; submit a record first")
    texts = {command.output / f"{task.name}.md": as_markdown(task, records) for task, records in tasks}
    texts[command.output / "index.md"] = index(tasks)
    if command.readme.exists():
        texts[command.readme] = _with_tables(command.readme.read_text("utf-8"), tasks)
    digest = _digest(command.records)
    path = command.output / "index.html"
    if command.check:
        stale = [file.name for file, text in texts.items() if not file.exists() or file.read_text("utf-8") != text]
        if path.exists() and f'content="{digest}"' not in path.read_text("utf-8"):
            stale.append("index.html")
        if stale:
            print(f"stale: {', '.join(stale)}; run python -m leaderboards.build", file=sys.stderr)
            return 1
        print(f"{len(texts) + 1} files are up to date")
        return 0
    texts[path] = page(tasks, digest)
    for path, text in texts.items():
        with atomic_write(path) as file:
            file.write(text.encode())
        print(f"wrote {printable(path)}")
    return 0


if __name__ == "__main__":
    run_command(main)
