"""Make the leaderboards from the records: a Markdown table for each task, and one page to sort, filter and look.

    python -m leaderboards.build
    python -m leaderboards.build --check

`--check` writes nothing and fails where the files are not those of the records. The page holds the plotting library and
is not kept with the records; where it has not been built, there is nothing to check.
"""

import gzip
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.command import parse_command, run_command
from data.errors import InputError
from data.files import atomic_write
from leaderboards.records import RECORDS, Record, Task, all_tasks
from textgan.band_figure import COLOURS

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_SHOWN = ("jsd_4", "jsd_6")
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
class Line:
    """A line of a leaderboard: what is shown of a record, or of real text."""

    name: str
    kind: str
    runs: int | None
    cells: dict[str, dict[str, float | None]]
    critic_lr: float | None
    generator_lr: float | None
    critic_steps: int | None
    note: str


def lines_of(task: Task, records: Sequence[Record]) -> list[Line]:
    """Return a task's lines, best mean of the last shown score first, real text at the end."""
    lines = [
        Line(
            record.name,
            record.kind,
            len(record.facts["seeds"]) if "seeds" in record.facts else None,
            {name: _cells(record.scores.get(name, {})) for name in _SHOWN},
            record.facts.get("critic_lr"),
            record.facts.get("generator_lr"),
            record.facts.get("critic_steps"),
            record.facts.get("note", ""),
        )
        for record in records
    ]
    lines.sort(key=lambda line: _best(line.cells[_SHOWN[-1]]))
    if task.floor is not None:
        floor = {
            name: {"best_run": None, "best_mean": None, "end": task.floor.get(name), "sd": None} for name in _SHOWN
        }
        note = "the floor: as many held-out lines"
        lines.append(Line("real text", "real text", None, floor, None, None, None, note))
    return lines


def _cells(score: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: score.get(name) for name in ("best_run", "best_mean", "end", "sd")}


def _best(cells: Mapping[str, float | None]) -> float:
    return min((value for name in ("best_mean", "end") if (value := cells[name]) is not None), default=2.0)


_COLUMNS = ("best run", "best mean", "at the end")


def as_markdown(task: Task, lines: Sequence[Line]) -> str:
    """Return a task's table in Markdown, with its title and signature."""
    about = f"`{task.signature}`" if task.signature else "As published; not scored by this project."
    return f"# {task.title}\n\n{about}\n\n{_table(lines)}\n\n{_LEGEND}\n"


def _table(lines: Sequence[Line]) -> str:
    head = ["name", "kind", "runs", "critic rate", "generator rate", "critic steps"]
    head += [f"{_title(score)} {column}" for score in _SHOWN for column in _COLUMNS] + ["note"]
    rows = [head, ["---"] * len(head)]
    for line in lines:
        rates = [_plain(line.critic_lr), _plain(line.generator_lr), _plain(line.critic_steps)]
        scores = [cell for score in _SHOWN for cell in _shown(line.cells[score])]
        rows.append([line.name, line.kind, _plain(line.runs), *rates, *scores, line.note])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


_LEGEND = (
    "Best run is the lowest window mean of a single run, best mean the lowest of the mean over runs, both over the "
    "whole training; at the end is the mean over runs of its last tenth, with the standard deviation. Lower is better."
)


def _title(score: str) -> str:
    return score.upper().replace("_", "-")


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _shown(cells: Mapping[str, float | None]) -> list[str]:
    end = "" if cells["end"] is None else f"{cells['end']:.3f}"
    if cells["sd"] is not None:
        end += f" +- {cells['sd']:.3f}"
    return [*("" if cells[name] is None else f"{cells[name]:.3f}" for name in ("best_run", "best_mean")), end]


def page(tasks: Sequence[tuple[Task, Sequence[Record]]], digest: str) -> str:
    """Return the page: tables, curves and samples of all tasks, in one file that needs no network."""
    import jinja2
    from bokeh.embed import components
    from bokeh.resources import Resources

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    sections = []
    for task, records in tasks:
        drawn = [record for record in records if record.curve is not None]
        script, divs = components([_curves(task, drawn, score) for score in _SHOWN]) if drawn else ("", ())
        lines = lines_of(task, records)
        texts = {record.name: _some_samples(record) for record in records}
        sections.append(
            {
                "task": asdict(task),
                "lines": [asdict(line) for line in lines],
                "script": script,
                "divs": divs,
                "samples": {line.name: texts[line.name] for line in lines if texts.get(line.name)},
            }
        )
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    return template.render(
        sections=sections,
        shown=[(score, _title(score)) for score in _SHOWN],
        bokeh=Resources(mode="inline", components=["bokeh"]).render(),
        digest=digest,
        legend=_LEGEND,
    )


def _curves(task: Task, records: Sequence[Record], score: str) -> Any:
    from bokeh.plotting import figure

    plot = figure(
        height=340, sizing_mode="stretch_width", x_axis_label="minutes of training", y_axis_label=_title(score),
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
        plot.hspan(y=[task.floor[score]], line_dash="dashed", line_color="black", legend_label="real text")
    plot.legend.click_policy = "hide"
    plot.legend.label_text_font_size = "9pt"
    return plot


def _some_samples(record: Record) -> str:
    if not record.samples:
        return ""
    text = gzip.decompress((record.folder / record.samples[0]["file"]).read_bytes()).decode()
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
            _, _, rest = after.partition(end)
            text = f"{before}{begin}\n{_table(lines_of(task, records))}\n\n{end}{rest}"
    return text


def index(tasks: Sequence[tuple[Task, Sequence[Record]]]) -> str:
    """Return the list of tasks in Markdown."""
    rows = [f"- [{task.title}]({task.name}.md): {len(records)} records" for task, records in tasks]
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
    texts = {command.output / f"{task.name}.md": as_markdown(task, lines_of(task, records)) for task, records in tasks}
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
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    run_command(main)
