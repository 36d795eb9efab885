"""Time the encoding of grammar lines into an empty cache.

python -m data.bench
"""

import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass

from data.command import parse_command, run_command
from data.corpus import CorpusOptions, open_corpus


@dataclass(frozen=True)
class BenchCommand:
    """Flags of `python -m data.bench`."""

    lines: int = 1_000_000
    """Lines to draw, encode and cache."""


def main(arguments: list[str]) -> int:
    """Print seconds, lines a second and peak memory."""
    command = parse_command(BenchCommand, arguments, "data.bench", __doc__)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEXTGAN_CACHE"] = folder
        start = time.perf_counter()
        corpus = open_corpus(CorpusOptions("grammar", lines=command.lines))
        seconds = time.perf_counter() - start
        # Linux counts kilobytes, macOS bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(
        f"{len(corpus.train):,} training and {len(corpus.held_out):,} held-out lines in {seconds:.2f} s "
        f"({command.lines / seconds:,.0f} lines/s), peak memory {peak / 1e6:,.0f} MB"
    )
    return 0


if __name__ == "__main__":
    run_command(main)
