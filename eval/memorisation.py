"""What samples share with the training text outright: known words, and lines copied verbatim.

    python -m eval.memorisation samples.txt --reference corpus.txt

A sample is a copy when it equals a reference line, or the first 32 characters of a longer one (or the recorded line
length), as models of cut lines see no more of it. Lines are compared by 64-bit hashes: among ten million lines and a
thousand samples a false match has a probability of 1e-9.
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
