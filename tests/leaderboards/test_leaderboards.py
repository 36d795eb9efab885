import base64
import gzip
import hashlib
import json
import math
import re
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path, PureWindowsPath
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.errors import InputError
from eval import bleu
from eval.ngram_sampler import main as sample_ngrams
from images.config import PRESETS as IMAGE_PRESETS
from images.config import ImageConfig
from images.train import train as train_on_images
from leaderboards import build, submit, verify
from leaderboards.records import RECORDS, TASK, all_tasks, folder_name, read_record
from tests.eval.test_word_commands import jsd_of_words
from textgan.engine.experiment import parse_train
from textgan.engine.run_folder import read_metrics, read_options
from textgan.models.settings import PRESETS, RunConfig
from textgan.train import train


class Tags(HTMLParser):
    """Where a page's tags point to."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.places += [value or "" for name, value in attrs if name in ("src", "href")]


def even_clock(run: Path) -> None:
    """Let a run's iterations have taken the same time each: which windows hold which score is then known."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    for row in rows:
        row.update({name: row["iteration"] / 10 for name in row if name.endswith("_seconds")})
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


@pytest.fixture
def records(tiny: RunConfig, tmp_path: Path) -> Path:
    """A task with two records of runs, one of them of two seeds, and one of samples."""
    for name, change in (("a0", {}), ("a1", {"seed": 1}), ("b0", {"critic_lr": 1e-3})):
        train(replace(tiny, run_dir=tmp_path / "suite" / name, ngram=6, **change))
        even_clock(tmp_path / "suite" / name)
    folder = tmp_path / "records"
    assert submit.main([str(tmp_path / "suite"), "--task", "toy", "--records", str(folder)]) == 0
    flags = ["--order", "2", "--count", "30", "--seq-len", "12"]
    assert sample_ngrams([tiny.data, *flags, "--output", str(tmp_path / "two.txt")]) == 0
    more = ["--task", "toy", "--name", "2-gram model", "--note", "counts alone", "--records", str(folder)]
    assert submit.main([str(tmp_path / "two.txt"), *more]) == 0
    return folder


def test_a_record_of_runs_says_what_they_did(records: Path, tmp_path: Path) -> None:
    record = read_record(records / "toy" / "ttur-critic_lr-0.003")
    runs = [tmp_path / "suite" / name for name in ("a0", "a1")]
    last = [read_metrics(run)[-1] for run in runs]
    assert record.signature == read_options(runs[0])["signature"]
    assert record.facts["seeds"] == [0, 1]
    assert record.facts["iterations"] == [20, 20]
    for run, end in zip(runs, record.scores["jsd_4"]["runs"], strict=True):
        values = [row["scores/jsd_4"] for row in read_metrics(run)]
        assert min(values) <= end <= max(values)
    assert record.scores["jsd_4"]["end"] == pytest.approx(fmean(record.scores["jsd_4"]["runs"]))
    assert record.scores["jsd_4"]["best_run"] in [row["scores/jsd_4"] for run in runs for row in read_metrics(run)]
    for entry, run, row in zip(record.samples, runs, last, strict=True):
        text = gzip.decompress((record.folder / entry["file"]).read_bytes())
        assert text == (run / "samples" / "20.txt").read_bytes()
        assert entry["sha256"] == hashlib.sha256(text).hexdigest()
        assert entry["scores"] == {f"jsd_{n}": row[f"scores/jsd_{n}"] for n in range(1, 7)}
    assert str(tmp_path) not in (record.folder / "record.json").read_text("utf-8")  # no place on a machine
    # The command, with the seed and the place added, is the run.
    config = parse_train(record.facts["command"].split()[3:], RunConfig, PRESETS, "train", None).config
    made = read_options(runs[0])["config"]
    assert {**config.as_json(), "run_dir": made["run_dir"], "data": made["data"]} == made


