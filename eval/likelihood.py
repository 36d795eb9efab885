"""Cross-entropy in bits per character, both ways, with an interpolated character n-gram model.

    python -m eval.likelihood samples.txt --reference corpus.txt

Quality: the samples under a model of the reference. Coverage: real text under a model of the samples. A model that
repeats a few good lines does well on the first and badly on the second.

The model is Witten & Bell's (1991, method C): after a history h with N(h) continuations of T(h) kinds,
p(c | h) = (count(hc) + T(h) p(c | h')) / (N(h) + T(h)), h' being h without its first character, down to equal
probabilities. It needs nothing but n-gram counts. A line's end is a character, the first padding behind it.
"""

from data.command import parse_command, run_command
from eval.core.score import show
from eval.text.cli import CharacterCommand, score_by


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    command = parse_command(CharacterCommand, arguments, "eval.likelihood", __doc__)
    show(score_by(["likelihood"], command.samples, command), command.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
