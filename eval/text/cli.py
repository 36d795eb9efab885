"""Flags shared by the commands that score text, and the real text that the flags choose."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from data.command import parse_command
from data.corpus import Corpus, CorpusOptions, encode_source
from data.errors import InputError, require_at_least
from data.json_lines import is_json_lines
from data.readers import InvalidUtf8
from data.sources import pooled, require_different_sources, with_field
from data.words import Splitting, WordRule
from eval.core.score import Score, show
from eval.core.tables import FormatFlags
from eval.text.metrics import CHARACTER_METRICS, WORD_METRICS, RealText, score_samples
from eval.text.reference import Reference, ReferenceOptions, open_recorded, open_reference, recorded_reference
from eval.text.reference_counts import ReferenceCounts, is_saved_counts, load_counts
from eval.text.samples import SampleLines, open_samples
from eval.text.words import open_held_out, open_word_reference


@dataclass(frozen=True, kw_only=True)
class ReferenceFlags(FormatFlags):
    """Flags that choose the real text."""

    reference: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Real text: grammar, oracle[:SEED or :PATH], lm1b[:PATH], brown:PATH, hub:NAME[:COLUMN], jsonl:PATH:FIELD, a file,
    a folder, saved counts, or - for stdin. The lines of several are scored against as one text: repeat the flag.
    Default: the reference recorded beside the samples, else grammar."""
    lines: int | None = None
    """Maximum reference lines. Default: as recorded, else 200,000 (grammar), 10,000,000 (lm1b) or all."""
    held_out: str | None = None
    """Real text for the floor. Default: held-out lines of the reference, else (character JSD) lines in it."""
    invalid_utf8: InvalidUtf8 = "refuse"
    """How to treat bytes that are not UTF-8: refuse the file or replace them."""
    field: str | None = None
    """Field with the text in JSON Lines files, of samples and real text; dots lead into objects and lists
    (choices.0.text)."""


Flags = TypeVar("Flags", bound=ReferenceFlags)


@dataclass(frozen=True, kw_only=True)
class CharacterFlags(ReferenceFlags):
    """Flags of character metrics."""

    ngram: int | None = None
    """Longest n-gram, in characters; every n from 1 is scored. Default: as recorded, else 6."""
    seq_len: int | None = None
    """Characters per line; longer lines are cut, shorter ones padded. Default: as recorded, else 32."""
    padding: Literal["in", "out"] | None = None
    """Count (in) or skip (out) n-grams that contain padding. Default: as recorded, else in."""


@dataclass(frozen=True, kw_only=True)
class WordFlags(ReferenceFlags):
    """Flags of word metrics."""

    words: Splitting = "punctuation"
    """Split lines at punctuation and white space, at white space only, or into single characters."""
    lower_case: bool = False
    """Convert samples and real text to lower case."""

    @property
    def rule(self) -> WordRule:
        """How samples and real text are split into words."""
        return WordRule(self.words, self.lower_case)


@dataclass(frozen=True, kw_only=True)
class CharacterCommand(CharacterFlags):
    """Flags of a command that scores one file by character metrics."""

    samples: tyro.conf.Positional[Path]
    """Text file (plain, .gz, .zst, Parquet, or JSON Lines), one sample per line; - for standard input."""


@dataclass(frozen=True, kw_only=True)
class WordCommand(WordFlags):
    """Flags of a command that scores one file by word metrics."""

    samples: tyro.conf.Positional[Path]
    """Text file (plain, .gz, .zst, Parquet, or JSON Lines), one sample per line; - for standard input."""


def chosen_options(flags: ReferenceFlags, samples: Path) -> ReferenceOptions:
    """Return the reference lines that the flags choose, and how they are counted.

    Raises:
        InputError: the value of a flag is impossible, or the recorded lines have changed.
    """
    return _chosen_options(flags, samples)[0]


def _chosen_options(flags: ReferenceFlags, samples: Path) -> tuple[ReferenceOptions, Corpus | None]:
    """Return the options of the reference, recorded or given, and the recorded corpus if they describe it exactly."""
    require_at_least("--lines", flags.lines, 1)
    recorded = None if flags.reference else recorded_reference(samples)
    if recorded is None:
        corpus = CorpusOptions(pooled(flags.reference or ("grammar",)), split=False, invalid_utf8=flags.invalid_utf8)
        options, opened = ReferenceOptions(corpus), None
    else:
        options, opened = open_recorded(*recorded, samples.parent)
    if flags.lines is None:
        return options, opened
    return replace(options, corpus=replace(options.corpus, lines=flags.lines)), None


def _reference(flags: CharacterFlags, options: ReferenceOptions, opened: Corpus | None) -> Reference:
    require_at_least("--seq-len", flags.seq_len, 1)
    if (folder := _counts_folder(flags)) is not None:
        reference = Reference(_saved_counts(folder, flags), None, None)
    else:
        reference = _corpus_reference(flags, options, opened)
    if flags.held_out is None:
        return reference
    tokenizer, seq_len = reference.text.tokenizer, reference.text.seq_len
    held_out = encode_source(flags.held_out, tokenizer, seq_len, flags.invalid_utf8)
    return replace(reference, held_out=held_out, held_out_sha256=hashlib.sha256(held_out.data).hexdigest())


