"""Time the evaluators against rival implementations in the same run.

    python -m eval.bench text
    python -m eval.bench text --self-bleu-text corpus.txt.gz --format json
    python -m eval.bench encoding --lines 1000000 --symbols word
    python -m eval.bench scale corpus.txt.gz --count 1000000
    python -m eval.bench images shapes --count 2000
    python -m eval.bench images cifar10 --count 10000 --batch-size 256 --device cuda

`text` takes some minutes and some gigabytes; NLTK comes with the extra `dev`. `scale` draws many lines from a model of
the word pairs of a text, scores them against this text, and prints seconds and peak memory of each text metric.
`images` times the Inception features in each precision, eager and compiled, and prints the change of the FID. Run
nothing else at the same time.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, cast

import numpy as np
import tyro
from scipy.linalg import sqrtm

from data.command import parse_command, run_command
from data.corpus import CorpusOptions
from data.errors import require_at_least
from data.tokenizers import Level
from eval.core.device import choose_device
from eval.core.tables import Block, FormatFlags, render
from eval.core.timing import Result, best_of, timed
from eval.images.flags import InceptionFlags
from eval.images.frechet import FeatureStatistics, distance
from eval.text import bench
from eval.text.scale_bench import bench_scale


@dataclass(frozen=True)
class TextCommand(FormatFlags):
    """Time the n-gram metrics, Self-BLEU and the Fréchet distance."""

    lines: int = 10_000_000
    """Grammar lines in the large reference."""
    dictionary_text: str = "grammar"
    """Text to count with dictionaries too, for comparison."""
    dictionary_lines: int = 250_000
    """Lines of --dictionary-text to use."""
    self_bleu_text: str = "grammar"
    """Text for Self-BLEU."""
    self_bleu_lines: int = 10_000
    """Lines of --self-bleu-text to use."""
    nltk_lines: int = 50
    """Lines that NLTK scores; the time of NLTK is scaled up to --self-bleu-lines."""
    frechet_dims: int = 2048
    """Features per image for the Fréchet distance."""


@dataclass(frozen=True)
class EncodingCommand(FormatFlags):
    """Time the encoding of a text into an empty cache."""

    data: str = "grammar"
    """Text to encode, as --data of textgan.train."""
    lines: int = 1_000_000
    """Maximum number of training lines."""
    symbols: Level = "char"
    """Symbols of the lines: characters, words, or subwords by a sentencepiece model."""
    vocabulary_size: int = 2048
    """Maximum number of characters or words; number of subwords."""
    seq_len: int = 32
    """Symbols per line; longer lines are cut (characters) or left out."""


@dataclass(frozen=True, kw_only=True)
class ScaleCommand(FormatFlags):
    """Measure each text metric on a large file, in a process of its own."""

    text: tyro.conf.Positional[str]
    """Real text, as --reference of eval.report."""
    count: Annotated[int, tyro.conf.arg(metavar="LINES")] = 1_000_000
    """Lines to score."""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = ()
    """Text metrics, as --metrics of eval.report. Default: all."""


@dataclass(frozen=True, kw_only=True)
class ImagesCommand(FormatFlags, InceptionFlags):
    """Time the extraction of Inception features."""

    source: tyro.conf.Positional[str]
    """Image source, as for `python -m data.images`."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Maximum number of images, from the start of the source."""
    eager_only: bool = False
    """Leave out compiled networks, each of which takes a minute to compile."""


Commands = (
    Annotated[TextCommand, tyro.conf.subcommand("text")]
    | Annotated[EncodingCommand, tyro.conf.subcommand("encoding")]
    | Annotated[ScaleCommand, tyro.conf.subcommand("scale")]
    | Annotated[ImagesCommand, tyro.conf.subcommand("images")]
)


@contextmanager
def _empty_cache() -> Iterator[None]:
    before = os.environ.get("TEXTGAN_CACHE")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TEXTGAN_CACHE"] = cache
        try:
            yield
        finally:
            os.environ.pop("TEXTGAN_CACHE") if before is None else os.environ.update(TEXTGAN_CACHE=before)


