"""Excess over maximum likelihood in closed form, in records and in tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from leaderboards import build
from leaderboards.excess import CURVES, excess_over, read_curves, with_excess
from leaderboards.records import all_tasks
from textgan.runs.sweeps import Curve, Point

EXACT = "exact|sym:word-9@1|oracle:0|samples:9|v:1"
SIGNATURE = f"distinct|samples:9|v:1; {EXACT}"


def a_curve(name: str, *places: tuple[float, float]) -> Curve:
    points = [Point(1.0, 1.0, {"nll_oracle": quality, "nll_test": loss}, 1.0) for quality, loss in places]
    return Curve(name, points, {}, 0)


# Short training: loss 12 - q / 2 from quality 6 to 10; long training: 15 - q from 4 to 8. They cross at q = 6.
SHORT, LONG = a_curve("short", (10, 7), (6, 9)), a_curve("long", (4, 11), (8, 7))


@pytest.mark.parametrize(
    ("quality", "baseline"),
    [(10, 7), (9, 7.5), (8, 7), (7, 8), (6, 9), (5, 10), (4, 11)],
)
def test_the_baseline_is_the_lowest_loss_of_all_curves_at_equal_quality(quality: float, baseline: float) -> None:
    found = excess_over({"nll_oracle": quality, "nll_test": baseline + 0.25}, [SHORT, LONG])
    assert found == pytest.approx(0.25, abs=1e-12)
    # Known to be wrong where both curves are and differ: the first curve alone, and the mean of the curves.
    if quality == 7:
        assert excess_over({"nll_oracle": 7, "nll_test": 8.25}, [SHORT]) == pytest.approx(-0.25, abs=1e-12)
        assert found != pytest.approx(8.25 - (8.5 + 8) / 2, abs=1e-3)


@pytest.mark.parametrize("quality", [3.99, 10.01])
def test_there_is_no_excess_beyond_the_ends_of_all_curves(quality: float) -> None:
    assert excess_over({"nll_oracle": quality, "nll_test": 8}, [SHORT, LONG]) is None


def a_row(run: str, quality: float, loss: float, **changes: Any) -> dict[str, Any]:
    row = {
        "run": run, "temperature": quality / 10, "top_p": 1.0, "distinct": 1.0, "nll_oracle": quality, "nll_test": loss,
        "excess": None, "signature": EXACT,
    }  # fmt: skip
    return {**row, **changes}


ROWS = [a_row("short", 10, 7), a_row("long", 4, 11), a_row("short", 6, 9), a_row("long", 8, 7)]
LOSSES = {"gan": ([7.0, 9.0], [8.25, 8.0]), "far": ([7.0, 11.0], [8.0, 8.0]), "samples": None}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A task with curves and three records; the excesses of the runs of `gan` are 0.25 and 0.5."""
    task = tmp_path / "records" / "lines"
    shown = {"distinct_1": "higher", "nll_oracle": "lower", "nll_test": "lower"}
    write(task / "task.json", {
        "title": "Lines", "signature": SIGNATURE, "floor": {"nll_oracle": 5.9}, "metrics": ["diversity"],
        "shown": shown,
    })  # fmt: skip
    write(task / CURVES, ROWS)
    for name, losses in LOSSES.items():
        scores: dict[str, Any] = {"distinct_1": {"better": "higher", "end": 0.5}}
        for score in ("nll_oracle", "nll_test") if losses else ():
            scores[score] = {"better": "lower", "end": 9.0, "runs": [9.0, 9.0]}  # before the last evaluation
        scores["excess"] = {"better": "lower", "end": -9.0, "runs": [-9.0, -9.0]}  # altered: no record brings its own
        kind, signature = ("samples", SIGNATURE.split("; ")[0]) if losses is None else ("runs", SIGNATURE)
        write(task / name / "record.json", {
            "name": name, "kind": kind, "signature": signature, "facts": {}, "scores": scores,
            "samples": [
                {"file": None, "sha256": "", "scores": dict(zip(("nll_oracle", "nll_test"), each, strict=True))}
                for each in zip(*(losses or ()), strict=True)
            ],
            "curve": None, "settings": {"model": name},
        })  # fmt: skip
    return tmp_path / "records"


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def test_a_record_has_the_excess_of_its_runs_whatever_it_says(records: Path) -> None:
    ((task, made),) = all_tasks(records)
    shown, by_excess = with_excess(records / "lines", task, made)
    assert list(shown.shown.items())[-1] == ("excess", "lower")
    scores = {record.name: record.scores.get("excess") for record in by_excess}
    gan = scores["gan"]
    assert gan is not None
    assert gan.runs == pytest.approx([0.25, 0.5], abs=1e-12)
    assert gan.end == pytest.approx(0.375, abs=1e-12)
    assert gan.sd == pytest.approx(0.25 / 2**0.5, abs=1e-12)
    assert scores["far"] is scores["samples"] is None  # a run beyond the curves; no losses


def test_tables_show_the_excess_and_change_with_the_curves(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--records", str(records)]
    page, folder = records.parent / "lines.md", records / "lines"
    assert build.main(flags) == 0
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text("utf-8").splitlines()[4:]]
    column = table[0].index("EXCESS at the end")
    assert {row[0]: row[column] for row in table[2:6]} == {
        "gan": "0.375 ± 0.177", "far": "", "samples": "", "real text": "",
    }  # fmt: skip
    assert table[2][0] == "gan"  # best by the excess
    assert build.main([*flags, "--check"]) == 0
    # An altered excess in the table, and an altered curve, do not match the records.
    altered = page.read_text("utf-8").replace("0.375 ± 0.177", "-0.375 ± 0.177")
    before = page.read_text("utf-8")
    page.write_text(altered, "utf-8")
    assert build.main([*flags, "--check"]) == 1
    page.write_text(before, "utf-8")
    write(folder / CURVES, [*ROWS, a_row("longer", 7, 7.9), a_row("longer", 9, 7.4)])
    assert build.main([*flags, "--check"]) == 1
    assert "stale: lines.md, index.md, index.html" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [a_row("short", 10, 7, signature=EXACT.replace("samples:9", "samples:8"))],
            "short is scored as exact.*samples:8",
        ),
        ([{**ROWS[0], "nll_test": None}], r"likelihood\.json: damaged \(rows\[0\]\.nll_test is not a number"),
        ([{**ROWS[0], "nll_test": None}], "write it by textgan.sweep --json, without --top-p"),
        ({"run": "short"}, r"likelihood\.json: damaged"),
        ([*ROWS, ROWS[1]], "long twice at temperature 0.4; give runs different names"),
    ],
)
def test_curves_measured_otherwise_are_refused(records: Path, rows: Any, said: str) -> None:
    write(records / "lines" / CURVES, rows)
    with pytest.raises(InputError, match=said):
        read_curves(records / "lines", SIGNATURE)
