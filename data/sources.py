"""Sources of text: from a `--data` or `--reference` value to lines."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from data.errors import InputError
from data.hub import hub_lines, read_hub_spec
from data.inputs import expand_user, file_identity, local_file, read_once, require_different, require_lasting, walk
from data.json_lines import is_json_lines, read_field, require_no_json
from data.oracle import Oracle, own_oracle, read_oracle
from data.readers import InvalidUtf8, Lines, Source, read_lines

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst", ".parquet")
_PUBLISHED = ("lm1b", "oracle")
_KINDS = ("brown", "grammar", "hub", "jsonl", "pool", *_PUBLISHED)


def open_source(spec: str, invalid_utf8: InvalidUtf8 = "refuse") -> Source:
    """Return the source that a `--data` or `--reference` value names.

    A value is `grammar`; `oracle`, `oracle:SEED` or `oracle:PATH`; `lm1b` or `lm1b:PATH`; `brown:PATH`; `hub:NAME` or
    `hub:NAME:COLUMN`; `jsonl:PATH:FIELD` (see `data.json_lines`); `pool:LIST` (see `pooled`); - for standard input; or
    the path of a text file (plain, .gz, .zst), a parquet file, a pipe, or a folder of text and parquet files (with
    subfolders, without hidden files, each file once: see `data.inputs.walk`).

    Raises:
        InputError: the value is empty, or the source cannot be read.
    """
    require_named(spec, ("brown", "grammar", "jsonl", "pool", *_PUBLISHED))
    kind, colon, rest = spec.partition(":")
    if kind == "grammar":
        from data import grammar

        if rest:
            raise InputError(f"{spec!r}: grammar takes no argument; give the number of lines with --lines")
        return Source(
            "grammar", grammar.VERSION, grammar.train_lines, grammar.held_out_lines, train_lines=grammar.TRAIN_LINES
        )
    if kind == "oracle":
        from data.oracle_lines import oracle_source

        oracle = open_oracle(spec)
        name = expand_user(rest).resolve().name if _is_path(kind, rest) else f"oracle-{int(rest or 0)}"
        return oracle_source(oracle, name)
    if kind == "lm1b":
        from data import lm1b

        return lm1b.open_lm1b(expand_user(rest) if rest else None, invalid_utf8)
    if kind == "brown" and colon:
        from data import brown

        return brown.open_brown(expand_user(rest), invalid_utf8)
    if kind == "hub":
        return _hub_source(rest)
    if kind == "jsonl" and colon:
        return _json_source(rest, invalid_utf8)
    if kind == "pool" and colon:
        return _pool([open_source(each, invalid_utf8) for each in _pooled_specs(rest)])
    return _file_source(Path(spec), invalid_utf8)


def text_files(folder: Path) -> list[Path]:
    """Return the text and Parquet files of a folder and its subfolders, sorted (see `data.inputs.walk`).

    Raises:
        InputError: there is none.
    """
    listing = walk(folder, TEXT_SUFFIXES)
    if not listing.files:
        raise InputError(f"{folder}: no {', '.join(TEXT_SUFFIXES)} file in this folder")
    listing.note(folder)
    return listing.files


def pooled(specs: Sequence[str]) -> str:
    """Return one value for the lines of several sources, one source after the other, none of them held out.

    Raises:
        InputError: a source is given twice.
    """
    if repeated := [spec for spec in specs if specs.count(spec) > 1]:
        raise InputError(f"{repeated[0]}: given twice; leave one out")
    return specs[0] if len(specs) == 1 else f"pool:{json.dumps(list(specs))}"


def with_field(spec: str, field: str | None) -> str:
    """Return the value for a field's text if `spec` is the path of a JSON Lines file, else `spec`.

    Raises:
        InputError: no field is given for JSON Lines, or the field has a colon.
    """
    path = expand_user(spec)
    if spec.partition(":")[0] in _KINDS or not (path.is_file() or read_once(path)):
        return spec
    if field is None:
        require_no_json(path)
        return spec
    if not is_json_lines(path):
        return spec
    if ":" in field:
        raise InputError(f"--field {field}: a field of {spec} cannot have a colon; rename the field")
    return f"jsonl:{spec}:{field}"


def require_different_sources(*specs: str | Path | None) -> None:
    """Refuse to read two sources from one pipe; see `data.inputs.require_different`.

    Raises:
        InputError: two sources are the same input, and it can be read only once.
    """
    require_different(*chain.from_iterable(_paths(spec) for spec in specs if spec is not None))


def _paths(spec: str | Path) -> list[str | Path]:
    """Return the paths of files, pipes and folders in a value; other sources stay as they are."""
    kind, _, rest = str(spec).partition(":")
    if isinstance(spec, Path) or kind not in ("jsonl", "pool"):
        return [spec]
    if kind == "jsonl":
        return [_split_column(kind, rest)[0]]
    return [path for each in _pooled_specs(rest) for path in _paths(each)]


def open_oracle(spec: str) -> Oracle:
    """Return the oracle that a value `oracle`, `oracle:SEED` (digits) or `oracle:PATH` names; the seed is 0 by default.

    Raises:
        InputError: the folder has no oracle.
    """
    kind, _, rest = spec.partition(":")
    return read_oracle(expand_user(rest)) if _is_path(kind, rest) else own_oracle(int(rest or 0))


def is_oracle(spec: str) -> bool:
    """Return whether a `--data` value names an oracle."""
    return spec.partition(":")[0] == "oracle"


def require_named(spec: str, kinds: Iterable[str]) -> None:
    """Refuse an empty value, and a kind with nothing after its colon: unset shell variables leave both.

    Raises:
        InputError: the value is refused; names it.
    """
    kind, colon, rest = spec.partition(":")
    if not spec.strip():
        raise InputError(f"{spec!r}: names no source (an unset variable?); give a path or a name")
    if kind in kinds and colon and not rest.strip():
        raise InputError(f"{spec!r}: nothing after the colon (an unset variable?); drop the colon, or name a path")


def absolute_source(spec: str, embedded: str = "grammar", published: Collection[str] = _PUBLISHED) -> str:
    """Return a `--data` value that names the same source from any working folder.

    The kind `embedded` needs no files; the kinds in `published` may be followed by a path, `oracle` also by a seed.

    Raises:
        InputError: the value is empty, or names a pipe or standard input, which no other process can read again.
    """
    require_named(spec, (embedded, *published))
    require_lasting(spec)
    kind, colon, rest = spec.partition(":")
    if kind == "brown" and rest:
        return f"brown:{expand_user(rest).resolve()}"
    if kind == "pool" and colon:
        return pooled([absolute_source(each, embedded, published) for each in _pooled_specs(rest)])
    if kind == "hub" or (kind == "jsonl" and colon):
        name, colon, column = _split_column(kind, rest)
        require_lasting(name)
        return f"{kind}:{expand_user(name).resolve()}{colon}{column}" if expand_user(name).exists() else spec
    if kind == embedded or kind in published:
        return f"{kind}:{expand_user(rest).resolve()}" if kind != embedded and _is_path(kind, rest) else spec
    return str(expand_user(spec).resolve())


def moved(recorded: str, folder: Path) -> list[str]:
    """Return candidates for a recorded `--data` value if the project that holds `folder` and the data has moved.

    Candidates are the existing paths that join `folder` or a folder above it to an end of the recorded path, the
    longest end first. Only a hash shows whether one holds the same data.
    """
    before, place, after = _place(recorded)
    if place is None:
        return []
    here, parts = folder.resolve(), place.parts
    ends = [parts[start:] for start in range(1, len(parts))]
    places = (above.joinpath(*end) for end in ends for above in (here, *here.parents))
    candidates = dict.fromkeys(path for path in places if path != place and path.exists())
    return [f"{before}{path}{after}" for path in candidates]


def exists(recorded: str) -> bool:
    """Return whether the path in a recorded `--data` value exists; True if the value has no path."""
    place = _place(recorded)[1]
    return place is None or place.exists()


def _place(recorded: str) -> tuple[str, Path | None, str]:
    """Split a recorded value into the text before its absolute path, the path (None if absent), and the text after."""
    kind, colon, rest = ("", "", recorded) if Path(recorded).is_absolute() else recorded.partition(":")
    name, more, column = _split_column(kind, rest) if kind in ("hub", "jsonl") else (rest, "", "")
    return f"{kind}{colon}", Path(name) if Path(name).is_absolute() else None, f"{more}{column}"


def _split_column(kind: str, rest: str) -> tuple[str, str, str]:
    """Split NAME:COLUMN of the hub at the first colon, PATH:FIELD of JSON Lines at the last one."""
    return rest.partition(":") if kind == "hub" else rest.rpartition(":")


def _pooled_specs(rest: str) -> list[str]:
    try:
        specs = json.loads(rest)
    except ValueError:
        specs = None
    if not isinstance(specs, list) or not specs or not all(isinstance(spec, str) for spec in specs):
        raise InputError(f'pool:{rest}: not a JSON list of sources; say pool:["A", "B"]')
    return specs


def _is_path(kind: str, rest: str) -> bool:
    """Whether the text after a kind's colon is a path: it is there, and is no seed of an oracle."""
    return bool(rest) and not (kind == "oracle" and re.fullmatch("[0-9]{1,18}", rest))