def _text_results(command: TextCommand | EncodingCommand) -> list[Result]:
    with _empty_cache():
        if isinstance(command, EncodingCommand):
            options = CorpusOptions(
                command.data, command.seq_len, command.vocabulary_size, command.lines, symbols=command.symbols
            )
            return bench.bench_encoding(options)
        return [
            *bench.bench_build(command.lines),
            *bench.bench_score(command.lines),
            *bench.bench_dictionaries(command.dictionary_text, command.dictionary_lines),
            *bench.bench_self_bleu(command.self_bleu_text, command.self_bleu_lines, command.nltk_lines),
            *_bench_frechet(command.frechet_dims),
        ]


def _bench_frechet(dims: int) -> list[Result]:
    """Compute a Fréchet distance beside one by the root of a general matrix."""
    random = np.random.default_rng(0)
    mixing = np.exp(-np.arange(dims) / dims * 4) * random.standard_normal((dims, dims)) / dims**0.5
    first, second = (FeatureStatistics.of(random.standard_normal((3 * dims, dims)) @ mixing, "") for _ in range(2))
    seconds = best_of(3, lambda: distance(first, second))
    slow, root = timed(lambda: sqrtm(first.covariance @ second.covariance))
    expected = np.square(first.mean - second.mean).sum()
    expected += np.trace(first.covariance + second.covariance - 2 * root.real)
    assert abs(distance(first, second) / expected - 1) < 1e-6, "both implementations must agree"
    return [Result(f"Fréchet distance, {dims:,} dimensions", seconds, "s", "scipy.linalg.sqrtm", slow, slow / seconds)]


def _show_scale(command: ScaleCommand) -> None:
    require_at_least("--count", command.count, 2)
    with _empty_cache():
        runs = list(bench_scale(command.text, command.count, command.metrics))
    rows = [["metric", "lines", "seconds", "processor seconds", "peak MB"]]
    for run in runs:
        figures = (run.seconds, run.processor_seconds, run.megabytes)
        rows.append([run.metric, f"{run.lines:,}", *(f"{figure:.1f}" for figure in figures)])
    print(render(command.output_format, [Block("", rows)], [asdict(run) for run in runs]))


def _show_images(command: ImagesCommand) -> None:
    import torch

    from eval.images.bench import measure

    device = choose_device(command.device)
    timings = measure(command.source, command.count, command, device, command.eager_only)
    rows = [["precision", "", "images/s", "speed-up", "FID", "change", "mixed"]]
    for timing in timings:
        speed_up = timing.images_per_second / timings[0].images_per_second
        change = timing.fid / timings[0].fid - 1
        cells = [
            f"{timing.images_per_second:.4g}",
            f"{speed_up:.2f}",
            f"{timing.fid:.6g}",
            f"{change:+.2e}",
            f"{timing.mixed:.2e}",
        ]
        rows.append([timing.precision, "compiled" if timing.compiled else "eager", *cells])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    about = f"{name}, torch {torch.__version__}, batches of {command.batch_size}"
    print(render(command.output_format, [Block("", rows, [about])], [asdict(timing) for timing in timings]))


def main(arguments: list[str]) -> int:
    """Run the benchmarks of a subcommand and print a table."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["text", *arguments]  # the default from before there were subcommands
    kinds = cast(type[TextCommand | EncodingCommand | ScaleCommand | ImagesCommand], Commands)
    command = parse_command(kinds, arguments, "eval.bench", __doc__)
    if isinstance(command, ImagesCommand):
        _show_images(command)
        return 0
    if isinstance(command, ScaleCommand):
        _show_scale(command)
        return 0
    results = _text_results(command)
    table = [["", "figure", "unit", "rival", "rival's figure", "times better"]]
    for result in results:
        rival = [] if result.rival is None else [result.rival, f"{result.rival_figure:.4g}", f"{result.ratio:.4g}"]
        table.append([result.name, f"{result.figure:.4g}", result.unit, *(rival or [""] * 3)])
    print(render(command.output_format, [Block("", table)], [asdict(result) for result in results]))
    return 0


if __name__ == "__main__":
    run_command(main)
