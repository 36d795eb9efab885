"""Cross-entropy in bits per character between samples and real text, with an interpolated character n-gram model.

    python -m eval.likelihood samples.txt --reference corpus.txt

Quality is the cross-entropy of the samples under a model of the reference; coverage is the cross-entropy of real text
under a model of the samples. A generator that repeats a few good lines has good quality and bad coverage.

The model is Witten & Bell's (1991, method C): if history h has N(h) continuations of T(h) distinct characters, then
p(c | h) = (count(hc) + T(h) p(c | h')) / (N(h) + T(h)), where h' is h without its first character; the shortest history
backs off to the uniform distribution. Only n-gram counts are needed. The end of a line is a character: the first
padding symbol.
"""

from data.command import run_command
from eval.text.api import CharacterScorer
from eval.text.cli import CharacterCommand, show_metric

score_lines = CharacterScorer("likelihood")
"""Return the scores of lines, as this command prints them."""


def main(arguments: list[str]) -> int:
    """Print the scores of a samples file."""
    return show_metric("likelihood", CharacterCommand, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
