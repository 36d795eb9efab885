import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data.errors import InputError
from tests.helpers import records
from tests.helpers.runs import SIGNATURE, a_group, a_run, write_run
from textgan.engine.run_folder import DeclaredScore
from textgan.runs.aggregate import (
    Axis,
    Group,
    MethodSummary,
    group_runs,
    load_run,
    shared_score,
    summarize,
    time_ratio,
    window_count,
    window_means,
)
from textgan.runs.significance import Values, mean_interval, permutation_test

COLUMNS = {
    "minutes": ("train_seconds", 60),
    "wall-minutes": ("wall_seconds", 60),
    "iterations": ("iteration", 1),
    "critic-updates": ("critic_updates", 1),
    "gradients": ("time/gradient_evaluations", 1),
    "samples": ("samples_seen", 1),
}


def slow_window_means(x: Sequence[float], y: Sequence[float], edges: Sequence[float]) -> list[float]:
    means, last = [], math.nan
    for low, high in pairwise(edges):
        inside = [score for at, score in zip(x, y, strict=True) if low < at <= high]
        last = statistics.fmean(inside) if inside else last
        means.append(last)
    return means


def test_window_means_by_hand() -> None:
    run = a_run([0, 0.5, 1, 1.25, 2, 4.5, 6, 7], [9, 0.5, 0.25, 0.75, 0.25, 0.125, 0.375, 9])
    edges = np.array([0.0, 1, 2, 3, 4, 5, 6])
    # A row at 1 closes the first window; the third and fourth have none; rows at 0 and beyond the end are in none.
    assert window_means(run, "jsd_4", "minutes", edges).tolist() == [0.375, 0.5, 0.5, 0.5, 0.125, 0.375]
    late = a_run([2.5, 3.5], [0.5, 0.25])
    found = window_means(late, "jsd_4", "minutes", edges)
    assert np.isnan(found[:2]).all()
    assert found[2:].tolist() == [0.5, 0.25, 0.25, 0.25]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1000)), max_size=30),
    st.integers(1, 12),
    st.integers(1, 3),
)
def test_window_means_equal_a_slow_loop(rows: list[tuple[int, int]], points: int, step: int) -> None:
    x, y = [float(at) for at, _ in sorted(rows)], [score / 1000 for _, score in sorted(rows)]
    edges = [float(step * i) for i in range(points + 1)]
    found = window_means(a_run(x, y), "jsd_4", "minutes", np.array(edges))
    assert found.tolist() == pytest.approx(slow_window_means(x, y, edges), abs=1e-12, nan_ok=True)


def test_a_method_that_is_scored_more_often_gains_nothing() -> None:
    # Both get from 0.9 to 0.5 alike. One is scored twice a minute, the other 20 times, with noise that cancels out
    # within a minute and reaches 0.01 and 0.1.
    noise = {"rarely": [0.01, -0.01], "often": [sign * k / 100 for k in range(1, 11) for sign in (1, -1)]}
    groups, minima = [], {}
    for name, wiggle in noise.items():
        x = [minute + (i + 1) / len(wiggle) for minute in range(8) for i in range(len(wiggle))]
        y = [0.9 - 0.05 * (minute + 1) + each for minute in range(8) for each in wiggle]
        groups.append(Group(name, [a_run(x, y, seed) for seed in range(2)]))
        minima[name] = min(y)
    rarely, often = summarize(groups, "jsd_4", "minutes", 8, 0.7)
    assert often.windows[0].tolist() == pytest.approx([0.9 - 0.05 * (minute + 1) for minute in range(8)], abs=1e-12)
    assert often.windows.tolist() == [pytest.approx(run) for run in rarely.windows.tolist()]
    for each in (rarely, often):
        assert each.best_run == pytest.approx((0.5, 8.0))
        assert each.best_mean == pytest.approx((0.5, 8.0))
    assert often.end == pytest.approx(rarely.end)
    # Known to be wrong: the lowest of the rows themselves, by which the one scored more often wins.
    assert minima["often"] == pytest.approx(0.4)
    assert minima["rarely"] == pytest.approx(0.49)


