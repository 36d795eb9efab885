"""BLEU-2..5 of samples against all lines of a reference, and Self-BLEU-2..5 among the samples, on words.

    python -m eval.bleu samples.txt --reference corpus.txt

The score of a sentence equals NLTK's `sentence_bleu` with equal weights and smoothing method1 (Papineni et al. 2002;
Chen & Cherry 2014); the score of a text is the mean over sentences. For Self-BLEU (Zhu et al. 2018, arXiv 1802.01886)
the references of a sentence are all other sentences; low values mean variety. Both depend on the references only
through the largest count of each n-gram in a single reference, so all lines are used, however large the reference.
"""

from data.command import run_command
from eval.text.api import WordScorer
from eval.text.cli import WordCommand, show_metric

score_lines = WordScorer("bleu")
"""Return the scores of lines, as this command prints them."""


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    return show_metric("bleu", WordCommand, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
