"""The command `data.cache`: entries are listed, and removed without touching anything else."""

import json
import os
import re
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.cache import open_cached, read_manifest, remove_entry, write_manifest
from data.cache_entries import KINDS
from data.corpus import CorpusOptions, open_corpus
from data.files import write_json
from tests.helpers.commands import run
from tests.helpers.paths import ROOT
from tests.helpers.text import write_lines

DAY = 24 * 3600


def listed(capfd: pytest.CaptureFixture[str], *flags: str) -> list[dict[str, Any]]:
    status, out, err = run(capfd, "data.cache", *flags, "--json")
    assert (status, err) == (0, "")
    shown = json.loads(out)
    assert shown["bytes"] == sum(entry["bytes"] for entry in shown["entries"])
    assert shown["removed"] == ("--remove" in flags)
    return list(shown["entries"])


def keys(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["key"] for entry in entries]


def add(cache: Path, key: str, size: int = 100, days: float = 0.0, **description: Any) -> Path:
    """Add an entry with one array of `size` bytes, last used `days` days ago."""
    folder = cache / key
    folder.mkdir(parents=True)
    (folder / "1.npy").write_bytes(bytes(size))
    write_manifest(folder, str(KINDS[folder.parent.name]), description)
    return used(folder, days)


def used(path: Path, days: float) -> Path:
    """Set the times of the files of an entry."""
    at = time.time() - days * DAY
    for file in (*path.rglob("*"), path):
        os.utime(file, (at, at))
    return path


OLD, NEW, PICTURES = f"corpora/{'0' * 20}", f"corpora/{'1' * 20}", f"pictures/{'a' * 20}"


@pytest.fixture
def filled(cache: Path) -> Path:
    """A cache of three entries, and files that are not the cache's."""
    add(cache, OLD, 100, days=40, name="old.txt")
    add(cache, NEW, 2000, days=1, name="new.txt")
    add(cache, PICTURES, 30_000, days=20, name="shapes", images=5)
    write_lines(cache / "corpora" / "notes.txt", ["mine"])
    (cache / "papers" / ("0" * 20)).mkdir(parents=True)
    write_lines(cache / "papers" / ("0" * 20) / "draft.txt", ["mine"])
    return cache


def mine(cache: Path) -> list[str]:
    """Return what is left of the files that are not the cache's."""
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*.txt"))


