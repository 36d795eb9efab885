"""Records on disk: their names and folders, how they are found, the project's own."""

import base64
import re
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from images.config import PRESETS as IMAGE_PRESETS
from images.train import train as train_on_images
from leaderboards import build, submit, verify
from leaderboards.places import RECORDS, TASK, folder_name
from leaderboards.records import all_tasks, read_record
from tests.helpers.records import build_all, contents, submit_few
from tests.helpers.runs import even_clock, tiny_images
from textgan.engine.run_folder import read_metrics, read_options
from textgan.runs.program import parse_train


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


def test_what_another_process_has_not_finished_is_no_record(few: Path) -> None:
    shutil.copytree(few / "records" / "toy" / "first", few / "records" / "toy" / ".second.x.partial")
    shutil.copytree(few / "records" / "toy", few / "records" / ".new.x.partial")
    ((_, (record,)),) = all_tasks(few / "records")
    assert record.name == "first"
    assert verify.main([str(few / "records"), "--reference", str(few / "real.txt")]) == 0


def test_runs_on_images_have_records_with_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tiny_images("orig-small", count=80, batch_size=4, iterations=12, eval_every=1, eval_samples=20)
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
        assert entry.scores == {"fd_random": row["scores/fd_random"]}
        grid = (tmp_path / "suite" / f"{seed}" / "samples" / "12.png").read_bytes()
        assert (record.folder / str(entry.file)).read_bytes() == grid
    config = parse_train(record.facts["command"].split()[3:], IMAGE_PRESETS, "train", None).config
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
        assert record.scores[f"jsd_{n}"].best_run == best_run
        assert record.scores[f"jsd_{n}"].best_mean == best_mean
    for task, name, best_run, best_mean in (
        ("celeba-64", "DCGAN ttur", 12.53, 14.15), ("celeba-64", "DCGAN orig", 21.42, 30.79),
        ("cifar10-32", "DCGAN ttur", 36.89, 40.96), ("cifar10-32", "WGAN-GP orig", 29.31, 32.23),
        ("svhn-32", "DCGAN orig", 21.37, 55.26), ("lsun-bedrooms-64", "WGAN-GP ttur", 9.54, 13.06),
    ):  # fmt: skip
        (record,) = [record for record in tasks[task][1] if record.name == f"{name} (published)"]
        assert record.scores["fid"].best_run == best_run
        assert record.scores["fid"].best_mean == best_mean


def test_outside_a_checkout_the_records_are_named(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leaderboards.places.RECORDS", few / "site-packages" / "leaderboards" / "records")
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
    only_published = [{record.kind for record in of_task} == {"published"} for _, of_task in tasks[2:]]
    assert only_published == sorted(only_published)
    own = [bool(task.metrics) for (task, _), published in zip(tasks[2:], only_published, strict=True) if not published]
    assert own == sorted(own, reverse=True)  # text before images
    listed = re.findall(r"\((\S+)\.md\)", (RECORDS.parent / "index.md").read_text("utf-8"))
    assert listed == [task.name for task, _ in tasks]
