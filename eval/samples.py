"""Samples to score: text files, one sample a line, read as a stream; and the flags that name them and their reference."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from data.corpus import Corpus, CorpusOptions, encode_source
from data.errors import InputError, note, require_at_least
from data.files import on_disk
from data.inputs import require_different
from data.readers import InvalidUtf8, Lines, read_lines
from data.vocabulary import PADDING_ID, UNKNOWN_ID, Ids
from eval.ngrams import DESCRIPTION, CountedText, has_ngrams, load_counted
from eval.reference import Reference, ReferenceOptions, open_recorded, open_reference, recorded_reference
from eval.score import Score
from eval.tables import FormatFlags

_NOTABLE_UNKNOWN_SHARE = 0.01


@dataclass(frozen=True)
class Samples:
    """Lines to score, read as often as needed."""

    name: str
    read: Callable[[], Lines]


def open_samples(path: Path, invalid_utf8: InvalidUtf8) -> Samples:
    """Return the lines of a text or Parquet file, a pipe, or - for standard input; see `data.readers.read_lines`.

    Raises:
        InputError: it is missing, empty, a folder, or no text.
    """
    if not any(read_lines(path, invalid_utf8)):
        raise InputError(f"{path}: the file is empty; give one sample a line")
    return Samples(str(path), lambda: read_lines(path, invalid_utf8))


@dataclass(frozen=True)
class Encoded:
    """Samples as ids [lines, seq_len], memory-mapped, and what was met on the way.

    `cut_lines` were longer than seq_len; `unknown_share` is the share of characters that the reference does not know;
    `lines_with_tabs` may be a table's rows.
    """

    ids: Ids
    cut_lines: int
    unknown_share: float
    lines_with_tabs: int


def encode_samples(samples: Samples, text: CountedText) -> Encoded:
    """Encode samples with the vocabulary and the line length of a counted text."""
    cut = tabs = unknown = characters = 0

    def blocks() -> Iterator[Ids]:
        nonlocal cut, tabs, unknown, characters
        for lines in samples.read():
            ids = text.vocabulary.encode(lines, text.seq_len)
            cut += sum(len(line) > text.seq_len for line in lines)
            tabs += sum("\t" in line for line in lines)
            unknown += int((ids == UNKNOWN_ID).sum())
            characters += int((ids != PADDING_ID).sum())
            yield ids

    ids = on_disk(blocks())
    return Encoded(ids, cut, unknown / max(characters, 1), tabs)


def remarks(name: str, encoded: Encoded, text: CountedText) -> list[str]:
    """Return what a user should know of samples before believing their scores."""
    found = []
    lines = len(encoded.ids)
    if encoded.cut_lines:
        found.append(f"{encoded.cut_lines:,} of {lines:,} lines are longer than --seq-len {text.seq_len} and were cut")
    if encoded.unknown_share >= _NOTABLE_UNKNOWN_SHARE:
        found.append(f"{encoded.unknown_share:.1%} of the characters do not occur in {text.name}: another script?")
    if encoded.lines_with_tabs and "\t" not in text.vocabulary.characters:
        found.append(f"{encoded.lines_with_tabs:,} of {lines:,} lines hold tabs: a table? give the text's column alone")
    return [f"{name}: {remark}" for remark in found]


@dataclass(frozen=True)
class ScoreFlags(FormatFlags):
    """Flags of every command that scores samples."""

    samples: tyro.conf.Positional[Path]
    """Text file (plain, .gz, .zst, or Parquet), one sample per line; - for standard input."""
    reference: str | None = None
    """Real text to compare with: grammar, lm1b[:PATH], hub:NAME[:COLUMN], a file, a folder of text and parquet files (with subfolders, without hidden files; links are followed once), - for standard input, or (for characters) a folder of saved counts. Default: the one recorded beside the samples, else grammar."""
    lines: int | None = None
    """Reference lines at most. Default: as recorded, else 200,000 of grammar, 10,000,000 of lm1b, all of another source."""
    held_out: str | None = None
    """Real text for the floor. Default: the reference's held-out lines, or (JSD of characters) lines taken out of it."""
    invalid_utf8: InvalidUtf8 = "refuse"
    """What to do with bytes that are not UTF-8."""

    def __post_init__(self) -> None:
        """Refuse to read two inputs from one pipe.

        Raises:
            InputError: naming it.
        """
        require_different(self.samples, self.reference, self.held_out)


