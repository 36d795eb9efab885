"""Normalised n-gram Jensen-Shannon divergence of samples against real text.

    python -m eval.jsd samples.txt
    python -m eval.jsd samples.txt --reference corpus.txt.gz --ngram 6 --json
    python -m eval.jsd samples.txt --curve
    python -m eval.jsd samples.txt --reference corpus.txt.gz --level word

0 means equal n-gram distributions, 1 disjoint ones. With a few hundred samples even real text does not reach 0; the
floor is the score of the same number of real lines. The confidence interval is for the expected score at this sample
count; the corrected value estimates the (lower) score at infinite sample size.

On words, n is 1 to 4, and lines are neither cut nor padded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.command import parse_command, run_command
from data.errors import InputError
from data.naming import as_flag, changed_fields
from data.words import Splitting
from eval.core.score import Score, show
from eval.text.api import Text, score_given
from eval.text.cli import CharacterCommand, WordFlags, open_both, score_by
from eval.text.jsd import score_sizes
from eval.text.metrics import encode

_ONLY_AT_LEVEL = {"char": ("ngram", "seq_len", "padding", "curve"), "word": ("words", "lower_case")}


@dataclass(frozen=True, kw_only=True)
class JsdCommand(CharacterCommand, WordFlags):
    """Flags of `python -m eval.jsd`."""

    level: Literal["char", "word"] = "char"
    """Unit of the n-grams: characters or words."""
    curve: bool = False
    """Also score random subsets of 10, 20, 40, ... samples (characters only)."""


def score_lines(
    lines: Iterable[str],
    reference: Text = "grammar",
    ngram: int | None = None,
    *,
    level: Literal["char", "word"] = "char",
    seq_len: int | None = None,
    padding: Literal["in", "out"] | None = None,
    words: Splitting = "punctuation",
    lower_case: bool = False,
    held_out: Text | None = None,
    reference_lines: int | None = None,
) -> list[Score]:
    """Return the JSD of samples against real text, as the command prints it.

    Args:
        lines: samples, one line each; see `eval.text.api.score_given`.
        reference: real text.
        ngram: longest n-gram, in characters. Default: 6, or the longest in saved counts.
        level: unit of the n-grams. `ngram`, `seq_len` and `padding` go with characters, `words` and `lower_case` with
            words.
        seq_len: characters per line. Default: 32, or as in saved counts.
        padding: whether n-grams with padding count. Default: in, or as in saved counts.
        words: how lines are split into words.
        lower_case: whether samples and real text are converted to lower case.
        held_out: real text for the floor. Default: held-out lines of the reference, else lines in it.
        reference_lines: maximum number of reference lines.

    Raises:
        InputError: lines or real text cannot be used, or a setting is impossible.
    """
    flags = JsdCommand(
        samples=Path(), level=level, ngram=ngram, seq_len=seq_len, padding=padding, words=words,
        lower_case=lower_case, lines=reference_lines,
    )  # fmt: skip
    return score_given([_metric(flags)], lines, reference, held_out, flags)


def _metric(command: JsdCommand) -> str:
    """Return the name of the metric at the chosen level.

    Raises:
        InputError: a flag of the other level is given.
    """
    for level, names in _ONLY_AT_LEVEL.items():
        if level != command.level and (given := changed_fields(command, names)):
            raise InputError(f"{as_flag(given[0])}: goes with --level {level}, not {command.level}")
    return "jsd" if command.level == "char" else "word-jsd"


def main(arguments: list[str]) -> int:
    """Print the score of a samples file."""
    command = parse_command(JsdCommand, arguments, "eval.jsd", __doc__)
    metric = _metric(command)
    if command.curve:
        samples, real = open_both(command.samples, command, ["jsd"])
        scores = score_sizes(encode(samples, real), real.require_characters())
    else:
        scores = score_by([metric], command.samples, command)
    show(scores, command.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
