"""Check that image metrics grow with disturbance, as in the TTUR paper's figure "FID versus Inception Score".

    python -m eval.disturb shapes --features random-conv --count 2000
    python -m eval.disturb shapes --features random-conv --count 2000 --output disturbances.png

The images are split at random into halves: one is disturbed, the other is the reference, since a generator's images are
not reference images either. Level 0 is the score of the undisturbed half: the floor at this number of images. (Compared
with themselves, images would score 0 at any number.) All levels disturb the same half.

rho is Spearman's rank correlation of level and badness: 1 if the metric follows the disturbance, -1 if it takes worse
images for better ones. A violation is a level that scores no worse than the previous one. Intervals are for each value
alone; since all levels use the same images, their values rise and fall together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.errors import InputError
from data.images import shapes
from data.images.dataset import ImageOptions, open_dataset
from eval.core.figures import require_image_ending, save_figure
from eval.core.score import Estimate, Score
from eval.core.tables import Block, Format, FormatFlags, render
from eval.images.disturbances import SEED, SHARES, SWIRL_RADIUS, Images, all_disturbances, require_others, split
from eval.images.flags import ExtractorFlags
from eval.images.image_sets import dataset_set
from eval.images.sensitivity import (
    ImageMetric,
    SensitivityCurve,
    default_metrics,
    image_metrics,
    measure,
    monotonicity,
)

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


def main(arguments: list[str]) -> int:
    """Print each metric at the levels of each disturbance; plot the curves if asked."""
    command = parse_command(DisturbCommand, arguments, "eval.disturb", __doc__)
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
    scores = []
    for name, metric in metrics.items():
        values = {
            f"{curve.disturbance.name} {level:g}": value
            for curve in curves
            for level, value in zip(curve.disturbance.levels, curve.values[name], strict=True)
        }
        signature = dataset_set(dataset, extractor).signature(name, len(disturbed), {**metric.settings, **settings})
        title = f"the other half of {dataset.name}"
        scores.append(Score(name, values, metric.unit, metric.better, len(disturbed), title, signature))
    _show(scores, curves, command.output_format)
    if command.output is not None:
        plot(command.output, curves, metrics)
    return 0


def _show(scores: Sequence[Score], curves: Sequence[SensitivityCurve], output_format: Format) -> None:
    """Print one table per metric with a row per disturbance; JSON has the scores, rank correlations and violations."""
    blocks, records, whole = [], [], []
    for score in scores:
        table = [["", "levels", *("" for _ in curves[0].disturbance.levels), "rho", "violations"]]
        correlations, violations = {}, {}
        for curve in curves:
            name, values = curve.disturbance.name, curve.values[score.metric]
            rho, count = monotonicity([value.value for value in values], score.better)
            correlations[name], violations[name] = rho, count
            levels = " ".join(f"{level:g}" for level in curve.disturbance.levels)
            table.append([name, levels, *map(_cell, values), "-" if rho is None else f"{rho:+.1f}", str(count)])
            records += [
                {
                    "metric": score.metric, "disturbance": name, "level": level, "value": value.value,
                    "low": value.low, "high": value.high, "rank_correlation": rho, "violations": count,
                    "unit": score.unit, "better": score.better, "images": score.samples,
                    "signature": str(score.signature),
                }
                for level, value in zip(curve.disturbance.levels, values, strict=True)
            ]  # fmt: skip
        title = f"{score.metric} of {score.samples:,} images against {score.reference}, {score.better} is better"
        blocks.append(Block(title, table, (), [str(score.signature)]))
        whole.append({**score.as_json(), "rank_correlation": correlations, "violations": violations})
    print(render(output_format, blocks, records, whole))


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