def test_best_run_best_mean_and_the_end() -> None:
    curves = [[0.9, 0.5, 0.3, 0.6], [0.9, 0.6, 0.8, 0.2], [0.9, 0.7, 0.7, 0.7]]
    ((found),) = summarize([a_group("toy", curves)], "jsd_4", "minutes", 4, None)
    assert found.x.tolist() == [1, 2, 3, 4]
    assert found.windows.tolist() == curves
    assert found.best_run == (0.2, 4.0)  # the second run's last
    assert found.best_mean == pytest.approx((0.5, 4.0))  # (0.6 + 0.2 + 0.7) / 3, while 0.6 at 2 and at 3
    assert found.ends.tolist() == [0.6, 0.2, 0.7]
    assert found.end == pytest.approx(0.5)
    assert found.deviation == pytest.approx(statistics.stdev([0.6, 0.2, 0.7]))
    assert found.deviation != pytest.approx(statistics.pstdev([0.6, 0.2, 0.7]), abs=0.01)  # known to be wrong
    # Known to be wrong: the mean of each run's best, wherever it had that.
    assert found.best_mean[0] != pytest.approx(statistics.fmean(min(curve) for curve in curves), abs=0.01)


def test_the_end_is_the_last_tenth_of_the_windows() -> None:
    random = Random(0)
    curves = [[random.random() for _ in range(40)] for _ in range(3)]
    for points, windows in ((40, 4), (20, 2), (10, 1), (5, 1)):
        (found,) = summarize([a_group("toy", curves)], "jsd_4", "minutes", points, None)
        share = 40 // points
        slow = [statistics.fmean(curve[-share * windows :]) for curve in curves]
        assert found.ends.tolist() == pytest.approx(slow)
        assert found.end == pytest.approx(statistics.fmean(slow))


def test_all_are_compared_up_to_where_all_have_come() -> None:
    short, long = a_group("short", [[0.8, 0.6]]), a_group("long", [[0.9, 0.7, 0.5, 0.1]])
    found = summarize([short, long], "jsd_4", "minutes", 2, None)
    assert [each.x.tolist() for each in found] == [[1, 2], [1, 2]]
    assert [each.end for each in found] == [0.6, 0.7]
    assert found[1].best_run == (0.7, 2.0)  # 0.1 came later than others are known
    # A run of a group that broke off cuts all of them.
    group = Group("long", [*long.runs, a_run([1], [0.95], 1)])
    found = summarize([short, group], "jsd_4", "minutes", 2, None)
    assert [each.x.tolist() for each in found] == [[0.5, 1], [0.5, 1]]
    assert [each.end for each in found] == pytest.approx([0.8, 0.925])


def test_a_mean_over_runs_begins_where_all_are_scored() -> None:
    group = Group("toy", [a_run([1, 2, 3, 4], [0.1, 0.5, 0.4, 0.6]), a_run([3, 4], [0.2, 0.3], 1)])
    (found,) = summarize([group], "jsd_4", "minutes", 4, 0.2)
    assert np.isnan(found.windows[1, :2]).all()
    assert found.best_run == (0.1, 1.0)
    assert found.best_mean == pytest.approx((0.3, 3.0))
    assert found.reached.tolist() == [1, 3]


@pytest.mark.parametrize("others", [0, 1])
def test_a_run_without_a_score_in_the_last_window_has_its_next_one_there(others: int) -> None:
    rare = Group("rare", [a_run([0, 50], [0.9, 0.5]), *(a_run([0, 5, 10], [0.9, 0.8, 0.7], 1) for _ in range(others))])
    often = a_group("often", [[0.5] * 10] * 4)
    found, _ = summarize([rare, often], "jsd_4", "minutes", 5, None)
    assert found.windows[0].tolist() == pytest.approx([math.nan] * 4 + [0.5], nan_ok=True)
    assert found.windows[1:].tolist() == [pytest.approx([math.nan, math.nan, 0.8, 0.8, 0.7], nan_ok=True)] * others
    assert found.ends.tolist() == [0.5, *[0.7] * others]
    young = Group("young", [a_run([0], [0.9])])
    with pytest.raises(InputError, match="run0: no jsd_4 after the start"):
        summarize([young, often], "jsd_4", "minutes", 5, None)


