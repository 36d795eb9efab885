"""N-gram Jensen-Shannon divergence by words, n = 1 .. 4.

    python -m eval.word_jsd samples.txt --reference corpus.txt

As `eval.jsd`, with words in place of characters and whole lines in place of cut ones: there is no padding.
"""

from data.command import parse_command, run_command
from eval.jackknife import SHARE, estimate
from eval.jsd import jsd, jsd_left_out
from eval.samples import ScoreFlags
from eval.score import Estimate, Score, show
from eval.words import WordReference, Words, compare_words

_LONGEST = 4


def score(samples: Words, reference: WordReference) -> list[Score]:
    """Return the JSD for each n with interval and bias-corrected value."""
    values: dict[str, Estimate] = {}
    for n in range(1, _LONGEST + 1):
        ngrams = samples.ngrams(n)
        counts = ngrams.total()
        left_out = jsd_left_out(counts, reference.counts[n], [ngrams])
        values[f"word-jsd-{n}"] = estimate(jsd(counts, reference.counts[n]), left_out, SHARE)
    lines = samples.lengths.size
    signature = reference.signature("word-jsd", lines, {"n": _LONGEST})
    return [Score("word-jsd", values, "bits", "lower", lines, reference.title, signature)]


def main(arguments: list[str]) -> int:
    """Print the score of a samples file."""
    flags = parse_command(ScoreFlags, arguments, "eval.word_jsd", __doc__)
    show(compare_words(flags, score), flags.output_format)
    return 0


if __name__ == "__main__":
    run_command(main)
