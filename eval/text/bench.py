"""Time the text metrics, each beside a rival implementation in the same run."""

import resource
import subprocess
import sys
import tempfile
from itertools import chain, islice
from math import log2
from pathlib import Path
from typing import Any

import numpy as np

from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.sources import open_source
from eval.core.timing import Result, best_of, in_bytes, peak_memory, timed
from eval.text.bleu import SelfBleu
from eval.text.counts import count_up_to, pack
from eval.text.jsd import estimate_ids, score_ids
from eval.text.reference import Reference, ReferenceOptions, open_reference
from eval.text.reference_counts import count_reference
from eval.text.words import number_words

_NGRAM = 6
_SAMPLES = 640


def bench_encoding(options: CorpusOptions) -> list[Result]:
    """Time reading, encoding and caching a text."""
    seconds, corpus = timed(lambda: open_corpus(options))
    lines, peak = len(corpus.train) + corpus.dropped, peak_memory()
    assert peak is not None  # this module needs Unix
    return [
        Result(f"read, encode and cache {lines:,} lines by {corpus.tokenizer.name}", seconds, "s"),
        Result("rate", lines / seconds, "lines/s"),
        Result("peak memory of the process", peak / 1e6, "MB"),
        Result("symbols per line", corpus.train.row.size / len(corpus.train), ""),
        Result("lines left out", 100 * corpus.dropped / lines, "%"),
    ]


def bench_build(lines: int) -> list[Result]:
    """Time building a reference in a new process, then its counting alone against numpy.sort."""
    command = [sys.executable, "-m", "eval.ngrams", "build", "grammar", "--lines", str(lines)]
    seconds, _ = timed(lambda: subprocess.run(command, check=True, capture_output=True))
    memory = in_bytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 2**30
    corpus = open_corpus(CorpusOptions("grammar", lines=lines, split=False))
    counting, counted = timed(lambda: count_up_to(corpus.train, _NGRAM, corpus.tokenizer.size))
    rate = sum(counts.total for counts in counted.values()) / counting / 1e6
    keys = pack(corpus.train[:], _NGRAM, corpus.tokenizer.size).ravel()
    sort_rate = keys.size / timed(keys.sort)[0] / 1e6
    return [
        Result(f"build, {lines:,} lines, n = 1..{_NGRAM}: generate, encode, count, save", seconds, "s"),
        Result("peak memory of the build", memory, "GiB"),
        Result("counting alone", counting, "s"),
        Result(
            "counting rate",
            rate,
            "million n-grams/s",
            f"numpy.sort of the {keys.size:,} 6-grams",
            sort_rate,
            rate / sort_rate,
        ),
    ]


def bench_score(lines: int) -> list[Result]:
    """Time scoring samples against the large reference: in this process, loaded; then in a new one, cached."""
    corpus = open_corpus(CorpusOptions("grammar", lines=lines, split=False))
    reference = Reference(count_reference(corpus, _NGRAM, True, 2048), corpus.train, None)
    ids = corpus.held_out[:_SAMPLES]
    plain = best_of(5, lambda: score_ids(ids, reference.text))
    whole = best_of(5, lambda: estimate_ids(ids, reference))
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder, "samples.txt")
        samples.write_text("\n".join(corpus.tokenizer.decode(ids)), "utf-8")

        def command(*flags: str) -> float:
            words = [sys.executable, "-m", "eval.jsd", str(samples), "--reference", "grammar", *flags]
            return best_of(3, lambda: subprocess.run(words, check=True, capture_output=True))

        subprocess.run(
            [sys.executable, "-m", "eval.jsd", str(samples)], check=True, capture_output=True
        )  # fill the cache
        process, large = command(), command("--lines", str(lines))
    return [
        Result(f"score {_SAMPLES} samples, n = 1..{_NGRAM}", 1e3 * plain, "ms"),
        Result("with interval, corrected value and floor", 1e3 * whole, "ms"),
        Result("python -m eval.jsd, reference of 200,000 lines cached", process, "s"),
        Result(f"python -m eval.jsd, reference of {lines:,} lines cached", large, "s"),
    ]


