"""Verification: altered samples and numbers are found, records of the first version pass."""

import gzip
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import InputError
from leaderboards import build, submit, verify
from leaderboards.records import all_tasks
from textgan.models.wgan_gp import WganGpSettings


def test_every_record_verifies_and_an_altered_one_does_not(
    records: Path,
    tiny: WganGpSettings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = [str(records), "--reference", tiny.data]
    assert verify.main(flags) == 0
    assert capsys.readouterr().out.count(": ok\n") == 3
    folder = records / "toy" / "2-gram-model"
    path = folder / "samples.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    altered = "\n".join(["the mat" + lines[0][7:], *lines[1:]]).encode()
    path.write_bytes(gzip.compress(altered))
    assert verify.main(flags) == 1
    assert "FAILED" in (out := capsys.readouterr().out)
    assert "samples.txt.gz is not as it was submitted" in out
    # With the hash set right too, the scores betray it.
    record = json.loads((folder / "record.json").read_text("utf-8"))
    record["samples"][0]["sha256"] = hashlib.sha256(altered).hexdigest()
    (folder / "record.json").write_text(json.dumps(record), "utf-8")
    assert verify.main(flags) == 1
    assert "samples.txt.gz scores jsd_1" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:50])
    assert verify.main(flags) == 1
    assert "samples.txt.gz is not as it was submitted" in capsys.readouterr().out
    path.unlink()
    assert verify.main(flags) == 1
    assert "samples.txt.gz is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    [
        ("2-gram-model", ("scores", "jsd_4", "end"), 0.001, "jsd_4 at the end is 0.001, but the record's data give 0"),
        (
            "ttur-critic_lr-0.003",
            ("scores", "jsd_4", "end"),
            0.001,
            "jsd_4 at the end is 0.001, but the record's data give 0",
        ),
        (
            "ttur-critic_lr-0.003",
            ("scores", "jsd_6", "best_run"),
            0.001,
            "the best run's jsd_6 is 0.001, but",
        ),
        ("ttur-critic_lr-0.003", ("scores", "jsd_4", "sd"), 0.0001, "has a standard deviation of 0.0001, but its runs"),
        ("2-gram-model", ("samples", 0, "scores", "jsd_4"), math.nan, "but the record's data give nan"),
        ("2-gram-model", ("samples", 0, "scores"), {}, "samples.txt.gz is scored by jsd_1"),
    ],
)
def test_numbers_that_do_not_follow_from_the_record_are_found(
    records: Path,
    tiny: WganGpSettings,
    capsys: pytest.CaptureFixture[str],
    name: str,
    place: Any,
    value: Any,
    said: str,
) -> None:
    path = records / "toy" / name / "record.json"
    content = json.loads(path.read_text("utf-8"))
    *outer, last = place
    within = content
    for step in outer:
        within = within[step]
    within[last] = value
    if value == {}:
        content["scores"] = {}
    path.write_text(json.dumps(content), "utf-8")
    assert verify.main([str(path.parent), "--reference", tiny.data]) == 1
    assert said in capsys.readouterr().out


