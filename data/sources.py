"""Sources: which lines of text a `--data` or `--reference` value names."""

from collections.abc import Collection, Iterable
from pathlib import Path

from data.errors import InputError
from data.inputs import expand_user, file_identity, local_file, read_once, require_lasting, walk
from data.readers import InvalidUtf8, Lines, Source, hub_lines, read_hub_spec, read_lines

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst", ".parquet")


def open_source(spec: str, invalid_utf8: InvalidUtf8 = "refuse") -> Source:
    """Return the source that a `--data` or `--reference` value names.

    `grammar`; `lm1b` or `lm1b:PATH`; `hub:NAME` or `hub:NAME:COLUMN`; else the path of a text file
    (plain, .gz, .zst), a parquet file, a pipe, - for standard input, or a folder of text and parquet files: those in
    its subfolders too, without hidden ones, each once (see `data.inputs.walk`).

    Raises:
        InputError: it names nothing, or what it names cannot be read.
    """
    require_named(spec, ("grammar", "lm1b"))
    kind, _, rest = spec.partition(":")
    if kind == "grammar":
        from data import grammar

        if rest:
            raise InputError(f"{spec!r}: grammar takes no argument; give the number of lines with --lines")
        return Source(
            "grammar", grammar.VERSION, grammar.train_lines, grammar.held_out_lines, train_lines=grammar.TRAIN_LINES
        )
    if kind == "lm1b":
        from data import lm1b

        return lm1b.open_lm1b(expand_user(rest) if rest else None, invalid_utf8)
    if kind == "hub":
        return _hub_source(rest)
    return _file_source(Path(spec), invalid_utf8)


def require_named(spec: str, kinds: Iterable[str]) -> None:
    """Refuse an empty value, and a kind with a colon but nothing behind it: both are what unset variables leave.

    Raises:
        InputError: naming the value.
    """
    kind, colon, rest = spec.partition(":")
    if not spec.strip():
        raise InputError(f"{spec!r}: names no source (an unset variable?); give a path or a name")
    if kind in kinds and colon and not rest.strip():
        raise InputError(f"{spec!r}: nothing behind the colon (an unset variable?); leave it out, or name a path there")


def absolute_source(spec: str, embedded: str = "grammar", published: Collection[str] = ("lm1b",)) -> str:
    """Return a `--data` value that names the same source from any working folder.

    Args:
        spec: the value.
        embedded: the kind that needs no files.
        published: kinds that may be followed by a path.

    Raises:
        InputError: it names nothing, or a pipe or standard input, which no other process can read again.
    """
    require_named(spec, (embedded, *published))
    require_lasting(spec)
    kind, colon, rest = spec.partition(":")
    if kind == "hub":
        name, colon, column = rest.partition(":")
        return f"hub:{expand_user(name).resolve()}{colon}{column}" if expand_user(name).exists() else spec
    if kind == embedded or kind in published:
        return f"{kind}:{expand_user(rest).resolve()}" if kind != embedded and rest else spec
    return str(expand_user(spec).resolve())


def moved(recorded: str, folder: Path) -> list[str]:
    """Return values for what a recorded `--data` value names, if the project around `folder` and the data has moved.

    These are the existing paths that begin as `folder` does and end as the recorded path does, the longest end first.
    Whether one holds the same data, its hash must say.
    """
    before, place, after = _place(recorded)
    if place is None:
        return []
    here, parts = folder.resolve(), place.parts
    ends = [parts[start:] for start in range(1, len(parts))]
    places = (above.joinpath(*end) for end in ends for above in (here, *here.parents))
    found = dict.fromkeys(each for each in places if each != place and each.exists())
    return [f"{before}{each}{after}" for each in found]


def exists(recorded: str) -> bool:
    """Whether the path of a recorded `--data` value is there; a value without a path always is."""
    place = _place(recorded)[1]
    return place is None or place.exists()


def _place(recorded: str) -> tuple[str, Path | None, str]:
    """Return a recorded value's absolute path, and the text before and behind it."""
    kind, colon, rest = ("", "", recorded) if Path(recorded).is_absolute() else recorded.partition(":")
    name, more, column = rest.partition(":") if kind == "hub" else (rest, "", "")
    return f"{kind}{colon}", Path(name) if Path(name).is_absolute() else None, f"{more}{column}"


def _file_source(path: Path, invalid_utf8: InvalidUtf8) -> Source:
    path = expand_user(path)
    if path.name.endswith((".tar.gz", ".tgz", ".tar")) and not path.is_file():
        raise InputError(f"{path}: an archive; for the One Billion Word Benchmark say lm1b:{path}, else unpack it")
    if path.is_dir():
        found = walk(path, TEXT_SUFFIXES)
        paths = found.files
        if not paths:
            raise InputError(f"{path}: no {', '.join(TEXT_SUFFIXES)} file in this folder")
        found.note(path)
    else:
        local_file(path)
        paths = [path]

    def train() -> Lines:
        for file in paths:
            yield from read_lines(file, invalid_utf8)

    name = str(path) if read_once(path) else path.resolve().name
    return Source(name, ["files", file_identity(paths, path), invalid_utf8], train)


def _hub_source(rest: str) -> Source:
    hub = read_hub_spec(rest)
    return Source(hub.title, hub.identity, lambda: hub_lines(hub.name, "train", hub.column or "text"))