def test_windows_are_as_many_as_the_fewest_evaluations() -> None:
    often, rare = a_group("often", [[0.5] * 12]), Group("rare", [a_run([0, 4, 8, 12, 16], [0.9] * 5)])
    assert window_count([often, rare], "minutes", 60) == (3, rare.runs[0])  # at 4, 8, 12; not at 0, nor after 12
    assert window_count([often, rare], "minutes", 2)[0] == 2
    assert window_count([often], "minutes", 60) == (12, often.runs[0])
    late = Group("late", [a_run([0, 13], [0.9, 0.8])])
    assert window_count([often, late], "minutes", 60) == (1, late.runs[0])


def test_intervals_of_equal_runs_of_two_runs_and_of_one() -> None:
    def interval(*ends: float) -> tuple[float, float] | None:
        return summarize([a_group("toy", [[0.9, end] for end in ends])], "jsd_4", "minutes", 2, None)[0].interval

    assert interval(0.5, 0.5, 0.5) == (0.5, 0.5)
    assert interval(0.5) is None
    # Student's t of one degree of freedom is 12.706 at 97.5 %: 0.5 +- 12.706 * 0.25, but a JSD is in [0, 1].
    assert interval(0.25, 0.75) == (0, 1)
    assert interval(0.49, 0.51) == pytest.approx((0.5 - 0.12706, 0.5 + 0.12706), abs=1e-5)


@pytest.mark.parametrize("runs", [2, 4, 7])
def test_the_interval_is_students(runs: int) -> None:
    random = Random(runs)
    ends = [0.5 + random.random() / 100 for _ in range(runs)]
    (found,) = summarize([a_group("toy", [[0.9, end] for end in ends])], "jsd_4", "minutes", 2, None)
    scipys = stats.ttest_1samp(ends, 0).confidence_interval(0.95)
    assert found.interval == pytest.approx(tuple(scipys), abs=1e-12)
    # Known to be wrong: the normal distribution in place of Student's.
    normal = stats.norm.interval(0.95, statistics.fmean(ends), stats.sem(ends))
    assert np.ptp(scipys) > 1.2 * np.ptp(normal)


def coverage(intervals: Iterable[tuple[float, float] | None], truth: float) -> float:
    return statistics.fmean(low <= truth <= high for low, high in filter(None, intervals))


@pytest.mark.parametrize("runs", [2, 3, 4, 5, 10])
def test_the_interval_of_a_mean_covers_it_in_95_of_100_cases(runs: int) -> None:
    draws = np.random.default_rng(runs).normal(0.6, 0.02, (2000, runs))
    assert 0.93 <= coverage(map(mean_interval, draws), 0.6) <= 0.97
    # Known to be wrong: the percentiles of resampled means, as an earlier version had it.
    resampled = draws[:, np.random.default_rng(0).integers(runs, size=(500, runs))].mean(axis=2)
    percentiles = np.quantile(resampled, [0.025, 0.975], axis=1).T
    assert coverage(percentiles.tolist(), 0.6) < 0.93


@pytest.mark.parametrize("runs", [3, 4, 10])
@pytest.mark.parametrize("spreads", [(0.1, 0.1), (0.3, 0.1)])
def test_the_interval_of_a_ratio_of_times_covers_it(runs: int, spreads: tuple[float, float]) -> None:
    random = np.random.default_rng(runs)
    slow, fast = (at * np.exp(random.normal(0, each, (2000, runs))) for at, each in zip((12, 5), spreads, strict=True))
    template = summarize([a_group("toy", [[0.9, 0.5]])], "jsd_4", "minutes", 2, None)[0]
    ratios = [
        time_ratio(replace(template, reached=a), replace(template, reached=b)) for a, b in zip(slow, fast, strict=True)
    ]
    assert 0.92 <= coverage((ratio[1] for ratio in ratios if ratio), 12 / 5) <= 0.98


def ratio(slow: MethodSummary, fast: MethodSummary) -> list[float]:
    """The ratio of times and the ends of its interval."""
    found = time_ratio(slow, fast)
    assert found is not None
    return [found[0], *(found[1] or ())]