def test_tables_are_the_records(records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- leaderboard toy -->\nold\n<!-- end -->\nafter\n", "utf-8")
    flags = ["--records", str(records), "--output", str(tmp_path / "out"), "--readme", str(readme)]
    assert build.main([*flags, "--check"]) == 1
    assert "stale: toy.md, index.md, README.md;" in capsys.readouterr().err
    assert build.main(flags) == 0
    assert build.main([*flags, "--check"]) == 0
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (tmp_path / "out" / "toy.md").read_text("utf-8").splitlines()
        if line.startswith("| ")
    ]
    head, body = rows[0], {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}
    assert head[6:12] == [f"JSD-{n} {column}" for n in (4, 6) for column in ("best run", "best mean", "at the end")]
    record = read_record(records / "toy" / "ttur-critic_lr-0.003")
    shown = body[record.name]
    assert (shown["runs"], shown["critic rate"], shown["kind"]) == ("2", "0.003", "runs")
    end = record.scores["jsd_4"]
    assert shown["JSD-4 at the end"] == f"{end['end']:.3f} ± {np.std(end['runs'], ddof=1):.3f}"
    samples = read_record(records / "toy" / "2-gram-model")
    assert body["2-gram model"]["JSD-6 at the end"] == f"{samples.scores['jsd_6']['end']:.3f}"
    assert body["2-gram model"]["note"] == "counts alone"
    floor = read_options(tmp_path / "suite" / "a0")["floor"]
    assert body["real text"]["JSD-4 at the end"] == f"{floor['jsd_4']:.3f}"
    first, *middle, last = readme.read_text("utf-8").splitlines()
    assert (first, last) == ("before", "after")
    names = ["name", "runs", "JSD-4 at the end", "JSD-6 at the end", "note"]
    columns = [head.index(name) for name in names]
    in_readme = [[cell.strip() for cell in line.strip("|").split("|")] for line in middle if line.startswith("| ")]
    assert in_readme == [[row[column] for column in columns] for row in rows]
    # A changed record makes all stale that show it.
    path = records / "toy" / "2-gram-model" / "record.json"
    path.write_text(path.read_text("utf-8").replace("counts alone", "changed"), "utf-8")
    capsys.readouterr()
    assert build.main([*flags, "--check"]) == 1
    assert "stale: toy.md, README.md, index.html" in capsys.readouterr().err


