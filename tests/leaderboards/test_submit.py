"""Submissions: one record per method, all or none; a wrong flag writes nothing."""

import gzip
import hashlib
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.errors import InputError
from data.naming import without_folder
from eval.core.score import without_name
from eval.jsd import main as score_jsd
from eval.ngram_sampler import main as sample_ngrams
from leaderboards import submit, verify
from leaderboards.records import all_tasks, read_record
from leaderboards.signatures import told_apart
from leaderboards.submission import _rebuilt_command
from tests.helpers.records import change, contents, submit_few
from tests.helpers.runs import PRESETS
from textgan.engine.run_folder import declared_scores, read_metrics, read_options
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.program import parse_train


def test_a_record_of_runs_says_what_they_did(records: Path, tmp_path: Path) -> None:
    record = read_record(records / "toy" / "ttur-critic_lr-0.003")
    runs = [tmp_path / "suite" / name for name in ("a0", "a1")]
    last = [read_metrics(run)[-1] for run in runs]
    assert record.signature == declared_scores(runs[0])["jsd_4"].signature
    assert record.facts["seeds"] == [0, 1]
    assert record.facts["iterations"] == [8, 8]
    ends = record.scores["jsd_4"].runs or []
    assert list(ends) == [row["scores/jsd_4"] for row in last]  # evaluated four times, once in the last tenth
    assert record.scores["jsd_4"].end == pytest.approx(fmean(ends))
    assert record.scores["jsd_4"].best_run in [row["scores/jsd_4"] for run in runs for row in read_metrics(run)]
    for entry, run, row in zip(record.samples, runs, last, strict=True):
        text = gzip.decompress((record.folder / str(entry.file)).read_bytes())
        assert text == (run / "samples" / "8.txt").read_bytes()
        assert entry.sha256 == hashlib.sha256(text).hexdigest()
        assert entry.scores == {f"jsd_{n}": row[f"scores/jsd_{n}"] for n in range(1, 7)}
    assert str(tmp_path) not in (record.folder / "record.json").read_text("utf-8")  # no place on a machine
    # The command, with the seed and the place added, is the run.
    config = parse_train(record.facts["command"].split()[3:], PRESETS, "train", None).config
    made = read_options(runs[0])["config"]
    assert {**config.as_json(), "run_dir": made["run_dir"], "data": made["data"]} == made


def test_runs_of_equal_iterations_may_take_different_times(records: Path, tmp_path: Path) -> None:
    before = read_record(records / "toy" / "ttur-critic_lr-0.003")
    path = tmp_path / "suite" / "a1" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    slower = [{**row, "time/train_seconds": 1.1 * row["time/train_seconds"]} for row in rows]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in slower), "utf-8")
    runs = [str(tmp_path / "suite" / name) for name in ("a0", "a1")]
    flags = ["--task", "toy", "--name", "slower", "--records", str(records)]
    assert submit.main([*runs, *flags]) == 0
    after = next(record for _, made in all_tasks(records) for record in made if record.name == "slower")
    assert after.scores == before.scores
    assert after.curve is not None
    assert before.curve is not None
    assert after.curve.bands == before.curve.bands
    assert after.curve.minutes == pytest.approx([1.05 * x for x in before.curve.minutes], abs=1e-4)


@pytest.mark.parametrize("change", [{}, {"eval_seconds": 20.0, "minutes": 2.0, "iterations": None, "seed": 7}])
def test_a_command_is_rebuilt_from_recorded_settings(tiny: WganGpSettings, change: dict[str, Any]) -> None:
    config = replace(tiny, **change)
    command = _rebuilt_command({"program": "textgan.train", "config": config.as_json()})
    python, _, module, *flags = shlex.split(command)
    assert (python, module) == ("python", "textgan.train")
    expected = replace(config, seed=0, data="text.txt", run_dir=None)
    # Of the two intervals of evaluations, one is left at the preset's value.
    every = PRESETS["ttur"].eval_every if change else tiny.eval_every
    made = parse_train(flags, PRESETS, "train", None).config.as_json()
    assert {**made, "data": "text.txt"} == {**replace(expected, eval_every=every).as_json(), "data": "text.txt"}