def test_time_to_a_level() -> None:
    fast, slow = a_group("fast", [[0.6, 0.5, 0.4, 0.3]]), a_group("slow", [[0.9, 0.8, 0.5, 0.6], [0.9, 0.8, 0.7, 0.6]])
    by_level = {
        0.5: ([2], [3, math.inf]),  # at the level counts, and so does a run that is above it again later
        0.6: ([1], [3, 4]),
        0.95: ([1], [1, 1]),
        0.2: ([math.inf], [math.inf, math.inf]),
    }
    for level, expected in by_level.items():
        found = summarize([fast, slow], "jsd_4", "minutes", 4, level)
        assert tuple(each.reached.tolist() for each in found) == expected
    # By default the level is the worst method's mean at the end.
    found = summarize([fast, slow], "jsd_4", "minutes", 4, None)
    assert [each.reached.tolist() for each in found] == [[1], [3, 4]]
    assert ratio(found[1], found[0]) == [pytest.approx(math.sqrt(3 * 4))]  # a single run of one method: no interval
    assert ratio(found[0], found[1]) == [pytest.approx(1 / math.sqrt(3 * 4))]


def test_no_ratio_where_a_run_never_came_to_the_level() -> None:
    groups = [a_group("fast", [[0.6, 0.3]]), a_group("slow", [[0.9, 0.5], [0.9, 0.6]])]
    fast, slow = summarize(groups, "jsd_4", "minutes", 2, 0.5)
    assert slow.reached.tolist() == [2, math.inf]
    assert time_ratio(slow, fast) is None
    assert time_ratio(fast, slow) is None


def test_the_ratio_is_that_of_geometric_means_with_welchs_interval() -> None:
    # Falling by a tenth a minute from different heights.
    heights = {"slow": [1.2, 1.5, 1.9, 1.4], "fast": [0.8, 0.95, 1.0]}
    groups = [
        a_group(name, [[height - minute / 10 for minute in range(20)] for height in each])
        for name, each in heights.items()
    ]
    slow, fast = summarize(groups, "jsd_4", "minutes", 20, 0.55)
    slow_minutes, fast_minutes = (
        [next(minute + 1 for minute in range(20) if height - minute / 10 <= 0.55) for height in heights[name]]
        for name in ("slow", "fast")
    )
    assert slow.reached.tolist() == slow_minutes == [8, 11, 15, 10]
    assert fast.reached.tolist() == fast_minutes == [4, 5, 6]
    expected = statistics.geometric_mean(slow_minutes) / statistics.geometric_mean(fast_minutes)
    welch = stats.ttest_ind(np.log(slow_minutes), np.log(fast_minutes), equal_var=False).confidence_interval(0.95)
    assert ratio(slow, fast) == pytest.approx([expected, *np.exp(welch)])
    # Known to be wrong: equal variances.
    pooled = stats.ttest_ind(np.log(slow_minutes), np.log(fast_minutes)).confidence_interval(0.95)
    assert tuple(np.exp(pooled)) != pytest.approx(tuple(np.exp(welch)), rel=0.005)
    # With every run of a method in the same window there is nothing to go by but the windows.
    alike = [replace(each, reached=np.full(3, at)) for each, at in ((slow, 8.0), (fast, 4.0))]
    assert ratio(*alike) == pytest.approx([2, 2, 2])


def test_a_group_of_runs_is_what_differs_in_its_seed_alone(tmp_path: Path) -> None:
    row = {"iteration": 1, "jsd_4": 0.5}
    runs = [
        load_run(write_run(tmp_path / f"{preset}-{rate}-{seed}", [row], preset=preset, critic_lr=rate, seed=seed,
                           data=f"/{seed}/text.txt", device="cuda" if seed else "cpu"))
        for seed in (0, 1)
        for preset, rate in (("ttur-small", 0.003), ("orig-small", 0.001), ("ttur-small", 0.01))
    ]  # fmt: skip
    groups = group_runs(runs)
    found = {group.name: [run.folder.name for run in group.runs] for group in groups}
    assert found == {
        "ttur-small, critic_lr 0.003": ["ttur-small-0.003-0", "ttur-small-0.003-1"],
        "orig-small": ["orig-small-0.001-0", "orig-small-0.001-1"],
        "ttur-small, critic_lr 0.01": ["ttur-small-0.01-0", "ttur-small-0.01-1"],
    }
    assert [group.name for group in group_runs([runs[0], runs[3]])] == ["ttur-small"]
    assert [group.name for group in group_runs([runs[1], runs[0]])] == ["orig-small", "ttur-small"]


