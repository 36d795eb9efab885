"""Count the n-grams of a text once: cache them, save them, or merge the counts of its parts.

    python -m eval.ngrams build corpus.txt.gz --ngram 6
    python -m eval.ngrams build part-1.txt.gz --output part-1.ngrams
    python -m eval.ngrams merge part-1.ngrams part-2.ngrams --output whole.ngrams

Commands that score against the same text reuse the cached counts. Saved counts are a reference too:
`python -m eval.jsd samples.txt --reference whole.ngrams`. Parts may be counted on different machines and merged in any
order; the result equals the counts of the whole text. `build FOLDER --executor ray --output whole.ngrams` counts each
file of a folder on Ray, over all cores of this machine or of the cluster at --address, and merges the counts as a tree.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import tyro

from data.command import parse_command, run_command
from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.naming import printable
from data.readers import InvalidUtf8
from eval.core.tables import Block, FormatFlags, render, tell
from eval.text.part_counts import count_folder
from eval.text.reference_counts import (
    ReferenceCounts,
    count_reference,
    load_counts,
    merge_counts,
    require_new,
    save_counts,
)


@dataclass(frozen=True)
class BuildCommand(FormatFlags):
    """Count the n-grams of a text for n = 1 up to --ngram."""

    source: tyro.conf.Positional[str]
    """Text to count: grammar, oracle[:SEED or :PATH], lm1b[:PATH], brown:PATH, hub:NAME[:COLUMN], jsonl:PATH:FIELD,
    a text file (.txt, .gz, .zst), a Parquet file, or a folder of these."""
    ngram: int = 6
    """Longest n-gram in characters."""
    seq_len: int = 32
    """Characters per line; longer lines are cut, shorter ones padded."""
    padding: Literal["in", "out"] = "in"
    """Count (in, as in the TTUR paper) or skip (out) n-grams that contain padding."""
    lines: int | None = None
    """Maximum number of lines. Default: 200,000 (grammar), 10,000,000 (lm1b) or all."""
    vocabulary_size: int = 2048
    """Maximum number of characters, the most frequent first; all others become one unknown symbol."""
    invalid_utf8: InvalidUtf8 = "refuse"
    """How to treat bytes that are not UTF-8: refuse the file or replace them."""
    output: Path | None = None
    """Folder to save the counts in, also for merging. Default: only the cache."""
    executor: Literal["inline", "ray"] = "inline"
    """inline: in this process; ray: each file of a folder by a task on Ray (extra textgan[ray]), with --output."""
    address: str | None = None
    """Address of a Ray cluster whose machines all see the folder, for --executor ray. Default: start one here."""


@dataclass(frozen=True)
class MergeCommand(FormatFlags):
    """Merge the counts of the parts of a text."""

    parts: tyro.conf.Positional[tuple[Path, ...]]
    """Folders written by `build --output`."""
    output: Path
    """Folder for the merged counts."""
    vocabulary_size: int = 2048
    """Maximum number of characters, the most frequent in all parts first."""


Commands = (
    Annotated[BuildCommand, tyro.conf.subcommand("build")] | Annotated[MergeCommand, tyro.conf.subcommand("merge")]
)


def main(arguments: list[str]) -> int:
    """Count a text or merge counts, and print the numbers of n-grams."""
    command = parse_command(cast(type[BuildCommand | MergeCommand], Commands), arguments, "eval.ngrams", __doc__)
    if command.output is not None:
        require_new(command.output)
    if isinstance(command, BuildCommand):
        text = _count(command)
    else:
        if not command.parts:
            raise InputError("merge: no parts; name folders written by `build --output`")
        folders = [path.resolve() for path in command.parts]
        if repeated := [path for path in command.parts if folders.count(path.resolve()) > 1]:
            raise InputError(f"{repeated[0]}: given twice; leave one out")
        parts = [load_counts(path) for path in command.parts]
        text = merge_counts(parts, command.output.stem, command.vocabulary_size)
    if command.output is not None:
        save_counts(text, command.output)
    title = f"{text.name}: {text.lines:,} lines, {text.tokenizer.size - 2:,} characters"
    records = [{"n": n, "different": counted.keys.size, "total": counted.total} for n, counted in text.counts.items()]
    table = [["n", "different", "total"], *([f"{value:,}" for value in record.values()] for record in records)]
    facts = {"text": text.name, "lines": text.lines, "characters": text.tokenizer.size - 2, "ngrams": records}
    print(render(command.output_format, [Block(title, table)], records, facts))
    if command.output is not None:
        tell(command.output_format, f"wrote {printable(command.output)}")
    return 0


def _count(command: BuildCommand) -> ReferenceCounts:
    options = CorpusOptions(
        command.source, command.seq_len, command.vocabulary_size, command.lines, False, command.invalid_utf8
    )
    padding = command.padding == "in"
    if command.executor == "inline":
        if command.address is not None:
            raise InputError(f"--address {command.address}: only with --executor ray")
        return count_reference(open_corpus(options), command.ngram, padding, command.vocabulary_size)
    if command.lines is not None:
        raise InputError(
            "--lines: files counted apart know no first lines of the whole; leave out --executor or --lines"
        )
    if command.output is None:
        raise InputError("--executor ray: merged counts are not cached; name a folder for them with --output")
    return count_folder(options, command.ngram, padding, command.address)


if __name__ == "__main__":
    run_command(main)
