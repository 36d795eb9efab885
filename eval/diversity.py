"""Variety of samples: distinct-n on words, and the proportion of duplicate lines.

    python -m eval.diversity samples.txt

distinct-n is the number of distinct n-grams divided by the number of n-grams (Li et al. 2016, arXiv 1510.03055). Both
scores depend on the number of samples: compare only equal numbers.
"""

from data.command import run_command
from eval.text.api import WordScorer
from eval.text.cli import WordCommand, show_metric

score_lines = WordScorer("diversity")
"""Return the scores of lines, as this command prints them."""


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    return show_metric("diversity", WordCommand, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
