"""Tables of strings, the first row their head, as aligned columns and in Markdown."""

from collections.abc import Sequence

Table = Sequence[Sequence[str]]


def aligned(table: Table) -> str:
    """Return a line for each row: the first column to the left, the others to the right."""
    first, *others = ([len(row[column]) for row in table] for column in range(len(table[0])))
    widths = [max(lengths) for lengths in others]
    return "\n".join("  ".join([row[0].ljust(max(first)), *map(str.rjust, row[1:], widths)]) for row in table)


def markdown(table: Table) -> str:
    """Return a Markdown table."""
    rows = [table[0], ["---"] * len(table[0]), *table[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
