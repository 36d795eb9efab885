"""Normalised n-gram Jensen-Shannon divergence of samples against real text.

    python -m eval.jsd samples.txt
    python -m eval.jsd samples.txt --reference corpus.txt.gz --ngram 6 --json

0 is the same n-gram distribution, 1 a disjoint one. A few hundred samples never reach 0, not even real ones: what real
text of the same sample count scores is the floor, printed beside the score.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from data.command import parse_command, run_command
from data.corpus import Corpus, CorpusOptions, encode_source, open_corpus
from data.errors import InputError
from data.sources import InvalidUtf8, absolute, read_all_lines
from data.vocabulary import Ids
from eval.ngrams import NgramCounts, count_ngrams, has_ngrams, reference_counts
from eval.score import Score, Signature

FOLDER_RECORD = "reference.json"


def divergence_bits(
    samples: NDArray[np.int64], reference: NDArray[np.int64], samples_total: int, reference_total: int
) -> float:
    """Return JSD(P, Q) = (KL(P || M) + KL(Q || M)) / 2 in bits, M = (P + Q) / 2; between 0 and 1.

    Args:
        samples: counts [K] of the n-grams of P's support, all positive.
        reference: counts [K] of the same n-grams in Q, 0 where they do not occur.
        samples_total: the sum of `samples`.
        reference_total: the sum of all of Q's counts. What Q holds outside P's support needs no more than its mass:
            there M = Q / 2, so it adds one half bit times that mass.
    """
    p, q = samples / samples_total, reference / reference_total
    shared = q > 0
    from_p = np.sum(p * np.log2(2 * p / (p + q)))
    from_q = np.sum(q[shared] * np.log2(2 * q[shared] / (p + q)[shared]))
    outside = (reference_total - int(reference.sum())) / reference_total
    return float(from_p + from_q + outside) / 2


def jsd(samples: NgramCounts, reference: NgramCounts) -> float:
    """Return the normalised JSD of two n-gram distributions, over the union of their supports.

    Samples without a single n-gram (all padding, left out) share nothing with the reference: 1.
    """
    if not samples.total:
        return 1.0
    return divergence_bits(samples.counts, reference.lookup(samples.keys), samples.total, reference.total)


def jsd_taken_out(samples: NgramCounts, reference: NgramCounts) -> float:
    """Return the JSD of lines that are part of the reference against the reference's other lines."""
    if samples.total in (0, reference.total):
        return 1.0
    others = reference.lookup(samples.keys) - samples.counts
    return divergence_bits(samples.counts, others, samples.total, reference.total - samples.total)


@dataclass(frozen=True)
class ReferenceOptions:
    """How a reference is made; recorded beside samples, so that they can be scored again the same way."""

    corpus: CorpusOptions
    ngram: int = 6
    padding: bool = True


@dataclass(frozen=True)
class Reference:
    """Real text to score against: n-gram counts of a corpus's training lines, and lines for the floor.

    `held_out` are lines that are not in the counts; None takes lines out of the training lines instead.
    """

    corpus: Corpus
    padding: bool
    counts: Mapping[int, NgramCounts]
    held_out: Ids | None

    def score(self, ids: Ids) -> dict[int, float]:
        """Return the JSD for each n of samples' ids [samples, seq_len]."""
        return {n: jsd(self._count(ids, n), counts) for n, counts in self.counts.items()}

    def floor(self, samples: int) -> dict[int, float] | None:
        """Return the JSD for each n of `samples` real lines, or None where there are not so many."""
        lines = self.corpus.train if self.held_out is None else self.held_out
        if len(lines) < samples + (self.held_out is None):
            return None
        ids = lines[np.sort(np.random.default_rng(0).choice(len(lines), samples, replace=False))]
        if self.held_out is None:
            return {n: jsd_taken_out(self._count(ids, n), counts) for n, counts in self.counts.items()}
        return self.score(ids)

    def signature(self, samples: int) -> Signature:
        """Return what a score of so many samples depends on."""
        return Signature(
            "jsd",
            {
                "n": max(self.counts),
                "sym": "char",
                "len": self.corpus.seq_len,
                "pad": "in" if self.padding else "out",
                "ref": f"{self.corpus.name}@{self.corpus.sha256[:12]}",
                "samples": samples,
            },
        )

    def _count(self, ids: Ids, ngram: int) -> NgramCounts:
        return count_ngrams(ids, ngram, self.corpus.vocabulary.size, self.padding)


def open_reference(options: ReferenceOptions, corpus: Corpus | None = None) -> Reference:
    """Return the reference, its n-gram counts from the cache where it has them.

    Raises:
        InputError: the corpus cannot be read, or has no n-grams of this length.
    """
    corpus = corpus or open_corpus(options.corpus)
    counts = reference_counts(corpus, options.ngram, options.padding)
    has_held_out = options.corpus.split or len(corpus.held_out)
    return Reference(corpus, options.padding, counts, corpus.held_out if has_held_out else None)


def reference_record(options: ReferenceOptions, corpus: Corpus) -> dict[str, Any]:
    """Return what is written beside samples to say what they are to be scored against."""
    data = absolute(options.corpus.data)
    return {**asdict(replace(options, corpus=replace(options.corpus, data=data))), "corpus_sha256": corpus.sha256}


