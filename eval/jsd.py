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
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from data.command import parse_command, run_command
from data.errors import InputError
from data.naming import as_flag
from eval.core.score import Score, show
from eval.text.cli import CharacterCommand, CharacterFlags, WordFlags, chosen_text, open_both, score_by
from eval.text.jsd import score_sizes
from eval.text.metrics import encode, score_samples
from eval.text.samples import SampleLines

_ONLY_AT_LEVEL = {"char": ("ngram", "seq_len", "padding", "curve"), "word": ("words", "lower_case")}


@dataclass(frozen=True, kw_only=True)
class JsdCommand(CharacterCommand, WordFlags):
    """Flags of `python -m eval.jsd`."""

    level: Literal["char", "word"] = "char"
    """Unit of the n-grams: characters or words."""
    curve: bool = False
    """Also score random subsets of 10, 20, 40, ... samples (characters only)."""


def score_lines(lines: Iterable[str], reference: str = "grammar", ngram: int = 6) -> list[Score]:
    """Return the JSD of character n-grams of samples, as the command prints it.

    Args:
        lines: one sample per line.
        reference: real text as --reference names it: grammar, lm1b, hub:NAME, a path.
        ngram: longest n-gram; n = 1 up to it are scored.

    Raises:
        InputError: there are no lines, none has an n-gram, or the reference cannot be read.
    """
    kept = list(lines)
    if not kept:
        raise InputError("lines: empty; give at least one sample")
    real = chosen_text(CharacterFlags(reference=reference, ngram=ngram), Path(), ["jsd"])
    return score_samples(SampleLines("lines", lambda: iter([kept])), ["jsd"], real)


def main(arguments: list[str]) -> int:
    """Print the score of a samples file."""
    command = parse_command(JsdCommand, arguments, "eval.jsd", __doc__)
    default = {field.name: field.default for field in fields(JsdCommand)}
    for level, flags in _ONLY_AT_LEVEL.items():
        for flag in flags:
            if level != command.level and getattr(command, flag) != default[flag]:
                raise InputError(f"{as_flag(flag)}: goes with --level {level}, not {command.level}")
    if command.curve:
        samples, real = open_both(command.samples, command, ["jsd"])
        scores = score_sizes(encode(samples, real), real.require_characters())
    else:
        metric = "jsd" if command.level == "char" else "word-jsd"
        scores = score_by([metric], command.samples, command)
    show(scores, command.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
