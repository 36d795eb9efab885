"""Time to a target against the ratio of the learning rates: the figure of `textgan.compare --ratio-figure`."""

import csv
import io
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from data.errors import InputError
from tests.helpers.runs import rows_of, write_run
from textgan.compare import main

Rates = tuple[float, float]
TARGET, MINUTES = 0.5, 20

# Rates of critic and generator, and the fall of the score per minute in each of three runs. The product is 4e-6 but for
# the last two; a fall of 0.05 reaches 0.5 from 0.95 after 9 minutes, one below 0.0225 does not in 20 minutes.
FALLS: dict[Rates, Sequence[float]] = {
    (0.002 / 3, 0.006): (0.02, 0.01, 0.02),
    (0.002, 0.002): (0.025, 0.02, 0.05),
    (0.004, 0.001): (0.05, 0.15, 0.09),
    (0.00600000, 0.000666667): (0.045, 0.03, 0.15),
    (0.001, 0.001): (0.01, 0.01, 0.01),
    (0.004, 0.004): (0.09, 0.09, 0.05),
}


def curve(fall: float) -> list[float]:
    return [0.95 - fall * minute for minute in range(1, MINUTES + 1)]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    for number, ((critic_lr, generator_lr), falls) in enumerate(FALLS.items()):
        for seed, fall in enumerate(falls):
            place = folder / f"{number}-seed{seed}"
            write_run(place, rows_of(curve(fall)), seed=seed, critic_lr=critic_lr, generator_lr=generator_lr)
    return folder


def time_to_target(rows: Sequence[float]) -> float:
    """The first minute with a score of at most the target; each minute is a window."""
    return next((minute for minute, score in enumerate(rows, start=1) if score <= TARGET), math.inf)


def expected_times() -> dict[Rates, list[float]]:
    return {rates: [time_to_target(curve(fall)) for fall in falls] for rates, falls in FALLS.items()}


def drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[Figure, str]:
    """Run the command; return the figure that it saved, and what it printed."""
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *positional: Any, **named: Any) -> None:
        kept.append(self)
        save(self, *positional, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", keep)
        assert (
            main([*map(str, arguments), "--target", str(TARGET), "--scores", "jsd_4", "--windows", str(MINUTES)]) == 0
        )
    (figure,) = kept
    return figure, capsys.readouterr().out


def dots(panel: Axes) -> dict[str, list[tuple[float, float]]]:
    """Return the dots of a panel by colour, sorted; triangles and dots are told apart by their height."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for each in panel.collections:
        if isinstance(each, PathCollection):
            places = np.asarray(each.get_offsets()).tolist()
            colours = np.asarray(each.get_facecolor()).tolist()
            found[to_hex(colours[0])] += [(x, y) for x, y in places]
    return {colour: sorted(places) for colour, places in found.items()}


def near(values: Any) -> Any:
    return pytest.approx(values, rel=1e-4, nan_ok=True)


def test_dots_are_runs_and_lines_are_means_of_runs(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure, _ = drawn(monkeypatch, capsys, suite, "--ratio-figure", tmp_path / "figure.svg")
    (panel,) = figure.axes
    times = expected_times()
    # In order of colours: the four methods of one product first, then the others by their mean rate.
    series = {0.002: [*times][:4], 0.001: [(0.001, 0.001)], 0.004: [(0.004, 0.004)]}
    lines = {str(line.get_label()): line for line in panel.get_lines()}
    assert list(lines) == [f"mean, \u221a(ab) = {mean:g}" for mean in series]
    found = dots(panel)
    for methods, line in zip(series.values(), lines.values(), strict=True):
        ratios = [b / a for b, a in methods]
        assert np.asarray(line.get_xdata()).tolist() == near(ratios)
        # A method has a mean if all of its runs reached the target.
        means = [statistics.fmean(times[each]) if max(times[each]) < math.inf else math.nan for each in methods]
        assert np.asarray(line.get_ydata()).tolist() == near(means)
        runs = [(b / a, time) for b, a in methods for time in times[b, a] if time < math.inf]
        of_colour = found.get(to_hex(line.get_color()), [])
        assert [place for place in of_colour if place[1] <= MINUTES] == [near(place) for place in sorted(runs)]
        without_mean = [ratio for ratio, mean in zip(ratios, means, strict=True) if math.isnan(mean)]
        assert [x for x, y in of_colour if y > MINUTES] == near(without_mean)
    assert {text.get_text() for text in panel.texts} == {"3 of 3", "1 of 3"}
    triangles = [place for places in found.values() for place in places if place[1] > MINUTES]
    assert len(set(triangles)) == len(panel.texts) == 3  # neither of two with ratio 1 hides the other


def test_a_mean_of_curves_is_not_a_mean_of_times(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Known to be wrong: the time at which the mean over runs reaches the target.
    figure, _ = drawn(monkeypatch, capsys, suite, "--ratio-figure", tmp_path / "figure.svg")
    falls = FALLS[0.004, 0.001]
    line = figure.axes[0].get_lines()[0]
    found = dict(zip(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist(), strict=True))
    mean_curve = [statistics.fmean(scores) for scores in zip(*map(curve, falls), strict=True)]
    assert found[4] == statistics.fmean([9, 3, 5])
    assert time_to_target(mean_curve) == 5
    assert found[4] != 5


def test_ratios_and_times_are_in_csv_and_json(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(suite), "--target", str(TARGET), "--scores", "jsd_4", "--windows", str(MINUTES), "--format"]
    assert main([*arguments, "json"]) == 0
    (compared,) = json.loads(capsys.readouterr().out)
    assert main([*arguments, "csv"]) == 0
    records = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(records) == len(compared["methods"]) == len(FALLS)
    for record, method in zip(records, compared["methods"], strict=True):
        options = json.loads(Path(method["runs"][0], "options.json").read_text("utf-8"))["config"]
        rates = options["critic_lr"], options["generator_lr"]
        times = expected_times()[rates]
        assert float(record["ratio"]) == method["ratio"] == rates[0] / rates[1]
        assert [math.inf if each is None else each for each in method["reached"]] == times
        reached = [each for each in times if each < math.inf]
        assert int(record["reached_runs"]) == len(reached)
        assert record["reached"] == (str(statistics.fmean(reached)) if reached else "")


def test_the_vertical_axis_is_the_one_asked_for(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure, _ = drawn(monkeypatch, capsys, suite, "--axis", "gradients", "--ratio-figure", tmp_path / "figure.png")
    (panel,) = figure.axes
    assert panel.get_ylabel() == "gradient evaluations to JSD-4 0.500"
    # 600 i - 1 evaluations after minute i; windows are twentieths of the last.
    width = (600 * MINUTES - 1) / MINUTES
    assert np.asarray(panel.get_lines()[0].get_ydata())[2] == pytest.approx(width * (9 + 3 + 5) / 3)
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["1/9", "1", "4", "9"]


def test_runs_that_differ_in_other_settings_are_refused(suite: Path, tmp_path: Path) -> None:
    output = tmp_path / "figure.svg"
    for changes, named in (
        ({"critic_steps": 10}, "critic_steps"),
        ({"preset": "orig-small", "rule": "extragradient"}, "preset, rule"),
    ):
        other = write_run(
            tmp_path / "other" / named, rows_of(curve(0.05)), critic_lr=0.01, generator_lr=0.001, **changes
        )
        with pytest.raises(InputError) as refused:
            main([str(suite), str(other), "--ratio-figure", str(output)])
        message = str(refused.value)
        assert message.startswith("--ratio-figure: ")
        assert f" in {named}; name runs that differ in critic_lr and generator_lr alone" in message
        assert "\n" not in message
    for seed in (0, 1):  # maximum likelihood
        write_run(tmp_path / "mle" / str(seed), rows_of(curve(0.05)), model="mle", generator_lr=0.001, seed=seed)
    with pytest.raises(InputError, match=r"--ratio-figure: \S+mle/0 has no critic; name runs of a GAN"):
        main([str(tmp_path / "mle"), "--ratio-figure", str(output)])
    with pytest.raises(InputError, match=r"--ratio-figure \S+figure.gif: must end in"):
        main([str(suite), "--ratio-figure", str(tmp_path / "figure.gif")])
    assert not output.exists()
