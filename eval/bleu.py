"""BLEU-2..5 of samples against all lines of a reference, and Self-BLEU-2..5 among the samples, on words.

    python -m eval.bleu samples.txt --reference corpus.txt

The score of a sentence equals NLTK's `sentence_bleu` with equal weights and smoothing method1 (Papineni et al. 2002;
Chen & Cherry 2014); the score of a text is the mean over sentences. For Self-BLEU (Zhu et al. 2018, arXiv 1802.01886)
the references of a sentence are all other sentences; low values mean variety. Both depend on the references only
through the largest count of each n-gram in a single reference, so all lines are used, however large the reference.
"""

from data.command import parse_command, run_command
from eval.core.score import show
from eval.text.cli import WordCommand, score_by


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    command = parse_command(WordCommand, arguments, "eval.bleu", __doc__)
    show(score_by(["bleu"], command.samples, command), command.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