def test_places_on_a_machine_are_left_out() -> None:
    assert without_folder("/a/b/corpus.txt.gz") == "corpus.txt.gz"
    assert without_folder("cifar10:/a/b/pics.npz") == "cifar10:pics.npz"
    assert (
        without_folder('pool:["/a/b/one.txt", "jsonl:/a:b/two.jsonl:text"]')
        == 'pool:["one.txt", "jsonl:two.jsonl:text"]'
    )
    assert without_folder("hub:owner/name:text") == "hub:owner/name:text"
    assert without_folder("hub:/a/b/copy:text") == "hub:copy:text"
    assert without_folder("grammar") == "grammar"


def test_other_references_and_sample_counts_are_refused(
    records: Path,
    tiny: WganGpSettings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--order", "1", "--count", "31", "--seq-len", "12", "--output", str(tmp_path / "more.txt")]
    assert sample_ngrams([tiny.data, *flags]) == 0
    arguments = [str(tmp_path / "more.txt"), "--task", "toy", "--name", "more", "--records", str(records)]
    with pytest.raises(InputError, match=r"scored with samples:31, but the task with samples:30; score it as toy is"):
        submit.main(arguments)
    assert not (records / "toy" / "more").exists()
    with pytest.raises(InputError, match="there is a record of this name"):
        submit.main([str(tmp_path / "two.txt"), "--task", "toy", "--name", "2-gram model", "--records", str(records)])
    with pytest.raises(InputError, match="--name: say what made these samples"):
        submit.main([str(tmp_path / "two.txt"), "--task", "toy", "--records", str(records)])
    with pytest.raises(InputError, match=r"--samples more\.txt: the records keep their samples; leave the flag out"):
        verify.main([str(records / "toy" / "2-gram-model"), "--samples", "more.txt"])
    # Another text than the one recorded does not verify.
    other = tmp_path / "other.txt"
    other.write_text("something else\n" * 100, "utf-8")
    assert verify.main([str(records / "toy" / "2-gram-model"), "--reference", str(other)]) == 1
    assert "the record says" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("record", "difference"),
    [
        # Samples have no exact scores, so these are no difference.
        ("jsd|n:6|samples:31|v:1", "scored with samples:31, but the task with samples:30"),
        ("jsd|n:6|samples:30|v:1; exact|lines:9|v:1", "scored with lines:9, but the task with lines:8"),
        ("bleu|samples:30|v:1", "scored by bleu, but the task by jsd"),
    ],
)
def test_a_difference_is_told_by_what_samples_can_have(record: str, difference: str) -> None:
    assert told_apart(record, "jsd|n:6|samples:30|v:1; exact|lines:8|v:1") == difference


