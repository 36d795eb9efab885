"""Memorisation: the proportion of sample words that occur in the reference, and of samples that copy one of its lines.

    python -m eval.memorisation samples.txt --reference corpus.txt

A sample is a copy if it equals a reference line, or the first 32 characters (or the recorded line length) of a longer
line, which is all that a model trained on cut lines sees. Lines are compared by 64-bit hashes: a false match among ten
million lines and a thousand samples has a probability of 1e-9.
"""

from data.command import parse_command, run_command
from eval.core.score import show
from eval.text.cli import WordCommand, score_by


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    command = parse_command(WordCommand, arguments, "eval.memorisation", __doc__)
    show(score_by(["memorisation"], command.samples, command), command.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
