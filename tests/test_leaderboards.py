import base64
import gzip
import hashlib
import json
import math
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from data.errors import InputError
from eval import bleu, word_jsd
from eval.ngram_sampler import main as sample_ngrams
from images.config import PRESETS as IMAGE_PRESETS
from images.config import ImageConfig
from images.train import train as train_on_images
from leaderboards import build, submit, verify
from leaderboards.records import RECORDS, all_tasks, read_record
from textgan.config import PRESETS, RunConfig
from textgan.experiment import parse_train
from textgan.rundir import read_metrics, read_options
from textgan.train import train


class Tags(HTMLParser):
    """Where a page's tags point to."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.places += [value or "" for name, value in attrs if name in ("src", "href")]


@pytest.fixture
def records(tiny: RunConfig, tmp_path: Path) -> Path:
    """A task with two records of runs, one of them of two seeds, and one of samples."""
    for name, change in (("a0", {}), ("a1", {"seed": 1}), ("b0", {"critic_lr": 1e-3})):
        train(replace(tiny, run_dir=tmp_path / "suite" / name, ngram=6, **change))
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
    # Where the scores stand is a matter of seconds; that they are the runs' is not.
    for run, end in zip(runs, record.scores["jsd_4"]["runs"], strict=True):
        values = [row["jsd_4"] for row in read_metrics(run)]
        assert min(values) <= end <= max(values)
    assert record.scores["jsd_4"]["end"] == pytest.approx(fmean(record.scores["jsd_4"]["runs"]))
    assert record.scores["jsd_4"]["best_run"] in [row["jsd_4"] for run in runs for row in read_metrics(run)]
    for entry, run, row in zip(record.samples, runs, last, strict=True):
        text = gzip.decompress((record.folder / entry["file"]).read_bytes())
        assert text == (run / "samples" / "20.txt").read_bytes()
        assert entry["sha256"] == hashlib.sha256(text).hexdigest()
        assert entry["scores"] == {name: value for name, value in row.items() if name.startswith("jsd_")}
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
    assert [line for line in middle if line.startswith("|")] == [
        line for line in (tmp_path / "out" / "toy.md").read_text("utf-8").splitlines() if line.startswith("|")
    ]
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
        ("2-gram-model", ("scores", "jsd_4", "end"), 0.001, "jsd_4 at the end is 0.001, but what it holds gives 0"),
        (
            "ttur-critic_lr-0.003",
            ("scores", "jsd_4", "end"),
            0.001,
            "jsd_4 at the end is 0.001, but what it holds gives 0",
        ),
        (
            "ttur-critic_lr-0.003",
            ("scores", "jsd_6", "best_run"),
            0.001,
            "the best run's jsd_6 is 0.001, but",
        ),
        ("2-gram-model", ("samples", 0, "scores", "jsd_4"), math.nan, "but what it holds gives nan"),
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
    with pytest.raises(InputError, match="--metrics: words has its own"):
        submit.main([str(tmp_path / "good.txt"), *flags, "--metrics", "jsd", "--name", "good"])
    assert submit.main([str(tmp_path / "good.txt"), *flags, "--name", "good"]) == 0
    # The scores are those of the metrics' own commands, floors included.
    ((task, made),), _ = all_tasks(records)
    by_name = {record.name: record for record in made}
    command = [str(tmp_path / "good.txt"), "--reference", str(real), "--held-out", str(held_out), "--json"]
    for main in (bleu.main, word_jsd.main):
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
    assert [line.name for line in table.lines] == ["good", "bad", "real text"]
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


def test_runs_on_images_have_records_with_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = replace(
        IMAGE_PRESETS["orig-small"], count=80, dim=2, batch_size=4, iterations=12, eval_every=1, eval_samples=20,
        device="cpu",
    )  # fmt: skip
    for seed in (0, 1):
        train_on_images(replace(small, seed=seed, run_dir=tmp_path / "suite" / f"{seed}"))
    records = tmp_path / "records"
    assert submit.main([str(tmp_path / "suite"), "--task", "toy-images", "--records", str(records)]) == 0
    ((task, (record,)),), _ = all_tasks(records)
    assert task.shown == {"fd_random": "lower"}
    assert task.floor == read_options(tmp_path / "suite" / "0")["floor"]
    for entry, seed in zip(record.samples, (0, 1), strict=True):
        row = read_metrics(tmp_path / "suite" / f"{seed}")[-1]
        assert entry["scores"] == {"fd_random": row["fd_random"]}
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
    tasks = {task.name: (task, records) for task, records in all_tasks(RECORDS)[0]}
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
