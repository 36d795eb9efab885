"""A new score, of which higher is better, and a new training statistic reach every output without another change."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data.line_ids import Ids
from eval.core.score import Estimate, Score, Signature
from eval.text.metrics import CHARACTER_METRICS
from eval.text.reference import Reference
from leaderboards import build, submit, verify
from leaderboards.records import all_tasks
from tests.helpers.runs import even_clock
from textgan.compare import main as compare
from textgan.engine.run_folder import read_metrics
from textgan.engine.trainer import Trainer
from textgan.models.wgan_gp import WganGpSettings
from textgan.train import train


def share_of_vowels(lines: Sequence[str]) -> float:
    text = "".join(lines)
    return sum(character in "aeiou" for character in text) / len(text)


def vowels(ids: Ids, reference: Reference) -> list[Score]:
    """The new metric: vowels per character."""
    text = reference.text
    value = Estimate(share_of_vowels(text.tokenizer.decode(ids)))
    signature = Signature("vowels", text.settings(len(ids)))
    return [Score("vowels", {"vowels": value}, "share", "higher", len(ids), text.title, signature)]


def test_a_new_score_and_a_new_statistic_reach_every_output(
    tiny: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CHARACTER_METRICS, "vowels", f"{__name__}.vowels")
    monkeypatch.setattr("eval.text.metrics.METRICS", ("jsd", "vowels"))
    step = Trainer.step

    def with_temperature(trainer: Trainer, real: Any, measure: bool = True) -> dict[str, float] | None:
        stats = step(trainer, real, measure)
        return None if stats is None else {**stats, "temperature": 1 / trainer.iteration}

    monkeypatch.setattr(Trainer, "step", with_temperature)
    config = replace(tiny, scores=("jsd", "vowels"))
    runs = [tmp_path / "suite" / f"seed{seed}" for seed in (0, 1)]
    summaries = [train(replace(config, seed=seed, run_dir=run)).summary for seed, run in enumerate(runs)]
    curves = [[float(row["scores/vowels"]) for row in read_metrics(run)] for run in runs]
    for run, curve, summary in zip(runs, curves, summaries, strict=True):
        # metrics.jsonl and summary: the best is the highest.
        assert summary is not None
        assert summary["best"]["vowels"]["value"] == max(curve) > min(curve)
        assert [row["train/temperature"] for row in read_metrics(run)[1:]] == [1 / 2, 1 / 4, 1 / 6, 1 / 8]
        # TensorBoard
        events = EventAccumulator(str(run)).Reload()
        assert [event.value for event in events.Scalars("scores/vowels")] == pytest.approx(curve, rel=1e-6)
        drawn = [event.value for event in events.Scalars("train/temperature")]
        assert drawn == pytest.approx([1 / 2, 1 / 4, 1 / 6, 1 / 8], rel=1e-6)
        even_clock(run)  # then each evaluation after the start has a window of its own
    # compare
    assert compare([str(tmp_path / "suite"), "--scores", "vowels", "--format", "json"]) == 0
    (compared,) = json.loads(capsys.readouterr().out)
    best = max(value for curve in curves for value in curve[1:])
    assert compared["methods"][0]["best_run"]["value"] == pytest.approx(best, abs=1e-12)
    # record
    records = tmp_path / "records"
    flags = ["--task", "toy", "--records", str(records), "--shown", "jsd_4", "vowels"]
    assert submit.main([str(tmp_path / "suite"), *flags]) == 0
    ((task, (record,)),) = all_tasks(records)
    assert task.shown == {"jsd_4": "lower", "vowels": "higher"}
    assert task.metrics == ("jsd", "vowels")
    entry = record.scores["vowels"]
    assert (entry.better, entry.runs) == ("higher", tuple(curve[-1] for curve in curves))
    assert entry.best_run == pytest.approx(best)
    assert verify.main([str(records), "--reference", str(tiny.data)]) == 0
    assert capsys.readouterr().out.endswith(": ok\n")
    # page
    out = tmp_path / "out"
    assert build.main(["--records", str(records), "--output", str(out), "--readme", str(tmp_path / "none.md")]) == 0
    head, _, row, *_ = [line for line in (out / "toy.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert cells["VOWELS best run (higher is better)"] == f"{best:.3f}"
    assert "VOWELS best run (higher is better)" in (out / "index.html").read_text("utf-8").replace(
        "<span>", ""
    ).replace("</span>", "")