def test_minutes_of_other_machines_are_another_group(tmp_path: Path) -> None:
    row = {"iteration": 1, "jsd_4": 0.5}
    runs = [
        load_run(write_run(tmp_path / f"{seed}", [row], seed=seed, processor=name))
        for seed, name in enumerate(("slow", "fast", "slow"))
    ]
    found = {group.name: [run.config["seed"] for run in group.runs] for group in group_runs(runs)}
    assert found == {"ttur-small, device slow": [0, 2], "ttur-small, device fast": [1]}


def test_runs_on_other_data_are_another_group(tmp_path: Path) -> None:
    runs = []
    for seed, sha256 in ((0, "aa"), (0, "bb"), (1, "aa")):
        folder = write_run(tmp_path / f"{sha256}{seed}", [{"iteration": 1, "jsd_4": 0.5}], seed=seed)
        records.change(folder / "options.json", data_sha256=sha256)
        runs.append(load_run(folder))
    found = {group.name: [run.folder.name for run in group.runs] for group in group_runs(runs)}
    assert found == {"ttur-small, data_sha256 aa": ["aa0", "aa1"], "ttur-small, data_sha256 bb": ["bb0"]}


def test_names_tell_only_what_differs_among_those_of_a_preset(tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [
        {"critic_lr": 0.003, "eval_every": 100},
        {"critic_lr": 0.003, "eval_every": 10},
        {"critic_lr": 0.01, "eval_every": 10},
        {"preset": "orig-small", "minutes": None, "iterations": 500},
    ]
    runs = [
        load_run(write_run(tmp_path / str(number), [{"iteration": 1}], **each)) for number, each in enumerate(settings)
    ]
    assert [group.name for group in group_runs(runs)] == [
        "ttur-small, critic_lr 0.003, eval_every 100",
        "ttur-small, critic_lr 0.003, eval_every 10",
        "ttur-small, critic_lr 0.01, eval_every 10",
        "orig-small",
    ]
    assert [group.name for group in group_runs(runs[1:])] == [
        "ttur-small, critic_lr 0.003",
        "ttur-small, critic_lr 0.01",
        "orig-small",
    ]


def test_names_tell_groups_apart_by_a_setting_that_the_first_one_lacks(tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [{}, {"generator_ema": 0.99}]  # the first by an earlier version
    runs = [
        load_run(write_run(tmp_path / str(number), [{"iteration": 1}], **each)) for number, each in enumerate(settings)
    ]
    names = [group.name for group in group_runs(runs)]
    assert len(set(names)) == len(names) == 2


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    runs = [
        load_run(write_run(tmp_path / name, [{"iteration": 1}], seed=seed))
        for name, seed in (("a", 0), ("b", 3), ("c", 3))
    ]
    with pytest.raises(InputError, match=r"the same run twice, with seed 3: \S*/b, \S*/c; leave one out"):
        group_runs(runs)
    assert [run.folder.name for group in group_runs(runs[:2]) for run in group.runs] == ["a", "b"]


def test_runs_scored_by_other_rules_do_not_compare(tmp_path: Path) -> None:
    for change in (("samples:640", "samples:1000"), ("ref:text.txt@0123456789ab", "ref:text.txt@ba9876543210")):
        runs = [
            load_run(write_run(tmp_path / f"{name}-{change[0][:3]}", [{"jsd_4": 0.5}], signature, seed=seed))
            for seed, (name, signature) in enumerate((("a", SIGNATURE), ("b", SIGNATURE.replace(*change))))
        ]
        with pytest.raises(InputError) as refused:
            shared_score(runs, "jsd_4")
        assert str(refused.value) == (
            f"jsd_4: {runs[1].folder} does not compare with {runs[0].folder}: {change[1]} against {change[0]}"
        )


def test_a_run_is_read_as_columns(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"iteration": 0, "train_seconds": 0.0, "jsd_4": 0.75, "critic_loss": None},
        {"iteration": 5, "train_seconds": 90.0, "jsd_4": 0.5, "critic_loss": -1.5},
    ]
    run = load_run(write_run(tmp_path / "run", rows, floor={"jsd_4": 0.25}, seed=4))
    assert run.metrics["scores/jsd_4"].tolist() == [0.75, 0.5]
    assert run.metrics["train/critic_loss"].tolist() == pytest.approx([math.nan, -1.5], nan_ok=True)  # missing, not 0
    assert run.x("minutes").tolist() == [0, 1.5]
    assert (run.config["seed"], run.floor) == (4, {"jsd_4": 0.25})
    assert run.scores == {"jsd_4": DeclaredScore("lower", True, SIGNATURE, 0.0, 1.0)}
    with pytest.raises(InputError, match=r"young: no metrics yet; let it train for a while"):
        load_run(write_run(tmp_path / "young", []))


@pytest.mark.parametrize("axis", COLUMNS)
def test_windows_are_those_of_the_axis(tmp_path: Path, axis: Axis) -> None:
    # Each clock runs in its own way, so that a row is in another window on each.
    rows: list[dict[str, Any]] = [
        {
            "iteration": i, "critic_updates": i**2, "samples_seen": 3 * i**3, "train_seconds": 60.0 * 2**i,
            "wall_seconds": 60.0 * (2**i + i**3), "time/gradient_evaluations": 7 * i + 11 * i**2,
            "jsd_4": 1 / (1 + i),
        }
        for i in range(9)
    ]  # fmt: skip
    name, unit = COLUMNS[axis]
    group = group_runs([load_run(write_run(tmp_path / "run", rows))])
    (found,) = summarize(group, "jsd_4", axis, 8, 0.2)
    x, y = [row[name] / unit for row in rows], [row["jsd_4"] for row in rows]
    edges = [x[-1] * i / 8 for i in range(9)]
    means = slow_window_means(x, y, edges)
    assert found.x.tolist() == pytest.approx(edges[1:])
    assert found.windows[0].tolist() == pytest.approx(means, nan_ok=True)
    assert found.reached.tolist() == [next(end for end, mean in zip(edges[1:], means, strict=True) if mean <= 0.2)]
    others = [
        slow_window_means([row[other] for row in rows], y, [rows[-1][other] * i / 8 for i in range(9)])
        for other, _ in COLUMNS.values()
        if other != name
    ]
    assert all(means != pytest.approx(other, nan_ok=True) for other in others)


def test_a_hundred_runs_of_four_hundred_rows(tmp_path: Path) -> None:
    runs = []
    for preset, offset in (("ttur-small", 0.0), ("orig-small", 0.2)):
        for seed in range(50):
            rows = [
                {"train_seconds": 15.0 * (i + 1), "jsd_6": offset + seed / 1000 + 20 / (i + 40) + (-1) ** i / 10}
                for i in range(400)
            ]
            runs.append(load_run(write_run(tmp_path / f"{preset}-{seed}", rows, preset=preset, seed=seed)))
    found = summarize(group_runs(runs), "jsd_6", "minutes", 100, None)
    curve = [statistics.fmean(20 / (i + 40) for i in range(4 * w, 4 * w + 4)) for w in range(100)]
    end = statistics.fmean(curve[-10:])
    for each, offset in zip(found, (0.0, 0.2), strict=True):
        assert each.x.tolist() == pytest.approx([w + 1 for w in range(100)])
        assert each.windows.mean(axis=0).tolist() == pytest.approx([offset + 0.0245 + mean for mean in curve])
        assert each.end == pytest.approx(offset + 0.0245 + end)
        assert each.deviation == pytest.approx(math.sqrt(50 * 51 / 12) / 1000)  # of 0 .. 49 thousandths
        assert each.best_run == pytest.approx((offset + curve[-1], 100))
        # Means of 50 are near normal.
        assert each.interval is not None
        half = 1.96 * statistics.pstdev(range(50)) / 1000 / math.sqrt(50)
        assert each.interval == pytest.approx((each.end - half, each.end + half), abs=3e-4)
    told = permutation_test(found[0].ends, found[1].ends)
    assert told.p < 1e-4
    assert told.statement.startswith("a significant difference at 5 %")
    values: Values = found[0].ends
    assert permutation_test(values, values).p == 1