def _counts_folder(flags: ReferenceFlags) -> Path | None:
    """Return the folder of saved counts that --reference names, None for real text."""
    folders = [Path(name) for name in flags.reference if is_saved_counts(Path(name))]
    if folders and len(flags.reference) > 1:
        raise InputError(
            f"{folders[0]}: saved counts are a reference alone; add counts up: python -m eval.ngrams merge"
        )
    return folders[0] if folders else None


def _corpus_reference(flags: CharacterFlags, options: ReferenceOptions, opened: Corpus | None) -> Reference:
    seq_len = options.corpus.seq_len if flags.seq_len is None else flags.seq_len
    chosen = ReferenceOptions(
        replace(options.corpus, seq_len=seq_len),
        ngram=options.ngram if flags.ngram is None else flags.ngram,
        padding=options.padding if flags.padding is None else flags.padding == "in",
    )
    return open_reference(chosen, opened if seq_len == options.corpus.seq_len else None)


def _saved_counts(folder: Path, flags: CharacterFlags) -> ReferenceCounts:
    text = load_counts(folder)
    padding = "in" if text.padding else "out"
    for flag, counted, requested in (
        ("--seq-len", text.seq_len, flags.seq_len),
        ("--padding", padding, flags.padding),
        ("--lines", text.lines, flags.lines),
    ):
        if requested not in (None, counted):
            raise InputError(f"{flag} {requested}: {folder} was counted with {counted}; build it again")
    return text if flags.ngram is None else text.up_to(flags.ngram)


def chosen_text(flags: ReferenceFlags, samples: Path, metrics: Sequence[str]) -> RealText:
    """Return the real text that the flags choose, prepared for the named metrics; saved counts have no words.

    Args:
        flags: `CharacterFlags` for character metrics, `WordFlags` for word metrics, or both.
        samples: the samples file, whose record names the text if no flag does.
        metrics: names from `METRICS`.

    Raises:
        InputError: the text cannot be read, is too short, or has changed since the samples were recorded.
    """
    flags = by_field(flags)
    options, opened = _chosen_options(flags, samples)
    characters = words = None
    held_out: Sequence[str] = ()
    if isinstance(flags, CharacterFlags) and CHARACTER_METRICS.keys() & set(metrics):
        characters = _reference(flags, options, opened)
    if isinstance(flags, WordFlags) and WORD_METRICS.keys() & set(metrics) and _counts_folder(flags) is None:
        corpus = options.corpus
        if characters is not None:
            corpus = replace(corpus, seq_len=characters.text.seq_len)
        words = open_word_reference(corpus, flags.rule)
        held_out = words.held_out if flags.held_out is None else open_held_out(flags.held_out, flags.invalid_utf8)
    recorded = not flags.reference and recorded_reference(samples) is not None
    return RealText(characters, words, held_out, recorded)


def chosen_corpus(flags: ReferenceFlags, samples: Path) -> CorpusOptions:
    """Return the lines of real text that the flags choose.

    Raises:
        InputError: the value of a flag is impossible, the recorded lines have changed, or saved counts are named.
    """
    flags = by_field(flags)
    if (folder := _counts_folder(flags)) is not None:
        raise InputError(f"{folder}: saved counts have no lines; name the text itself with --reference")
    return chosen_options(flags, samples).corpus


def by_field(flags: Flags) -> Flags:
    """Return the flags with JSON Lines files of real text named as sources of the field --field.

    Raises:
        InputError: a file is JSON Lines, and no field is given.
    """
    reference = tuple(with_field(spec, flags.field) for spec in flags.reference)
    held_out = None if flags.held_out is None else with_field(flags.held_out, flags.field)
    return replace(flags, reference=reference, held_out=held_out)


def open_all(paths: Sequence[Path], flags: ReferenceFlags, *others: str | None) -> list[SampleLines]:
    """Return samples files opened; `others` are further sources that may be JSON Lines.

    Raises:
        InputError: a file cannot be read, two inputs are one pipe, or --field is given and no input is JSON Lines.
    """
    require_different_sources(*paths, *flags.reference, flags.held_out)
    files = [open_samples(path, flags.invalid_utf8, flags.field) for path in paths]
    of_others = any(each is not None and with_field(each, flags.field) != each for each in others)
    if flags.field is not None and by_field(flags) == flags and not (of_others or any(map(is_json_lines, paths))):
        raise InputError(f"--field {flags.field}: no input is JSON Lines, one object per line; leave the flag out")
    return files


def open_both(path: Path, flags: ReferenceFlags, metrics: Sequence[str]) -> tuple[SampleLines, RealText]:
    """Return a samples file and the real text that the flags choose, prepared for the named metrics.

    Raises:
        InputError: samples or real text cannot be read.
    """
    (samples,) = open_all([path], flags)
    return samples, chosen_text(flags, path, metrics)


def score_by(metrics: Sequence[str], path: Path, flags: ReferenceFlags) -> list[Score]:
    """Score a samples file by the named metrics against the real text that the flags choose.

    Raises:
        InputError: samples or real text cannot be read.
    """
    samples, real = open_both(path, flags, metrics)
    return score_samples(samples, metrics, real)


def show_metric(
    metric: str, options: type[CharacterCommand] | type[WordCommand], arguments: Sequence[str], description: str | None
) -> int:
    """Run the command of one metric: print the scores of a file and return the exit status.

    Raises:
        InputError: a wrong flag, or samples or real text that cannot be read.
    """
    command = parse_command(options, arguments, f"eval.{metric.replace('-', '_')}", description)
    show(score_by([metric], command.samples, command), command.output_format)
    return 0
