"""Build the leaderboards from the records: a Markdown table per task, and one HTML page to sort, filter and read.

    python -m leaderboards.build
    python -m leaderboards.build --check

`--check` writes nothing and fails if a table, or the page if it was built, does not match the records. The page
contains the plotting library and is not committed. A damaged task is reported and its table left unchanged; the other
tasks are built, and the exit status is 1. In the file of `--readme`, a table stands between `<!-- leaderboard TASK -->`
and `<!-- end -->`.
"""

import base64
import hashlib
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
from eval.core.tables import markdown_code, markdown_text
from leaderboards.excess import CURVES, EXCESS, EXCESS_LEGEND, with_excess
from leaderboards.matrix import HOW_TO_READ, matrix
from leaderboards.places import RECORD, RECORDS, TASK, chosen_records, record_folders
from leaderboards.published import AS_PUBLISHED, WHY_APART, published_tables
from leaderboards.records import Curve, Record, Task, all_tasks, naming_damage
from leaderboards.samples import read_text
from leaderboards.tables import LEGEND, TaskTable, board, markdown_table
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
    """Folder of all records. Default: leaderboards/records in the checkout; required outside one."""
    output: Path | None = None
    """Folder for the tables and the page. Default: the parent folder of --records."""
    readme: Path | None = None
    """File whose tables are updated. Default: README.md of the checkout, or none with --records."""


@dataclass(frozen=True)
class Board:
    """A task, the records in its table, the table, and tables of published numbers beside it."""

    task: Task
    records: Sequence[Record]
    table: TaskTable
    published: Sequence[TaskTable]


def open_board(folder: Path, task: Task, records: Sequence[Record]) -> Board:
    """Return what is shown of the task in a folder.

    Raises:
        InputError: the task's curves of maximum likelihood are damaged.
    """
    task, records = with_excess(folder, task, records)
    measured = [record for record in records if record.kind != "published"] or records
    return Board(task, measured, board(task, measured), published_tables(task, records))


def section(shown: Board) -> dict[str, Any]:
    """Return the section of a task for the page's template: tables, curves, and the samples that records keep."""
    from bokeh.embed import components

    task, records, table = shown.task, shown.records, shown.table
    curves = {record.name: record.curve for record in records if record.curve is not None}
    drawn = [score for score in task.shown if any(score in curve.bands for curve in curves.values())]
    script, divs = components([_plot(task, curves, score) for score in drawn]) if drawn else ("", ())
    texts = {record.name: _first_samples(record) for record in records}
    samples = [(row.name, texts[row.name]) for row in table.rows if texts.get(row.name)]
    return {
        "task": task, "table": table, "script": script, "divs": divs, "samples": samples,
        "published": {record.kind for record in records} == {"published"}, "as_published": shown.published,
    }  # fmt: skip


def page(sections: Sequence[Mapping[str, Any]], models: TaskTable, digest: str) -> str:
    """Return the HTML page: matrix, tables, curves and samples of all tasks, in one file that needs no network."""
    import jinja2
    from bokeh.resources import Resources

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    bokeh = Resources(mode="inline", components=["bokeh"]).render()
    return template.render(
        sections=sections, matrix=models, how_to_read=HOW_TO_READ, legend=f"{LEGEND} {EXCESS_LEGEND}",
        as_published=AS_PUBLISHED, why_apart=WHY_APART, bokeh=bokeh, digest=digest,
    )  # fmt: skip


def _plot(task: Task, curves: Mapping[str, Curve], score: str) -> Any:
    from bokeh.plotting import figure

    plot = figure(
        height=270, sizing_mode="stretch_width", x_axis_label="minutes of training", y_axis_label=score_title(score),
        tools="pan,box_zoom,wheel_zoom,reset,hover",
    )  # fmt: skip
    for number, (name, curve) in enumerate(curves.items()):
        if score not in curve.bands:
            continue
        band, colour = curve.bands[score], COLOURS[number % len(COLOURS)]
        scored = [number for number, value in enumerate(band.mean) if value is not None]
        x, mean, low, high = (
            [values[number] or 0.0 for number in scored] for values in (curve.minutes, band.mean, band.low, band.high)
        )
        plot.varea(x, low, high, fill_color=colour, fill_alpha=0.2, legend_label=name)
        plot.line(x, mean, line_color=colour, line_width=2, legend_label=name)
    if task.floor is not None and score in task.floor:
        plot.hspan(y=[task.floor[score]], line_dash="dashed", line_color="black", legend_label="real data")
    plot.legend.click_policy = "hide"
    plot.legend.label_text_font_size = "9pt"
    plot.add_layout(plot.legend[0], "right")
    plot.toolbar.logo, plot.toolbar.autohide = None, True
    return plot


