"""Draw lines from an n-gram model of real text: what counting alone achieves.

    python -m eval.ngram_sampler corpus.txt.gz --order 3 --output three-grams.txt
    python -m eval.ngram_sampler grammar --order 0 --output uniform.txt

Lines begin as real ones do and go on as the text's n-grams do; order 1 draws every symbol by its frequency, order 0 all
alike. What they are to be scored against, the text as a training run would see it, is recorded beside them.
"""

from dataclasses import dataclass
from typing import Annotated, cast

import numpy as np
import tyro
from numpy.typing import NDArray

from data.command import parse_command, run_command
from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError, require_at_least
from data.outputs import is_special
from data.vocabulary import Ids
from eval.text.counts import narrow, pack
from eval.text.reference import (
    ReferenceOptions,
    open_reference,
    reference_record,
    samples_output,
    write_samples,
)
from eval.text.reference_counts import ReferenceCounts


@dataclass(frozen=True)
class SamplerCommand:
    """Flags of `python -m eval.ngram_sampler`."""

    source: tyro.conf.Positional[str]
    """Text to count: as --data of textgan.train."""
    output: Annotated[str, tyro.conf.arg(metavar="FILE")]
    """Text file for the lines (.gz and .zst compress them), or - to print them."""
    order: int = 3
    """n of the model's n-grams; 1 for symbols by frequency, 0 for all symbols alike."""
    count: int = 640
    """Lines to draw."""
    seq_len: int = 32
    """Characters a line."""
    lines: int | None = None
    """Lines of the text at most. Default: as in training."""
    seed: int = 0
    """Seed of the drawing."""


def sample_ngram_model(text: ReferenceCounts, order: int, starts: Ids, random: np.random.Generator) -> Ids:
    """Return ids [lines, seq_len] of lines that begin as real ones do and go on as the text's n-grams do.

    Each symbol is drawn with the frequency that it follows the `order` - 1 symbols before it with.

    Args:
        text: the text's counts, padding counted, for n up to `order`.
        order: n.
        starts: the first symbols [lines, order - 1 or more] of lines of the text.
        random: the source of randomness.

    Raises:
        InputError: the order is not between 1 and the longest n-gram that was counted and fits 64 bits.
    """
    largest = min(max(text.counts), narrow(text.vocabulary.size))
    if not 1 <= order <= largest or not text.padding:
        raise InputError(f"--order {order}: {text.name} allows 1 to {largest}, padding counted")
    ids: Ids = np.zeros((len(starts), text.seq_len), text.vocabulary.dtype)
    ids[:, : order - 1] = starts[:, : order - 1]
    for position in range(order - 1, text.seq_len):
        ids[:, position] = _next_symbols(text, ids[:, position - order + 1 : position], random)
    return ids


def _next_symbols(text: ReferenceCounts, history: Ids, random: np.random.Generator) -> Ids:
    """Draw what follows histories [lines, n - 1]; one that only ever ends a line is shortened by its first symbol."""
    order, size = history.shape[1] + 1, text.vocabulary.size
    counted = text.counts[order]
    first = cast(NDArray[np.uint64], pack(np.pad(history, ((0, 0), (0, 1))), order, size)[:, 0])
    start, stop = (counted.up_to[place] for place in counted.continuations(first, size))
    seen = stop > start
    drawn = random.integers(start, np.maximum(stop, start + 1))
    at = np.searchsorted(counted.up_to[:-1], drawn, side="right") - 1
    symbols = (cast(NDArray[np.uint64], counted.keys[at]) - first).astype(history.dtype)
    if not seen.all():
        symbols[~seen] = _next_symbols(text, history[~seen, 1:], random)
    return symbols


def main(arguments: list[str]) -> int:
    """Draw lines."""
    command = parse_command(SamplerCommand, arguments, "eval.ngram_sampler", __doc__)
    require_at_least("--count", command.count, 1)
    output = samples_output(command.output, [command.source])
    options = ReferenceOptions(CorpusOptions(command.source, command.seq_len, lines=command.lines))
    corpus = open_corpus(options.corpus)
    record = {} if is_special(output) else reference_record(options, corpus)
    text = open_reference(options, corpus).text
    random = np.random.default_rng(command.seed)
    if command.order == 0:
        shape = (command.count, command.seq_len)
        ids: Ids = random.integers(text.vocabulary.size, size=shape).astype(text.vocabulary.dtype)
    else:
        starts = corpus.train[random.integers(len(corpus.train), size=command.count)]
        ids = sample_ngram_model(text, command.order, starts, random)
    write_samples(output, text.vocabulary.decode(ids), record, "lines")
    return 0


if __name__ == "__main__":
    run_command(main)
