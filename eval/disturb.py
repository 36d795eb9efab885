"""Whether a distance grows with the disturbance of images, as in the TTUR paper's figure "FID versus Inception Score".

    python -m eval.disturb shapes --features random-conv --count 2000
    python -m eval.disturb shapes --features random-conv --count 2000 --output disturbances.png

The images are split at random into halves. One is disturbed, the other stays the reference, as a generator's images are
not those it is compared with: level 0 is what undisturbed images score, the floor at this number. (Compared with
themselves they would score 0, whatever their number.) The other levels are of the same images.

rho is Spearman's rank correlation of the level and of how bad the metric finds the images: 1 where it follows the
disturbance, -1 where it takes worse images for better ones. A violation is a level that scores no worse than the one
before. Intervals are those of each value alone; as all levels are of the same images, they rise and fall together.
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
from eval.images.image_sets import ExtractorFlags, dataset_set
from eval.images.sensitivity import DEFAULT_METRICS, METRICS, Metric, SensitivityCurve, measure, monotonicity

_BLOCK = 1 << 10


def other_images(other: str, source: str, count: int, side: int) -> tuple[Images, str]:
    """Return images to contaminate those of a source with, and their name with a hash or version.

    `shapes` are drawn, as many as are needed. Among themselves they would not be noticed: where the source is shapes
    too, they are of twice the size, of which the upper left quarter is left: grounds, with a corner of a shape.
    """
    if other != "shapes":
        pictures = open_dataset(ImageOptions(other, side))
        return pictures.images, f"{pictures.name}@{pictures.sha256[:12]}"
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
    """Images as `python -m data.images` takes them: shapes, cifar10[:PATH], celeba, hub:NAME, a folder, a file."""
    contaminate_with: Annotated[str, tyro.conf.arg(metavar="SOURCE")] = "shapes"
    """Images to contaminate with; shapes among shapes are enlarged."""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = ()
    """Of inception: fid, inception-score, kid, precision, recall; of random-conv: fd-random, kd-random, precision,
    recall. Default: fid and inception-score, or fd-random."""
    count: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """Use this many images at most, the first ones; one half of them is disturbed."""
    swirl_radius: Annotated[float, tyro.conf.arg(metavar="SIDES")] = SWIRL_RADIUS
    """Reach of the swirl, in sides of the image. Default: the paper's 70 pixels of 64."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Draw the responses and examples here (.png, .svg, .pdf)."""


def main(arguments: list[str]) -> int:
    """Print what each metric says of each disturbance, and draw it where asked."""
    command = parse_command(DisturbCommand, arguments, "eval.disturb", __doc__)
    if command.output is not None:
        require_image_ending(command.output, "--output")
    metrics = _chosen_metrics(command)
    extractor = command.open_extractor()
    pictures = open_dataset(ImageOptions(command.source, command.size, command.count))
    disturbed, reference = split(pictures)
    others, other = other_images(command.contaminate_with, command.source, len(disturbed), disturbed.shape[2])
    require_others(others, disturbed, max(SHARES))
    disturbances = all_disturbances(others, command.swirl_radius)
    found = measure(disturbed, reference, extractor, metrics, disturbances, command.batch_size)
    settings: dict[str, str | int] = {
        "against": "other-half",
        "seed": SEED,
        "rho": f"{command.swirl_radius * min(disturbed.shape[2:]):g}px",
        "other": other,
        **{each.name.replace(" ", "-"): ",".join(f"{level:g}" for level in each.levels) for each in disturbances},
    }
    scores = []
    for name, metric in metrics.items():
        values = {
            f"{response.disturbance.name} {level:g}": value
            for response in found
            for level, value in zip(response.disturbance.levels, response.values[name], strict=True)
        }
        signed = dataset_set(pictures, extractor).signature(name, len(disturbed), {**metric.settings, **settings})
        title = f"the other half of {pictures.name}"
        scores.append(Score(name, values, metric.unit, metric.better, len(disturbed), title, signed))
    _show(scores, found, command.output_format)
    if command.output is not None:
        plot(command.output, found, metrics)
    return 0


