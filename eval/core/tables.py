"""Tables of strings in every output format, and the flags that choose one.

What is printed for people (text, Markdown, LaTeX) has rounded numbers, and names escaped so that no table breaks; what
is printed for programs (CSV, JSON) has unrounded numbers, and names as they are.
"""

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data.errors import InputError
from data.naming import printable

Format = Literal["text", "markdown", "csv", "json", "latex"]


@dataclass(frozen=True, kw_only=True)
class FormatFlags:
    """Flags of every command that prints scores or tables."""

    format: Format | None = None
    """How to print: text, Markdown, CSV and JSON (unrounded), LaTeX (booktabs). Default: text."""
    json: bool = False
    """Short for --format json."""

    def __post_init__(self) -> None:
        if self.json and self.format not in (None, "json"):
            raise InputError(f"--json --format {self.format}: --json is short for --format json; leave one out")
        if check := getattr(super(), "__post_init__", None):  # of the flags that these are added to
            check()

    @property
    def output_format(self) -> Format:
        """The format that the flags choose."""
        return "json" if self.json else self.format or "text"


@dataclass(frozen=True)
class Best:
    """A cell that is the best of its row or column: the text that is marked, and what follows it."""

    text: str
    rest: str = ""


Table = Sequence[Sequence[str | Best]]
"""Rows of cells, the first row their head."""


@dataclass(frozen=True)
class Block:
    """A table with the line above it, and the statements and signatures below it."""

    title: str
    table: Table
    notes: Sequence[str] = ()
    signatures: Sequence[str] = ()


def render(
    output_format: Format, blocks: Sequence[Block], records: Sequence[Mapping[str, Any]], whole: Any = None
) -> str:
    """Return tables in a format.

    Args:
        output_format: the format.
        blocks: the tables as text, Markdown and LaTeX show them.
        records: the rows of the CSV file, all with the same keys.
        whole: the JSON value. Default: the records.
    """
    if output_format == "json":
        return json.dumps(records if whole is None else whole, allow_nan=False)
    if output_format == "csv":
        return as_csv(records)
    write = {"text": _text, "markdown": _markdown, "latex": _latex}[output_format]
    return "\n\n".join("\n\n".join(filter(None, write(block))) for block in blocks)


def tell(output_format: Format, message: str) -> None:
    """Print a message after a table: on stdout below text, else on stderr, so that stdout holds the table alone."""
    if output_format == "text":
        print(f"\n{message}")
    else:
        print(message, file=sys.stderr)


def fixed(value: float, digits: int = 4, sign: str = "") -> str:
    """Return a number with so many digits after the point, never -0; `sign` "+" also marks positive ones."""
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def aligned(table: Table) -> str:
    """Return a line for each row: the first column to the left, the others to the right."""
    rows = _written(table, printable, "{}*")
    first, *widths = (max(_width(row[column]) for row in rows) for column in range(len(rows[0])))
    return "\n".join(
        "  ".join([_pad(row[0], first), *map(_pad, row[1:], (-width for width in widths))]) for row in rows
    )


def markdown(table: Table) -> str:
    """Return a Markdown table."""
    rows = _written(table, markdown_text, "**{}**")
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def latex(table: Table) -> str:
    """Return a LaTeX table; it needs the package booktabs."""
    head, *rows = (f"{' & '.join(row)} \\\\" for row in _written(table, latex_text, "\\textbf{{{}}}"))
    columns = "l" + "r" * (len(table[0]) - 1)
    body = ["\\toprule", head, "\\midrule", *rows, "\\bottomrule"]
    return "\n".join([f"\\begin{{tabular}}{{{columns}}}", *body, "\\end{tabular}"])


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return lines of comma-separated values below their names; None is empty."""
    lines = []
    for values in (list(records[0]), *(list(record.values()) for record in records)):
        line = io.StringIO()
        csv.writer(line).writerow(values)  # whose line end, CR LF, makes it quote both characters
        lines.append(line.getvalue().removesuffix("\r\n"))
    return "\n".join(lines)


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is, in a table too."""
    # An underscore inside a word means nothing.
    return re.sub(r"[\\`*|<>\[\]~&$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", printable(text))


def markdown_code(text: str) -> str:
    """Return text as Markdown's code, between more backticks than it has in a row."""
    shown = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{shown}{space}{fence}"


_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    | {character: f"{{{character}}}" for character in "[]*"}  # would belong to the \\ of the line before
)


def latex_text(text: str) -> str:
    """Return text that LaTeX sets as it is."""
    return re.sub("-(?=-)", "-{}", printable(text).translate(_LATEX))


def _text(block: Block) -> list[str]:
    below = ("\n".join(map(printable, lines)) for lines in (block.notes, block.signatures))
    return [printable(block.title), aligned(block.table), *below]


def _markdown(block: Block) -> list[str]:
    notes, signatures = (f"- {markdown_text(note)}" for note in block.notes), map(markdown_code, block.signatures)
    return [markdown_text(block.title), markdown(block.table), "\n".join(notes), "\n".join(signatures)]


def _latex(block: Block) -> list[str]:
    said = [f"% {printable(line)}" for line in (block.title, *block.notes, *block.signatures) if line]
    return ["\n".join([*said, latex(block.table)])]


def _written(table: Table, escape: Callable[[str], str], best: str) -> list[list[str]]:
    return [
        [escape(cell) if isinstance(cell, str) else best.format(escape(cell.text)) + escape(cell.rest) for cell in row]
        for row in table
    ]


def _pad(text: str, width: int) -> str:
    """Fill text up to a width with spaces on the right, or if it is negative on the left."""
    spaces = " " * (abs(width) - _width(text))
    return spaces + text if width < 0 else text + spaces


def _width(text: str) -> int:
    """Return how many columns of a terminal text takes: Chinese characters two, accents of their own none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(each) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )
