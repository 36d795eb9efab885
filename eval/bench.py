"""Time the evaluators, each beside a rival in the same run.

    python -m eval.bench text
    python -m eval.bench text --self-bleu-text corpus.txt.gz --format json
    python -m eval.bench encoding --lines 1000000
    python -m eval.bench images shapes --count 2000
    python -m eval.bench images cifar10 --count 10000 --batch-size 256 --device cuda

`text` takes some minutes and some gigabytes; NLTK comes with the extra `dev`. `images` times the Inception features in
each precision, eager and compiled, and prints how far each moves the distance. Run nothing else meanwhile.
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
from eval.core.device import choose_device
from eval.core.tables import Block, FormatFlags, render
from eval.core.timing import Result, best_of, timed
from eval.images.frechet import FeatureStatistics, distance
from eval.images.image_sets import InceptionFlags
from eval.text import bench


@dataclass(frozen=True)
class TextCommand(FormatFlags):
    """The n-gram metrics, Self-BLEU and the Fréchet distance."""

    lines: int = 10_000_000
    """Grammar lines of the large reference."""
    dictionary_text: str = "grammar"
    """Text that is also counted with dictionaries."""
    dictionary_lines: int = 250_000
    """Lines of it."""
    self_bleu_text: str = "grammar"
    """Text for Self-BLEU."""
    self_bleu_lines: int = 10_000
    """Lines of it."""
    nltk_lines: int = 50
    """Lines of Self-BLEU that NLTK scores too; its time is scaled up."""
    frechet_dims: int = 2048
    """Features of the Fréchet distance."""


@dataclass(frozen=True)
class EncodingCommand(FormatFlags):
    """The encoding of grammar lines into an empty cache."""

    lines: int = 1_000_000
    """Lines to draw, encode and cache."""


@dataclass(frozen=True, kw_only=True)
class ImagesCommand(FormatFlags, InceptionFlags):
    """The extraction of Inception features."""

    source: tyro.conf.Positional[str]
    """Images: a source as `python -m data.images` takes it."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Use this many images at most, the first ones."""


Commands = (
    Annotated[TextCommand, tyro.conf.subcommand("text")]
    | Annotated[EncodingCommand, tyro.conf.subcommand("encoding")]
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
            return bench.bench_encoding(command.lines)
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
    assert abs(distance(first, second) / expected - 1) < 1e-6, "both ways must agree"
    return [Result(f"Fréchet distance, {dims:,} dimensions", seconds, "s", "scipy.linalg.sqrtm", slow, slow / seconds)]


def _show_images(command: ImagesCommand) -> None:
    import torch

    from eval.images.bench import measure

    device = choose_device(command.device)
    timings = measure(command.source, command.count, command, device)
    rows = [["arithmetic", "", "images/s", "times", "FID", "moved", "mixed"]]
    for each in timings:
        rate, moved = each.images_per_second / timings[0].images_per_second, each.fid / timings[0].fid - 1
        cells = [
            f"{each.images_per_second:.4g}",
            f"{rate:.2f}",
            f"{each.fid:.6g}",
            f"{moved:+.2e}",
            f"{each.mixed:.2e}",
        ]
        rows.append([each.precision, "compiled" if each.compiled else "eager", *cells])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    about = f"{name}, torch {torch.__version__}, batches of {command.batch_size}"
    print(render(command.output_format, [Block("", rows, [about])], [asdict(each) for each in timings]))


def main(arguments: list[str]) -> int:
    """Measure, and print a table."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["text", *arguments]  # which this command did before it had subcommands
    kinds = cast(type[TextCommand | EncodingCommand | ImagesCommand], Commands)
    command = parse_command(kinds, arguments, "eval.bench", __doc__)
    if isinstance(command, ImagesCommand):
        _show_images(command)
        return 0
    results = _text_results(command)
    table = [["", "figure", "unit", "beside", "its figure", "times better"]]
    for each in results:
        rival = [] if each.rival is None else [each.rival, f"{each.rival_figure:.4g}", f"{each.ratio:.4g}"]
        table.append([each.name, f"{each.figure:.4g}", each.unit, *(rival or [""] * 3)])
    print(render(command.output_format, [Block("", table)], [asdict(result) for result in results]))
    return 0


if __name__ == "__main__":
    run_command(main)