@pytest.mark.parametrize("given", [["--reference", "renamed.txt"], []])
def test_samples_without_a_record_are_scored_against_the_lines_of_the_task(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy("two.txt", "plain.txt")
    shutil.copy("text.txt", "renamed.txt")
    of_task = read_record(records / "toy" / "2-gram-model")
    assert of_task.facts["reference"]["corpus"]["split"]  # the training lines, not all
    assert submit.main(["plain.txt", "--task", "toy", "--name", "plain", "--records", str(records), *given]) == 0
    plain = read_record(records / "toy" / "plain")
    assert plain.scores == of_task.scores
    assert without_name(plain.signature) == without_name(of_task.signature)
    assert (plain.signature == of_task.signature) == (not given)
    assert verify.main([str(records / "toy" / "plain")]) == 0
    # All lines of the text are another reference.
    jsd = ["plain.txt", "--reference", "text.txt", "--seq-len", "12", "--ngram", "6", "--json"]
    capsys.readouterr()
    assert score_jsd(jsd) == 0
    (whole,) = json.loads(capsys.readouterr().out)
    assert whole["signature"].split("@")[1] != of_task.signature.split("@")[1]


def test_the_text_of_a_task_is_named_if_it_is_not_there(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy("two.txt", "plain.txt")
    Path("text.txt").rename("elsewhere.txt")
    with pytest.raises(InputError, match=r"text\.txt.*--reference"):
        submit.main(["plain.txt", "--task", "toy", "--name", "plain", "--records", str(records)])


@pytest.mark.parametrize(
    "task",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/abs",
        "a\\b",
        "модель",
        "x" * 81,
        "x\n",
        "-x",
        ".x",
        "x.",
        " ",
        "con",
        "index",
        "README",
        "TOY",
    ],
)
def test_a_task_is_a_folder_of_the_records(few: Path, task: str) -> None:
    before = contents(few)
    with pytest.raises(InputError, match="--task"):
        submit_few(few, "--task", task, "--name", "a")
    assert contents(few) == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--task", "new", "--name", "a", "--shown", "jsd_4", "jsd_9"],
            "--shown jsd_9: not scored; choose from jsd_1,",
        ),
        (["--task", "new", "--name", "a", "--reference", "nowhere.txt"], "nowhere.txt: no such file"),
        (
            ["--task", "new", "--name", "a", "--metrics", "bleu", "--held-out", "nowhere.txt"],
            "nowhere.txt: no such file",
        ),
        (["--task", "new", "--name", " \n"], "--name: its value is empty"),
        (["--task", "new", "--name", "a\udcff"], "--name .*: not UTF-8"),
        (["--task", "new", "--name", "a", "--title", "a\udcff"], "--title .*: not UTF-8"),
        (["--name", "a", "--shown", "jsd_4"], "--shown: fixed by task toy"),
        (["--task", "full", "--name", "a"], "full is there without a task.json"),
        (["--task", "file", "--name", "a"], "file is there without a task.json"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(few: Path, flags: list[str], said: str) -> None:
    (few / "records" / "full" / "old").mkdir(parents=True)
    (few / "records" / "file").touch()
    before = sorted(few.rglob("*"))
    with pytest.raises(InputError, match=said):
        submit_few(few, *flags)
    assert [path for path in sorted(few.rglob("*")) if "cache" not in path.parts] == [
        path for path in before if "cache" not in path.parts
    ]


@pytest.mark.parametrize("flags", [["--reference", "x"], ["--held-out", "x"], ["--metrics", "bleu"], ["--hash-only"]])
def test_flags_of_samples_do_not_fit_runs(records: Path, tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(InputError, match=f"{flags[0]}: not for runs, which are already scored; leave it out"):
        submit.main([str(tmp_path / "suite"), "--task", "new", "--records", str(records), *flags])
    with pytest.raises(InputError, match=r"two\.txt: submit a file of samples alone"):
        submit.main([str(tmp_path / "suite"), str(tmp_path / "two.txt"), "--task", "new", "--records", str(records)])
    assert not (records / "new").exists()


def test_a_run_that_was_stopped_is_not_averaged_with_finished_ones(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, flags = tmp_path / "suite", ["--task", "new", "--records", str(records)]
    (suite / "a1" / "summary.json").unlink()
    with pytest.raises(InputError, match=r"a1: has not used its budget, unlike other runs of .*; continue it first"):
        submit.main([str(suite), *flags])
    assert not (records / "new").exists()
    assert submit.main([str(suite / "a1"), *flags]) == 0  # alone
    assert "a1: the budget is not used; a continued run has other scores" in capsys.readouterr().err


def test_of_several_methods_all_are_written_or_none(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has a record already; or writing fails after the first."""
    suite = str(tmp_path / "suite")
    shutil.rmtree(records / "toy" / "ttur-critic_lr-0.003")
    before = contents(records)
    with pytest.raises(InputError, match="there is a record of this name"):
        submit.main([suite, "--task", "toy", "--records", str(records)])
    assert contents(records) == before
    shutil.rmtree(records / "toy" / "ttur-critic_lr-0.001")
    before = contents(records)
    fill = submit._fill
    for task, fills in (("toy", 1), ("new", 2)):
        left = [fill] * fills
        monkeypatch.setattr(submit, "_fill", lambda folder, files, left=left: left.pop()(folder, files))
        with pytest.raises(IndexError):
            submit.main([suite, "--task", task, "--records", str(records)])
        assert contents(records) == before
        assert not (records / "new").exists()
    monkeypatch.undo()
    assert submit.main([suite, "--task", "toy", "--records", str(records)]) == 0


@pytest.mark.parametrize("task", ["toy", "new"])
def test_the_slower_of_two_submissions_is_told(few: Path, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    fill = submit._fill

    def overtaken(folder: Path, files: Any) -> None:
        monkeypatch.setattr(submit, "_fill", fill)
        assert submit_few(few, "--task", task, "--name", "same", "--note", "the faster one") == 0
        fill(folder, files)

    monkeypatch.setattr(submit, "_fill", overtaken)
    with pytest.raises(InputError, match="made by another submission meanwhile; submit again"):
        submit_few(few, "--task", task, "--name", "same")
    made = {
        record.name: record for each, of_task in all_tasks(few / "records") if each.name == task for record in of_task
    }
    assert made["same"].facts["note"] == "the faster one"
    assert not list((few / "records").rglob("*.partial"))


def test_samples_are_kept_as_plain_lines_whatever_they_came_in(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"the cat sat on mat {number} é" for number in range(10)]
    text = "".join(f"{line}\n" for line in lines).encode()
    (few / "plain.txt").write_bytes(text)
    (few / "dos.txt").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    (few / "cut.txt").write_bytes(text[:-1])
    (few / "packed.txt.gz").write_bytes(gzip.compress(text))
    with pa.output_stream(str(few / "packed.txt.zst"), compression="zstd") as file:
        file.write(text)
    (few / "link.txt").symlink_to("plain.txt")
    sources = ["plain.txt", "dos.txt", "cut.txt", "packed.txt.gz", "packed.txt.zst", "link.txt"]
    for source in sources:
        assert submit_few(few, "--name", source, source=source) == 0
        assert submit_few(few, "--name", f"hash of {source}", "--hash-only", source=source) == 0
    made = {record.name: record for record in all_tasks(few / "records")[0][1]}
    for source in sources:
        kept, hashed = made[source], made[f"hash of {source}"]
        assert gzip.decompress((kept.folder / "samples.txt.gz").read_bytes()) == text
        assert kept.scores == hashed.scores == made["plain.txt"].scores
        assert kept.samples[0].sha256 == hashed.samples[0].sha256 == hashlib.sha256(text).hexdigest()
        place = [str(hashed.folder), "--reference", str(few / "real.txt"), "--samples", str(few / source)]
        assert verify.main(place) == 0
        assert capsys.readouterr().out.endswith(": ok\n")
    (few / "empty.txt").touch()
    with pytest.raises(InputError, match=r"empty\.txt: the file is empty"):
        submit_few(few, "--name", "empty", source="empty.txt")
    (few / "objects.jsonl").write_bytes(b'{"text": "the cat"}\n')
    with pytest.raises(InputError, match=r"objects\.jsonl: JSON Lines; write the text of one of these .*: text$"):
        submit_few(few, "--name", "objects", source="objects.jsonl")


def test_a_picture_or_table_is_scored_rightly_or_refused(few: Path) -> None:
    lines = [f"the cat sat on mat {number}" for number in range(10)]
    pq.write_table(pa.table({"text": lines}), few / "table.parquet")
    Image.new("RGB", (9, 9)).save(few / "picture.txt", "png")
    for source in ("table.parquet", "picture.txt"):
        before = contents(few / "records")
        try:
            submit_few(few, "--name", source, source=source)
        except InputError as error:
            assert str(error).startswith(str(few / source))
            assert contents(few / "records") == before
        else:
            assert source == "table.parquet"
            text = gzip.decompress((few / "records" / "toy" / source / "samples.txt.gz").read_bytes())
            assert text.decode().splitlines() == lines


def test_tasks_without_texts_take_none(few: Path) -> None:
    change(few / "records" / "toy" / "task.json", metrics=[], signature="")
    with pytest.raises(InputError, match="--task toy: takes no text"):
        submit_few(few, "--name", "a")
