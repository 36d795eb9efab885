"""Tasks scored by words: their scores, their rule of words, and notes."""

import json
from pathlib import Path

import pytest

from data.errors import InputError
from eval import bleu
from leaderboards import submit, verify
from leaderboards.records import all_tasks
from leaderboards.tables import board
from tests.helpers.commands import jsd_of_words
from textgan.models.wgan_gp import WganGpSettings


def test_words_are_scored_too_and_samples_of_others_are_not_kept(
    tiny: WganGpSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path(tiny.data).read_text("utf-8").splitlines()
    real, held_out = tmp_path / "real.txt", tmp_path / "held.txt"
    real.write_text("\n".join(lines[:1900]) + "\n", "utf-8")
    held_out.write_text("\n".join(lines[1900:]) + "\n", "utf-8")
    (tmp_path / "good.txt").write_text("".join(f"{line}\n" for line in lines[:50]), "utf-8")
    (tmp_path / "bad.txt").write_text("".join(f"on on the a a sat {number}\n" for number in range(50)), "utf-8")
    records = tmp_path / "records"
    flags = ["--task", "words", "--reference", str(real), "--held-out", str(held_out), "--records", str(records)]
    new = ["--metrics", "bleu", "word-jsd", "--shown", "word_jsd_1", "bleu_2", "--title", "By words"]
    assert submit.main([str(tmp_path / "bad.txt"), *flags, *new, "--name", "bad", "--hash-only"]) == 0
    with pytest.raises(InputError, match="--metrics: fixed by task words"):
        submit.main([str(tmp_path / "good.txt"), *flags, "--metrics", "jsd", "--name", "good"])
    assert submit.main([str(tmp_path / "good.txt"), *flags, "--name", "good"]) == 0
    # The scores are those of the metrics' own commands, floors included.
    ((task, made),) = all_tasks(records)
    by_name = {record.name: record for record in made}
    command = [str(tmp_path / "good.txt"), "--reference", str(real), "--held-out", str(held_out), "--json"]
    for main in (bleu.main, jsd_of_words):
        capsys.readouterr()
        assert main(command) == 0
        for score in json.loads(capsys.readouterr().out):
            for name, value in score["scores"].items():
                ours = by_name["good"].scores[name.replace("-", "_")]
                assert (ours.end, ours.better) == (value["value"], score["better"])
                assert task.floor is not None
                if value["floor"] is not None:
                    assert task.floor[name.replace("-", "_")] == value["floor"]
    assert task.shown == {"word_jsd_1": "lower", "bleu_2": "higher"}
    assert (by_name["good"].scores["bleu_2"].end or 0) > (by_name["bad"].scores["bleu_2"].end or 1)
    # Higher BLEU comes first; columns that nobody fills are left out.
    table = board(task, made)
    assert [row.name for row in table.rows] == ["good", "bad", "real text"]
    told = ["WORD-JSD-1", "BLEU-2 (higher is better)"]
    assert list(table.head) == ["name", "kind", *told, "note"]
    # Samples that are not kept have to be given, and be the same.
    assert not list((records / "words" / "bad").glob("*.gz"))
    place = [str(records / "words" / "bad"), "--reference", str(real)]
    assert verify.main(place) == 0
    assert "not scored again (samples not kept here" in capsys.readouterr().out
    assert verify.main([*place, "--samples", str(tmp_path / "bad.txt")]) == 0
    assert "bad: ok" in capsys.readouterr().out
    assert verify.main([*place, "--samples", str(tmp_path / "good.txt")]) == 1
    assert "good.txt is not as it was submitted" in capsys.readouterr().out


def test_a_task_keeps_its_word_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "real.txt").write_text("A man waits.\nTwo cats, one dog.\n" * 20, "utf-8")
    for name, line in (("apart", "a man waits ."), ("glued", "Two cats, one dog.")):
        (tmp_path / f"{name}.txt").write_text(f"{line}\n" * 5, "utf-8")
    records = tmp_path / "records"
    flags = ["--task", "words", "--reference", str(tmp_path / "real.txt"), "--records", str(records)]
    new = ["--metrics", "bleu", "memorisation", "--lower-case"]
    assert submit.main([str(tmp_path / "apart.txt"), *flags, *new, "--name", "apart"]) == 0
    for change in (["--words", "whitespace"], ["--words", "punctuation"], ["--lower-case"]):
        with pytest.raises(InputError, match=f"{change[0]}: fixed by task words"):
            submit.main([str(tmp_path / "glued.txt"), *flags, *change, "--name", "glued"])
    assert submit.main([str(tmp_path / "glued.txt"), *flags, "--name", "glued"]) == 0
    ((task, made),) = all_tasks(records)
    assert task.signature.count("|words:punctuation|case:lower|v:1") == 4
    for record in made:
        assert record.scores["bleu_2"].end == record.scores["copied_lines"].end == 1.0
    place = [str(records), "--reference", str(tmp_path / "real.txt")]
    assert verify.main(place) == 0
    assert capsys.readouterr().out.count(": ok\n") == 2
    path = records / "words" / "apart" / "record.json"
    right = path.read_text("utf-8")
    for wrong in ("words:whitespace", "words:unheard-of"):
        path.write_text(right.replace("words:punctuation", wrong), "utf-8")
        assert verify.main(place) == 1
        assert "apart: scored as bleu|" in capsys.readouterr().out


def test_a_new_task_of_words_notes_text_without_spaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "chinese.txt").write_text("今天天气很好。\n" * 5, "utf-8")
    place = [str(tmp_path / "chinese.txt"), "--reference", str(tmp_path / "chinese.txt"), "--name", "a"]
    for number, (metric, flags, notes) in enumerate(
        (("jsd", [], 0), ("bleu", [], 2), ("bleu", ["--words", "characters"], 0))
    ):
        task = ["--task", f"task-{number}", "--records", str(tmp_path / "records"), "--metrics", metric]
        assert submit.main([*place, *task, *flags]) == 0
        assert capsys.readouterr().err.count("pass --words characters") == notes
