"""Sample lines from an n-gram model of real text: a baseline without training.

    python -m eval.ngram_sampler corpus.txt.gz --order 3 --output three-grams.txt
    python -m eval.ngram_sampler grammar --order 0 --output uniform.txt

Each line starts like a random line of the text and continues by n-gram frequencies. Order 1 draws symbols by frequency,
order 0 uniformly. The text, with the same options as in training, is recorded beside the lines as their reference.
"""

from dataclasses import dataclass
from typing import Annotated, cast

import numpy as np
import tyro
from numpy.typing import NDArray

from data.command import parse_command, run_command
from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError, require_at_least
from data.line_ids import Ids
from data.outputs import is_special
from data.tokenizers import id_type
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
    """Text to model, as --data of textgan.train."""
    output: Annotated[str, tyro.conf.arg(metavar="FILE")]
    """Text file for the lines (.gz and .zst are compressed), or - to print them."""
    order: int = 3
    """Order n of the model; 1 draws symbols by frequency, 0 uniformly."""
    count: int = 640
    """Number of lines to sample."""
    seq_len: int = 32
    """Characters per line."""
    lines: int | None = None
    """Maximum number of lines of the text. Default: as in training."""
    seed: int = 0
    """Random seed."""


def sample_ngram_model(text: ReferenceCounts, order: int, starts: Ids, random: np.random.Generator) -> Ids:
    """Sample lines from an n-gram model, given their first symbols; return ids [lines, seq_len].

    Each symbol is drawn in proportion to how often it follows the previous `order - 1` symbols in the text.

    Args:
        text: the n-gram counts of the text, padding included, for n up to `order`.
        order: n, the order of the model.
        starts: the first symbols [lines, order - 1 or more] of lines of the text.
        random: the random generator.

    Raises:
        InputError: the order is not between 1 and the longest n that was counted and fits 64 bits, or the text was
            counted without padding.
    """
    largest = min(max(text.counts), narrow(text.tokenizer.size))
    if not 1 <= order <= largest or not text.padding:
        raise InputError(f"--order {order}: {text.name} allows 1 to {largest}, padding counted")
    ids: Ids = np.zeros((len(starts), text.seq_len), id_type(text.tokenizer.size))
    ids[:, : order - 1] = starts[:, : order - 1]
    for position in range(order - 1, text.seq_len):
        ids[:, position] = _next_symbols(text, ids[:, position - order + 1 : position], random)
    return ids


def _next_symbols(text: ReferenceCounts, history: Ids, random: np.random.Generator) -> Ids:
    """Draw the next symbol of each history [lines, n - 1]; back off to a shorter history if it has no successor."""
    order, size = history.shape[1] + 1, text.tokenizer.size
    counted = text.counts[order]
    first = cast(NDArray[np.uint64], pack(np.pad(history, ((0, 0), (0, 1))), order, size)[:, 0])
    start, stop = (counted.up_to[index] for index in counted.continuations(first, size))
    seen = stop > start
    drawn = random.integers(start, np.maximum(stop, start + 1))
    index = np.searchsorted(counted.up_to[:-1], drawn, side="right") - 1
    symbols = (cast(NDArray[np.uint64], counted.keys[index]) - first).astype(history.dtype)
    if not seen.all():
        symbols[~seen] = _next_symbols(text, history[~seen, 1:], random)
    return symbols


def main(arguments: list[str]) -> int:
    """Sample lines and write them to a file, with the record of their reference beside it."""
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
        ids: Ids = random.integers(text.tokenizer.size, size=shape).astype(id_type(text.tokenizer.size))
    else:
        starts = corpus.train[random.integers(len(corpus.train), size=command.count)]
        ids = sample_ngram_model(text, command.order, starts, random)
    write_samples(output, text.tokenizer.decode(ids), record, "lines")
    return 0


if __name__ == "__main__":
    run_command(main)