def _show(scores: Sequence[Score], found: Sequence[SensitivityCurve], output_format: Format) -> None:
    """Print a table for each metric, a row for each disturbance; in JSON scores with their verdicts."""
    blocks, records, whole = [], [], []
    for score in scores:
        table = [["", "levels", *("" for _ in found[0].disturbance.levels), "rho", "violations"]]
        correlations, violations = {}, {}
        for response in found:
            name, values = response.disturbance.name, response.values[score.metric]
            rho, count = monotonicity([each.value for each in values], score.better)
            correlations[name], violations[name] = rho, count
            levels = " ".join(f"{level:g}" for level in response.disturbance.levels)
            table.append([name, levels, *map(_cell, values), "-" if rho is None else f"{rho:+.1f}", str(count)])
            records += [
                {
                    "metric": score.metric, "disturbance": name, "level": level, "value": value.value,
                    "low": value.low, "high": value.high, "rank_correlation": rho, "violations": count,
                    "unit": score.unit, "better": score.better, "images": score.samples,
                    "signature": str(score.signature),
                }
                for level, value in zip(response.disturbance.levels, values, strict=True)
            ]  # fmt: skip
        title = f"{score.metric} of {score.samples:,} images against {score.reference}, {score.better} is better"
        blocks.append(Block(title, table, (), [str(score.signature)]))
        whole.append({**score.as_json(), "rank_correlation": correlations, "violations": violations})
    print(render(output_format, blocks, records, whole))


def _cell(value: Estimate) -> str:
    """Return a value and the half width of its interval; a share's exact one, which is not even, has the wider half."""
    if value.low is None or value.high is None:
        return f"{value.value:.4g}"
    return f"{value.value:.4g} ± {max(value.high - value.value, value.value - value.low):.2g}"


def _chosen_metrics(command: DisturbCommand) -> dict[str, Metric]:
    known = METRICS[command.features]
    for name in command.metrics:
        if name not in known:
            raise InputError(f"--metrics {name}: of {command.features} features there are {', '.join(known)}")
    return {name: known[name] for name in dict.fromkeys(command.metrics or DEFAULT_METRICS[command.features])}


def plot(path: Path, found: Sequence[SensitivityCurve], metrics: Mapping[str, Metric]) -> None:
    """Draw a column for each disturbance: a panel for each metric, and images, a column a level.

    Raises:
        KeyError: the file's ending is no known image format; see `require_image_ending`.
    """
    from matplotlib.figure import Figure

    rows = len(metrics) + 1
    figure = Figure((2.2 * len(found), 2.2 * rows + 1), layout="constrained")
    panels = figure.subplots(rows, len(found), squeeze=False, height_ratios=[*[1] * len(metrics), 1.6])
    for (*curves, pictures), response in zip(panels.T, found, strict=True):
        levels = response.disturbance.levels
        for panel, (name, metric) in zip(curves, metrics.items(), strict=True):
            values = response.values[name]
            reach = [
                (0.0, 0.0) if each.low is None or each.high is None else (each.value - each.low, each.high - each.value)
                for each in values
            ]
            panel.errorbar(
                levels, [each.value for each in values], np.transpose(reach), fmt="o-", color="#0072B2", ms=4, lw=1.5
            )
            panel.set_xticks(levels, [f"{level:g}" for level in levels])
            panel.set_xlabel("level", fontsize=8)
            panel.tick_params(labelsize=8)
            panel.grid(alpha=0.3)
            panel.spines[["top", "right"]].set_visible(False)
            if response is found[0]:
                panel.set_ylabel(f"{name} ({metric.better} is better)", fontsize=8)
        curves[0].set_title(response.disturbance.name, fontsize=10)
        count, shown, _, height, width = response.examples.shape
        pictures.imshow(response.examples.transpose(1, 3, 0, 4, 2).reshape(shown * height, count * width, 3))
        pictures.set_xticks([(index + 0.5) * width for index in range(count)], [f"{level:g}" for level in levels])
        pictures.set_yticks([])
        pictures.set_xlabel("level", fontsize=8)
        pictures.tick_params(labelsize=8, length=0)
        pictures.spines[:].set_visible(False)
    save_figure(figure, path)


if __name__ == "__main__":
    run_command(main)
