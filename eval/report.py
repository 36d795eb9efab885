"""Score one or more sample files by all text metrics, side by side.

    python -m eval.report samples.txt --reference corpus.txt.gz
    python -m eval.report samples.txt other.txt --reference corpus.txt.gz --count 20 --format markdown
    python -m eval.report samples.txt --reference corpus.txt.gz --plot report.png

The table has one column per file, with 95 % confidence intervals in brackets. The last column is the score of the same
number of held-out lines of the reference. Files are compared only at equal numbers of samples.

A second table has the difference of each file from the first, or from --baseline, with 95 % confidence interval, and
whether it can be told from 0; a third one, for three files or more, the ranks that the tests of all pairs allow. In the
first table * is at a value that is better than all others by these tests.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.errors import InputError
from data.naming import as_flag_words, changed_fields, shortest_different
from data.readers import Lines
from data.sources import require_different_sources
from data.words import Splitting
from eval.core.figures import label, require_image_ending, save_figure
from eval.core.score import Score
from eval.sentences.cli import SENTENCE_METRICS, SentenceFlags, require_flags, score_sentences
from eval.text.api import Text, score_given
from eval.text.cli import CharacterFlags, chosen_text, open_all
from eval.text.metrics import CHARACTER_METRICS, METRICS, WORD_METRICS, require_metrics, score_samples
from eval.text.reference import ReferenceOptions, recorded_reference
from eval.text.report_tables import rendered
from eval.text.samples import SampleLines


@dataclass(frozen=True, kw_only=True)
class ReportCommand(CharacterFlags, SentenceFlags):
    """Flags of `python -m eval.report`."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Text files (plain, .gz, .zst, Parquet, or JSON Lines), one sample per line; - for standard input."""
    count: int | None = None
    """Random samples to score per file; required if the files differ in length. Default: all."""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = ()
    """jsd, overlap, likelihood, word-jsd, bleu, ms-jaccard, diversity, memorisation, entropy, repetition, zipf,
    lengths, copied-ngrams, classifier; sentence-frechet, sentence-kid, sentence-precision-recall, mauve, perplexity
    (of whole lines). Default: all before the semicolon that suit the reference."""
    baseline: Path | None = None
    """Which of the files the others are compared with, by differences. Default: the first."""
    plot: Path | None = None
    """Also draw the report to an image file (.png, .svg, .pdf)."""


def score_lines(
    lines: Iterable[str],
    reference: Text = "grammar",
    metrics: Sequence[str] = (),
    *,
    ngram: int | None = None,
    seq_len: int | None = None,
    padding: Literal["in", "out"] | None = None,
    words: Splitting = "punctuation",
    lower_case: bool = False,
    held_out: Text | None = None,
    reference_lines: int | None = None,
) -> list[Score]:
    """Return the scores of samples against real text by several metrics, characters first.

    Args:
        lines: samples, one line each; see `eval.text.api.score_given`.
        reference: real text.
        metrics: names from `eval.text.metrics.METRICS`. Default: all that suit the reference.
        ngram: longest n-gram, in characters. Default: 6, or the longest in saved counts.
        seq_len: characters per line. Default: 32, or as in saved counts.
        padding: whether n-grams with padding count. Default: in, or as in saved counts.
        words: how lines are split into words.
        lower_case: whether word metrics convert samples and real text to lower case.
        held_out: real text for the floor. Default: held-out lines of the reference.
        reference_lines: maximum number of reference lines.

    Raises:
        InputError: lines or real text cannot be used, or a setting is impossible.
    """
    flags = ReportCommand(
        files=(), ngram=ngram, seq_len=seq_len, padding=padding, words=words, lower_case=lower_case,
        lines=reference_lines,
    )  # fmt: skip
    return score_given(metrics, lines, reference, held_out, flags)


def report(command: ReportCommand) -> dict[str, list[Score]]:
    """Return the scores of each file by name.

    Raises:
        InputError: a file or the reference cannot be read, a file is given twice, or the files differ in length.
    """
    if not command.files:
        raise InputError("no samples: name at least one text file")
    if repeated := [path for path in command.files if command.files.count(path) > 1]:
        raise InputError(f"{repeated[0]}: given twice; leave one out")
    if command.baseline not in (None, *command.files):
        raise InputError(f"--baseline {command.baseline}: not among the files; add it to them")
    of_lines = [name for name in command.metrics if name in SENTENCE_METRICS]
    counting = [name for name in command.metrics if name not in SENTENCE_METRICS]
    require_metrics(counting)
    require_flags(command, of_lines)
    _refuse_unused(command)
    require_different_sources(*command.files, *command.reference, command.held_out, command.outside)
    files = _equal_counts(open_all(command.files, command, command.outside), command.count)
    described = command.files[0] if command.reference else _with_the_record(command.files)
    scores: dict[str, list[Score]] = {samples.name: [] for samples in files}
    if counting or not of_lines:
        real = chosen_text(command, described, counting or METRICS)
        metrics = counting or real.metrics()
        scores = {samples.name: score_samples(samples, metrics, real) for samples in files}
    if of_lines:
        found = score_sentences(files, of_lines, command, described)
        scores = {name: [*scores[name], *more] for name, more in zip(scores, found, strict=True)}
    return scores


