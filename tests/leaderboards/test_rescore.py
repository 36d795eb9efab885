"""Kept samples scored again by other metrics: all records of a task or none, with the numbers of the commands."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from data.errors import InputError
from eval import bleu
from eval.text.metrics import score_file
from leaderboards import build, rescore, submit, verify
from leaderboards.records import Record, all_tasks
from tests.helpers.records import build_all, change, contents, submit_few
from textgan.models.wgan_gp import WganGpSettings


@pytest.fixture
def few(few: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fixture of this name, and its folder as working folder: records name their reference without a folder."""
    monkeypatch.chdir(few)
    return few


def again(records: Path, *flags: str, task: str = "toy") -> int:
    return submit.main(["--rescore", task, "--records", str(records), *flags])


def by_bleu(kept: Path, reference: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """The scores that `eval.bleu` prints for samples kept in a record, with the reference recorded beside them."""
    folder.mkdir(exist_ok=True)
    (folder / "reference.json").write_text(json.dumps(reference), "utf-8")
    (folder / "plain.txt").write_bytes(gzip.decompress(kept.read_bytes()))
    capsys.readouterr()
    assert bleu.main([str(folder / "plain.txt"), "--words", "whitespace", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    return {name.replace("-", "_"): value["value"] for score in scores for name, value in score["scores"].items()}


def test_runs_and_samples_get_the_scores_of_the_new_metric(
    records: Path, tiny: WganGpSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = json.loads((tmp_path / "suite" / "a0" / "samples" / "reference.json").read_text("utf-8"))
    ((task, before),) = all_tasks(records)
    reference = ["--reference", str(tiny.data)]
    assert again(records, "--metrics", "jsd", "bleu", "--words", "whitespace", *reference) == 0
    ((new_task, after),) = all_tasks(records)
    assert new_task.metrics == ("jsd", "bleu")
    assert new_task.signature.split("; ")[0] == task.signature
    assert new_task.signature.count("|words:whitespace|case:as-is|v:1") == 2
    assert (new_task.title, new_task.shown) == (task.title, task.shown)
    for name, value in (task.floor or {}).items():
        assert (new_task.floor or {})[name] == value
    for old, new in zip(before, after, strict=True):
        assert (new.name, new.facts, new.settings) == (old.name, old.facts, old.settings)
        assert {name: new.scores[name] for name in old.scores} == old.scores
        assert (None if new.curve is None else new.curve.bands) == (None if old.curve is None else old.curve.bands)
        printed = [by_bleu(new.folder / str(entry.file), recorded, tmp_path / "here", capsys) for entry in new.samples]
        for entry, old_entry, scores in zip(new.samples, old.samples, printed, strict=True):
            assert entry.scores == {**old_entry.scores, **scores}
        for name in printed[0]:
            values = [scores[name] for scores in printed]
            assert new.scores[name].end == pytest.approx(fmean(values), abs=1e-15)
            assert new.scores[name].better == ("lower" if name.startswith("self") else "higher")
            assert new.scores[name].best_run is None
            if len(values) > 1:
                assert new.scores[name].sd == pytest.approx(stdev(values), abs=1e-15)
    assert verify.main([str(records), *reference]) == 0
    assert capsys.readouterr().out.count(": ok\n") == 3
    # The scores of runs without windows follow from the last samples.
    path = records / "toy" / "ttur-critic_lr-0.003" / "record.json"
    content = json.loads(path.read_text("utf-8"))
    content["scores"]["bleu_4"] |= {"runs": [0.5, 0.75], "end": 0.625}
    change(path, scores=content["scores"])
    assert verify.main([str(records), *reference]) == 1
    assert "bleu_4 has no curve, and its runs are not the scores of their last samples" in capsys.readouterr().out


def test_the_way_back_leads_to_the_same_files(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit_few(few, "--name", "second", "--note", "a note") == 0
    before = contents(few / "records")
    assert again(few / "records", "--metrics", "bleu", "diversity", "--shown", "bleu_4", "distinct_2") == 0
    ((task, made),) = all_tasks(few / "records")
    assert task.shown == {"bleu_4": "higher", "distinct_2": "higher"}
    assert made[1].facts["note"] == "a note"
    assert "jsd_4" not in made[0].scores
    assert build_all(few) == 0
    assert "BLEU-4 (higher is better)" in (few / "toy.md").read_text("utf-8")
    assert again(few / "records", "--metrics", "jsd") == 0
    assert contents(few / "records") == before
    assert verify.main([str(few / "records")]) == 0
    assert "next: python -m leaderboards.build" in capsys.readouterr().out


def test_windows_stay_if_the_text_has_another_name(records: Path, tiny: WganGpSettings, tmp_path: Path) -> None:
    before = {record.name: record for _, made in all_tasks(records) for record in made}
    other = tmp_path / "other.txt"
    other.write_bytes(Path(tiny.data).read_bytes())
    assert again(records, "--metrics", "jsd", "--reference", str(other)) == 0
    after = {record.name: record for _, made in all_tasks(records) for record in made}
    assert {name: (record.scores, record.curve) for name, record in after.items()} == {
        name: (record.scores, record.curve) for name, record in before.items()
    }


def test_the_word_rule_changes_alone(few: Path) -> None:
    flags = ["--task", "words", "--metrics", "bleu", "jsd", "--lower-case"]
    assert submit_few(few, *flags, "--name", "first") == 0

    def rules() -> list[str]:
        task = next(task for task, _ in all_tasks(few / "records") if task.name == "words")
        return [part.partition("|words:")[2] for part in task.signature.split("; ") if "|words:" in part]

    assert rules() == ["punctuation|case:lower|v:1"] * 2
    assert again(few / "records", "--words", "characters", task="words") == 0
    assert rules() == ["characters|case:as-is|v:1"] * 2
    assert again(few / "records", "--lower-case", task="words") == 0
    assert rules() == ["characters|case:lower|v:1"] * 2


def images(folder: Path) -> None:
    change(folder / "task.json", metrics=[])


def hash_only(folder: Path) -> None:
    assert submit_few(folder.parents[1], "--name", "a secret", "--hash-only") == 0


def published(folder: Path) -> None:
    change(folder / "first" / "record.json", kind="published")


@pytest.mark.parametrize(
    ("prepare", "flags", "task", "said"),
    [
        (images, [], "toy", "--rescore toy: its samples are images, or it has published numbers only"),
        (published, [], "toy", "--rescore toy: its samples are images, or it has published numbers only"),
        (hash_only, [], "toy", "--rescore toy: the samples of a secret are not kept; remove the record"),
        (None, [], "none", "--rescore none: no task of this name in "),
        (None, [], "../records/toy", "--rescore ../records/toy: no task of this name in "),
        (None, ["--metrics", "fid"], "toy", "--metrics fid: not a text metric"),
        (None, ["--shown", "bleu_4"], "toy", "--shown bleu_4: not scored; choose from jsd_1"),
        (None, ["--reference", "nowhere.txt"], "toy", "nowhere.txt: no such file"),
        (None, ["--name", "a"], "toy", "unrecognised --name; see python -m leaderboards.submit --help"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    few: Path, prepare: Callable[[Path], None] | None, flags: list[str], task: str, said: str
) -> None:
    if prepare is not None:
        prepare(few / "records" / "toy")
    before = contents(few)
    with pytest.raises(InputError) as refused:
        again(few / "records", *flags, task=task)
    assert str(refused.value).startswith(said)
    assert contents(few) == before


def test_published_numbers_stay_as_they_are(few: Path) -> None:
    path = few / "records" / "toy" / "of a paper" / "record.json"
    path.parent.mkdir()
    path.write_text(
        '{"name": "of a paper", "kind": "published", "signature": "", "facts": {"runs": 8, "critic_lr": 3e-4},'
        ' "scores": {"jsd_4": {"best_run": 0.35}}, "samples": [], "curve": null}',
        "utf-8",
    )
    before = path.read_bytes()
    assert again(few / "records", "--metrics", "jsd", "bleu") == 0
    assert path.read_bytes() == before
    ((_, (first, paper)),) = all_tasks(few / "records")
    assert (paper.settings, paper.scores["jsd_4"].best_run, "bleu_4" in first.scores) == (
        {"critic_lr": 3e-4},
        0.35,
        True,
    )


def test_a_failure_leaves_all_as_it_was(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert submit_few(few, "--name", "second") == 0
    before = contents(few / "records")
    with_scores = rescore._with_scores

    def fails(record: Record, scored: Any) -> Record:
        if record.name == "second":
            raise KeyboardInterrupt
        return with_scores(record, scored)

    monkeypatch.setattr(rescore, "_with_scores", fails)
    with pytest.raises(KeyboardInterrupt):
        again(few / "records", "--metrics", "bleu")
    assert contents(few / "records") == before
    assert not list(few.rglob("*.partial"))


def test_a_record_submitted_meanwhile_is_not_lost(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_scores = rescore._with_scores

    def overtaken(record: Record, scored: Any) -> Record:
        assert submit_few(few, "--name", "meanwhile") == 0
        return with_scores(record, scored)

    monkeypatch.setattr(rescore, "_with_scores", overtaken)
    with pytest.raises(InputError, match="changed by another submission meanwhile; try again"):
        again(few / "records", "--metrics", "bleu")
    ((task, made),) = all_tasks(few / "records")
    assert (task.metrics, [record.name for record in made]) == (("jsd",), ["first", "meanwhile"])
    assert not list(few.rglob("*.partial"))


def test_a_rescore_that_ends_before_a_submission_is_told(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*arguments: Any) -> Any:
        assert again(few / "records", "--metrics", "bleu") == 0
        return score_file(*arguments)

    monkeypatch.setattr(submit, "score_file", overtaken)
    with pytest.raises(InputError, match="changed by another submission meanwhile; submit again"):
        submit_few(few, "--name", "late")
    assert [record.name for _, made in all_tasks(few / "records") for record in made] == ["first"]


def test_another_text_and_other_held_out_lines_are_recorded(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(few)
    (few / "other.txt").write_text("".join(f"the dog sat on mat {number}\n" for number in range(40)), "utf-8")
    (few / "held.txt").write_text("".join(f"a cat sat on mat {number}\n" for number in range(20)), "utf-8")
    place = few / "records"
    assert again(place, "--metrics", "jsd", "bleu", "--reference", "other.txt") == 0
    ((task, (record,)),) = all_tasks(place)
    assert record.facts["reference"]["corpus"]["data"] == "other.txt"
    assert "|words:punctuation|" in task.signature  # as of a new task: one of characters has no rule of words
    assert verify.main([str(place)]) == 0
    floors = []
    for held_out in ("other.txt", "held.txt"):
        assert again(place, "--metrics", "jsd", "bleu", "--held-out", held_out) == 0
        floors.append((all_tasks(place)[0][0].floor or {})["bleu_2"])
    assert floors[0] == pytest.approx(1, abs=1e-9)
    assert floors[1] < 0.9


def test_records_of_another_reference_are_not_mixed(few: Path) -> None:
    """A record whose recorded reference has changed since is named."""
    assert submit_few(few, "--name", "second") == 0
    path = few / "records" / "toy" / "second" / "record.json"
    content = json.loads(path.read_text("utf-8"))
    (few / "other.txt").write_text("the dog sat on a mat\n" * 40, "utf-8")
    content["facts"]["reference"]["corpus"]["data"] = str(few / "other.txt")
    change(path, facts=content["facts"])
    before = contents(few / "records")
    with pytest.raises(InputError, match=r"second is scored as bleu\|.*, but first as bleu\|"):
        again(few / "records", "--metrics", "bleu")
    assert contents(few / "records") == before
    assert build.main(["--records", str(few / "records")]) == 0
