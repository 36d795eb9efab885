"""Render tables of strings as text, Markdown, LaTeX, CSV or JSON, as --format says.

Output for people (text, Markdown, LaTeX) has rounded numbers and escaped names; output for programs (CSV, JSON) has
unrounded numbers and unescaped names.
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
    """Output format: text, markdown, latex (booktabs), csv or json (both unrounded). Default: text."""
    json: bool = False
    """Short for --format json."""

    def __post_init__(self) -> None:
        if self.json and self.format not in (None, "json"):
            raise InputError(f"--json --format {self.format}: --json is short for --format json; leave one out")
        if check := getattr(super(), "__post_init__", None):  # the checks of the other base classes
            check()

    @property
    def output_format(self) -> Format:
        """The format chosen by --format or --json."""
        return "json" if self.json else self.format or "text"


@dataclass(frozen=True)
class Best:
    """The best cell of a row or column: `text` is marked, `rest` follows unmarked."""

    text: str
    rest: str = ""


Table = Sequence[Sequence[str | Best]]
"""Rows of cells; the first row is the header."""


@dataclass(frozen=True)
class Block:
    """A table with a title above, and notes and signatures below."""

    title: str
    table: Table
    notes: Sequence[str] = ()
    signatures: Sequence[str] = ()


def render(
    output_format: Format, blocks: Sequence[Block], records: Sequence[Mapping[str, Any]], whole: Any = None
) -> str:
    """Render tables in an output format.

    Args:
        output_format: the format.
        blocks: the tables for text, Markdown and LaTeX.
        records: the rows for CSV, all with the same keys.
        whole: the value for JSON. Default: the records.
    """
    if output_format == "json":
        return json.dumps(records if whole is None else whole, allow_nan=False)
    if output_format == "csv":
        return as_csv(records)
    write = {"text": _text, "markdown": _markdown, "latex": _latex}[output_format]
    return "\n\n".join("\n\n".join(filter(None, write(block))) for block in blocks)


def tell(output_format: Format, message: str) -> None:
    """Print a message after a table: to stdout for text, else to stderr, so that stdout holds only the table."""
    if output_format == "text":
        print(f"\n{message}")
    else:
        print(message, file=sys.stderr)


def fixed(value: float, digits: int = 4, sign: str = "") -> str:
    """Format a number with `digits` digits after the point, never as -0; `sign` "+" also marks positive numbers."""
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def aligned(table: Table) -> str:
    """Return a table as text, one line per row: the first column left-aligned, the others right-aligned."""
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
    """Return a LaTeX table, which needs the package booktabs."""
    head, *rows = (f"{' & '.join(row)} \\\\" for row in _written(table, latex_text, "\\textbf{{{}}}"))
    columns = "l" + "r" * (len(table[0]) - 1)
    body = ["\\toprule", head, "\\midrule", *rows, "\\bottomrule"]
    return "\n".join([f"\\begin{{tabular}}{{{columns}}}", *body, "\\end{tabular}"])


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV, a header line first; None is an empty cell."""
    lines = []
    for values in (list(records[0]), *(list(record.values()) for record in records)):
        line = io.StringIO()
        csv.writer(line).writerow(values)  # with CR LF as line end, csv quotes both characters inside values
        lines.append(line.getvalue().removesuffix("\r\n"))
    return "\n".join(lines)


def markdown_text(text: str) -> str:
    """Escape text for Markdown, also inside tables."""
    # Underscores inside a word need no escape.
    return re.sub(r"[\\`*|<>\[\]~&$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", printable(text))


def markdown_code(text: str) -> str:
    """Return text as Markdown code, fenced by one backtick more than its longest run of backticks."""
    shown = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{shown}{space}{fence}"


_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    | {character: f"{{{character}}}" for character in "[]*"}  # LaTeX would read them as arguments of the preceding \\
)


def latex_text(text: str) -> str:
    """Escape text for LaTeX."""
    return re.sub("-(?=-)", "-{}", printable(text).translate(_LATEX))


def _text(block: Block) -> list[str]:
    below = ("\n".join(map(printable, lines)) for lines in (block.notes, block.signatures))
    return [printable(block.title), aligned(block.table), *below]


def _markdown(block: Block) -> list[str]:
    notes, signatures = (f"- {markdown_text(note)}" for note in block.notes), map(markdown_code, block.signatures)
    return [markdown_text(block.title), markdown(block.table), "\n".join(notes), "\n".join(signatures)]


def _latex(block: Block) -> list[str]:
    comments = [f"% {printable(line)}" for line in (block.title, *block.notes, *block.signatures) if line]
    return ["\n".join([*comments, latex(block.table)])]


def _written(table: Table, escape: Callable[[str], str], best: str) -> list[list[str]]:
    return [
        [escape(cell) if isinstance(cell, str) else best.format(escape(cell.text)) + escape(cell.rest) for cell in row]
        for row in table
    ]


def _pad(text: str, width: int) -> str:
    """Pad text with spaces to a width: on the right, or on the left if the width is negative."""
    spaces = " " * (abs(width) - _width(text))
    return spaces + text if width < 0 else text + spaces


def _width(text: str) -> int:
    """Return the width of text in terminal columns: wide characters (Chinese) take two, combining accents none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(char) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
