"""Count the n-grams of a text once: cache them, save them, or merge the counts of its parts.

    python -m eval.ngrams build corpus.txt.gz --ngram 6
    python -m eval.ngrams build part-1.txt.gz --output part-1.ngrams
    python -m eval.ngrams merge part-1.ngrams part-2.ngrams --output whole.ngrams

Commands that score against the same text reuse the cached counts. Saved counts are a reference too:
`python -m eval.jsd samples.txt --reference whole.ngrams`. Parts may be counted on different machines and merged in any
order; the result equals the counts of the whole text.
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
from eval.text.reference_counts import count_reference, load_counts, merge_counts, require_new, save_counts


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
        options = CorpusOptions(
            command.source, command.seq_len, command.vocabulary_size, command.lines, False, command.invalid_utf8
        )
        text = count_reference(open_corpus(options), command.ngram, command.padding == "in", command.vocabulary_size)
    else:
        if not command.parts:
            raise InputError("merge: no parts; name folders written by `build --output`")
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


if __name__ == "__main__":
    run_command(main)
