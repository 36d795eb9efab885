"""Make the leaderboards from the records: a Markdown table for each task, and one page to sort, filter and look.

    python -m leaderboards.build
    python -m leaderboards.build --check

`--check` writes nothing and fails if the files are not those of the records. The page holds the plotting library and
is not kept with the records; if it has not been built, there is nothing to check. A damaged task is named and left as
it is, the others are built; the exit status is 1 then.
"""

import base64
import hashlib
import math
import os
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
from eval.core.tables import markdown, markdown_code, markdown_text
from leaderboards.records import (
    RECORD,
    RECORDS,
    TASK,
    Record,
    Task,
    all_tasks,
    chosen_records,
    naming_damage,
    read_text,
)
from textgan.engine.run_folder import score_title
from textgan.runs.plots import COLOURS

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_SAMPLE_LINES = 24


@dataclass(frozen=True)
class BuildCommand:
    """Flags of `python -m leaderboards.build`."""

    check: bool = False
    """Write nothing; fail if a file is missing or stale."""
    records: Path | None = None
    """Folder of all records. Default: the checkout's; needed without one."""
    output: Path | None = None
    """Folder for the tables and the page. Default: the folder that --records is in."""
    readme: Path | None = None
    """Text with tables between <!-- leaderboard TASK --> and <!-- end -->. Default: the checkout's, of its records."""


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


def as_markdown(task: Task, made: Board) -> str:
    """Return a task's table in Markdown, with its title and signature."""
    about = markdown_code(task.signature) if task.signature else "As published; not scored by this project."
    return f"# {markdown_text(task.title)}\n\n{about}\n\n{_table(made)}\n\n{_LEGEND}\n"


def _table(made: Board) -> str:
    return markdown([made.head, *([cell.text for cell in line.cells] for line in made.lines)])


_LEGEND = (
    "Best run is the lowest window mean of a single run, best mean the lowest of the mean over runs, both over the "
    "whole training; at the end is the mean over runs of its last tenth, with the standard deviation; samples without "
    "a run have only an end. Lower is better unless a heading says otherwise."
)


def section(task: Task, records: Sequence[Record], made: Board) -> dict[str, Any]:
    """Return a task's part of the page: its table, curves, and the samples of each record that has some."""
    from bokeh.embed import components

    drawn = [record for record in records if record.curve is not None]
    script, divs = components([_curves(task, drawn, score) for score in task.shown]) if drawn else ("", ())
    texts = {record.name: _some_samples(record) for record in records}
    samples = [(line.name, texts[line.name]) for line in made.lines if texts.get(line.name)]
    return {
        "task": task, "board": made, "script": script, "divs": divs, "samples": samples,
        "records": len(records), "published": all(record.kind == "published" for record in records),
    }  # fmt: skip


def page(sections: Sequence[Mapping[str, Any]], digest: str) -> str:
    """Return the page: tables, curves and samples of all tasks, in one file that needs no network."""
    import jinja2
    from bokeh.resources import Resources

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        sections=sections,
        bokeh=Resources(mode="inline", components=["bokeh"]).render(),
        digest=digest,
        legend=_LEGEND,
    )


def _curves(task: Task, records: Sequence[Record], score: str) -> Any:
    from bokeh.plotting import figure

    plot = figure(
        height=270, sizing_mode="stretch_width", x_axis_label="minutes of training", y_axis_label=score_title(score),
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
    plot.add_layout(plot.legend[0], "right")
    plot.toolbar.logo, plot.toolbar.autohide = None, True
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
    return "\n".join(read_text(path).decode("utf-8", "replace").split("\n")[:_SAMPLE_LINES])


def _digest(tasks: Sequence[tuple[Task, Sequence[Record]]], records: Path) -> str:
    """Return a hash of all that the page is made from."""
    made_from = hashlib.sha256(_TEMPLATE.read_bytes() + Path(__file__).read_bytes())
    for task, of_task in tasks:
        for path in (records / task.name / TASK, *(record.folder / RECORD for record in of_task)):
            made_from.update(os.fsencode(path.relative_to(records)) + path.read_bytes())
    return made_from.hexdigest()


def _with_tables(text: str, boards: Mapping[str, Board]) -> str:
    for name, made in boards.items():
        begin, end = f"<!-- leaderboard {name} -->\n", "<!-- end -->"
        if begin in text:
            before, _, after = text.partition(begin)
            _, found, rest = after.partition(end)
            if not found:
                raise InputError(f"no {end} after {begin.strip()}; put it below the table's place")
            text = f"{before}{begin}\n{_table(made)}\n\n{end}{rest}"
    return text


def index(tasks: Sequence[tuple[Task, Sequence[Record]]]) -> str:
    """Return the list of tasks in Markdown."""
    rows = [
        f"- [{markdown_text(task.title)}]({quote(task.name)}.md): {_number(len(of_task))}" for task, of_task in tasks
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


def _number(records: int) -> str:
    return f"{records} record{'' if records == 1 else 's'}"


def main(arguments: list[str]) -> int:
    """Write the tables and the page, or check them."""
    command = parse_command(BuildCommand, arguments, "leaderboards.build", __doc__)
    records = chosen_records(command.records)
    output = command.output or records.absolute().parent
    readme = command.readme or (RECORDS.parents[1] / "README.md" if command.records is None else None)
    damaged: list[InputError] = []
    found = all_tasks(records, damaged)
    if not found and not damaged:
        raise InputError(f"{records}: no task there; submit a record first")
    tasks: list[tuple[Task, Sequence[Record]]] = []
    boards, sections = {}, []
    for task, of_task in found:
        try:
            with naming_damage(records / task.name):
                made = board(task, of_task)
                sections += [] if command.check else [section(task, of_task, made)]
        except InputError as error:
            damaged.append(error)
        else:
            boards[task.name] = made
            tasks.append((task, of_task))
    texts = {output / f"{task.name}.md": as_markdown(task, boards[task.name]) for task, _ in tasks}
    texts[output / "index.md"] = index(tasks)
    if readme is not None and readme.exists():
        texts[readme] = _with_tables(readme.read_text("utf-8"), boards)
    for each in damaged:
        print(f"error: {' '.join(str(each).split())}", file=sys.stderr)
    digest, path = _digest(tasks, records), output / "index.html"
    if command.check:
        stale = [file.name for file, text in texts.items() if not file.exists() or file.read_text("utf-8") != text]
        if path.exists() and f'content="{digest}"' not in path.read_text("utf-8"):
            stale.append("index.html")
        if stale:
            print(f"stale: {', '.join(stale)}; run python -m leaderboards.build", file=sys.stderr)
        else:
            print(f"{len(texts) + 1} files are up to date")
        return 1 if stale or damaged else 0
    texts[path] = page(sections, digest)
    for path, text in texts.items():
        with atomic_write(path) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
        print(f"wrote {printable(path)}")
    return 1 if damaged else 0


if __name__ == "__main__":
    run_command(main)