def _refuse_unused(command: ReportCommand) -> None:
    """Refuse flags of characters and of words that none of the named metrics uses.

    Raises:
        InputError: the message names the flag, and the metrics that use it.
    """
    of_words = (*WORD_METRICS, *(SENTENCE_METRICS if command.features in (None, "lm") else ("perplexity",)))
    for users, names in ((CHARACTER_METRICS, ("ngram", "seq_len", "padding")), (of_words, ("words", "lower_case"))):
        used = not command.metrics or not set(command.metrics).isdisjoint(users)
        if not used and (given := changed_fields(command, names)):
            flag = " ".join(as_flag_words(given[0], getattr(command, given[0])))
            raise InputError(f"{flag}: none of --metrics uses it; leave it out, or add one of {', '.join(users)}")


def _with_the_record(files: Sequence[Path]) -> Path:
    """Return the file beside which the reference of all files is recorded, or the first one if there is no record.

    Raises:
        InputError: different references are recorded beside two files.
    """
    chosen: tuple[Path, ReferenceOptions, str] | None = None
    for path in files:
        if (recorded := recorded_reference(path)) is None:
            continue
        options = replace(recorded[0], corpus=replace(recorded[0].corpus, data=""))
        if chosen is None:
            chosen = path, options, recorded[1]
        elif chosen[1:] != (options, recorded[1]):
            raise InputError(
                f"{chosen[0]} and {path}: different real text is recorded beside them; name one for both by --reference"
            )
    return files[0] if chosen is None else chosen[0]


def _equal_counts(files: Sequence[SampleLines], count: int | None) -> list[SampleLines]:
    """Return files with equal numbers of lines: all lines, or `count` random lines per file.

    Raises:
        InputError: the files differ in length and `count` is None, or `count` exceeds the shortest file.
    """
    sizes = {samples.name: sum(map(len, samples.read())) for samples in files}
    if count is None:
        if len(set(sizes.values())) > 1:
            lengths = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
            raise InputError(f"different sample counts do not compare ({lengths}); pass --count {min(sizes.values())}")
        return list(files)
    if not 2 <= count <= min(sizes.values()):
        raise InputError(f"--count {count}: must be from 2 to {min(sizes.values())}, the lines of the shortest file")

    def chosen(samples: SampleLines) -> SampleLines:
        kept = np.zeros(sizes[samples.name], bool)
        kept[np.random.default_rng(0).permutation(kept.size)[:count]] = True

        def read() -> Lines:
            start = 0
            for lines in samples.read():
                yield list(compress(lines, kept[start : start + len(lines)]))
                start += len(lines)

        return SampleLines(samples.name, read)

    return [chosen(samples) for samples in files]


def plot(scores: dict[str, list[Score]], path: Path) -> None:
    """Draw the report as one panel per metric: the values of each file with intervals, and the floor."""
    from matplotlib.figure import Figure

    metrics = list(zip(*scores.values(), strict=True))
    columns = 4
    figure = Figure((3.2 * columns, 2.6 * -(-len(metrics) // columns)), layout="constrained")
    panels = figure.subplots(-(-len(metrics) // columns), columns, squeeze=False).ravel()
    for panel, metric_scores in zip(panels, metrics, strict=False):
        first = metric_scores[0]
        x = np.arange(len(first.values))
        for number, (file, score) in enumerate(zip(shortest_different(list(scores)), metric_scores, strict=True)):
            values = list(score.values.values())
            low = [0.0 if v.low is None else v.value - v.low for v in values]
            high = [0.0 if v.high is None else v.high - v.value for v in values]
            shift = 0.12 * (number - (len(scores) - 1) / 2)
            centre = [v.value for v in values]
            panel.errorbar(x + shift, centre, (low, high), fmt="o", ms=4, label=label(file))
        floors = [np.nan if v.floor is None else v.floor for v in first.values.values()]
        if not np.isnan(floors).all():
            panel.plot(x, floors, "k_", ms=14, label="real text")
        panel.set_xticks(x, [name.removeprefix(f"{first.metric}-") for name in first.values])
        panel.set_xlim(-0.6, len(x) - 0.4)
        panel.set_title(f"{first.metric} ({first.better} is better)", fontsize=9)
        panel.set_ylabel(first.unit, fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(axis="y", alpha=0.3)
    for panel in panels[len(metrics) :]:
        panel.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    save_figure(figure, path)


def main(arguments: list[str]) -> int:
    """Print the report; draw it if --plot is given."""
    command = parse_command(ReportCommand, arguments, "eval.report", __doc__)
    if command.plot is not None:
        require_image_ending(command.plot, "--plot")
    scores = report(command)
    if command.plot is not None:
        plot(scores, command.plot)
    baseline = 0 if command.baseline is None else command.files.index(command.baseline)
    print(rendered(scores, command.output_format, baseline))
    return 0


if __name__ == "__main__":
    run_command(main)
