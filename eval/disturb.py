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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.errors import InputError
from data.images import shapes
from data.images.dataset import PictureOptions, Pictures, open_pictures
from eval.disturb_figure import draw
from eval.disturbances import SHARES, SWIRL_RADIUS, Images, all_disturbances, require_others
from eval.figures import require_image_ending
from eval.image_sets import ExtractorFlags, picture_set
from eval.responses import DEFAULT_METRICS, METRICS, SEED, Metric, Response, monotony, responses
from eval.score import Estimate, Score
from eval.tables import Block, Format, FormatFlags, render

_BLOCK = 1 << 10


def split(pictures: Pictures) -> tuple[Images, Images]:
    """Return halves of the pictures, chosen at random and in random order: files are often sorted by class.

    Raises:
        InputError: fewer than four pictures.
    """
    count = len(pictures.images)
    if count < 4:
        raise InputError(f"{pictures.name}: {count} images do not make two halves; give at least 4")
    order, half = np.random.default_rng(SEED).permutation(count), count // 2
    return pictures.images[order[:half]], pictures.images[order[half:]]


def other_images(other: str, source: str, count: int, side: int) -> tuple[Images, str]:
    """Return images to contaminate those of a source with, and their name with a hash or version.

    `shapes` are drawn, as many as are needed. Among themselves they would not be noticed: where the source is shapes
    too, they are of twice the size, of which the upper left quarter is left: grounds, with a corner of a shape.
    """
    if other != "shapes":
        pictures = open_pictures(PictureOptions(other, side))
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
    other: Annotated[str, tyro.conf.arg(metavar="SOURCE")] = "shapes"
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
    pictures = open_pictures(PictureOptions(command.source, command.size, command.count))
    disturbed, reference = split(pictures)
    others, other = other_images(command.other, command.source, len(disturbed), disturbed.shape[2])
    require_others(others, disturbed, max(SHARES))
    disturbances = all_disturbances(others, command.swirl_radius)
    found = responses(disturbed, reference, extractor, metrics, disturbances, command.batch_size)
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
        signed = picture_set(pictures, extractor).signature(name, len(disturbed), {**metric.settings, **settings})
        title = f"the other half of {pictures.name}"
        scores.append(Score(name, values, metric.unit, metric.better, len(disturbed), title, signed))
    _show(scores, found, command.output_format)
    if command.output is not None:
        draw(command.output, found, metrics)
    return 0


def _show(scores: Sequence[Score], found: Sequence[Response], output_format: Format) -> None:
    """Print a table for each metric, a row for each disturbance; in JSON scores with their verdicts."""
    blocks, records, whole = [], [], []
    for score in scores:
        table = [["", "levels", *("" for _ in found[0].disturbance.levels), "rho", "violations"]]
        correlations, violations = {}, {}
        for response in found:
            name, values = response.disturbance.name, response.values[score.metric]
            rho, count = monotony([each.value for each in values], score.better)
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


if __name__ == "__main__":
    run_command(main)
