"""Sentence features among the scores of a run: the values of `eval.report`, and left out of records."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import InputError
from eval.report import main as report
from eval.sentences import language_model
from eval.sentences.language_model import LmSettings
from leaderboards import submit, verify
from leaderboards.records import read_record, read_task
from leaderboards.submission import from_runs
from textgan.engine.run_folder import declared_scores, read_metrics, read_options
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.aggregate import Group, load_run
from textgan.train import train

METRICS = ("sentence-frechet", "sentence-precision-recall")
NAMES = ["sentence_frechet", "sentence_precision", "sentence_recall"]


def test_a_run_has_the_scores_of_a_report_and_a_record_leaves_them_out(
    tiny: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(language_model, "LmSettings", lambda: LmSettings(words=9, width=4, iterations=5))
    config = replace(tiny, scores=(*METRICS, "jsd"), iterations=2, checkpoint_every=2, ngram=6)
    train(config)
    rows, declared = read_metrics(config.folder), declared_scores(config.folder)
    floor = read_options(config.folder)["floor"]
    assert [name for name in declared if not name.startswith("jsd")] == NAMES
    capsys.readouterr()
    assert report([str(config.folder / "samples" / "2.txt"), "--metrics", *METRICS, "--json"]) == 0
    (scores,) = json.loads(capsys.readouterr().out).values()
    found = {name.replace("-", "_"): value for score in scores for name, value in score["scores"].items()}
    assert {name: rows[-1][f"scores/{name}"] for name in NAMES} == pytest.approx({n: found[n]["value"] for n in NAMES})
    assert rows[0]["scores/sentence_frechet"] != pytest.approx(rows[-1]["scores/sentence_frechet"], rel=1e-6)
    assert {name: floor[name] for name in NAMES} == pytest.approx({name: found[name]["floor"] for name in NAMES})
    assert found["sentence_frechet"]["floor"] < found["sentence_frechet"]["value"]
    signatures = {score["signature"] for score in scores}
    assert {declared[name].signature for name in NAMES} == signatures
    assert declared["sentence_recall"].better == "higher"

    records = tmp_path / "records"
    assert submit.main([str(config.folder), "--task", "toy", "--records", str(records)]) == 0
    (record,), task = map(read_record, (records / "toy").glob("*/")), read_task(records / "toy")
    assert task.floor is not None
    assert record.scores.keys() == task.floor.keys() == {f"jsd_{n}" for n in range(1, 7)}
    assert list(task.metrics) == ["jsd"]
    assert "features" not in record.signature
    assert verify.main([str(records), "--reference", tiny.data]) == 0

    # Of a run with these scores alone, nothing is left.
    group = Group("ttur", [replace(load_run(config.folder), scores={name: declared[name] for name in NAMES})])
    with pytest.raises(InputError, match="ttur: no score that another machine can verify; train with --scores jsd"):
        from_runs(group, "ttur", "", exact=True)
