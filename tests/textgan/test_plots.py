import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from data.errors import InputError
from tests.helpers.runs import a_group
from textgan.runs import plots
from textgan.runs.aggregate import Axis, MethodSummary, summarize
from textgan.runs.plots import plot_bands

PUBLISHED = Path(plots.__file__).parent / "published" / "ttur_language_curves.csv"
BLUE, ORANGE, GREEN = (0, 0x72, 0xB2), (0xD5, 0x5E, 0), (0, 0x9E, 0x73)
Panel = tuple[str, Axis, float | None, Sequence[MethodSummary]]
Curve = list[tuple[float, float]]


def some_summaries(groups: int, seed: int = 0) -> list[MethodSummary]:
    """Summaries of groups with one run, two runs and so on."""
    random = Random(seed)
    drawn = [
        a_group(
            f"method {group}",
            [[0.9 - group / 20 - i / 40 + random.random() / 20 for i in range(12)] for _ in range(group + 1)],
        )
        for group in range(groups)
    ]
    return summarize(drawn, "jsd_4", "minutes", 12, None)


def drawn_panels(monkeypatch: pytest.MonkeyPatch, path: Path, panels: Sequence[Panel], paper: bool = False) -> Figure:
    """Draw, and return the figure that was saved."""
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *arguments: Any, **named: Any) -> None:
        kept.append(self)
        save(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", keep)
        plot_bands(path, panels, paper)
    (figure,) = kept
    return figure


def curves(panel: Axes) -> dict[str, Curve]:
    return {
        str(line.get_label()): list(
            zip(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist(), strict=True)
        )
        for line in panel.get_lines()
    }


def bands(panel: Axes) -> list[dict[float, tuple[float, float]]]:
    """Lowest and highest by x."""
    found = []
    for band in panel.collections:
        assert isinstance(band, PolyCollection)
        heights: dict[float, list[float]] = defaultdict(list)
        for x, y in np.asarray(band.get_paths()[0].vertices).tolist():
            heights[x].append(y)
        found.append({x: (min(ys), max(ys)) for x, ys in heights.items()})
    return found


def near(values: Any) -> Any:
    return pytest.approx(values, abs=1e-12)


def test_lines_are_means_and_bands_go_from_the_lowest_run_to_the_highest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = some_summaries(3)
    panels: list[Panel] = [("jsd_4", "minutes", 0.125, methods), ("jsd_6", "wall-minutes", None, methods)]
    figure = drawn_panels(monkeypatch, tmp_path / "figure.png", panels)
    labels = ["method 0 (1 run)", "method 1 (2 runs)", "method 2 (3 runs)"]
    for panel, (score, label, floor) in zip(
        figure.axes,
        (("JSD-4", "minutes of training", 0.125), ("JSD-6", "minutes", None)),
        strict=True,
    ):
        found = curves(panel)
        assert list(found) == [*labels, *(["real data"] if floor else [])]
        for name, band, method in zip(labels, bands(panel), methods, strict=True):
            runs = method.windows.tolist()
            assert [x for x, _ in found[name]] == near(list(range(1, 13)))
            assert [y for _, y in found[name]] == near([sum(column) / len(runs) for column in zip(*runs, strict=True)])
            assert list(band.values()) == [near((min(column), max(column))) for column in zip(*runs, strict=True)]
        if floor is not None:
            assert {y for _, y in found["real data"]} == {0.125}
        assert (panel.get_ylabel(), panel.get_xlabel()) == (score, label)


@pytest.mark.parametrize(
    ("axis", "label"),
    [
        ("iterations", "generator iterations"),
        ("critic-updates", "critic updates"),
        ("gradients", "gradient evaluations"),
        ("samples", "real samples seen"),
    ],
)
def test_the_axis_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axis: Axis, label: str) -> None:
    figure = drawn_panels(monkeypatch, tmp_path / "figure.svg", [("jsd_4", axis, None, some_summaries(1))])
    (panel,) = figure.axes
    assert panel.get_xlabel() == label
    assert [x for x, _ in curves(panel)["method 0 (1 run)"]] == near(list(range(1, 13)))


def test_every_method_has_its_line_and_stands_in_the_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = some_summaries(9)  # more than there are colours
    figure = drawn_panels(monkeypatch, tmp_path / "figure.png", [("jsd_4", "minutes", 0.1, methods)])
    names = [f"method {group} ({group + 1} run{'s' if group else ''})" for group in range(9)]
    assert list(curves(figure.axes[0])) == [*names, "real data"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*names, "real data"]
    colours = [line.get_color() for line in figure.axes[0].get_lines()[:7]]
    assert len(set(map(str, colours))) == 7


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def share(image: NDArray[np.uint8], colour: tuple[float, ...], within: float = 0.0) -> float:
    return float((np.abs(image - np.array(colour)) <= within).all(axis=-1).mean())


