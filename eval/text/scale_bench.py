"""Time and peak memory of the text metrics on a large file, each in a process of its own."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.corpus import CorpusOptions
from data.line_ids import Ragged, starts_of
from data.words import WordRule
from eval.core.timing import in_bytes
from eval.text.metrics import METRICS, require_metrics
from eval.text.words import open_word_reference

_BLOCK_LINES = 1 << 13
# A small process starts the metric's: the peak that Linux reports for a process is at least its parent's at the start.
_MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(status)
"""


@dataclass(frozen=True)
class Run:
    """Wall-clock and processor seconds of one metric's process, and the peak of its memory in megabytes."""

    metric: str
    lines: int
    seconds: float
    processor_seconds: float
    megabytes: float


def bench_scale(text: str, count: int, metrics: Sequence[str]) -> Iterator[Run]:
    """Score `count` lines of a model of `text` against `text`, and yield one measurement per metric.

    Args:
        text: real text, as --reference of `eval.report`.
        count: number of lines to score.
        metrics: names from `METRICS`; none for all.

    Raises:
        InputError: the text cannot be read, or a name is no metric.
    """
    require_metrics(metrics)
    reference = open_word_reference(CorpusOptions(text, split=False), WordRule("punctuation"))
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder, "samples.txt")
        with samples.open("w", encoding="utf-8") as file:
            for lines in recombined(reference.text, reference.words, count):
                file.writelines(f"{line}\n" for line in lines)
        for metric in metrics or METRICS:
            command = [
                sys.executable,
                "-m",
                "eval.report",
                str(samples),
                "--reference",
                text,
                "--metrics",
                metric,
                "--json",
            ]
            done = subprocess.run([sys.executable, "-c", _MEASURE, *command], check=True, stdout=subprocess.PIPE)
            seconds, processor_seconds, peak = done.stdout.split()
            yield Run(metric, count, float(seconds), float(processor_seconds), in_bytes(int(peak)) / 1e6)


def recombined(text: Ragged, words: Sequence[str], count: int) -> Iterator[list[str]]:
    """Yield `count` lines of a model of word pairs, in blocks: a word is followed as at a random place of the text.

    Args:
        text: lines as numbers of words, from 1.
        words: the words.
        count: number of lines.
    """
    row = np.insert(text.row, starts_of(text.lengths)[1:], 0)  # 0 ends a line
    starts = np.flatnonzero(np.concatenate([[0], row[:-1]]) == 0)
    places = np.argsort(row, kind="stable")
    counts = np.bincount(row)
    before = np.cumsum(counts) - counts
    random = np.random.default_rng(0)
    for first in range(0, count, _BLOCK_LINES):
        place = random.choice(starts, min(_BLOCK_LINES, count - first))
        columns = [row[place]]
        while columns[-1].any():
            word = columns[-1]
            drawn = places[before[word] + random.integers(counts[word])]
            columns.append(np.where(word == 0, 0, row[np.minimum(drawn + 1, row.size - 1)]))
        yield [" ".join([words[number - 1] for number in line if number]) for line in np.stack(columns, 1).tolist()]
