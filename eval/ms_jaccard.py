"""MS-Jaccard-3..5 of samples against a reference, on words: quality and variety in one number.

    python -m eval.ms_jaccard samples.txt --reference corpus.txt

With c1 and c2 the counts of an n-gram per line of the samples and per line of the reference, J_n is the sum of
min(c1, c2) divided by the sum of max(c1, c2) over all n-grams; MS-Jaccard-N is the geometric mean of J_1 .. J_N
(Montahaei et al. 2019, arXiv 1904.03971). All lines of the reference are counted, however few the samples.
"""

from data.command import run_command
from eval.text.api import WordScorer
from eval.text.cli import WordCommand, show_metric

score_lines = WordScorer("ms-jaccard")
"""Return the scores of lines, as this command prints them."""


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    return show_metric("ms-jaccard", WordCommand, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