def record_path(samples: Path) -> Path:
    """Return where the reference of one samples file is recorded; `reference.json` serves a whole folder of them."""
    return samples.with_name(f"{samples.name}.reference.json")


def recorded_reference(samples: Path) -> tuple[ReferenceOptions, str] | None:
    """Return the reference recorded beside a samples file and its corpus's sha256, or None.

    Raises:
        InputError: the record cannot be read.
    """
    for path in (record_path(samples), samples.with_name(FOLDER_RECORD)):
        if not path.exists():
            continue
        try:
            recorded = json.loads(path.read_text("utf-8"))
            corpus = CorpusOptions(**recorded["corpus"])
            return ReferenceOptions(corpus, recorded["ngram"], recorded["padding"]), recorded["corpus_sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: not a reference record ({error}); name the reference with --reference"
            ) from error
    return None


@dataclass(frozen=True)
class JsdCommand:
    """Flags of `python -m eval.jsd`."""

    samples: tyro.conf.Positional[Path]
    """Text file (plain, .gz, .zst), one sample a line."""
    reference: str | None = None
    """Real text to compare with: grammar, lm1b[:PATH], hub:NAME[:COLUMN] or a path. Default: the one recorded beside the samples, else grammar."""
    held_out: str | None = None
    """Real text for the floor. Default: the reference's held-out lines, else lines taken out of the reference."""
    ngram: int | None = None
    """Longest n-gram, in characters; scores are given for 1 up to it. Default: as recorded, else 6."""
    seq_len: int | None = None
    """Characters a line: longer lines are cut, shorter ones padded. Default: as recorded, else 32."""
    padding: Literal["in", "out"] | None = None
    """Whether n-grams that hold padding count. Default: as recorded, else in (as in the TTUR paper)."""
    lines: int | None = None
    """Reference lines at most. Default: as recorded, else 200,000 of grammar, 10,000,000 of lm1b, all of another source."""
    invalid_utf8: InvalidUtf8 = "refuse"
    """What to do with bytes that are not UTF-8."""
    json: bool = False
    """Print one JSON object instead of a table."""


def evaluate(command: JsdCommand) -> Score:
    """Score the samples of a command.

    Raises:
        InputError: samples or reference cannot be read, or are too short.
    """
    for flag, value in (("--seq-len", command.seq_len), ("--lines", command.lines)):
        if value is not None and value < 1:
            raise InputError(f"{flag} {value}: must be at least 1")
    lines = read_all_lines(command.samples, command.invalid_utf8)
    recorded = recorded_reference(command.samples) if command.reference is None else None
    if recorded is None:
        corpus_options = CorpusOptions(command.reference or "grammar", split=False, invalid_utf8=command.invalid_utf8)
        options = ReferenceOptions(corpus_options)
    else:
        options = recorded[0]
    chosen = ReferenceOptions(
        replace(
            options.corpus,
            seq_len=options.corpus.seq_len if command.seq_len is None else command.seq_len,
            lines=options.corpus.lines if command.lines is None else command.lines,
        ),
        ngram=options.ngram if command.ngram is None else command.ngram,
        padding=options.padding if command.padding is None else command.padding == "in",
    )
    reference = open_reference(chosen)
    corpus = reference.corpus
    if recorded is not None and chosen.corpus == options.corpus and corpus.sha256 != recorded[1]:
        raise InputError(f"{options.corpus.data}: not as it was when the samples were made; name it with --reference")
    ids = corpus.vocabulary.encode(lines, corpus.seq_len)
    # A training run's first samples may be all padding; its record must still be scored, as the run did.
    if recorded is None and not has_ngrams(ids, chosen.ngram):
        raise InputError(f"{command.samples}: every line is shorter than n = {chosen.ngram}; lower --ngram")
    if command.held_out is not None:
        held_out = encode_source(command.held_out, corpus.vocabulary, corpus.seq_len, command.invalid_utf8)
        reference = replace(reference, held_out=held_out)
    return Score(
        metric="jsd",
        scores=reference.score(ids),
        floor=reference.floor(len(lines)),
        samples=len(lines),
        reference=f"{corpus.name} ({len(corpus.train):,} lines)",
        signature=reference.signature(len(lines)),
    )


def main(arguments: list[str]) -> int:
    """Print the score of a samples file."""
    command = parse_command(JsdCommand, arguments, "eval.jsd", __doc__)
    score = evaluate(command)
    if command.json:
        print(json.dumps(score.as_json(), allow_nan=False))
        return 0
    print(f"n-gram JSD of {score.samples:,} samples from {command.samples}\nagainst {score.reference}\n")
    print("  n     JSD   floor")
    for n, value in score.scores.items():
        print(f"{n:3d}  {value:.4f}  {'    -' if score.floor is None else f'{score.floor[n]:.4f}'}")
    if score.floor is None:
        print(f"\nno floor: fewer than {score.samples:,} held-out lines; give some with --held-out")
    print(f"\n{score.signature}")
    return 0


if __name__ == "__main__":
    run_command(main)