def _file_source(path: Path, invalid_utf8: InvalidUtf8) -> Source:
    path = expand_user(path)
    if path.name.endswith((".tar.gz", ".tgz", ".tar")) and not path.is_file():
        raise InputError(f"{path}: an archive; for the One Billion Word Benchmark say lm1b:{path}, else unpack it")
    if path.is_dir():
        paths = text_files(path)
    else:
        local_file(path)
        require_no_json(path, f"say jsonl:{path}:FIELD with a field of these")
        paths = [path]

    def train() -> Lines:
        for file in paths:
            yield from read_lines(file, invalid_utf8)

    name = str(path) if read_once(path) else path.resolve().name
    return Source(name, ["files", file_identity(paths, path), invalid_utf8], train)


def _json_source(rest: str, invalid_utf8: InvalidUtf8) -> Source:
    place, colon, field = rest.rpartition(":")
    if not colon or not field:
        raise InputError(f"jsonl:{rest}: names no field; say jsonl:{place or rest}:FIELD")
    path = expand_user(place)
    local_file(path)
    name = f"{path if read_once(path) else path.resolve().name}:{field}"
    identity = ["jsonl", file_identity([path], path), field, invalid_utf8]
    return Source(name, identity, lambda: read_field(path, field, invalid_utf8))


def _pool(sources: Sequence[Source]) -> Source:
    def capped(source: Source) -> Iterator[list[str]]:
        left = source.train_lines
        for lines in source.train():
            yield lines[:left]
            left = None if left is None else left - len(lines)
            if left is not None and left <= 0:
                return

    identity = ["pool", [[source.identity, source.train_lines] for source in sources]]
    name = "+".join(source.name for source in sources)
    return Source(name, identity, lambda: (lines for source in sources for lines in capped(source)))


def _hub_source(rest: str) -> Source:
    hub = read_hub_spec(rest)
    return Source(hub.title, hub.identity, lambda: hub_lines(hub.name, "train", hub.column or "text"))