def _first_samples(record: Record) -> str:
    """Return the first lines of a record's first sample file; an image as a data: URL; "" if no samples are kept."""
    name = record.samples[0].file if record.samples else None
    if name is None or not (path := record.folder / name).exists():
        return ""
    if path.suffix == ".png":
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return "\n".join(read_text(path).decode("utf-8", "replace").split("\n")[:_SAMPLE_LINES])


def _digest(boards: Sequence[Board], records: Path) -> str:
    """Return a hash of what the page is built from: template, modules here, published numbers, tasks and records."""
    sources = [_TEMPLATE, *sorted(Path(__file__).parent.glob("*.py"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    for shown in boards:
        digest.update(repr(shown.published).encode())
        folder = records / shown.task.name
        paths = [folder / TASK, folder / CURVES, *(place / RECORD for place in record_folders(folder))]
        for path in filter(Path.exists, paths):
            digest.update(os.fsencode(path.relative_to(records)) + path.read_bytes())
    return digest.hexdigest()


def _with_tables(readme: Path, boards: Sequence[Board]) -> str:
    text = readme.read_text("utf-8")
    for shown in boards:
        begin, end = f"<!-- leaderboard {shown.task.name} -->\n", "<!-- end -->"
        if begin in text:
            before, _, after = text.partition(begin)
            inside, has_end, rest = after.partition(end)
            if not has_end or "<!-- leaderboard " in inside:
                raise InputError(f"{readme}: no {end} after {begin.strip()}; add it below the table")
            table = markdown_table(board(shown.task, shown.records, narrow=True))
            text = f"{before}{begin}\n{table}\n\n{end}{rest}"
    return text


def as_markdown(shown: Board) -> str:
    """Return the Markdown page of a task: title, signature, table and legend, then tables of published numbers."""
    signature = shown.task.signature
    about = markdown_code(signature) if signature else "As published; not scored by this project."
    legend = f"{LEGEND} {EXCESS_LEGEND}" if EXCESS in shown.task.shown else LEGEND
    parts = [f"# {markdown_text(shown.task.title)}", about, markdown_table(shown.table), legend]
    if shown.published:
        parts += [f"## {AS_PUBLISHED}", WHY_APART, *map(markdown_table, shown.published)]
    return "\n\n".join(parts) + "\n"


def index(boards: Sequence[Board], models: TaskTable) -> str:
    """Return the Markdown page with the matrix and the list of tasks."""
    rows = [
        f"- [{markdown_text(shown.task.title)}]({quote(shown.task.name)}.md): {_count(len(shown.records))}"
        for shown in boards
    ]
    hint = "To sort, filter and read samples: `python -m leaderboards.build`, then open index.html."
    return "\n".join(["# Leaderboards", "", markdown_table(models), "", HOW_TO_READ, "", *rows, "", hint, ""])


def _count(records: int) -> str:
    return f"{records} record{'' if records == 1 else 's'}"


def main(arguments: list[str]) -> int:
    """Run the command: write the tables and the page, or check them."""
    command = parse_command(BuildCommand, arguments, "leaderboards.build", __doc__)
    records = chosen_records(command.records)
    output = command.output or records.absolute().parent
    readme = command.readme or (RECORDS.parents[1] / "README.md" if command.records is None else None)
    damaged: list[InputError] = []
    read = all_tasks(records, damaged)
    if not read and not damaged:
        raise InputError(f"{records}: no task there; submit a record first")
    boards: list[Board] = []
    sections = []
    for task, task_records in read:
        try:
            with naming_damage(records / task.name):
                shown = open_board(records / task.name, task, task_records)
                sections += [] if command.check else [section(shown)]
        except InputError as error:
            damaged.append(error)
        else:
            boards.append(shown)
    models = matrix([(shown.task, shown.records) for shown in boards])
    texts = {output / f"{shown.task.name}.md": as_markdown(shown) for shown in boards}
    texts[output / "index.md"] = index(boards, models)
    if readme is not None and readme.exists():
        texts[readme] = _with_tables(readme, boards)
    for problem in damaged:
        print(f"error: {' '.join(str(problem).split())}", file=sys.stderr)
    digest, path = _digest(boards, records), output / "index.html"
    if command.check:
        stale = [file.name for file, text in texts.items() if not file.exists() or file.read_text("utf-8") != text]
        if path.exists() and f'content="{digest}"' not in path.read_text("utf-8"):
            stale.append("index.html")
        if stale:
            print(f"stale: {', '.join(stale)}; run python -m leaderboards.build", file=sys.stderr)
        else:
            print(f"{len(texts) + 1} files are up to date")
        return 1 if stale or damaged else 0
    texts[path] = page(sections, models, digest)
    for path, text in texts.items():
        with atomic_write(path) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
        print(f"wrote {printable(path)}")
    return 1 if damaged else 0


if __name__ == "__main__":
    run_command(main)
