"""Check that metrics grow with disturbance, as in the TTUR paper's figure "FID versus Inception Score".

    python -m eval.disturb shapes --features random-conv --count 2000
    python -m eval.disturb shapes --features random-conv --count 2000 --output disturbances.png
    python -m eval.disturb text corpus.txt.gz --metrics bleu diversity lengths --output text-disturbances.svg

The first word is an image source, or `text` before a source of text (a folder named text is ./text). Images or lines
are split at random into halves: one is disturbed, the other is the reference, since a generator's samples are not
reference samples either. Level 0 is the score of the undisturbed half: the floor at this number of samples. (Compared
with themselves, samples would score 0 at any number.) All levels disturb the same half.

rho is Spearman's rank correlation of level and badness: 1 if the metric follows the disturbance, -1 if it takes worse
samples for better ones. A violation is a level that scores no worse than the previous one. For text the table has rho
alone; --format csv has the values. Intervals are for each value alone; since all levels use the same samples, their
values rise and fall together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.corpus import CorpusOptions
from data.errors import InputError
from data.files import sha256_of_json
from data.images import shapes
from data.images.dataset import ImageOptions, open_dataset
from data.sources import open_source
from data.words import Splitting, WordRule
from eval.core.figures import require_image_ending, save_figure
from eval.core.score import Estimate, Score
from eval.core.sensitivity import SEED, Response, as_json, as_rows, shown_correlation, values_by_level
from eval.core.tables import Block, Format, FormatFlags, render
from eval.images.disturbances import SHARES, SWIRL_RADIUS, Images, all_disturbances, require_others, split
from eval.images.flags import ExtractorFlags
from eval.images.image_sets import dataset_set
from eval.images.sensitivity import ImageMetric, SensitivityCurve, default_metrics, image_metrics, measure
from eval.text import disturbances as text_disturbances
from eval.text import sensitivity as text_sensitivity
from eval.text.metrics import METRICS as TEXT_METRICS
from eval.text.metrics import real_text, require_metrics
from eval.text.reference import ReferenceOptions

_BLOCK = 1 << 10


def other_images(other: str, source: str, count: int, side: int) -> tuple[Images, str]:
    """Return images to contaminate the images of a source with, and their name with a hash or version.

    `shapes` are drawn, `count` of them. Shapes mixed into shapes would be invisible: if the source is also `shapes`,
    use the top-left quarter of shapes drawn at twice the size.
    """
    if other != "shapes":
        dataset = open_dataset(ImageOptions(other, side))
        return dataset.images, f"{dataset.name}@{dataset.sha256[:12]}"
    enlarged = source == "shapes"
    drawn = side * 2 if enlarged else side
    blocks = [
        shapes.draw_shapes(first, min(_BLOCK, count - first), drawn, seed=1)[0][:, :, :side, :side].copy()
        for first in range(0, count, _BLOCK)
    ]
    return np.concatenate(blocks), f"{shapes.VERSION}-seed1" + ("-enlarged" if enlarged else "")


@dataclass(frozen=True, kw_only=True)
class DisturbCommand(FormatFlags, ExtractorFlags):
    """Flags of `python -m eval.disturb`."""

    source: tyro.conf.Positional[str]
    """Images: a source of `python -m data.images` (shapes, cifar10[:PATH], hub:NAME, a folder, ...)."""
    contaminate_with: Annotated[str, tyro.conf.arg(metavar="SOURCE")] = "shapes"
    """Source of the contaminating images; shapes are enlarged if the images are shapes too."""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = ()
    """With --features inception: fid and inception-score (the default), kid, precision, recall, density, coverage;
    with others: the Fréchet distance (the default), such as fd-random, kd-random, and the same without classes."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Maximum number of images (the first ones); half of them are disturbed."""
    swirl_radius: Annotated[float, tyro.conf.arg(metavar="SIDES")] = SWIRL_RADIUS
    """Radius of the swirl, in sides of the image. Default: 70/64, as in the paper."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Plot the curves and example images here (.png, .svg, .pdf)."""


@dataclass(frozen=True, kw_only=True)
class TextDisturbCommand(FormatFlags):
    """Flags of `python -m eval.disturb text`."""

    source: tyro.conf.Positional[str]
    """Text: a value as of --reference (grammar, lm1b, brown:PATH, a file, a folder, ...)."""
    contaminate_with: Annotated[str, tyro.conf.arg(metavar="SOURCE")] = "grammar"
    """Source of the contaminating lines, another text."""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = ()
    """Metrics as of `eval.report`, except metrics of sentence features, and perplexity. Default: all."""
    count: Annotated[int, tyro.conf.arg(metavar="LINES")] = 4000
    """Maximum number of lines (the first ones); half of them are disturbed."""
    words: Splitting = "punctuation"
    """Split lines at punctuation and white space, at white space only, or into single characters."""
    lower_case: bool = False
    """Convert all lines to lower case."""
    seq_len: int = 32
    """Characters per line for metrics of characters; longer lines are cut."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Plot the rank correlations here (.png, .svg, .pdf)."""


def main(arguments: list[str]) -> int:
    """Print how metrics answer to the levels of each disturbance; plot it if asked."""
    if arguments[:1] == ["text"]:
        return _disturb_text(parse_command(TextDisturbCommand, arguments[1:], "eval.disturb text", __doc__))
    return _disturb_images(parse_command(DisturbCommand, arguments, "eval.disturb", __doc__))


def _disturb_images(command: DisturbCommand) -> int:
    if command.output is not None:
        require_image_ending(command.output, "--output")
    metrics = _chosen_metrics(command)
    extractor = command.open_extractor()
    dataset = open_dataset(ImageOptions(command.source, command.size, command.count))
    disturbed, reference = split(dataset)
    others, other = other_images(command.contaminate_with, command.source, len(disturbed), disturbed.shape[2])
    require_others(others, disturbed, max(SHARES))
    disturbances = all_disturbances(others, command.swirl_radius)
    curves = measure(disturbed, reference, extractor, metrics, disturbances, command.batch_size)
    settings: dict[str, str | int] = {
        "against": "other-half",
        "seed": SEED,
        "rho": f"{command.swirl_radius * min(disturbed.shape[2:]):g}px",
        "other": other,
        **{
            disturbance.name.replace(" ", "-"): ",".join(f"{level:g}" for level in disturbance.levels)
            for disturbance in disturbances
        },
    }
    found = []
    for name, metric in metrics.items():
        responses = [Response(curve.disturbance.name, curve.disturbance.levels, curve.values[name]) for curve in curves]
        signature = dataset_set(dataset, extractor).signature(name, len(disturbed), {**metric.settings, **settings})
        title, values = f"the other half of {dataset.name}", values_by_level(responses)
        found.append((Score(name, values, metric.unit, metric.better, len(disturbed), title, signature), responses))
    _show_images(found, command.output_format)
    if command.output is not None:
        plot(command.output, curves, metrics)
    return 0


def _disturb_text(command: TextDisturbCommand) -> int:
    if command.output is not None:
        require_image_ending(command.output, "--output")
    require_metrics(command.metrics)
    if command.contaminate_with == command.source:
        raise InputError(f"--contaminate-with {command.source}: the disturbed text itself; name another text")
    source, other = open_source(command.source), open_source(command.contaminate_with)
    disturbed, reference = text_disturbances.split(
        list(islice(chain.from_iterable(source.train()), command.count)), source.name
    )
    others = list(islice(chain.from_iterable(other.train()), len(disturbed)))
    text_disturbances.require_others(others, disturbed)
    settings: dict[str, str | int] = {
        "seed": SEED,
        "other": f"{other.name}@{sha256_of_json([other.identity])[:12]}",
        "levels": ",".join(f"{level:g}" for level in text_disturbances.LEVELS),
    }
    separator = " "
    if command.words == "characters":
        separator, settings["disturbed"] = "", "characters"
    disturbances = text_disturbances.all_disturbances(others, separator)
    with TemporaryDirectory() as folder:
        path = Path(folder, "other-half")
        path.write_text("".join(f"{line}\n" for line in reference), "utf-8")
        options = ReferenceOptions(
            CorpusOptions(str(path), command.seq_len, split=False), ngram=min(ReferenceOptions.ngram, command.seq_len)
        )
        real = real_text(command.metrics or TEXT_METRICS, options, WordRule(command.words, command.lower_case))
        metrics = command.metrics or real.metrics()
        found = text_sensitivity.measure(disturbed, real, metrics, disturbances, settings)
    _show_text(found, f"the other half of {source.name}", command.output_format)
    if command.output is not None:
        text_sensitivity.plot(command.output, found)
    return 0


def _show_images(found: Sequence[tuple[Score, Sequence[Response]]], output_format: Format) -> None:
    """Print one table per metric with a row per disturbance; JSON has the scores, rank correlations and violations."""
    blocks = []
    for score, responses in found:
        table = [["", "levels", *("" for _ in responses[0].levels), "rho", "violations"]]
        for response in responses:
            rho, count = response.monotonicity(score.better)
            levels = " ".join(f"{level:g}" for level in response.levels)
            cells = [*map(_cell, response.values), shown_correlation(rho), str(count)]
            table.append([response.disturbance, levels, *cells])
        title = f"{score.metric} of {score.samples:,} images against {score.reference}, {score.better} is better"
        blocks.append(Block(title, table, (), [str(score.signature)]))
    rows = [row for score, responses in found for row in as_rows(score, responses, "images")]
    print(render(output_format, blocks, rows, [as_json(score, responses) for score, responses in found]))


def _show_text(found: Sequence[tuple[Score, Sequence[Response]]], reference: str, output_format: Format) -> None:
    """Print a table of rank correlations with a row per score; CSV and JSON have the values at all levels."""
    table = [["", "better", *(response.disturbance for response in found[0][1])]]
    for score, responses in found:
        correlations = (response.monotonicity(score.better)[0] for response in responses)
        table.append([score.metric, score.better, *map(shown_correlation, correlations)])
    title = f"rank correlation of level and badness, of {found[0][0].samples:,} lines against {reference}"
    signatures = list(dict.fromkeys(str(score.signature) for score, _ in found))
    rows = [row for score, responses in found for row in as_rows(score, responses, "lines")]
    whole = [as_json(score, responses) for score, responses in found]
    print(render(output_format, [Block(title, table, (), signatures)], rows, whole))


def _cell(value: Estimate) -> str:
    """Return a value and the half-width of its interval; the larger half if the interval is asymmetric."""
    if value.low is None or value.high is None:
        return f"{value.value:.4g}"
    return f"{value.value:.4g} ± {max(value.high - value.value, value.value - value.low):.2g}"


def _chosen_metrics(command: DisturbCommand) -> dict[str, ImageMetric]:
    known = image_metrics(command.features)
    for name in command.metrics:
        if name not in known:
            raise InputError(f"--metrics {name}: with --features {command.features} choose from {', '.join(known)}")
    return {name: known[name] for name in dict.fromkeys(command.metrics or default_metrics(command.features))}


def plot(path: Path, curves: Sequence[SensitivityCurve], metrics: Mapping[str, ImageMetric]) -> None:
    """Plot a column per disturbance: a panel per metric, and below them example images, one column per level."""
    from matplotlib.figure import Figure

    rows = len(metrics) + 1
    figure = Figure((2.2 * len(curves), 2.2 * rows + 1), layout="constrained")
    panels = figure.subplots(rows, len(curves), squeeze=False, height_ratios=[*[1] * len(metrics), 1.6])
    for (*metric_panels, image_panel), curve in zip(panels.T, curves, strict=True):
        levels = curve.disturbance.levels
        for panel, (name, metric) in zip(metric_panels, metrics.items(), strict=True):
            values = [estimate.value for estimate in curve.values[name]]
            errors = np.transpose([_error_bar(estimate) for estimate in curve.values[name]])
            panel.errorbar(levels, values, errors, fmt="o-", color="#0072B2", ms=4, lw=1.5)
            panel.set_xticks(levels, [f"{level:g}" for level in levels])
            panel.set_xlabel("level", fontsize=8)
            panel.tick_params(labelsize=8)
            panel.grid(alpha=0.3)
            panel.spines[["top", "right"]].set_visible(False)
            if curve is curves[0]:
                panel.set_ylabel(f"{name} ({metric.better} is better)", fontsize=8)
        metric_panels[0].set_title(curve.disturbance.name, fontsize=10)
        count, shown, _, height, width = curve.examples.shape
        image_panel.imshow(curve.examples.transpose(1, 3, 0, 4, 2).reshape(shown * height, count * width, 3))
        image_panel.set_xticks([(index + 0.5) * width for index in range(count)], [f"{level:g}" for level in levels])
        image_panel.set_yticks([])
        image_panel.set_xlabel("level", fontsize=8)
        image_panel.tick_params(labelsize=8, length=0)
        image_panel.spines[:].set_visible(False)
    save_figure(figure, path)


def _error_bar(estimate: Estimate) -> tuple[float, float]:
    """Return the lengths of the interval below and above the value; 0 without an interval."""
    if estimate.low is None or estimate.high is None:
        return 0.0, 0.0
    return estimate.value - estimate.low, estimate.high - estimate.value


if __name__ == "__main__":
    run_command(main)
