"""Precision, recall and cosine similarity of character n-grams against real text.

    python -m eval.overlap samples.txt --reference corpus.txt

Definitions follow the code published with the language WGAN-GP (Gulrajani et al. 2017). Precision is the proportion of
the samples' n-grams, with repetitions, that occur in the reference; recall is the proportion of the reference's n-grams
that occur in the samples; cosine is the cosine similarity of the two vectors of relative frequencies.
"""

from data.command import run_command
from eval.text.api import CharacterScorer
from eval.text.cli import CharacterCommand, show_metric

score_lines = CharacterScorer("overlap")
"""Return the scores of lines, as this command prints them."""


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    return show_metric("overlap", CharacterCommand, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
