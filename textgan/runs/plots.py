"""Figures of runs: a band per method, as in the TTUR paper; times by ratio of rates; searches; curves of a sweep."""

import csv
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import InputError
from eval.core.figures import label, require_image_ending, save_figure
from textgan.engine.run_folder import score_title
from textgan.runs.ratios import by_mean_rate, ratio_name
from textgan.runs.sweeps import collapsed, temperature_of

if TYPE_CHECKING:  # commands that only import COLOURS start without torch, pandas and matplotlib
    from matplotlib.figure import Figure

    from textgan.runs.aggregate import Axis, MethodSummary
    from textgan.runs.halving import Trial
    from textgan.runs.sweeps import Curve

_LABELS = {
    "minutes": "minutes of training",
    "wall-minutes": "minutes",
    "iterations": "generator iterations",
    "critic-updates": "critic updates",
    "gradients": "gradient evaluations",
    "samples": "real samples seen",
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The colours of Okabe & Ito, which colour-blind readers can tell apart too."""


def plot_bands(
    path: Path, panels: "Sequence[tuple[str, Axis, float | None, Sequence[MethodSummary]]]", paper: bool = False
) -> None:
    """Draw a panel per score, side by side.

    Args:
        path: image file; its ending decides the format.
        panels: score, x-axis, score of real data, and summaries of the methods.
        paper: whether to draw the TTUR paper's curves too, against minutes.

    Raises:
        InputError: the ending is no known image format, or `paper` is set and an x-axis is not in minutes.
    """
    from matplotlib.figure import Figure

    require_image_ending(path, "--output")
    if paper and any(axis not in ("minutes", "wall-minutes") for _, axis, _, _ in panels):
        raise InputError("--paper: the paper's curves are against minutes; say --axis wall-minutes")
    figure = Figure((4.6 * len(panels), 3.4), layout="constrained")
    for panel, (score, axis, floor, methods) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for method, colour in zip(methods, COLOURS * len(methods), strict=False):
            low, high = method.windows.min(axis=0), method.windows.max(axis=0)
            runs = len(method.group.runs)
            name = label(f"{method.group.name} ({runs} {'run' if runs == 1 else 'runs'})")
            panel.fill_between(method.x, low, high, color=colour, alpha=0.2, lw=0)
            panel.plot(method.x, method.windows.mean(axis=0), color=colour, lw=1.5, label=name)
        if paper:
            for number, (preset, rows) in enumerate(_published(score).items()):
                colour = "#555555" if number else "#999999"
                panel.fill_between(rows[:, 0], rows[:, 2], rows[:, 3], color=colour, alpha=0.15, lw=0)
                panel.plot(rows[:, 0], rows[:, 1], color=colour, lw=1, ls=":", label=f"{preset}, published (10 runs)")
        if floor is not None:
            panel.axhline(floor, color="black", lw=1, ls="--", label="real data")
        panel.set(xlabel=_LABELS[axis], ylabel=label(score_title(score)))
    _save(figure, path, columns=4)


def plot_ratios(path: Path, panels: "Sequence[tuple[str, Axis, float, Sequence[MethodSummary]]]") -> None:
    """Draw the time to a target score against the ratio of the players' learning rates, a panel per score.

    Dots are runs; a line joins the means of methods with one product a b of the two rates. A method with a run that
    never reached the target has no mean; a triangle above the last time has the number of runs that did not.

    Args:
        path: image file; its ending decides the format.
        panels: score, x-axis of the runs, which is the vertical one here, target score, and summaries of the methods.
    """
    from matplotlib.figure import Figure

    figure = Figure((4.8 * len(panels), 3.8), layout="constrained")
    for panel, (score, axis, level, methods) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        end, by_mean = float(methods[0].x[-1]), by_mean_rate(methods)
        marks: Counter[str] = Counter()
        panel.scatter([], [], 16, "grey", label="run")
        for (mean_rate, pairs), colour in zip(by_mean.items(), COLOURS * len(by_mean), strict=False):
            for ratio, method in pairs:
                reached = method.reached[np.isfinite(method.reached)]
                panel.scatter([ratio] * reached.size, reached, 16, colour, alpha=0.6, lw=0, zorder=3)
                if missing := method.reached.size - reached.size:
                    marks[ratio_name(ratio)] += 1
                    place = ratio, (1 + 0.07 * marks[ratio_name(ratio)]) * end
                    text = f"{missing} of {method.reached.size}"
                    panel.scatter(*place, 25, colour, marker="^", zorder=3)
                    panel.annotate(text, place, (5, 0), textcoords="offset points", va="center", fontsize=7)
            means = np.array([method.reached.mean() for _, method in pairs])
            panel.plot(
                [ratio for ratio, _ in pairs], np.where(np.isfinite(means), means, np.nan), color=colour, lw=1.5,
                marker="_", ms=12, label=f"mean, \u221a(ab) = {mean_rate:.3g}",
            )  # fmt: skip
        if marks:
            top = (1 + 0.07 * (max(marks.values()) + 1)) * end
            panel.axhspan(end, top, color="grey", alpha=0.15, lw=0, label="not reached (k of n runs)")
        ticks = {ratio_name(ratio): ratio for pairs in by_mean.values() for ratio, _ in pairs}
        time = f"{_LABELS[axis]} to {score_title(score)} {level:.3f}"
        panel.set(xscale="log", xlabel="b / a, critic's over generator's learning rate", ylabel=label(time))
        panel.set_xticks(list(ticks.values()), ticks)
        panel.set_xticks([], minor=True)
        panel.margins(x=0.12)
        panel.set_ylim(0, top if marks else 1.05 * end)
    _save(figure, path, columns=2 * len(panels))


def plot_curves(path: Path, curves: "Sequence[Curve]", quality: str, diversity: str, published: bool = False) -> None:
    """Draw quality against diversity over temperatures, a line per run; the first one has its temperatures beside it.

    Points of a share of the probability (top-p) are hollow; a cross marks a collapsed generator.

    Args:
        path: image file; its ending decides the format.
        curves: scores over temperatures; both scores are better if lower.
        quality: score of the vertical axis.
        diversity: score of the horizontal axis.
        published: whether to draw published values of nll_oracle as horizontal lines, each with the temperature at
            which the first curve has the same value.
    """
    from matplotlib.figure import Figure

    figure = Figure((6.4, 4.4), layout="constrained")
    panel = figure.subplots()
    for number, (curve, colour) in enumerate(zip(curves, COLOURS * len(curves), strict=False)):
        shown = [point for point in curve.points if {quality, diversity} <= point.scores.keys()]
        places = [(point.scores[diversity], point.scores[quality]) for point in shown]
        whole = [place for place, point in zip(places, shown, strict=True) if point.top_p == 1]
        panel.plot(*zip(*whole, strict=True), color=colour, lw=1.5, marker="o", ms=4, label=label(curve.name))
        for place, point in zip(places, shown, strict=True):
            if point.top_p < 1:
                panel.scatter(*place, 25, "white", edgecolors=colour, zorder=3)
            if collapsed(point, curve.symbols):
                panel.scatter(*place, 50, colour, marker="x", zorder=3)
            if number == 0 and point.top_p == 1 and point.temperature is not None:
                panel.annotate(f"{point.temperature:g}", place, (5, 4), textcoords="offset points", fontsize=7)
    if published:
        middle = sum(panel.get_ylim()) / 2
        for name, value in published_losses().items():
            same = temperature_of(value, curves[0], quality)
            text = f"{name} {value}" + ("" if same is None else f" = temperature {same:.2f}")
            panel.axhline(value, color="grey", lw=1, ls=":")
            # Curves fall from left to right: there is room to the right above, to the left below.
            place, shift, side = ((1, value), (-2, 2), "right") if value > middle else ((0, value), (2, 2), "left")
            panel.annotate(text, place, shift, panel.get_yaxis_transform(), "offset points", ha=side, fontsize=7)
        panel.set_title("dotted: published values, whose NLL_test is unknown", fontsize=8)
    panel.set(xlabel=f"{label(score_title(diversity))} (diversity, lower is better)")
    panel.set(ylabel=f"{label(score_title(quality))} (quality, lower is better)")
    _save(figure, path, columns=2)


def _save(figure: "Figure", path: Path, columns: int) -> None:
    """Write a figure of panels with a grid each and one legend below."""
    for panel in figure.axes:
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    named = {
        text: handle for panel in figure.axes for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    labels, handles = list(named), list(named.values())
    columns = min(len(labels), columns)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9, frameon=False)
    save_figure(figure, path)


def published_losses() -> dict[str, float]:
    """Return the published nll_oracle of GANs on SeqGAN's oracle, 20 symbols (Nie et al. 2019, RelGAN, table 1)."""
    with (files("textgan.runs") / "published" / "oracle20.csv").open("r", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["oracle"], row["symbols"]) == ("SeqGAN's", "20")]
    rows = [row for row in rows if row["source"].startswith("Nie et al. 2019")]
    return {
        row["model"]: float(row["NLL_oracle"].split()[0]) for row in rows if row["model"] not in ("MLE", "real lines")
    }


