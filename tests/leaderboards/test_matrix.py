"""The matrix of models by tasks, and tables of published numbers beside it."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from leaderboards.build import as_markdown, open_board
from leaderboards.matrix import matrix
from leaderboards.places import RECORDS
from leaderboards.records import Record, ScoreEntry, Task, all_tasks
from textgan.runs import plots

SHOWN: Any = {"nll_test": "lower", "bleu_2": "higher"}
UP = Task("up", "Up", "s", {"bleu_2": 0.9}, ("bleu",), SHOWN)
DOWN = Task("down", "Down", "s", None, (), {"fd": "lower"})
PUBLISHED = Task("old", "Old", "", None, (), {"fd": "lower"})
FOLDER = Path(plots.__file__).parent / "published"


def a_record(name: str, kind: Any, folder: Path = Path("/nowhere"), model: str = "", **ends: float) -> Record:
    settings = {"model": model} if model else {}
    scores = {score: ScoreEntry(SHOWN.get(score, "lower"), end) for score, end in ends.items()}
    return Record(folder, name, kind, "s", {}, scores, (), None, settings)


def test_a_cell_is_the_best_record_of_a_model_in_the_direction_of_the_task(tmp_path: Path) -> None:
    # Records of 0.1.0 have no settings: the options of their runs name the model, by the name of that time.
    (tmp_path / "options-seed0.json").write_text(json.dumps({"config": {"model": "lstm"}}), "utf-8")
    up = [
        a_record("seqgan-orig", "runs", model="seqgan", bleu_2=0.5, nll_test=1.0),
        a_record("seqgan-ttur", "runs", model="seqgan", bleu_2=0.7, nll_test=9.0),
        a_record("2-gram model", "samples", bleu_2=0.4),
        a_record("from a paper", "published", bleu_2=1.0),
    ]
    down = [a_record("mle-small", "runs", tmp_path, fd=3.0), a_record("a", "runs", model="seqgan", fd=2.0),
            a_record("b", "runs", model="seqgan", fd=1.5), a_record("c", "runs", model="gan")]  # fmt: skip
    table = matrix([(UP, up), (DOWN, down), (PUBLISHED, [a_record("from a paper", "published", fd=0.0)])])
    assert list(table.head) == ["model", "up BLEU-2 (higher is better)", "down FD"]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["gan", "", ""],
        ["mle", "", "3.000"],
        ["seqgan", "0.700", "1.500"],
        ["2-gram model", "0.400", ""],
        ["real data", "0.900", ""],
    ]


@pytest.mark.parametrize("task", ["oracle20", "coco-words"])
def test_published_numbers_stand_apart_from_measured_ones(task: str) -> None:
    (opened,) = [(each, records) for each, records in all_tasks(RECORDS) if each.name == task]
    shown = open_board(RECORDS / task, *opened)
    (apart,) = shown.published
    with (FOLDER / f"{task}.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert [list(apart.head), *([cell.text for cell in row.cells] for row in apart.rows)] == [head, *rows]
    assert all(row[-1] for row in rows)  # a source each
    assert {row.kind for row in shown.table.rows} <= {"runs", "samples", "real text"}
    measured, _, published = as_markdown(shown).partition("\n## As published, not measured here\n")
    for row in rows:
        assert row[-1] in published
        assert row[-1] not in measured


def test_published_records_in_a_measured_task_get_a_table_of_their_own() -> None:
    ours, theirs = a_record("ours", "runs", fd=1.0), a_record("theirs", "published", fd=0.5)
    shown = open_board(Path("/nowhere"), DOWN, [ours, theirs])
    assert [row.name for row in shown.table.rows] == ["ours"]
    assert [[row.name for row in table.rows] for table in shown.published] == [["theirs"]]
    alone = open_board(Path("/nowhere"), DOWN, [theirs])
    assert ([row.name for row in alone.table.rows], alone.published) == (["theirs"], [])


def test_published_losses_are_those_of_the_paper() -> None:
    """RelGAN (Nie et al. 2019), table 1, 20 symbols."""
    assert plots.published_losses() == {"SeqGAN": 8.736, "RankGAN": 8.247, "LeakGAN": 7.038, "RelGAN": 6.68}
