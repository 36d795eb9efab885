"""Precision, recall and cosine similarity of character n-grams against real text.

    python -m eval.overlap samples.txt --reference corpus.txt

Definitions follow the code published with the language WGAN-GP (Gulrajani et al. 2017). Precision is the proportion of
the samples' n-grams, with repetitions, that occur in the reference; recall is the proportion of the reference's n-grams
that occur in the samples; cosine is the cosine similarity of the two vectors of relative frequencies.
"""

from data.command import parse_command, run_command
from eval.core.score import show
from eval.text.cli import CharacterCommand, score_by


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    command = parse_command(CharacterCommand, arguments, "eval.overlap", __doc__)
    show(score_by(["overlap"], command.samples, command), command.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