def _published(score: str) -> dict[str, np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """Return minutes, mean, lowest and highest of the paper's 10 runs [points, 4] per method, if the score has curves.

    Read off the vector plots of figure 5 (right) of arXiv 1706.08500: JSD of 4-grams and of 6-grams.
    """
    import pandas as pd

    with (files("textgan.runs") / "published" / "ttur_language_curves.csv").open("r", encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype=str)
    rows = rows[("jsd_" + rows["ngram"]) == score]
    columns = ["minutes", "mean", "low", "high"]
    return {method: curve[columns].to_numpy(float) for method, curve in rows.groupby("method", sort=False)}


def plot_rates(path: Path, trials: "Sequence[Trial]", score: str, better: str) -> None:
    """Draw each pair of rates as a dot, coloured by its last score; a ring marks the best pair, crosses failed ones.

    Args:
        path: image file; its ending decides the format.
        trials: from best to worst in each rung.
        score: name of the score.
        better: "lower" or "higher"; better scores are lighter.
    """
    from matplotlib.figure import Figure

    latest = {(trial.critic_lr, trial.generator_lr): trial for trial in trials}
    known = [(trial, trial.mean) for trial in latest.values() if trial.mean is not None]
    failed = [trial for trial in latest.values() if trial.mean is None]
    figure = Figure((5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="generator's learning rate", ylabel="critic's learning rate")
    points = axes.scatter(
        [trial.generator_lr for trial, _ in known], [trial.critic_lr for trial, _ in known],
        [120 * (1 + trial.rung) for trial, _ in known], [mean for _, mean in known],
        cmap="viridis_r" if better == "lower" else "viridis",
    )  # fmt: skip
    axes.scatter(
        [trial.generator_lr for trial in failed], [trial.critic_lr for trial in failed], 80, "grey", marker="x"
    )
    if known:
        chosen = [trial for trial, _ in known]
        last = max(trial.rung for trial in chosen)
        best = next(trial for trial in trials if trial in chosen and trial.rung == last)
        axes.scatter(best.generator_lr, best.critic_lr, 700, "none", edgecolors="#D55E00", linewidths=2)
    figure.colorbar(points, label=label(f"{score_title(score)} at the end (larger dots trained longer)"))
    axes.margins(0.2)
    save_figure(figure, path)