Dictionary = dict[tuple[str, ...], int]


def dictionary_counts(lines: list[str], ngram: int, seq_len: int) -> Dictionary:
    """Count n-grams in a dictionary of tuples, as the published evaluator does."""
    counts: Dictionary = {}
    for line in lines:
        symbols = tuple(line[:seq_len].ljust(seq_len, "\0"))
        for start in range(seq_len - ngram + 1):
            window = symbols[start : start + ngram]
            counts[window] = counts.get(window, 0) + 1
    return counts


def dictionary_jsd(p_counts: Dictionary, q_counts: Dictionary) -> float:
    """Return the JSD in bits, summed term by term over the union of the supports."""
    p_total, q_total = sum(p_counts.values()), sum(q_counts.values())
    total = 0.0
    for window in p_counts.keys() | q_counts.keys():
        p, q = p_counts.get(window, 0) / p_total, q_counts.get(window, 0) / q_total
        middle = (p + q) / 2
        if p > 0:
            total += p * log2(p / middle) / 2
        if q > 0:
            total += q * log2(q / middle) / 2
    return total


def bench_dictionaries(source: str, lines: int) -> list[Result]:
    """Time counting and scoring from text against dictionaries of tuples."""
    text = list(islice(chain.from_iterable(open_source(source).train()), lines))
    reference = open_reference(ReferenceOptions(CorpusOptions(source, lines=lines, split=False)))
    tokenizer, seq_len = reference.text.tokenizer, reference.text.seq_len
    samples = text[:: len(text) // _SAMPLES][:_SAMPLES]
    lengths = range(1, _NGRAM + 1)
    building = best_of(5, lambda: count_up_to(tokenizer.encode(text).padded(seq_len), _NGRAM, tokenizer.size))
    scoring = best_of(20, lambda: score_ids(tokenizer.encode(samples).padded(seq_len), reference.text))
    slow_building, real = timed(lambda: {n: dictionary_counts(text, n, seq_len) for n in lengths})
    slow_scoring, scores = timed(
        lambda: {n: dictionary_jsd(dictionary_counts(samples, n, seq_len), real[n]) for n in lengths}
    )
    expected = score_ids(tokenizer.encode(samples).padded(seq_len), reference.text)
    assert all(abs(scores[n] - expected[n]) < 1e-9 for n in lengths), "both implementations must agree"
    title = f"{len(text):,} lines of {Path(source).name}, from text, n = 1..{_NGRAM}"
    rival = "dictionaries"
    return [
        Result(f"count {title}", building, "s", rival, slow_building, slow_building / building),
        Result(f"score {_SAMPLES} samples against {title}", 1e3 * scoring, "ms", rival, 1e3 * slow_scoring,
               slow_scoring / scoring),
    ]  # fmt: skip


def bench_self_bleu(source: str, lines: int, nltk_lines: int) -> list[Result]:
    """Time Self-BLEU against NLTK, whose time is scaled up from the first `nltk_lines` lines."""
    try:
        from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    except ImportError as error:
        raise InputError("NLTK is not installed; pip install nltk, or textgan's development extra") from error
    text = list(islice(chain.from_iterable(open_source(source).train()), lines))

    def ours() -> Any:
        return np.concatenate(list(SelfBleu.of(number_words(text, {})).scores()))

    words = [line.split() for line in text]
    method1 = SmoothingFunction().method1

    def theirs(index: int) -> list[float]:
        others = words[:index] + words[index + 1 :]
        weights = [tuple(1 / n for _ in range(n)) for n in range(2, 6)]
        return list(sentence_bleu(others, words[index], weights, smoothing_function=method1))

    seconds, scores = timed(ours)
    slow, expected = timed(lambda: [theirs(index) for index in range(nltk_lines)])
    assert np.abs(scores[:nltk_lines] - np.array(expected)).max() < 1e-12, "both implementations must agree"
    scaled = slow * len(text) / nltk_lines
    name = f"Self-BLEU-2..5, {len(text):,} lines of {Path(source).name}"
    return [Result(name, seconds, "s", f"NLTK, scaled from {nltk_lines} lines", scaled, scaled / seconds)]
