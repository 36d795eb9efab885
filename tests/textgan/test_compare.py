import csv
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from data.errors import InputError
from tests.helpers.records import change
from tests.helpers.runs import SIGNATURE, falling, rows_of, write_run
from textgan.compare import CompareCommand, compare, main
from textgan.runs.aggregate import load_run

HEAD = [
    "method",
    "runs",
    "best run",
    "at",
    "best mean",
    "at",
    "mean at the end",
    "sd",
    "95 % interval",
    "reached after",
]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Three seeds of two methods: one falls by 0.05 a minute to about 0.31, one by 0.04 to about 0.46."""
    for preset, start, step in (("orig-small", 0.85, 0.04), ("ttur-small", 0.8, 0.05)):
        for seed, more in enumerate((0.0, 0.01, 0.03)):
            folder = tmp_path / "suite" / f"{preset}-seed{seed}"
            rows = rows_of(falling(start + more, step))
            write_run(folder, rows, preset=preset, seed=seed, floor={"jsd_4": 0.125, "jsd_6": 0.375})
    return tmp_path / "suite"


Printed = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def strict_json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# Student's t of 2 degrees of freedom is 4.303 at 97.5 %, and 4.303 * 0.015275 / sqrt(3) is 0.0379. The level is
# (0.45 + 0.46 + 0.48) / 3, which ttur-small is below after 7, 7 and 8 minutes and orig-small after 10, 10 and never.
ORIG = ["orig-small", "3", "0.450", "10", "0.463", "10", "0.463", "0.015", "0.425 .. 0.501", "10 (2 of 3 runs)"]
TTUR = ["ttur-small", "3", "0.300", "10", "0.313", "10", "0.313", "0.015", "0.275 .. 0.351", "7.333"]
ENDS = (
    "ttur-small against orig-small at the end: -0.150; "
    "too few runs to tell: p = 0.1, and the smallest possible p is 0.1"
)
NEVER = "no ratio of times to 0.463, which 3 of 3 runs of ttur-small and 2 of 3 runs of orig-small reached"
TITLE = "jsd_4 against minutes, means in 10 windows up to 10, level 0.463, real data 0.125"


def test_text_by_hand(suite: Path, printed: Printed) -> None:
    text = printed(suite, "--windows", 10, "--scores", "jsd_4")
    title, _, *table, _, ends, times, _, signature = text.splitlines()
    assert (title, ends, times, signature) == (TITLE, ENDS, NEVER, SIGNATURE)
    assert [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table] == [HEAD, ORIG, TTUR]
    assert len({len(line) for line in table}) == 1  # aligned


def test_markdown_by_hand(suite: Path, printed: Printed) -> None:
    text = printed(suite, "--windows", 10, "--scores", "jsd_4", "--format", "markdown")
    title, _, head, rule, *rows, _, ends, times, _, signature = text.splitlines()
    assert (title, ends, times, signature) == (TITLE, f"- {ENDS}", f"- {NEVER}", f"`{SIGNATURE}`")
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, *rows)] == [HEAD, ORIG, TTUR]
    assert rule == "|" + " --- |" * 10


def test_csv_by_hand(suite: Path, printed: Printed) -> None:
    text = printed(suite, "--windows", 10, "--format", "csv")
    head, *rows = csv.reader(text.splitlines())
    assert head == [
        *("score", "axis", "level", "floor", "method", "runs", "best_run", "best_run_at", "best_mean", "best_mean_at"),
        *("end", "sd", "low", "high", "reached", "reached_runs", "ratio"),
    ]
    assert [(row[0], row[1], float(row[3]), row[4]) for row in rows] == [
        (score, "minutes", floor, method)
        for score, floor in (("jsd_4", 0.125), ("jsd_6", 0.375))
        for method in ("orig-small", "ttur-small")
    ]
    assert [float(row[2]) for row in rows] == pytest.approx([1.39 / 3] * 2 + [1.39 / 3 + 0.25] * 2)
    for row, shown in zip(rows[:2], (ORIG, TTUR), strict=True):
        numbers = [float(cell) for cell in row[5:14]]
        low, high = shown[8].split(" .. ")
        printed_numbers = [float(cell) for cell in (*shown[1:8], low, high)]
        assert numbers == pytest.approx(printed_numbers, abs=6e-4)
        assert row[15] == ("2" if "2 of 3" in shown[9] else "3")
        assert float(row[14]) == pytest.approx(float(shown[9].split()[0]), abs=6e-4)


def test_json_holds_everything(suite: Path, printed: Printed) -> None:
    first, second = strict_json(printed(suite, "--windows", 10, "--format", "json"))
    assert (first["score"], first["axis"], first["floor"]) == ("jsd_4", "minutes", 0.125)
    assert (second["score"], second["floor"], second["signature"]) == ("jsd_6", 0.375, SIGNATURE)
    assert first["level"] == pytest.approx(1.39 / 3)
    assert first["statements"] == [ENDS, NEVER]
    assert first["note"] is None
    for number, (name, start, step) in enumerate((("orig-small", 0.85, 0.04), ("ttur-small", 0.8, 0.05))):
        curves = [falling(start + more, step) for more in (0, 0.01, 0.03)]
        ends = [curve[-1] for curve in curves]
        method = first["methods"][number]
        assert method["method"] == name
        assert method["runs"] == [str(suite / f"{name}-seed{seed}") for seed in range(3)]
        assert method["x"] == pytest.approx(list(range(1, 11)))
        assert method["windows"] == [pytest.approx(curve) for curve in curves]
        assert method["best_run"] == {"value": pytest.approx(min(ends)), "at": 10}
        assert method["best_mean"] == {"value": pytest.approx(statistics.fmean(ends)), "at": 10}
        assert method["end"] == {
            "mean": pytest.approx(statistics.fmean(ends)),
            "sd": pytest.approx(statistics.stdev(ends)),
            "interval": pytest.approx(stats.t.interval(0.95, 2, statistics.fmean(ends), stats.sem(ends))),
            "runs": pytest.approx(ends),
        }
    assert [method["reached"] for method in first["methods"]] == [[10, 10, None], [7, 7, 8]]


def test_how_much_later_the_level_was_reached(suite: Path, printed: Printed) -> None:
    arguments = (suite, "--windows", 10, "--scores", "jsd_4", "--target", 0.605)
    (found,) = strict_json(printed(*arguments, "--format", "json"))
    assert [method["reached"] for method in found["methods"]] == [[7, 7, 7], [4, 5, 5]]
    welch = stats.ttest_ind(np.log([7, 7.000001, 7]), np.log([4, 5, 5]), equal_var=False).confidence_interval(0.95)
    assert np.exp(welch) == pytest.approx((1.10, 2.08), abs=0.005)
    assert found["statements"] == [
        ENDS,
        "orig-small took 1.51 times as long as ttur-small to 0.605 (95 % interval 1.10 .. 2.08)",
    ]
    assert "\n".join(found["statements"]) in printed(*arguments)


def test_a_level_that_nobody_reached(suite: Path, printed: Printed) -> None:
    arguments = (suite, "--windows", 10, "--scores", "jsd_4", "--target", 0.1)
    (found,) = strict_json(printed(*arguments, "--format", "json"))
    assert [method["reached"] for method in found["methods"]] == [[None] * 3] * 2
    never = "no ratio of times to 0.100, which 0 of 3 runs of orig-small and 0 of 3 runs of ttur-small reached"
    assert found["statements"] == [ENDS, never]
    rows = list(csv.reader(printed(*arguments, "--format", "csv").splitlines()))
    assert [row[-3:-1] for row in rows] == [["reached", "reached_runs"], ["", "0"], ["", "0"]]


def test_single_runs_have_neither_spread_nor_significance(suite: Path, printed: Printed) -> None:
    runs = [suite / f"{preset}-seed0" for preset in ("ttur-small", "orig-small")]
    arguments = (*runs, "--windows", 10, "--scores", "jsd_4")
    (found,) = strict_json(printed(*arguments, "--format", "json"))
    assert [(method["end"]["sd"], method["end"]["interval"]) for method in found["methods"]] == [(None, None)] * 2
    assert found["statements"][0] == (
        "ttur-small against orig-small at the end: -0.150; "
        "too few runs to tell: p = 1, and the smallest possible p is 1"
    )
    rows = list(csv.reader(printed(*arguments, "--format", "csv").splitlines()))
    assert [row[11:14] for row in rows[1:]] == [["", "", ""], ["", "", ""]]


def test_eight_runs_tell(suite: Path, printed: Printed) -> None:
    for preset, start, step in (("orig-small", 0.85, 0.04), ("ttur-small", 0.8, 0.05)):
        rows = rows_of(falling(start + 0.02, step))
        write_run(suite / f"{preset}-seed3", rows, preset=preset, seed=3)
    text = printed(suite, "--windows", 10, "--scores", "jsd_4")
    assert "at the end: -0.150; a significant difference at 5 %: p = 0.029 (permutation test)" in text  # 2 of 70


@pytest.mark.parametrize(
    ("axis", "end", "told"),
    [
        ("minutes", 10, "10"),
        ("wall-minutes", 15, "15"),
        ("iterations", 2000, "2,000"),
        ("critic-updates", 4000, "4,000"),
        ("gradients", 5999, "5,999"),
        ("samples", 128_000, "1.28e+05"),
    ],
)
def test_every_axis(suite: Path, printed: Printed, axis: str, end: float, told: str) -> None:
    arguments = (suite, "--axis", axis, "--windows", 10, "--scores", "jsd_4")
    (found,) = strict_json(printed(*arguments, "--format", "json"))
    assert found["axis"] == axis
    for method in found["methods"]:
        assert method["x"] == pytest.approx([end * i / 10 for i in range(1, 11)])
        assert method["best_run"]["at"] == end
    assert found["methods"][1]["reached"] == pytest.approx([0.7 * end, 0.7 * end, 0.8 * end])
    assert printed(*arguments).startswith(f"jsd_4 against {axis}, means in 10 windows up to {told}, level 0.463,")


def test_a_rule_may_be_faster_by_the_clock_and_slower_by_gradient_evaluations(tmp_path: Path, printed: Printed) -> None:
    # 50 iterations per minute of two gradients each, scored per minute, by a version that did not count gradients;
    # and 150 of extragradient per minute, of four gradients each, scored ten times per minute.
    old = [
        {"iteration": 50 * i, "critic_updates": 50 * i, "train_seconds": 60.0 * i, "jsd_4": 0.9 - 0.05 * i}
        for i in range(1, 11)
    ]
    new = [
        {
            "iteration": 15 * i, "critic_updates": 15 * i, "time/generator_updates": 15 * i - 1,
            "time/gradient_evaluations": 2 * (30 * i - 1), "train_seconds": 6.0 * i, "jsd_4": 0.9 - 0.015 * min(i, 50),
        }
        for i in range(1, 101)
    ]  # fmt: skip
    for seed in (0, 1):
        write_run(tmp_path / f"old{seed}", old, seed=seed)
        write_run(tmp_path / f"new{seed}", new, seed=seed, rule="extragradient")
    arguments = (tmp_path, "--target", 0.7, "--format", "json", "--axis")
    by_minutes, by_gradients = ({each["method"]: each["reached"] for each in found["methods"]} for found in (
        strict_json(printed(*arguments, axis))[0] for axis in ("minutes", "gradients")
    ))  # fmt: skip
    alternating, extragradient = (f"ttur-small, rule {rule}" for rule in ("alternating", "extragradient"))
    assert by_minutes == {alternating: [4, 4], extragradient: [2, 2]}
    # Ten windows up to the 999 gradients of the first run; 14 scores of the second one are on average below 0.7.
    means: dict[int, list[float]] = {}
    for row in new:
        means.setdefault(math.ceil(row["time/gradient_evaluations"] / 99.9), []).append(row["jsd_4"])
    reached = 99.9 * next(number for number, scores in means.items() if statistics.fmean(scores) <= 0.7)
    assert by_gradients == {alternating: pytest.approx([399.6] * 2), extragradient: pytest.approx([reached] * 2)}
    assert reached > 2 * 399.6


def test_what_is_unknown_is_null(tmp_path: Path, printed: Printed) -> None:
    early, late = rows_of(falling(0.8, 0.05)), rows_of(falling(0.7, 0.05))[4:]
    for seed, rows in enumerate((early, late)):
        write_run(tmp_path / f"run{seed}", rows, seed=seed)
    (found,) = strict_json(printed(tmp_path, "--windows", 10, "--scores", "jsd_4", "--format", "json"))
    assert found["floor"] is None
    (method,) = found["methods"]
    # The second run has six scores, from the fifth minute on: windows of 10 / 6 minutes.
    assert method["x"] == pytest.approx([10 * i / 6 for i in range(1, 7)])
    assert method["windows"][1][:2] == [None] * 2  # not 0
    at = dict(enumerate(falling(0.7, 0.05), start=1))
    assert method["windows"][1][2:] == pytest.approx([at[5], at[6], (at[7] + at[8]) / 2, (at[9] + at[10]) / 2])
    assert method["best_mean"] == {"value": pytest.approx(0.275), "at": 10}
    assert found["note"].startswith(f"note: 6 of 10 windows: {tmp_path}/run1 has 6 evaluations after its start")
    assert found["statements"] == []
    assert "real data" not in printed(tmp_path, "--windows", 10, "--scores", "jsd_4")


def test_a_run_scored_twice_is_compared_in_one_window(tmp_path: Path, printed: Printed) -> None:
    # As two methods of half a minute: one is scored at every tenth of it, the other at its start and its end alone,
    # which is a step later than the end of the first.
    often = [{"iteration": i, "train_seconds": 3.001 * i, "jsd_4": 0.9 - 0.05 * i} for i in range(11)]
    rarely = [{"iteration": i, "train_seconds": 31.0 * i, "jsd_4": 1 - 0.3 * i} for i in range(2)]
    for seed in (0, 1):
        write_run(tmp_path / f"often{seed}", often, preset="often", seed=seed)
        write_run(tmp_path / f"rarely{seed}", rarely, preset="rarely", seed=seed)
    (found,) = strict_json(printed(tmp_path, "--format", "json"))
    ends = {method["method"]: method["end"]["mean"] for method in found["methods"]}
    assert ends == {"often": pytest.approx(statistics.fmean(0.9 - 0.05 * i for i in range(1, 11))), "rarely": 0.7}
    assert found["note"] == (
        f"note: 1 of 60 windows: {tmp_path}/rarely0 has one evaluation after its start; "
        "--eval-seconds scores all methods at the same times"
    )
    assert found["note"] in printed(tmp_path)


def test_minutes_of_other_numbers_of_threads_are_said_not_to_compare(tmp_path: Path, printed: Printed) -> None:
    for seed, device in enumerate(({"threads": 1}, {"threads": 16, "processes": 2})):
        folder = write_run(tmp_path / str(seed), rows_of(falling(0.8, 0.05)), seed=seed)
        change(folder / "options.json", device={"name": "a processor", **device})
    said = "note: minutes of runs with threads 1 and of runs with threads 16, processes 2 do not compare; iterations do"
    assert said in printed(tmp_path)
    assert "do not compare" not in printed(tmp_path, "--axis", "iterations")


def test_a_run_that_went_on_elsewhere_is_told_by_both_machines(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "moved", rows_of(falling(0.8, 0.05)))
    change(
        folder / "options.json",
        device={"name": "a processor", "threads": 1},
        continued=[{"iteration": 2, "threads": 8, "name": "another"}, {"iteration": 4, "name": "a processor"}],
    )
    run = load_run(folder)
    assert (run.config["device"], run.speed) == ("a processor, then another", "threads 1 and 8")


def test_windows_that_a_short_run_leaves_are_told_of_that_run(tmp_path: Path, printed: Printed) -> None:
    rows = rows_of(falling(0.8, 0.05))
    write_run(tmp_path / "long", rows, preset="long")
    write_run(tmp_path / "short", rows[:3], preset="short")
    end = rows[2]["train_seconds"] / 60
    said = f"has 3 evaluations up to {end:g} minutes, where {tmp_path}/short ends; continue that run, or leave it out"
    assert said in printed(tmp_path)


def test_a_score_that_a_run_lacks(suite: Path) -> None:
    with pytest.raises(InputError) as refused:
        main([str(suite), "--scores", "jsd_4", "jsd_8"])
    assert str(refused.value) == (f"--scores jsd_8: {suite}/orig-small-seed0 is not scored by it, but by jsd_4, jsd_6")


def test_what_a_run_has_instead_is_told_of_that_run(tmp_path: Path) -> None:
    write_run(tmp_path / "a", rows_of(falling(0.8, 0.05)))
    write_run(tmp_path / "b", [{"iteration": 5, "train_seconds": 60.0, "jsd_2": 0.5}], seed=1)
    with pytest.raises(InputError) as refused:
        main([str(tmp_path), "--scores", "jsd_6"])
    assert str(refused.value) == (f"--scores jsd_6: {tmp_path}/b is not scored by it, but by jsd_2")


def test_runs_that_do_not_compare(suite: Path) -> None:
    other = SIGNATURE.replace("samples:640", "samples:1000")
    write_run(suite / "ttur-small-seed9", rows_of([0.5, 0.4]), other, preset="ttur-small", seed=9)
    message = r"jsd_4: \S+ttur-small-seed9 does not compare with \S+/orig-small-seed0: samples:1000 against samples:640"
    with pytest.raises(InputError, match=message):
        main([str(suite)])


def test_the_same_seed_twice(suite: Path) -> None:
    write_run(suite / "again", rows_of(falling(0.8, 0.05)), preset="ttur-small", seed=1)
    with pytest.raises(InputError, match=r"the same run twice, with seed 1: \S+/again, \S+/ttur-small-seed1; leave"):
        main([str(suite)])


def test_wrong_flags(suite: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no runs: name at least one folder"):
        compare(CompareCommand(()))
    with pytest.raises(InputError, match="--windows 1: must be at least 2"):
        main([str(suite), "--windows", "1"])
    with pytest.raises(InputError, match=r"absent: no run there"):
        main([str(suite), str(tmp_path / "absent")])
    with pytest.raises(InputError, match="--axis"):
        main([str(suite), "--axis", "hours"])
    with pytest.raises(InputError, match="--paper: draws into a figure; name one with --output"):
        main([str(suite), "--paper"])


def test_no_scores_are_refused(suite: Path) -> None:
    with pytest.raises(InputError, match="--scores"):
        main([str(suite), "--scores"])


@pytest.mark.parametrize("level", ["nan", "inf"])
def test_a_level_that_is_no_number_is_refused(suite: Path, level: str) -> None:
    with pytest.raises(InputError, match="--target"):
        main([str(suite), "--format", "json", "--target", level])


def test_a_run_that_has_just_begun_is_refused_by_name(suite: Path) -> None:
    # Its first row is that before any training, at 0 on every axis.
    row = {**rows_of([0.9])[0], "iteration": 0, "critic_updates": 0, "samples_seen": 0, "train_seconds": 0.0}
    write_run(suite / "young", [row], preset="orig-small", seed=3)
    with pytest.raises(InputError, match="young"):
        main([str(suite)])


def test_the_figure_comes_beside_the_table(suite: Path, tmp_path: Path, printed: Printed) -> None:
    arguments = (suite, "--windows", 10, "--format", "json")
    output = tmp_path / "figures" / "figure.png"
    assert printed(*arguments, "--output", output) == printed(*arguments)
    with Image.open(output) as image:
        assert image.width == pytest.approx(2 * 4.6 * 200, abs=1)  # a panel for each score
    with pytest.raises(InputError, match=r"figure\.gif: must end in \.png, \.svg, \.pdf"):
        main([str(suite), "--output", str(tmp_path / "figure.gif")])
    with pytest.raises(InputError, match="--paper: the paper's curves are against minutes"):
        main([str(suite), "--axis", "iterations", "--paper", "--output", str(tmp_path / "other.svg")])
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["figure.png"]
    assert not (tmp_path / "other.svg").exists()


def test_values_of_the_command_are_those_of_the_function(suite: Path) -> None:
    found = compare(CompareCommand((str(suite),), windows=10))
    assert [each.score for each in found] == ["jsd_4", "jsd_6"]
    for each, more in zip(found, (0, 0.25), strict=True):
        assert [method.end for method in each.methods] == pytest.approx([1.39 / 3 + more, 0.94 / 3 + more])
        assert each.level == each.methods[0].end
        assert each.methods[0].reached.tolist() == [10, 10, math.inf]