def test_every_record_verifies_and_an_altered_one_does_not(
    records: Path,
    tiny: RunConfig,
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
        ("2-gram-model", ("samples", 0, "scores", "jsd_4"), math.nan, "but the record's data give nan"),
        ("2-gram-model", ("samples", 0, "scores"), {}, "samples.txt.gz is scored by jsd_1"),
    ],
)
def test_numbers_that_do_not_follow_from_the_record_are_found(
    records: Path, tiny: RunConfig, capsys: pytest.CaptureFixture[str], name: str, place: Any, value: Any, said: str
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


def test_a_readme_without_an_end_is_left_alone(records: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- leaderboard toy -->\nmuch more\n", "utf-8")
    with pytest.raises(InputError, match="no <!-- end --> after <!-- leaderboard toy -->"):
        build.main(["--records", str(records), "--output", str(tmp_path / "out"), "--readme", str(readme)])
    assert readme.read_text("utf-8") == "<!-- leaderboard toy -->\nmuch more\n"


def test_records_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for content, said in (
        (None, r"record\.json: no such file; submit again"),
        ("{", r"record\.json: damaged \(.*\); submit again"),
        ('{"name": "a", "kind": "runs"}', r"record\.json: no 'signature'; submit again"),
    ):
        if content is not None:
            (tmp_path / "record.json").write_text(content, "utf-8")
        with pytest.raises(InputError, match=said):
            read_record(tmp_path)


def test_places_on_a_machine_are_left_out() -> None:
    assert submit._without_folder("/a/b/corpus.txt.gz") == "corpus.txt.gz"
    assert submit._without_folder("cifar10:/a/b/pics.npz") == "cifar10:pics.npz"
    assert submit._without_folder("hub:owner/name:text") == "hub:owner/name:text"
    assert submit._without_folder("hub:/a/b/copy:text") == "hub:copy:text"
    assert submit._without_folder("grammar") == "grammar"


def test_other_references_and_sample_counts_are_refused(
    records: Path,
    tiny: RunConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--order", "1", "--count", "31", "--seq-len", "12", "--output", str(tmp_path / "more.txt")]
    assert sample_ngrams([tiny.data, *flags]) == 0
    arguments = [str(tmp_path / "more.txt"), "--task", "toy", "--name", "more", "--records", str(records)]
    with pytest.raises(InputError, match=r"samples:31.*but toy takes .*samples:30"):
        submit.main(arguments)
    assert not (records / "toy" / "more").exists()
    with pytest.raises(InputError, match="there is a record of this name"):
        submit.main([str(tmp_path / "two.txt"), "--task", "toy", "--name", "2-gram model", "--records", str(records)])
    with pytest.raises(InputError, match="--name: say what made these samples"):
        submit.main([str(tmp_path / "two.txt"), "--task", "toy", "--records", str(records)])
    # Another text than the one recorded does not verify.
    other = tmp_path / "other.txt"
    other.write_text("something else\n" * 100, "utf-8")
    assert verify.main([str(records / "toy" / "2-gram-model"), "--reference", str(other)]) == 1
    assert "the record says" in capsys.readouterr().out


def test_without_the_reference_hashes_are_checked_and_that_is_said(
    records: Path,
    tiny: RunConfig,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verify.main([str(records)]) == 0
    assert capsys.readouterr().out.count("not scored again (text.txt: no such file") == 3


def test_words_are_scored_too_and_samples_of_others_are_not_kept(
    tiny: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
                assert (ours["end"], ours["better"]) == (value["value"], score["better"])
                assert task.floor is not None
                if value["floor"] is not None:
                    assert task.floor[name.replace("-", "_")] == value["floor"]
    assert task.shown == {"word_jsd_1": "lower", "bleu_2": "higher"}
    assert by_name["good"].scores["bleu_2"]["end"] > by_name["bad"].scores["bleu_2"]["end"]
    # Higher BLEU comes first; columns that nobody fills are left out.
    table = build.board(task, made)
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
        assert record.scores["bleu_2"]["end"] == record.scores["copied_lines"]["end"] == 1.0
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


def test_records_of_the_first_version_verify_and_take_more(
    records: Path, tiny: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    with pytest.raises(InputError, match="is not the task's"):
        all_tasks(records)


def test_runs_on_images_have_records_with_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = replace(
        IMAGE_PRESETS["orig-small"], count=80, dim=2, batch_size=4, iterations=12, eval_every=1, eval_samples=20,
        device="cpu",
    )  # fmt: skip
    for seed in (0, 1):
        train_on_images(replace(small, seed=seed, run_dir=tmp_path / "suite" / f"{seed}"))
        even_clock(tmp_path / "suite" / f"{seed}")
    records = tmp_path / "records"
    assert submit.main([str(tmp_path / "suite"), "--task", "toy-images", "--records", str(records)]) == 0
    ((task, (record,)),) = all_tasks(records)
    assert task.shown == {"fd_random": "lower"}
    assert task.floor == read_options(tmp_path / "suite" / "0")["floor"]
    for entry, seed in zip(record.samples, (0, 1), strict=True):
        row = read_metrics(tmp_path / "suite" / f"{seed}")[-1]
        assert entry["scores"] == {"fd_random": row["scores/fd_random"]}
        grid = (tmp_path / "suite" / f"{seed}" / "samples" / "12.png").read_bytes()
        assert (record.folder / entry["file"]).read_bytes() == grid
    config = parse_train(record.facts["command"].split()[3:], ImageConfig, IMAGE_PRESETS, "train", None).config
    assert config == replace(small, seed=0)
    assert str(tmp_path) not in (record.folder / "record.json").read_text("utf-8")
    flags = ["--records", str(records), "--output", str(tmp_path / "out"), "--readme", str(tmp_path / "none")]
    assert build.main(flags) == 0
    encoded = base64.b64encode((record.folder / "samples-seed0.png").read_bytes()).decode()
    assert f"data:image/png;base64,{encoded}" in (tmp_path / "out" / "index.html").read_text("utf-8").replace(
        "\\u002b", "+"
    ).replace("\\u003d", "=")
    assert verify.main([str(records)]) == 0
    (record.folder / "samples-seed1.png").write_bytes((record.folder / "samples-seed0.png").read_bytes())
    assert verify.main([str(records)]) == 1
    assert "samples-seed1.png is not as it was submitted" in capsys.readouterr().out


def test_the_projects_own_records_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check"]) == 0
    assert verify.main([]) == 0
    tasks = {task.name: (task, records) for task, records in all_tasks(RECORDS)}
    _, published = tasks["lm1b-char32"]
    # Table 1 of the paper and what its figure shows: the headline is the best single run.
    for name, n, best_run, best_mean in (
        ("ttur", 4, 0.351, 0.377), ("ttur", 6, 0.737, 0.760), ("orig", 4, 0.375, 0.394), ("orig", 6, 0.767, 0.787),
    ):  # fmt: skip
        (record,) = [record for record in published if record.name == f"WGAN-GP {name} (published)"]
        assert record.scores[f"jsd_{n}"]["best_run"] == best_run
        assert record.scores[f"jsd_{n}"]["best_mean"] == best_mean
    for task, name, best_run, best_mean in (
        ("celeba-64", "DCGAN ttur", 12.53, 14.15), ("celeba-64", "DCGAN orig", 21.42, 30.79),
        ("cifar10-32", "DCGAN ttur", 36.89, 40.96), ("cifar10-32", "WGAN-GP orig", 29.31, 32.23),
        ("svhn-32", "DCGAN orig", 21.37, 55.26), ("lsun-bedrooms-64", "WGAN-GP ttur", 9.54, 13.06),
    ):  # fmt: skip
        (record,) = [record for record in tasks[task][1] if record.name == f"{name} (published)"]
        assert record.scores["fid"]["best_run"] == best_run
        assert record.scores["fid"]["best_mean"] == best_mean


def test_a_page_with_a_hundred_records_is_small(records: Path, tmp_path: Path) -> None:
    template = records / "toy" / "ttur-critic_lr-0.003"
    for number in range(100):
        copy = records / "toy" / f"copy-{number}"
        shutil.copytree(template, copy)
        record = json.loads((copy / "record.json").read_text("utf-8"))
        (copy / "record.json").write_text(json.dumps({**record, "name": f"copy {number}"}), "utf-8")
    nothing = str(tmp_path / "none.md")
    assert build.main(["--records", str(records), "--output", str(tmp_path / "out"), "--readme", nothing]) == 0
    page = tmp_path / "out" / "index.html"
    assert page.stat().st_size < 5_000_000
    text = page.read_text("utf-8")
    assert all(f"<td>copy {number}</td>" in text for number in range(100))
    tags = Tags()
    tags.feed(text)
    assert not [place for place in tags.places if not place.startswith("#")]  # it needs no network


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Ten samples and real text, and a task `toy` with a record of the samples."""
    (tmp_path / "real.txt").write_text("the cat sat on a mat\n" * 40, "utf-8")
    (tmp_path / "few.txt").write_text("the cat sat on a dog\n" * 10, "utf-8")
    assert submit_few(tmp_path, "--name", "first") == 0
    return tmp_path


def submit_few(folder: Path, *flags: str, source: str = "few.txt") -> int:
    place = ["--records", str(folder / "records"), "--reference", str(folder / "real.txt")]
    return submit.main([str(folder / source), *place, *(() if "--task" in flags else ("--task", "toy")), *flags])


def contents(folder: Path) -> dict[str, bytes]:
    """A folder's files, but for the cache's."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items() if name.parts[0] != "cache"}


def build_all(folder: Path, *flags: str) -> int:
    """Build the tables and the page into the folder that the records are in."""
    return build.main(["--records", str(folder / "records"), *flags])


ODD_NAMES = [
    "модель", "模型", "../../escaped", "/etc/passwd", "a/b", "a b", "A B", "a-b", ".", "..", "...", "-", "!", "~",
    "x" * 300, "task.json",
    "CON", "nul.txt", ".hidden", "two\nlines", "tab\there", "| pipe | `tick` |", "$$\\frac{1}{$$",
    "'\"", "</script><script>alert(1)</script>", "<!-- end -->", "[link](http://x)", "__proto__", "real text", "first.",
    "e\u0301",
]  # fmt: skip


def test_any_name_is_a_records_name(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(few)
    for name in ODD_NAMES:
        assert submit_few(few, "--name", name, "--note", f"note of {name}") == 0, name
    after = contents(few)
    made = [path for path in after if path not in before]
    # Two files each, in a folder of its own within the task's; nothing else is touched.
    assert {path: after[path] for path in before} == before
    assert all(re.fullmatch(r"records/toy/[\w.=-]+/(record\.json|samples\.txt\.gz)", path) for path in made)
    assert len({path.split("/")[2].casefold() for path in made}) == len(ODD_NAMES) == len(made) / 2
    ((task, found),) = all_tasks(few / "records")
    shown = {" ".join(unicodedata.normalize("NFC", name).split()) for name in ODD_NAMES}
    assert {record.name for record in found} == {"first", *shown}
    # In the table every record is one row of as many cells, and the name is text.
    assert build_all(few) == 0
    rows = [line for line in (few / "toy.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(found) + (task.floor is not None)
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert not any("<script" in row.replace("\\<", "") or "<!--" in row.replace("\\<", "") for row in rows)
    page = (few / "index.html").read_text("utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert verify.main([str(few / "records"), "--reference", str(few / "real.txt")]) == 0
    assert capsys.readouterr().out.count(": ok\n") == len(found)
    for name in ("first", "модель", "two lines", "\u00e9"):
        with pytest.raises(InputError, match="there is a record of this name"):
            submit_few(few, "--name", name)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True))
def test_folders_of_records_are_possible_everywhere_and_no_two_share_one(names: list[str]) -> None:
    taken: list[str] = []
    for name in names:
        folder = folder_name(name, taken)
        assert re.fullmatch(r"[A-Za-z0-9_=][A-Za-z0-9_.=-]*", folder)
        assert len(folder) < 100  # also as the beginning of longer names
        assert not folder.endswith(".")
        assert not PureWindowsPath(folder).is_reserved()
        assert folder.casefold() not in {TASK, *(each.casefold() for each in taken)}
        taken.append(folder)


def test_records_that_are_there_have_the_folders_that_they_would_get() -> None:
    for _, records in all_tasks(RECORDS):
        for record in records:
            assert folder_name(record.name, ["another"]) == record.folder.name


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


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda folder: (folder / "first" / "record.json").write_text('{"name": "fi', "utf-8"),
    "of another kind": lambda folder: (folder / "first" / "record.json").write_text("[]", "utf-8"),
    "a number for a name": lambda folder: change(folder / "first" / "record.json", name=3),
    "no scores": lambda folder: change(folder / "first" / "record.json", scores={"jsd_4": {"end": "low"}}),
    "a list of scores": lambda folder: change(folder / "first" / "record.json", scores=[1]),
    "another signature": lambda folder: change(folder / "first" / "record.json", signature="jsd|n:9"),
    "samples elsewhere": lambda folder: change(
        folder / "first" / "record.json", samples=[{"file": "../../../few.txt", "sha256": "", "scores": {}}]
    ),
    "not UTF-8": lambda folder: (folder / "first" / "record.json").write_bytes(b"\xff{}"),
    "no task": lambda folder: (folder / "task.json").unlink(),
    "a task cut off": lambda folder: (folder / "task.json").write_text("", "utf-8"),
    "a task that shows nothing": lambda folder: change(folder / "task.json", shown={}),
    "a task without metrics": lambda folder: change(folder / "task.json", shown=None),
}


def change(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **entries}), "utf-8")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_task_is_named_and_the_others_are_built(
    few: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    for task in ("good", "better"):
        assert submit_few(few, "--task", task, "--name", "sound") == 0
    assert build_all(few) == 0
    old = (few / "toy.md").read_bytes()
    for name in ("good.md", "better.md", "index.md", "index.html"):
        (few / name).unlink()
    DAMAGES[damage](few / "records" / "toy")
    capsys.readouterr()
    assert build_all(few) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]*records/toy[^\n]*\n", err)
    assert [Path(line.split()[-1]).name for line in out.splitlines()] == [
        "better.md",
        "good.md",
        "index.md",
        "index.html",
    ]
    assert (few / "toy.md").read_bytes() == old
    assert build_all(few, "--check") == 1
    assert "records/toy" in capsys.readouterr().err
    # Another record of the same task can still be made, or is refused in one line.
    if (few / "records" / "toy" / "task.json").exists() and not damage.startswith("a task"):
        assert submit_few(few, "--name", "second") == 0
    if not damage.startswith("a task that") and damage != "a task without metrics":
        capsys.readouterr()
        assert verify.main([str(few / "records"), "--reference", str(few / "real.txt")]) == 1
        out = capsys.readouterr().out
        assert [line for line in out.splitlines() if line.startswith("FAILED") and "toy/first" in line]
        assert sum(line.startswith("passed") and line.endswith("/sound: ok") for line in out.splitlines()) == 2


def test_what_another_process_has_not_finished_is_no_record(few: Path) -> None:
    shutil.copytree(few / "records" / "toy" / "first", few / "records" / "toy" / ".second.x.partial")
    shutil.copytree(few / "records" / "toy", few / "records" / ".new.x.partial")
    ((_, (record,)),) = all_tasks(few / "records")
    assert record.name == "first"
    assert verify.main([str(few / "records"), "--reference", str(few / "real.txt")]) == 0


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("scores", "jsd_4", "windows", 1, -1), 0.0, "the windows of jsd_4 give another lower end of the band"),
        (("scores", "jsd_4", "windows", 0, -1), 0.999, "the windows of jsd_4 give another end of a run"),
        (("scores", "jsd_6", "best_mean"), 0.5, "the windows of jsd_6 give another best mean"),
        (("curve", "jsd_6", "mean", -1), 0.5, "the windows of jsd_6 give another curve of means"),
        (("scores", "jsd_4", "windows", 1), [0.5], "record.json: damaged"),
        (("scores", "jsd_4", "windows"), [], "jsd_4 has no mean for each of 2 runs"),
    ],
)
def test_scores_of_runs_follow_from_their_windows(
    records: Path, tiny: RunConfig, capsys: pytest.CaptureFixture[str], place: Any, value: Any, said: str
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


def metrics_of(run: Path) -> list[str]:
    return (run / "metrics.jsonl").read_text("utf-8").splitlines()


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
        assert kept.samples[0]["sha256"] == hashed.samples[0]["sha256"] == hashlib.sha256(text).hexdigest()
        place = [str(hashed.folder), "--reference", str(few / "real.txt"), "--samples", str(few / source)]
        assert verify.main(place) == 0
        assert capsys.readouterr().out.endswith(": ok\n")
    (few / "empty.txt").touch()
    with pytest.raises(InputError, match=r"empty\.txt: the file is empty"):
        submit_few(few, "--name", "empty", source="empty.txt")


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


def test_outside_a_checkout_the_records_are_named(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leaderboards.records.RECORDS", few / "site-packages" / "leaderboards" / "records")
    for command, flags in (
        (submit.main, [str(few / "few.txt"), "--task", "toy", "--name", "a"]), (build.main, []), (verify.main, []),
    ):  # fmt: skip
        with pytest.raises(InputError, match="--records: needed outside a checkout of textgan"):
            command(flags)
    assert build_all(few) == 0
    assert (few / "toy.md").exists()  # beside the records, not beside the code


def test_records_are_found_through_links(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (few / "elsewhere").mkdir()
    (few / "records" / "toy").rename(few / "elsewhere" / "toy")
    (few / "records" / "toy").symlink_to(few / "elsewhere" / "toy")
    (few / "again").symlink_to(few / "records")
    assert submit_few(few, "--name", "second") == 0
    for place in (few / "again", few / "again" / "toy", few / "records", few / "records" / "toy" / "second"):
        assert verify.main([str(place), "--reference", str(few / "real.txt")]) == 0
        assert capsys.readouterr().out.count(": ok\n") == (1 if place.name == "second" else 2)
    assert build.main(["--records", str(few / "again")]) == 0
    assert "| second |" in (few / "toy.md").read_text("utf-8")


def test_one_billion_word_comes_first_and_published_numbers_last() -> None:
    tasks = all_tasks(RECORDS)
    assert [task.name for task, _ in tasks[:2]] == ["lm1b-small", "lm1b-char32"]
    only_published = [all(record.kind == "published" for record in of_task) for _, of_task in tasks[2:]]
    assert only_published == sorted(only_published)
    own = [bool(task.metrics) for (task, _), published in zip(tasks[2:], only_published, strict=True) if not published]
    assert own == sorted(own, reverse=True)  # text before images
    listed = re.findall(r"\((\S+)\.md\)", (RECORDS.parent / "index.md").read_text("utf-8"))
    assert listed == [task.name for task, _ in tasks]
