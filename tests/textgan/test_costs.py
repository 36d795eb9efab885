"""The table of costs: from the bench's JSON files, and on the page as the command prints it."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from tests.helpers.paths import ROOT
from textgan.bench import main
from textgan.runs.costs import cost_table

RECORD: dict[str, Any] = {
    "model": "maligan", "preset": "maligan-words-ttur", "data": "/texts/corpus.txt", "dim": 128, "batch_size": 64,
    "peer_milliseconds": 250.04, "milliseconds": 100.26, "ratio": 2.494, "low": 2.4, "high": 2.601,
    "training_precision": "float32", "threads": 2, "machine": "A processor (2 cores)",
    "torch": "2.13.0", "textgan": "0.2.0",
}  # fmt: skip


def written(path: Path, *changes: dict[str, Any]) -> Path:
    path.write_text(json.dumps([{**RECORD, **change} for change in changes]), "utf-8")
    return path


def test_machines_and_precisions_are_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = written(tmp_path / "a.json", {}, {"training_precision": "bf16", "dim": 256})
    second = written(tmp_path / "b.json", {"model": "wgan-gp", "preset": "ttur-small", "data": "grammar"})
    assert main(["--table", str(first), str(second), "--format", "markdown"]) == 0
    head = "| model | preset | data | dim | batch | plain PyTorch, ms | ours, ms | ratio | 95 % interval |"
    line = "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    times = "| 64 | 250.0 | 100.3 | 2.49 | 2.40 .. 2.60 |"
    assert capsys.readouterr().out.splitlines() == [
        "A processor (2 cores), 2 threads, float32, torch 2.13.0, textgan 0.2.0", "", head, line,
        f"| maligan | maligan-words-ttur | corpus.txt | 128 {times}", f"| wgan-gp | ttur-small | grammar | 128 {times}",
        "", "A processor (2 cores), 2 threads, bf16, torch 2.13.0, textgan 0.2.0", "", head, line,
        f"| maligan | maligan-words-ttur | corpus.txt | 256 {times}",
    ]  # fmt: skip


def test_the_page_has_the_table_of_the_files() -> None:
    files = sorted((ROOT / "textgan/runs/measured").glob("*.json"))
    page = (ROOT / "textgan/README.md").read_text("utf-8")
    _, _, rest = page.partition("<!-- costs -->\n\n")
    shown, end, _ = rest.partition("\n\n<!-- end -->")
    assert end
    assert files
    assert shown == cost_table(files, "markdown")
    assert shown != cost_table(files[1:], "markdown")


def test_other_files_and_flags_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        cost_table([tmp_path / "none.json"], "text")
    path = tmp_path / "x.json"
    for content in ("no JSON", "{}", "[1]", json.dumps([{**RECORD, "x": 1}, {"preset": "a"}])):
        path.write_text(content, "utf-8")
        with pytest.raises(InputError, match=r"x\.json: no training steps beside a peer; write it by textgan\.bench"):
            cost_table([path], "text")
    with pytest.raises(InputError, match="--dim and --table: the files have settings of their own; leave one out"):
        main(["--table", str(path), "--dim", "3"])