def test_the_entries_of_a_corpus_are_listed(tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert listed(capfd) == []
    write_lines(tmp_path / "a text.txt", ["some lines", "of text"])
    corpus = open_corpus(CorpusOptions(str(tmp_path / "a text.txt"), split=False))
    (entry,) = (entry for entry in listed(capfd) if entry["key"].startswith("corpora/"))
    (folder,) = (cache / "corpora").iterdir()
    assert entry["key"] == f"corpora/{folder.name}"
    assert entry["data"] == "a text.txt"
    assert entry["state"] == "whole"
    assert entry["bytes"] == sum(file.stat().st_size for file in folder.iterdir()) > corpus.train.row.size
    assert abs(datetime.fromisoformat(entry["used"]).timestamp() - time.time()) < DAY
    status, out, _ = run(capfd, "data.cache")
    assert status == 0
    assert re.search(rf"^{entry['key']}  a text.txt +[\d.]+ k?B  \d{{4}}-\d\d-\d\d$", out, re.MULTILINE)


def test_the_list_names_data_size_and_last_use(filled: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifests = {key: (filled / key).rglob("*.json") for key in (OLD, NEW, PICTURES)}
    extra = {key: sum(path.stat().st_size for path in paths) for key, paths in manifests.items()}
    at = {key: datetime.fromtimestamp((filled / key / "1.npy").stat().st_mtime, UTC) for key in extra}
    found = {entry["key"]: entry for entry in listed(capfd)}
    assert list(found) == [OLD, NEW, PICTURES]
    assert {key: entry["bytes"] - extra[key] for key, entry in found.items()} == {OLD: 100, NEW: 2000, PICTURES: 30_000}
    assert [entry["data"] for entry in found.values()] == ["old.txt", "new.txt", "shapes"]
    # Although the list reads manifests, which is no use of an entry.
    assert {key: entry["used"] for key, entry in found.items()} == {
        key: when.isoformat(timespec="seconds") for key, when in at.items()
    }
    lines = run(capfd, "data.cache")[1].splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [[OLD, "old.txt"], [NEW, "new.txt"], [PICTURES, "shapes"]]
    assert lines[3].split()[2:] == ["30.2", "kB", f"{at[PICTURES]:%Y-%m-%d}"]
    assert lines[-1] == f"3 entries, {sum(e['bytes'] for e in found.values()) / 1000:.1f} kB, in {filled}"


def test_damaged_and_incomplete_entries_are_listed_as_such(filled: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (filled / OLD / "1.npy").unlink()
    manifest = filled / PICTURES / "pictures.json"
    manifest.write_text(manifest.read_text("utf-8").replace("shapes", "shades"), "utf-8")
    (filled / "corpora" / ".abc.x.partial").mkdir()
    (filled / "words" / ("b" * 20)).mkdir(parents=True)
    states = {entry["key"]: entry["state"] for entry in listed(capfd)}
    assert states == {
        "corpora/.abc.x.partial": "incomplete", OLD: "damaged", NEW: "whole", PICTURES: "damaged",
        f"words/{'b' * 20}": "damaged",
    }  # fmt: skip
    assert run(capfd, "data.cache")[1].count("  damaged\n") == 3


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (["--remove", OLD], [NEW, PICTURES]),
        (["--remove", OLD, PICTURES], [NEW]),
        (["--remove", "corpora"], [PICTURES]),
        (["--remove", "all"], []),
        (["--remove", "all", "--older-than", "30"], [NEW, PICTURES]),
        (["--remove", "corpora", "--older-than", "0.5"], [PICTURES]),
        (["--remove", PICTURES, "--older-than", "30"], [OLD, NEW, PICTURES]),
    ],
)
def test_only_the_named_entries_are_removed(
    flags: list[str], left: list[str], filled: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    removed = listed(capfd, *flags)
    assert keys(removed) == [key for key in (OLD, NEW, PICTURES) if key not in left]
    assert keys(listed(capfd)) == left == [key for key in (OLD, NEW, PICTURES) if (filled / key).exists()]
    assert mine(filled) == ["corpora/notes.txt", f"papers/{'0' * 20}/draft.txt"]
    assert not list(filled.rglob("*.partial"))


def test_a_list_may_be_of_old_entries_alone(filled: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert keys(listed(capfd, "--older-than", "10")) == [OLD, PICTURES]
    assert keys(listed(capfd, "--older-than", "41")) == []
    assert (filled / OLD).exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--remove", "../outside"], "--remove ../outside: no such entry; list the keys: python -m data.cache"),
        (["--remove", f"corpora/../{OLD}"], "no such entry"),
        (["--remove", "corpora/notes.txt"], "no such entry"),
        (["--remove", f"papers/{'0' * 20}"], "no such entry"),
        (["--remove", OLD, "corpora/2"], "--remove corpora/2: no such entry"),
        (["--remove", "words"], "--remove words: no entry in"),
        (["--remove", "all", "--older-than", "-1"], "--older-than -1"),
        (["--remove", "all", "--older-than", "nan"], "--older-than nan"),
    ],
)
def test_nothing_else_can_be_removed(
    flags: list[str], message: str, filled: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_lines(filled.parent / "outside", ["mine"])
    before = sorted(filled.parent.rglob("*"))
    status, out, err = run(capfd, "data.cache", *flags)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(filled.parent.rglob("*")) == before


def test_what_is_being_written_stays(filled: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, days in ((".new.partial", 0.5), (".old.partial", 1.5)):
        (filled / "corpora" / name).mkdir()
        write_json(filled / "corpora" / name / "part", [1])
        used(filled / "corpora" / name, days)
    assert keys(listed(capfd, "--remove", "all")) == ["corpora/.old.partial", OLD, NEW, PICTURES]
    assert keys(listed(capfd, "--remove", "corpora/.new.partial")) == ["corpora/.new.partial"]


def test_files_of_the_cache_are_entries(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = [f"hashes/{'c' * 20}.json", "weights/pt_inception-2015-12-05-6726825d.pth"]
    for name in names:
        write_json(cache / name, [1, 2, 3])
    (archive := cache / "lm1b" / ("d" * 20)).mkdir(parents=True)
    write_lines(archive / "news", ["a line"])
    found = listed(capfd)
    assert keys(found) == [names[0], f"lm1b/{'d' * 20}", names[1]]
    assert [entry["state"] for entry in found] == ["whole"] * 3
    assert found[1]["bytes"] == 7
    listed(capfd, "--remove", *names, f"lm1b/{'d' * 20}")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_removed_corpus_is_built_again(tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / "text.txt", ["some lines", "of text"])
    options = CorpusOptions(str(tmp_path / "text.txt"), split=False)
    before = open_corpus(options)
    listed(capfd, "--remove", "corpora")
    assert not list((cache / "corpora").iterdir())
    assert before.train[:].tolist() == open_corpus(options).train[:].tolist()  # memory-mapped files outlive their names


def test_a_link_is_removed_and_not_what_it_leads_to(cache: Path, tmp_path: Path) -> None:
    kept = add(tmp_path / "elsewhere", OLD)
    (cache / "corpora").mkdir(parents=True)
    (cache / OLD).symlink_to(kept)
    remove_entry(cache / OLD)
    remove_entry(cache / OLD)  # gone already
    assert not (cache / OLD).is_symlink()
    assert (kept / "1.npy").exists()


def test_an_entry_is_whole_or_gone_while_it_is_removed(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: seen.append((filled / OLD).exists()))
    remove_entry(filled / OLD)
    assert seen == [False]
    monkeypatch.undo()

    def build(folder: Path) -> None:
        write_manifest(folder, "corpus.json", {"name": "again"})

    assert open_cached(filled / OLD, lambda folder: read_manifest(folder, "corpus.json"), build)["name"] == "again"


def test_the_kinds_are_those_that_the_code_writes() -> None:
    sources = {path: path.read_text("utf-8") for package in ("data", "eval") for path in (ROOT / package).rglob("*.py")}
    written = {kind for source in sources.values() for kind in re.findall(r'cache_folder\(\) / "([^"]+)"', source)}
    assert written == KINDS.keys()
    # A manifest is named in the module that writes the kind.
    for kind, manifest in KINDS.items():
        (source,) = (source for source in sources.values() if f'cache_folder() / "{kind}"' in source)
        assert manifest is None or f'"{manifest}"' in source
        assert (manifest is None) == ("write_manifest" not in source)


def test_a_cache_that_is_not_there_is_empty(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(cache, ignore_errors=True)
    assert listed(capfd) == []
    assert run(capfd, "data.cache")[1].splitlines()[-1] == f"0 entries, 0 B, in {cache}"
    assert run(capfd, "data.cache", "--remove", "all")[0] == 2
