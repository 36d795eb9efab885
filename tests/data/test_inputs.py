import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from data import inputs
from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.files import sha256_of_file
from data.inputs import file_identity, local_file, read_once, require_different, walk
from data.readers import read_lines
from data.sources import absolute_source, moved, open_source
from tests.helpers.commands import run
from tests.helpers.paths import ROOT

LINES = [f"the cat sat on mat {index}" for index in range(3000)]
TEXT = "".join(f"{line}\n" for line in LINES).encode()


def read(path: str) -> list[str]:
    return list(chain.from_iterable(read_lines(Path(path))))


def in_background(write: Callable[[], object]) -> Thread:
    thread = Thread(target=write)
    thread.start()
    return thread


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_is_read_as_often_as_a_file(
    standard_input: Callable[[bytes], None], cache: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(TEXT)
    standard_input(packed)
    assert read_once(name)
    assert read(name) == read(name) == LINES
    assert read("-") == LINES  # the same pipe by another name
    (copy,) = (cache / "spool").iterdir()
    assert copy.read_bytes() == packed
    assert copy.stat().st_mode & 0o077 == 0
    standard_input(b"another\n")
    assert read(name) == ["another"]


def test_a_named_pipe_is_read_once_each_time_it_is_filled(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    for lines in (LINES, ["another"]):
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        thread = in_background(lambda lines=lines: pipe.write_text("\n".join(lines), "utf-8"))  # type: ignore[misc]
        assert read(str(pipe)) == read(str(pipe)) == lines
        thread.join()


@pytest.mark.slow
def test_copies_go_when_the_process_ends(tmp_path: Path, cache: Path) -> None:
    code = "import sys; from data.readers import *; print(sum(map(len, read_lines(Path('-')))))"
    done = subprocess.run([sys.executable, "-c", code], input=TEXT, capture_output=True, check=True)
    assert done.stdout == b"3000\n"
    assert list((cache / "spool").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/dev/zero", "^/dev/zero: a device; name a file or a pipe"),
        ("nowhere", "^nowhere: no such file or folder"),
        ("file/below", "^file/below: no such file or folder"),
        ("folder", "^folder: a folder where a file is needed"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    with pytest.raises(InputError, match=message):
        local_file(Path(path))


@pytest.mark.slow
def test_closed_standard_input_and_a_terminal_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, terminal = os.openpty()
    before = os.dup(0)
    os.dup2(terminal, 0)
    try:
        with pytest.raises(InputError, match=r"^-: a terminal; pipe"):
            local_file(Path("-"))
    finally:
        os.dup2(before, 0)
        for descriptor in (before, ours, terminal):
            os.close(descriptor)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match=r"^-: standard input is closed; pipe"):
        local_file(Path("-"))
    closed = subprocess.run(
        ["bash", "-c", '"$0" -m eval.jsd - <&-', sys.executable], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (closed.returncode, closed.stdout) == (2, "")
    assert closed.stderr.startswith("error: -: standard input is closed; pipe")


def test_one_pipe_is_not_two_inputs(standard_input: Callable[[bytes], None], tmp_path: Path) -> None:
    standard_input(TEXT)
    require_different("-", None, tmp_path, tmp_path, "nowhere", "nowhere", "grammar")
    with pytest.raises(InputError, match=r"^/dev/stdin: the same input as -, which can be read only once"):
        require_different("-", "grammar", "/dev/stdin")


@pytest.mark.parametrize(
    ("module", "name"), [("jsd", "-"), ("jsd", "/dev/stdin"), ("jsd", "/dev/fd/0"), ("bleu", "-"), ("report", "-")]
)
def test_scores_are_those_of_the_file(
    text_file: Path,
    tmp_path: Path,
    standard_input: Callable[[bytes], None],
    capfd: pytest.CaptureFixture[str],
    module: str,
    name: str,
) -> None:
    samples = tmp_path / "samples.txt"
    samples.write_bytes(TEXT[:3000])
    flags = ["--format", "json"] if module == "report" else ["--json"]
    status, expected, _ = run(capfd, f"eval.{module}", str(samples), "--reference", str(text_file), *flags)
    assert status == 0
    standard_input(gzip.compress(TEXT[:3000]))
    status, found, _ = run(capfd, f"eval.{module}", name, "--reference", str(text_file), *flags)
    assert status == 0
    assert found.replace(f'"{name}"', f'"{samples}"') == expected
    standard_input(text_file.read_bytes())
    _, found, _ = run(capfd, f"eval.{module}", str(samples), "--reference", name, *flags)
    assert found.replace(f"ref:{name}@", "ref:text.txt@").replace(f'"{name} (', '"text.txt (') == expected


def test_held_out_text_and_images_come_through_pipes_too(
    text_file: Path, tmp_path: Path, standard_input: Callable[[bytes], None], capfd: pytest.CaptureFixture[str]
) -> None:
    samples = tmp_path / "samples.txt"
    samples.write_bytes(TEXT[:3000])
    for module in ("jsd", "bleu"):
        outputs = []
        for held_out in (str(text_file), "-"):
            standard_input(text_file.read_bytes())
            flags = ("--reference", str(text_file), "--held-out", held_out, "--json")
            outputs.append(run(capfd, f"eval.{module}", str(samples), *flags)[:2])
        assert outputs[0] == outputs[1]
        assert outputs[0][0] == 0
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    features = ("--features", "random-conv", "--json")
    for save in (np.save, np.savez):
        with (tmp_path / "x.bin").open("wb") as file:
            save(file, images)
        standard_input((tmp_path / "x.bin").read_bytes())
        named = tmp_path / ("x.npy" if save is np.save else "x.npz")
        (tmp_path / "x.bin").rename(named)
        found = run(capfd, "eval.fid", "-", str(named), *features)
        assert found[0] == 0
        assert json.loads(found[1]) == json.loads(run(capfd, "eval.fid", str(named), str(named), *features)[1])


def test_what_is_recorded_cannot_come_through_a_pipe(
    standard_input: Callable[[bytes], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    standard_input(TEXT)
    output = tmp_path / "o.txt"
    for command in (
        ("eval.ngram_sampler", "-", "--output", str(output)),
        ("textgan.train", "--data", "-", "--run-dir", str(tmp_path / "run")),
        ("images.train", "--data", "-", "--run-dir", str(tmp_path / "run"), "--features", "random-conv"),
    ):
        status, _, said = run(capfd, *command)
        assert status == 2
        assert said.splitlines()[-1].startswith(
            "error: -: can be read only once, but is recorded to be read again; save it"
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n", "utf-8")


def test_a_folder_is_walked_by_one_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, outside = tmp_path / "f", tmp_path / "outside"
    make(folder, "b.txt", "a/2.TXT", "a/10.txt", "a.txt", ".hidden.txt", ".git/x.txt", "notes.md", "x/y.json", "plain")
    make(outside, "far.txt", "deep/er.txt")
    (folder / "linked.txt").symlink_to("b.txt")  # the same file again
    (folder / "c.txt").symlink_to(outside / "far.txt")
    (folder / "d").symlink_to(outside)  # far.txt again, and one more
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "itself").symlink_to("itself")
    (folder / "gone.txt").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.txt")
    found = walk(folder, (".txt",))
    assert [str(path.relative_to(folder)) for path in found.files] == [
        *("a/10.txt", "a/2.TXT", "a.txt", "b.txt", "c.txt", "d/deep/er.txt"),
    ]
    found.note(folder)
    assert capsys.readouterr().err == (
        f"note: {folder}: left out 1 .json, 1 .md, 2 broken links, 2 hidden, 1 pipes or devices, 3 repeated links, "
        "1 without a suffix\n"
    )
    (folder / "b.txt").chmod(0o644)
    names = [line for lines in open_source(str(folder)).train() for line in lines]
    assert names == ["a/10.txt", "a/2.TXT", "a.txt", "b.txt", "far.txt", "deep/er.txt"]


def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file count as unchanged for long enough to be indexed."""
    monkeypatch.setattr(inputs, "_SETTLED_NS", -1)


def test_a_changed_file_of_the_same_size_and_time_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "c.txt", tmp_path / "other.txt"
    path.write_bytes(b"one line\n" * 40)
    other.write_bytes(b"another!\n" * 40)
    shutil.copystat(path, other)
    settled(monkeypatch)
    before, corpus = file_identity([path], path), open_corpus(CorpusOptions(str(path)))
    shutil.copy2(other, path)  # as cp -p
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (other.stat().st_size, other.stat().st_mtime_ns)
    assert file_identity([path], path) != before
    assert open_corpus(CorpusOptions(str(path))).sha256 != corpus.sha256


def test_a_file_written_within_the_clocks_tick_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes(b"one")
    before, times = file_identity([path], path), path.stat()
    assert times.st_size == 3
    assert not (tmp_path / "cache" / "hashes").exists()  # too young to be trusted
    path.write_bytes(b"two")
    assert file_identity([path], path) != before


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    make(tmp_path, "f/a.txt", "f/b/a.txt")
    files = walk(tmp_path / "f", (".txt",)).files
    settled(monkeypatch)
    expected = file_identity(files, tmp_path / "f")
    assert [name for name, _ in expected] == ["a.txt", "b/a.txt"]
    hashed: list[Path] = []

    def hashing(path: Path) -> str:
        hashed.append(path)
        return sha256_of_file(path)

    monkeypatch.setattr(inputs, "sha256_of_file", hashing)
    assert file_identity(files, tmp_path / "f") == expected
    assert hashed == []
    os.utime(files[0])
    assert file_identity(files, tmp_path / "f") == expected  # the same content: caches are kept
    assert hashed == [files[0]]
    for damage in ("{", "[]", "[[1]]", '{"a.txt": null}', '{"a.txt": []}', "3"):
        (index,) = (cache / "hashes").iterdir()
        index.write_text(damage, "utf-8")
        assert file_identity(files, tmp_path / "f") == expected


def test_the_same_content_shares_its_cache_wherever_it_lies(text_file: Path, tmp_path: Path, cache: Path) -> None:
    before = open_corpus(CorpusOptions(str(text_file)))
    (tmp_path / "moved").mkdir()
    shutil.copy(text_file, tmp_path / "moved" / text_file.name)
    os.utime(text_file)
    for path in (text_file, tmp_path / "moved" / text_file.name):
        assert open_corpus(CorpusOptions(str(path))).sha256 == before.sha256
    assert len(list((cache / "corpora").iterdir())) == 1


def test_what_a_recorded_path_may_be_after_a_move(tmp_path: Path) -> None:
    make(tmp_path, "new/data/c.txt", "new/runs/r/x", "c.txt", "hub/set/train.parquet")
    here = tmp_path / "new" / "runs" / "r"
    found = [f"{tmp_path}/new/data/c.txt", f"{tmp_path}/c.txt"]
    assert moved("/old/place/data/c.txt", here) == found
    assert moved("lm1b:/old/place/data/c.txt", here) == [f"lm1b:{path}" for path in found]
    assert moved("hub:/old/hub/set:title", here) == [f"hub:{tmp_path}/hub/set:title"]
    for spec in ("grammar", "lm1b", "hub:someone/data", "/old/nothing.txt", found[0]):
        assert [path for path in moved(spec, here) if path != found[1]] == []


def test_home_folders_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path, "x.txt", "lm/nothing")
    assert read("~/x.txt") == ["x.txt"]
    assert [line for lines in open_source("~/x.txt").train() for line in lines] == ["x.txt"]
    assert absolute_source("~/x.txt") == str(tmp_path / "x.txt")
    assert absolute_source("lm1b:~/lm") == f"lm1b:{tmp_path}/lm"
    assert absolute_source("hub:~/lm:title") == f"hub:{tmp_path}/lm:title"
    with pytest.raises(InputError, match=rf"^{tmp_path}/lm/"):
        open_source("lm1b:~/lm")
    with pytest.raises(InputError, match=r"^~nobody-of-this-name/x: no such file"):
        open_source("~nobody-of-this-name/x")


def test_names_that_are_not_utf8(text_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / os.fsdecode(b"f\xff")
    folder.mkdir()
    for name in (b"a\xfe.txt", b"b.txt"):
        shutil.copy(text_file, folder / os.fsdecode(name))
    samples = folder / os.fsdecode(b"a\xfe.txt")
    for reference in (folder, samples):
        status, printed, _ = run(capfd, "eval.jsd", str(samples), "--reference", str(reference), "--json")
        assert status == 0
        assert json.loads(printed)
    output = folder / "o.txt"
    assert run(capfd, "eval.ngram_sampler", str(samples), "--count", "20", "--output", str(output))[0] == 0
    assert run(capfd, "eval.jsd", str(output))[0] == 0