def test_a_png_shows_every_methods_colour(tmp_path: Path) -> None:
    methods = some_summaries(2)
    plot_bands(tmp_path / "two.png", [("jsd_4", "minutes", None, methods)])
    image = pixels(tmp_path / "two.png")
    assert image.shape == (680, 920, 3)  # 4.6 by 3.4 inches of 200 dots
    assert share(image, (255, 255, 255)) > 0.5
    assert share(image, BLUE) > 1e-3
    assert share(image, ORANGE) > 1e-3
    assert share(image, GREEN) == 0
    # A fifth of the colour on white; one run has no band.
    tints = [tuple(0.2 * part + 0.8 * 255 for part in colour) for colour in (BLUE, ORANGE)]
    assert share(image, tints[1], within=1.5) > 5e-3
    assert share(image, tints[0], within=1.5) < 1e-4
    plot_bands(tmp_path / "one.png", [("jsd_4", "minutes", None, methods[:1])])
    assert share(pixels(tmp_path / "one.png"), ORANGE) == 0


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_figure_has_the_same_bytes(tmp_path: Path, ending: str, magic: bytes) -> None:
    files = [tmp_path / f"{name}.{ending}" for name in ("a", "b", "other")]
    for path, seed in zip(files, (0, 0, 1), strict=True):
        plot_bands(path, [("jsd_4", "minutes", 0.125, some_summaries(2, seed))])
    ours, again, other = (path.read_bytes() for path in files)
    assert ours.startswith(magic)
    assert ours == again
    assert ours != other
    if ending == "svg":
        text = ours.decode()
        assert "#0072b2" in text
        assert "#d55e00" in text
        assert "#009e73" not in text
        assert "dc:date" not in text


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.svg.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"--output \S+/{name}: must end in \.png, \.svg, \.pdf"):
        plot_bands(tmp_path / name, [("jsd_4", "minutes", None, some_summaries(1))])
    assert not list(tmp_path.glob("figure*"))


def published(ngram: int, method: str) -> list[dict[str, float]]:
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        return [
            {column: float(row[column]) for column in ("minutes", "mean", "low", "high")}
            for row in csv.DictReader(file)
            if (int(row["ngram"]), row["method"]) == (ngram, method)
        ]


@pytest.mark.parametrize("axis", ["minutes", "wall-minutes"])
def test_the_papers_curves_are_the_published_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axis: Axis) -> None:
    methods = some_summaries(2)
    panels: list[Panel] = [("jsd_4", axis, None, methods), ("jsd_6", axis, None, methods)]
    figure = drawn_panels(monkeypatch, tmp_path / "figure.svg", panels, paper=True)
    for ngram, panel in zip((4, 6), figure.axes, strict=True):
        found = curves(panel)
        assert list(found)[2:] == ["ttur, published (10 runs)", "orig, published (10 runs)"]
        for method, band in zip(("ttur", "orig"), bands(panel)[2:], strict=True):
            rows = published(ngram, method)
            assert len(rows) == 9
            assert found[f"{method}, published (10 runs)"] == [(row["minutes"], row["mean"]) for row in rows]
            assert band == {row["minutes"]: (row["low"], row["high"]) for row in rows}
    assert "ttur, published (10 runs)" in [text.get_text() for text in figure.legends[0].get_texts()]
    # And without being asked for they are not there.
    plain = drawn_panels(monkeypatch, tmp_path / "plain.svg", panels)
    assert [len(curves(panel)) for panel in plain.axes] == [2, 2]


def test_the_published_curves_hold_what_the_paper_says() -> None:
    # Its section on language: two time scales are ahead all along, at 4-grams as at 6-grams.
    for ngram in (4, 6):
        ttur, orig = published(ngram, "ttur"), published(ngram, "orig")
        assert [row["minutes"] for row in ttur] == [row["minutes"] for row in orig]
        assert all(a["mean"] < b["mean"] for a, b in zip(ttur, orig, strict=True))
        assert all(row["low"] < row["mean"] < row["high"] for row in ttur + orig)


def test_a_score_that_was_not_published_has_no_published_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panels: list[Panel] = [("jsd_2", "minutes", None, some_summaries(1))]
    figure = drawn_panels(monkeypatch, tmp_path / "figure.svg", panels, paper=True)
    assert list(curves(figure.axes[0])) == ["method 0 (1 run)"]


def test_what_one_panel_alone_shows_is_in_the_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = some_summaries(1)
    panels: list[Panel] = [("jsd_4", "minutes", None, methods), ("jsd_2", "minutes", None, methods)]
    figure = drawn_panels(monkeypatch, tmp_path / "figure.svg", panels, paper=True)
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == set(curves(figure.axes[0])) | set(curves(figure.axes[1]))


@pytest.mark.parametrize("axis", ["iterations", "critic-updates", "gradients", "samples"])
def test_the_papers_curves_are_refused_on_another_axis(tmp_path: Path, axis: Axis) -> None:
    panels: list[Panel] = [("jsd_4", axis, None, some_summaries(1))]
    with pytest.raises(InputError, match="--paper: the paper's curves are against minutes; say --axis wall-minutes"):
        plot_bands(tmp_path / "figure.svg", panels, paper=True)
    assert not (tmp_path / "figure.svg").exists()
