"""Names of files and methods in messages, tables, figures and commands: made printable, distinct and quoted."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any

# Control characters, line and paragraph separators, marks that turn the direction of text, and surrogates: the bytes of
# a file name that are not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def printable(name: object) -> str:
    r"""Return a name on one line, with control characters and undecodable bytes escaped (\n, \x1b)."""
    return _UNPRINTABLE.sub(_escaped, str(name))


def shortest_different(paths: Sequence[str]) -> list[str]:
    """Return the shortest end of each path that no other path has: "a/500.txt", "b/500.txt" and "600.txt"."""
    parts = [PurePath(path).parts for path in paths]

    def shortest(number: int) -> str:
        mine, others = parts[number], [*parts[:number], *parts[number + 1 :]]
        for length in range(1, len(mine)):
            if all(other[-length:] != mine[-length:] for other in others):
                return str(PurePath(*mine[-length:]))
        return paths[number]

    return [shortest(number) for number in range(len(paths))]


def as_command(*words: str | Path) -> str:
    """Return a command to paste into a shell, with quotes around words that need them.

    A path that begins with "-" gets "./" before it, so that it is not read as a flag. Control characters and
    undecodable bytes are written as $'...', which bash, zsh and ksh read.
    """
    return " ".join(map(_quoted, words))


def without_folder(source: str) -> str:
    """Return a source of data without its folder: "kind:name" for "kind:/folder/name", "name" for "/folder/name".

    Sources in a pool lose their folders too.
    """
    kind, colon, rest = source.partition(":")
    if not colon or Path(source).is_absolute():
        return Path(source).name
    if kind == "pool":
        return f"pool:{json.dumps([without_folder(each) for each in json.loads(rest)])}"
    name, more, column = rest.rpartition(":") if kind == "jsonl" else rest.partition(":")
    return f"{kind}:{Path(name).name if Path(name).is_absolute() else name}{more}{column}"


def as_flag(name: str) -> str:
    """Return the flag of a setting or a field: --critic-lr for critic_lr."""
    return "--" + name.replace("_", "-")


def changed_fields(flags: Any, names: Iterable[str]) -> list[str]:
    """Return the named fields of a dataclass of flags whose values are not their defaults."""
    default = {field.name: field.default for field in fields(flags)}
    return [name for name in names if getattr(flags, name) != default[name]]


def given_flags(arguments: Iterable[str]) -> list[str]:
    """Return the flags among a command's arguments, in order: --critic-lr for `--critic-lr=1` and `--critic_lr 1`."""
    return [as_flag(word[2:].partition("=")[0]) for word in arguments if word.startswith("--")]


def as_flag_words(name: str, value: Any) -> list[str]:
    """Return the words of a command line that give a setting its value: the flag, then the values; False: none."""
    if isinstance(value, bool):
        return [as_flag(name)] if value else []
    return [as_flag(name), *map(str, value if isinstance(value, list | tuple) else [value])]


def _quoted(word: str | Path) -> str:
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        text = f"./{text}"
    if not _UNPRINTABLE.search(text):
        return shlex.quote(text)
    escaped = printable(text.replace("\\", "\\\\").replace("'", "\\'"))
    return f"$'{escaped}'"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors))
