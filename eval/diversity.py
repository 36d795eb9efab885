"""Variety of samples: distinct-n by words, and lines that repeat another.

    python -m eval.diversity samples.txt

distinct-n is the number of different n-grams divided by the number of n-grams (Li et al. 2016, arXiv 1510.03055). Both
depend on the sample count by nature, so only equal counts compare.
"""

from data.command import parse_command, run_command
from eval.core.score import show
from eval.text.cli import WordCommand, score_by


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    command = parse_command(WordCommand, arguments, "eval.diversity", __doc__)
    show(score_by(["diversity"], command.samples, command), command.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
