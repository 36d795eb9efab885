"""Normalised n-gram Jensen-Shannon divergence of samples against real text.

    python -m eval.jsd samples.txt
    python -m eval.jsd samples.txt --reference corpus.txt.gz --ngram 6 --json
    python -m eval.jsd samples.txt --curve
    python -m eval.jsd samples.txt --reference corpus.txt.gz --level word

0 is the same n-gram distribution, 1 a disjoint one. A few hundred samples never reach 0, not even real ones: what real
text of the same sample count scores is the floor. The interval is that of the expected score at this sample count; the
corrected value estimates the score of endless samples from the same model, which lies lower.

By words, n is 1 to 4, and lines are whole: not cut, not padded.
"""

from dataclasses import dataclass, fields
from typing import Literal

from data.command import parse_command, run_command
from data.errors import InputError
from data.inputs import require_different
from eval.core.score import show
from eval.text.cli import CharacterCommand, WordFlags, chosen_text, score_by
from eval.text.jsd import score_sizes
from eval.text.metrics import encode
from eval.text.samples import open_samples

_ONLY_AT_LEVEL = {"char": ("ngram", "seq_len", "padding", "curve"), "word": ("words", "lower_case")}


@dataclass(frozen=True, kw_only=True)
class JsdCommand(CharacterCommand, WordFlags):
    """Flags of `python -m eval.jsd`."""

    level: Literal["char", "word"] = "char"
    """N-grams of characters or of words; --words and --lower-case are for words, the others for characters."""
    curve: bool = False
    """Score 10, 20, 40, ... of the samples too, to show how the score falls with their number."""


def main(arguments: list[str]) -> int:
    """Print the score of a samples file."""
    command = parse_command(JsdCommand, arguments, "eval.jsd", __doc__)
    default = {field.name: field.default for field in fields(JsdCommand)}
    for level, flags in _ONLY_AT_LEVEL.items():
        for flag in flags:
            if level != command.level and getattr(command, flag) != default[flag]:
                raise InputError(f"--{flag.replace('_', '-')}: goes with --level {level}, not {command.level}")
    if command.curve:
        require_different(command.samples, command.reference, command.held_out)
        samples = open_samples(command.samples, command.invalid_utf8)
        real = chosen_text(command, command.samples, ["jsd"])
        scores = score_sizes(encode(samples, real), real.require_characters())
    else:
        metric = "jsd" if command.level == "char" else "word-jsd"
        scores = score_by([metric], command.samples, command)
    show(scores, command.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
