"""JSON Lines: text in a field of a JSON object per line, as written by evaluation harnesses and data sets."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.inputs import read_once
from data.readers import InvalidUtf8, Lines, ending, is_parquet, rows_as_lines, text_lines

SUFFIXES = (".jsonl", ".ndjson")

_MOST_NAMES = 12
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_KINDS = {bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "an object"}


def is_json_lines(path: Path) -> bool:
    """Return whether the first line of a file, blank lines skipped, is a JSON object.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    return not is_parquet(path) and isinstance(_first(path), dict)


def is_named_json_lines(path: Path) -> bool:
    """Return whether a file's name says JSON Lines: .jsonl or .ndjson, packed or not."""
    return ending(path) in SUFFIXES


def require_no_json(path: Path, remedy: str = "choose the text by --field NAME") -> None:
    """Refuse JSON Lines where no field is chosen: a file of such a name, or a pipe, whose first line is an object.

    Raises:
        InputError: the file is refused; gives the remedy, and lists the fields with text in the first line.
    """
    if (ending(path) in (*SUFFIXES, ".json") or read_once(path)) and is_json_lines(path):
        raise InputError(f"{path}: JSON Lines; {remedy}: {_listed(_first(path))}")


def read_field(path: Path, field: str, invalid_utf8: InvalidUtf8 = "refuse") -> Lines:
    """Yield the text of a field of each JSON object in a JSON Lines file, in order; blank lines are skipped.

    Line breaks inside the text become spaces, and null becomes an empty line, as in a Parquet column.

    Args:
        path: a file (plain, gzip or zstd), a pipe, or - for standard input.
        field: a name, or names of nested objects and numbers of list items joined by dots: `choices.0.text`.
        invalid_utf8: whether bytes that are not UTF-8 are refused or replaced.

    Raises:
        InputError: a line is no JSON object, lacks the field, or holds no text there; names the line.
    """
    before = 0
    for lines in text_lines(path, invalid_utf8):
        numbered = enumerate(lines, start=before + 1)
        if kept := [_text_at(line, field, f"{path}:{number}") for number, line in numbered if line.strip()]:
            yield rows_as_lines(kept)
        before += len(lines)


def _text_at(line: str, field: str, place: str) -> str | None:
    record = _parsed(line)
    if not isinstance(record, dict):
        raise InputError(f"{place}: not a JSON object; write one object per line, or leave out --field")
    try:
        found = _at(record, field)
    except (LookupError, TypeError, ValueError):
        raise InputError(f"{place}: no field {field!r}; the fields with text: {_listed(record)}") from None
    if found is not None and not isinstance(found, str):
        raise InputError(
            f"{place}: field {field!r} is {_KINDS[type(found)]}, not text; the fields with text: {_listed(record)}"
        )
    if found and (wrong := _NO_TEXT.search(found)):
        raise InputError(f"{place}: field {field!r} holds {wrong[0]!r}, as no line of a text does; replace it")
    return found


def _at(value: Any, field: str) -> Any:
    """Return the value at a dotted name; a name with dots itself comes first."""
    if isinstance(value, dict) and field in value:
        return value[field]
    name, dot, rest = field.partition(".")
    inner = value[int(name)] if isinstance(value, list) and name.isdecimal() else value[name]
    return _at(inner, rest) if dot else inner


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _first(path: Path) -> Any:
    """Return the first line that is not blank, parsed; None if there is none or it is not JSON."""
    lines = (line for block in text_lines(path, "replace") for line in block if line.strip())
    return _parsed(next(lines, ""))


def _listed(record: Any) -> str:
    names = list(_names(record))
    more = f", and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "none") + more


def _names(value: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all texts in a JSON value."""
    if isinstance(value, str):
        yield prefix.removesuffix(".")
    elif isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _names(inner, f"{prefix}{name}.")
