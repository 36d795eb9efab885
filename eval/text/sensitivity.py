"""How text metrics respond to increasing disturbance of lines, as values and as a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.core.figures import label, save_figure
from eval.core.score import Estimate, Score
from eval.core.sensitivity import SEED, Response, shown_correlation, values_by_level
from eval.text.disturbances import LEVELS, Disturbance
from eval.text.metrics import RealText, score_samples
from eval.text.samples import SampleLines


def measure(
    lines: Sequence[str],
    real: RealText,
    metrics: Sequence[str],
    disturbances: Sequence[Disturbance],
    settings: Mapping[str, str | int],
) -> list[tuple[Score, list[Response]]]:
    """Return each score of the metrics, under its own name, at all levels of the disturbances of lines.

    Args:
        lines: the lines that are disturbed.
        real: the text that they are scored against.
        metrics: names of text metrics.
        disturbances: what is done to the lines.
        settings: further fields of the signatures.

    Raises:
        InputError: the real text is not prepared for a metric.
    """

    def scores(disturbed: Sequence[str]) -> list[Score]:
        return score_samples(SampleLines("disturbed lines", lambda: iter([list(disturbed)])), metrics, real, quiet=True)

    undisturbed = scores(lines)
    values: dict[str, dict[str, list[Estimate]]] = {}
    for disturbance in tqdm(disturbances, "disturbing", disable=None, delay=1, leave=False):
        for level in LEVELS:
            for score in scores(disturbance.apply(lines, level, SEED)) if level else undisturbed:
                for name, value in score.values.items():
                    values.setdefault(name, {}).setdefault(disturbance.name, []).append(value)
    found = []
    for score in undisturbed:
        signature = replace(score.signature, settings={**score.signature.settings, **settings})
        for name in score.values:
            responses = [Response(disturbance, LEVELS, each) for disturbance, each in values[name].items()]
            of_name = replace(score, metric=name, values=values_by_level(responses), signature=signature)
            found.append((of_name, responses))
    return found


def plot(path: Path, found: Sequence[tuple[Score, Sequence[Response]]]) -> None:
    """Draw the rank correlation of each score (rows) with the level of each disturbance (columns)."""
    from matplotlib.figure import Figure

    correlations = [[response.monotonicity(score.better)[0] for response in responses] for score, responses in found]
    shown = np.array([[np.nan if rho is None else rho for rho in row] for row in correlations])
    columns = [response.disturbance for response in found[0][1]]
    figure = Figure((1.1 * len(columns) + 2.5, 0.24 * len(found) + 1.2), layout="constrained")
    panel = figure.subplots()
    image = panel.imshow(shown, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    panel.set_facecolor("0.85")  # all values equal
    panel.set_xticks(range(len(columns)), columns, rotation=20, ha="left", fontsize=8)
    panel.xaxis.tick_top()
    names = [f"{label(score.metric)} ({score.better} is better)" for score, _ in found]
    panel.set_yticks(range(len(found)), names, fontsize=7)
    panel.tick_params(length=0)
    for row, cells in enumerate(correlations):
        for column, rho in enumerate(cells):
            colour = "white" if rho is not None and abs(rho) > 0.7 else "black"
            panel.text(column, row, shown_correlation(rho), ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, label="rank correlation of level and badness: 1 follows", fraction=0.04)
    save_figure(figure, path)