def test_the_floor_is_that_of_real_lines(
    records: Path, tiny: WganGpSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = records / "toy" / "task.json"
    task = json.loads(path.read_text("utf-8"))
    task["floor"]["jsd_4"] = 0.9
    path.write_text(json.dumps(task), "utf-8")
    assert verify.main([str(records), "--reference", tiny.data]) == 1
    assert "real lines score jsd_4 0." in capsys.readouterr().out


def test_without_the_reference_hashes_are_checked_and_that_is_said(
    records: Path,
    tiny: WganGpSettings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verify.main([str(records)]) == 0
    assert capsys.readouterr().out.count("not scored again (text.txt: no such file") == 3


def test_records_of_the_first_version_verify_and_take_more(
    records: Path, tiny: WganGpSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its signatures named the package's version and no word rule, which meant white space."""
    words = ["--task", "words", "--reference", tiny.data, "--records", str(records)]
    new = ["--metrics", "bleu", "diversity", "jsd", "--words", "whitespace"]
    assert submit.main([str(tmp_path / "two.txt"), *words, *new, "--name", "by words"]) == 0
    for path in (*records.rglob("record.json"), *records.rglob("task.json")):
        text = path.read_text("utf-8").replace("|words:whitespace|case:as-is", "")
        path.write_text(text.replace('|v:1"', '|v:0.1.0"').replace("|v:1;", "|v:0.1.0;"), "utf-8")
    old = {path: path.read_bytes() for path in records.glob("*/task.json")}
    assert b"words:" not in old[records / "words" / "task.json"]
    assert b"|v:0.1.0" in old[records / "toy" / "task.json"]
    assert verify.main([str(records), "--reference", tiny.data]) == 0
    assert capsys.readouterr().out.count(": ok\n") == 4
    assert submit.main([str(tmp_path / "two.txt"), *words, "--name", "again"]) == 0
    assert submit.main([str(tmp_path / "suite" / "a0"), "--task", "toy", "--name", "a", "--records", str(records)]) == 0
    assert verify.main([str(records), "--reference", tiny.data]) == 0
    made = {record.name: record for _, of_task in all_tasks(records) for record in of_task}
    assert made["again"].scores == made["by words"].scores
    assert made["again"].signature.count("|words:whitespace|case:as-is|v:1") == 4
    assert {path: path.read_bytes() for path in records.glob("*/task.json")} == old
    flags = ["--records", str(records), "--output", str(tmp_path / "out"), "--readme", str(tmp_path / "none.md")]
    assert build.main(flags) == 0
    # Samples by another rule are not the same task's.
    path = records / "words" / "task.json"
    path.write_text(path.read_text("utf-8").replace("|sym:word|", "|sym:word|words:punctuation|case:as-is|"), "utf-8")
    with pytest.raises(InputError, match="but the task"):
        all_tasks(records)


def metrics_of(run: Path) -> list[str]:
    return (run / "metrics.jsonl").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("scores", "jsd_4", "windows", 1, -1), 0.0, "the windows of jsd_4 give another lower end of the band"),
        (("scores", "jsd_4", "windows", 0, -1), 0.999, "the windows of jsd_4 give another curve of means"),
        (("scores", "jsd_6", "best_mean"), 0.5, "the windows of jsd_6 give another best mean"),
        (("curve", "jsd_6", "mean", -1), 0.5, "the windows of jsd_6 give another curve of means"),
        (("scores", "jsd_4", "windows", 1), [0.5], "record.json: damaged"),
        (("scores", "jsd_4", "windows"), [], "jsd_4 has no mean for each of 2 runs"),
    ],
)
def test_scores_of_runs_follow_from_their_windows(
    records: Path, tiny: WganGpSettings, capsys: pytest.CaptureFixture[str], place: Any, value: Any, said: str
) -> None:
    path = records / "toy" / "ttur-critic_lr-0.003" / "record.json"
    content = json.loads(path.read_text("utf-8"))
    for name, score in content["scores"].items():
        rows = [json.loads(line) for run in ("a0", "a1") for line in metrics_of(records.parent / "suite" / run)]
        found = {round(row.get(f"scores/{name}", row.get(name)), 6) for row in rows if row["iteration"]}
        # An even clock: every evaluation after the start has a window, in which it is alone.
        assert {value for of_run in score["windows"] for value in of_run if value is not None} == found
        assert len(score["windows"]) == 2
        assert {len(of_run) for of_run in score["windows"]} == {len(content["curve"]["minutes"])}
        last = max(1, len(content["curve"]["minutes"]) // 10)
        assert score["end"] == pytest.approx(np.mean([of_run[-last:] for of_run in score["windows"]]), abs=1e-6)
    assert verify.main([str(path.parent), "--reference", tiny.data]) == 0
    within = content
    for step in place[:-1]:
        within = within[step]
    within[place[-1]] = value
    path.write_text(json.dumps(content), "utf-8")
    assert verify.main([str(path.parent), "--reference", tiny.data]) == 1
    assert said in capsys.readouterr().out
    for score in content["scores"].values():
        del score["windows"]  # as in records of older versions
    content["scores"]["jsd_6"].pop("best_mean")
    path.write_text(json.dumps(content), "utf-8")
    assert verify.main([str(path.parent), "--reference", tiny.data]) == 0
