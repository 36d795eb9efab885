"""The figure of `python -m eval.disturb`: metrics against the levels of disturbances, and images at these levels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.figures import save_figure
from eval.responses import Metric, Response


def draw(path: Path, responses: Sequence[Response], metrics: Mapping[str, Metric]) -> None:
    """Draw a column for each disturbance: a panel for each metric, and images, a column a level.

    Raises:
        KeyError: the file's ending is no known image format; see `require_image_ending`.
    """
    from matplotlib.figure import Figure

    rows = len(metrics) + 1
    figure = Figure((2.2 * len(responses), 2.2 * rows + 1), layout="constrained")
    panels = figure.subplots(rows, len(responses), squeeze=False, height_ratios=[*[1] * len(metrics), 1.6])
    for (*curves, pictures), response in zip(panels.T, responses, strict=True):
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
            if response is responses[0]:
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