@dataclass(frozen=True)
class CharacterFlags(ScoreFlags):
    """Flags of the commands that compare characters."""

    ngram: int | None = None
    """Longest n-gram, in characters; scores are given for 1 up to it. Default: as recorded, else 6."""
    seq_len: int | None = None
    """Characters a line: longer lines are cut, shorter ones padded. Default: as recorded, else 32."""
    padding: Literal["in", "out"] | None = None
    """Whether n-grams that hold padding count. Default: as recorded, else in (as in the TTUR paper)."""


def chosen_options(flags: ScoreFlags) -> ReferenceOptions:
    """Return which lines are the reference, and how they are counted.

    Raises:
        InputError: a flag's value is impossible, or the recorded lines are not what they were.
    """
    return _chosen_options(flags)[0]


def _chosen_options(flags: ScoreFlags) -> tuple[ReferenceOptions, Corpus | None]:
    """Return the reference's options, recorded or given, with --lines; and the recorded corpus, where it is that."""
    require_at_least("--lines", flags.lines, 1)
    recorded = recorded_reference(flags.samples) if flags.reference is None else None
    if recorded is None:
        corpus = CorpusOptions(flags.reference or "grammar", split=False, invalid_utf8=flags.invalid_utf8)
        options, opened = ReferenceOptions(corpus), None
    else:
        options, opened = open_recorded(*recorded, flags.samples.parent)
    if flags.lines is None:
        return options, opened
    return replace(options, corpus=replace(options.corpus, lines=flags.lines)), None


def chosen_reference(flags: CharacterFlags) -> Reference:
    """Return the reference that a command's flags choose.

    Raises:
        InputError: it cannot be read, is too short, or is not what it was when the samples were recorded.
    """
    require_at_least("--seq-len", flags.seq_len, 1)
    if flags.reference is not None and Path(flags.reference, DESCRIPTION).exists():
        reference = Reference(_saved_counts(Path(flags.reference), flags), None, None)
    else:
        reference = _corpus_reference(flags)
    if flags.held_out is None:
        return reference
    vocabulary, seq_len = reference.text.vocabulary, reference.text.seq_len
    return replace(reference, held_out=encode_source(flags.held_out, vocabulary, seq_len, flags.invalid_utf8))


def _corpus_reference(flags: CharacterFlags) -> Reference:
    options, opened = _chosen_options(flags)
    seq_len = options.corpus.seq_len if flags.seq_len is None else flags.seq_len
    chosen = ReferenceOptions(
        replace(options.corpus, seq_len=seq_len),
        ngram=options.ngram if flags.ngram is None else flags.ngram,
        padding=options.padding if flags.padding is None else flags.padding == "in",
    )
    return open_reference(chosen, opened if seq_len == options.corpus.seq_len else None)


def _saved_counts(folder: Path, flags: CharacterFlags) -> CountedText:
    text = load_counted(folder)
    padding = "in" if text.padding else "out"
    for flag, counted, asked in (
        ("--seq-len", text.seq_len, flags.seq_len),
        ("--padding", padding, flags.padding),
        ("--lines", text.lines, flags.lines),
    ):
        if asked not in (None, counted):
            raise InputError(f"{flag} {asked}: {folder} was counted with {counted}; build it again")
    return text if flags.ngram is None else text.up_to(flags.ngram)


def compare_characters(flags: CharacterFlags, compare: Callable[[Ids, Reference], list[Score]]) -> list[Score]:
    """Return the scores of a command's samples; what is to be known of them goes to stderr.

    Raises:
        InputError: samples or reference cannot be read, or no sample has an n-gram.
    """
    samples = open_samples(flags.samples, flags.invalid_utf8)
    reference = chosen_reference(flags)
    encoded = encode_samples(samples, reference.text)
    most = max(reference.text.counts)
    # A training run's first samples may be all padding; its record must still be scored, as the run did.
    by_record = flags.reference is None and recorded_reference(flags.samples) is not None
    if not by_record and not has_ngrams(encoded.ids, most):
        raise InputError(f"{samples.name}: every line is shorter than n = {most}; lower --ngram")
    for remark in remarks(samples.name, encoded, reference.text):
        note(remark)
    return compare(encoded.ids, reference)
