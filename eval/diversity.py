"""Variety of samples: distinct-n on words, and the proportion of duplicate lines.

    python -m eval.diversity samples.txt

distinct-n is the number of distinct n-grams divided by the number of n-grams (Li et al. 2016, arXiv 1510.03055). Both
scores depend on the number of samples: compare only equal numbers.
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
