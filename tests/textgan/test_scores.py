"""Declared scores: higher values may be better, and every reader goes by the declaration."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from eval.core.score import Estimate, Score, Signature
from tests.helpers.runs import SIGNATURE, a_group, falling, rows_of, write_run
from textgan.compare import main
from textgan.engine.run_folder import (
    DeclaredScore,
    as_format,
    declared,
    declared_scores,
    headline,
    read_metrics,
    read_options,
)
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.aggregate import Group, summarize
from textgan.train import train


def a_score(metric: str, names: Sequence[str], unit: str, better: Any) -> Score:
    values = {name: Estimate(0.5) for name in names}
    return Score(metric, values, unit, better, 10, "text", Signature(metric, {"n": 4}))


def test_scores_are_declared_with_direction_signature_and_range() -> None:
    bleu = a_score("bleu", ["bleu-2", "bleu-4"], "share", "higher")
    jsd = a_score("jsd", ["jsd-4"], "bits", "lower")
    quality = a_score("quality", ["quality"], "bits per character", "lower")
    scores = declared([jsd, bleu, quality], ("jsd_4", "jsd_6"))
    assert scores == {
        "jsd_4": DeclaredScore("lower", True, "jsd|n:4|v:1", 0.0, 1.0),
        "bleu_2": DeclaredScore("higher", False, "bleu|n:4|v:1", 0.0, 1.0),
        "bleu_4": DeclaredScore("higher", False, "bleu|n:4|v:1", 0.0, 1.0),
        "quality": DeclaredScore("lower", False, "quality|n:4|v:1", 0.0, None),
    }
    assert headline(scores) == ["jsd_4"]
    assert headline(declared([bleu, quality], ("jsd_4", "jsd_6"))) == ["bleu_2", "bleu_4", "quality"]


def mirrored(group: Group) -> Group:
    """Return the group with 1 - JSD, of which higher is better, in place of the JSD."""
    runs = [
        replace(
            run,
            scores={"likeness": DeclaredScore("higher", True, SIGNATURE, most=1.0)},
            metrics=run.metrics.assign(**{"scores/likeness": 1 - run.metrics["scores/jsd_4"]}),
        )
        for run in group.runs
    ]
    return Group(group.name, runs)


@given(st.lists(st.lists(st.integers(0, 64), min_size=6, max_size=6), min_size=2, max_size=5), st.integers(1, 6))
def test_a_mirrored_score_gives_mirrored_results(curves: list[list[int]], points: int) -> None:
    """Quotients of 64 are exact, so that equality is."""
    below = [[value / 64 for value in curve] for curve in curves]
    groups = [a_group("first", below[:1]), a_group("others", below[1:])]
    ours = summarize(groups, "jsd_4", "minutes", points, None)
    theirs = summarize([mirrored(group) for group in groups], "likeness", "minutes", points, None)
    for low, high in zip(ours, theirs, strict=True):
        assert high.best_run == pytest.approx((1 - low.best_run[0], low.best_run[1]), abs=1e-12)
        assert high.best_mean[0] == pytest.approx(1 - low.best_mean[0], abs=1e-12)
        assert high.end == pytest.approx(1 - low.end, abs=1e-12)
        if low.interval is not None:
            assert high.interval == pytest.approx((1 - low.interval[1], 1 - low.interval[0]), abs=1e-9)


def test_the_target_is_reached_from_below_if_higher_is_better() -> None:
    groups = [mirrored(a_group("fast", [[0.75, 0.5, 0.25]])), mirrored(a_group("slow", [[0.75, 0.625, 0.5]]))]
    fast, slow = summarize(groups, "likeness", "minutes", 3, None)
    # The default target is the worst mean at the end, 0.5; known to be wrong: the highest, 0.75, or "at or below".
    assert (fast.reached.tolist(), slow.reached.tolist()) == ([2], [3])
    assert (fast.best_run, slow.best_run) == ((0.75, 3.0), (0.5, 3.0))
    assert [each.reached.tolist() for each in summarize(groups, "likeness", "minutes", 3, 0.6)] == [[3], [np.inf]]


def test_an_interval_ends_at_the_declared_range() -> None:
    group = mirrored(a_group("toy", [[0.5, 0.25], [0.5, 0.75]]))
    assert summarize([group], "likeness", "minutes", 2, None)[0].interval == (0, 1)
    runs = [replace(run, scores={"likeness": DeclaredScore("higher", True, "", -1.0)}) for run in group.runs]
    low, high = summarize([Group("toy", runs)], "likeness", "minutes", 2, None)[0].interval or (0, 0)
    assert low == -1
    assert high == pytest.approx(0.5 + 12.706 * 0.25, abs=1e-3)


def declare(folder: Path, **scores: Mapping[str, Any]) -> None:
    """Declare more scores of a run."""
    options = read_options(folder)
    new = {
        name: asdict(DeclaredScore(**{"headline": False, "signature": "", **score})) for name, score in scores.items()
    }
    (folder / "options.json").write_text(json.dumps({**options, "scores": {**options["scores"], **new}}), "utf-8")


def two_runs(tmp_path: Path) -> tuple[Path, Path]:
    """Runs of two methods, scored by JSD and by BLEU, of which higher is better."""
    runs = []
    for name, start in (("good", 0.7), ("bad", 0.9)):
        rows = [{**row, "bleu_4": 1 - row["jsd_4"]} for row in rows_of(falling(start, 0.05))]
        runs.append(write_run(tmp_path / name, rows, preset=name))
        declare(runs[-1], bleu_4={"better": "higher", "signature": "bleu|n:5|ref:text.txt@01|v:1", "most": 1.0})
    return runs[0], runs[1]


def test_compare_goes_by_the_declared_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [str(run) for run in two_runs(tmp_path)]
    assert main([*places, "--scores", "bleu_4", "--windows", "10", "--format", "json"]) == 0
    (compared,) = json.loads(capsys.readouterr().out)
    good, bad = sorted(compared["methods"], key=lambda method: str(method["method"]), reverse=True)
    assert (good["method"], bad["method"]) == ("good", "bad")
    assert good["best_run"] == {"value": pytest.approx(0.8), "at": 10}
    assert compared["level"] == pytest.approx(0.6)  # the worst mean at the end
    assert (compared["better"], compared["signature"]) == ("higher", "bleu|n:5|ref:text.txt@01|v:1")
    assert good["reached"] == [6]
    assert bad["reached"] == [10]
    assert compared["statements"][0].startswith("good against bad at the end: +0.200;")
    assert compared["statements"][1].startswith("bad took 1.67 times as long as good to 0.600")
    assert main([*places, "--scores", "bleu_4", "--windows", "10"]) == 0
    assert capsys.readouterr().out.startswith("bleu_4 (higher is better) against minutes, means in 10 windows")


def test_only_the_signatures_of_the_compared_scores_must_be_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = two_runs(tmp_path)
    declare(second, bleu_4={"better": "higher", "signature": "bleu|n:5|ref:text.txt@02|v:1", "most": 1.0})
    places = [str(first), str(second)]
    assert main([*places, "--scores", "jsd_4", "jsd_6"]) == 0
    capsys.readouterr()
    message = f"bleu_4: {first} does not compare with {second}: ref:text.txt@01 against ref:text.txt@02"
    with pytest.raises(InputError) as refused:
        main([*places, "--scores", "jsd_4", "bleu_4"])
    assert str(refused.value) == message
    # The name of a reference is no difference, its hash is.
    declare(second, bleu_4={"better": "higher", "signature": "bleu|n:5|ref:moved.txt@01|v:1", "most": 1.0})
    assert main([*places, "--scores", "bleu_4"]) == 0


def test_runs_with_other_metrics_compare_by_the_common_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [{key: value for key, value in row.items() if key != "jsd_6"} for row in rows_of(falling(0.8, 0.05))]
    write_run(tmp_path / "a", rows_of(falling(0.8, 0.05)))
    write_run(tmp_path / "b", few, seed=1)
    assert main([str(tmp_path), "--format", "json"]) == 0
    assert [compared["score"] for compared in json.loads(capsys.readouterr().out)] == ["jsd_4"]
    write_run(tmp_path / "c", [{"iteration": 5, "train_seconds": 60.0, "jsd_2": 0.5}], seed=2)
    with pytest.raises(InputError, match=r"--scores jsd_4: \S+/c is not scored by it, but by jsd_2"):
        main([str(tmp_path)])


def test_a_run_in_format_1_keeps_its_columns(tmp_path: Path) -> None:
    row = {
        "iteration": 5, "time/train_seconds": 1.0, "time/generator_updates": 3, "scores/jsd_4": 0.5,
        "train/critic_loss": 0.25, "train/temperature": 2.0, "train/jsd_4": 7.0,
    }  # fmt: skip
    written = as_format(row, 1)
    known = {name: value for name, value in written.items() if value is not None}
    assert known == {"iteration": 5, "train_seconds": 1.0, "jsd_4": 0.5, "critic_loss": 0.25}
    assert "wasserstein" in written
    read = read_metrics(write_run(tmp_path / "run", [written]))[0]
    assert read.items() >= {"time/train_seconds": 1.0, "scores/jsd_4": 0.5, "train/critic_loss": 0.25}.items()
    assert as_format(row, 2) == row


def test_a_run_is_continued_only_with_the_signatures_of_its_scores(tiny: WganGpSettings) -> None:
    train(replace(tiny, iterations=4))
    signature = declared_scores(tiny.folder)["jsd_3"].signature
    declare(tiny.folder, jsd_3={"better": "lower", "signature": signature.replace("ref:text.txt@", "ref:moved.txt@")})
    assert train(replace(tiny, iterations=6)).summary is not None  # the reference's name is no difference
    declare(tiny.folder, jsd_3={"better": "lower", "signature": signature.replace("n:4", "n:3")})
    with pytest.raises(InputError, match=r"run: its jsd_3 is jsd\|n:3\|\S+, not jsd\|n:4\|\S+; choose another"):
        train(tiny)
    declare(tiny.folder, jsd_3={"better": "lower", "signature": signature}, bleu_4={"better": "higher"})
    with pytest.raises(InputError, match=r"run: its bleu_4 is , not None; choose another --run-dir"):
        train(tiny)
