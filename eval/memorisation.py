"""Memorisation: the proportion of sample words that occur in the reference, and of samples that copy one of its lines.

    python -m eval.memorisation samples.txt --reference corpus.txt

A sample is a copy if it equals a reference line, or the first 32 characters (or the recorded line length) of a longer
line, which is all that a model trained on cut lines sees. Lines are compared by 64-bit hashes: a false match among ten
million lines and a thousand samples has a probability of 1e-9.
"""

from data.command import run_command
from eval.text.api import WordScorer
from eval.text.cli import WordCommand, show_metric

score_lines = WordScorer("memorisation")
"""Return the scores of lines, as this command prints them."""


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    return show_metric("memorisation", WordCommand, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
