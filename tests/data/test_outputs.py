"""A user's output: special files, links, compression, and what is refused before the work."""

import gzip
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from data.errors import InputError
from data.outputs import require_output, require_output_folder, write_output
from eval.core.figures import require_image_ending, save_figure
from eval.ngrams import main as ngrams
from eval.text.reference import record_path
from eval.text.samples import open_samples
from images.train import train as train_on_images
from tests.helpers.commands import run
from tests.helpers.runs import tiny_images, tiny_text
from textgan.models.wgan_gp import WganGpSettings
from textgan.sample import load_generator
from textgan.sample import main as sample
from textgan.train import train

NOBODY = 65534


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text.txt, the run RUN, its export EXPORT, and the text's counts COUNTS."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGAN_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        Path("text.txt").write_text("".join(f"the cat sat on the mat {number}\n" for number in range(500)), "utf-8")
        train(small())
        sample(["RUN", "--export", "EXPORT"])
        ngrams(["build", "text.txt", "--output", "COUNTS"])
        shutil.rmtree("cache")
    return folder


def small(iterations: int = 2, run_dir: str = "RUN") -> WganGpSettings:
    return tiny_text("text.txt", Path(run_dir), critic_steps=2, critic_lr=3e-3, iterations=iterations)


@pytest.fixture
def work(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder: `made` as it was, whatever a test did to it."""
    with tempfile.TemporaryDirectory(dir=made.parent) as kept:
        shutil.copytree(made, kept, dirs_exist_ok=True)
        monkeypatch.chdir(made)
        yield made
        shutil.rmtree(made)
        shutil.copytree(kept, made)


def write(path: Path, content: bytes = b"new\n") -> None:
    with write_output(path) as file:
        file.write(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Devices, pipes, open files


def test_a_device_stays_one(tmp_path: Path) -> None:
    write(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    write(link)
    assert link.is_symlink() and stat.S_ISCHR(link.stat().st_mode)


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join()
    assert found == [b"new\n"]
    assert pipe.is_fifo()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_goes_on_where_it_is(name: str, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from data.outputs import write_output; print('before')\n"
        f"with write_output(Path('{name}')) as file: print('meanwhile'); file.write(b'new\\n')\n"
        "print('after')"
    )
    log = tmp_path / "log"
    log.write_bytes(b"old\n")
    number = log.stat().st_ino
    with log.open("ab") as file:
        subprocess.run([sys.executable, "-c", code], check=True, stdout=file)
    assert log.read_bytes() == b"old\nbefore\nmeanwhile\nnew\nafter\n"
    assert log.stat().st_ino == number


def test_an_open_file_is_written_to_where_it_is(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"old\n")
        write(Path(f"/dev/fd/{file.fileno()}"))
    assert (tmp_path / "file").read_bytes() == b"old\nnew\n"
    with pytest.raises(InputError, match=r"^--output /dev/fd/99: is closed; give a file$"):
        require_output("--output", Path("/dev/fd/99"))


def test_nothing_is_written_after_an_error(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for path in (tmp_path / "file", Path("-")):
        with pytest.raises(ZeroDivisionError), write_output(path) as file:
            file.write(b"%d" % (1 // 0))
    assert capfdbinary.readouterr().out == b""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/null"])
def test_samples_to_no_plain_file_have_no_record(name: str, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = contents(work)
    for command in (["textgan.sample", "RUN"], ["eval.ngram_sampler", "grammar", "--lines", "500"]):
        status, out, err = run(capfd, *command, "--count", "3", "--output", name)
        assert status == 0
        assert out.count("\n") == (1 if name == "/dev/null" else 3)
        assert ("wrote 3 " in out, "wrote 3 " in err) == ((True, False) if name == "/dev/null" else (False, True))
        assert "eval.jsd" not in out + err
    assert contents(work) == before


# Compression


def test_compressed_text_is_the_same_bytes_and_is_read_back(tmp_path: Path) -> None:
    text = b"the cat\n" * 1000
    for ending, unpack in ((".gz", gzip.decompress), (".zst", lambda each: pa.input_stream(each, "zstd").read())):
        path = tmp_path / f"samples.txt{ending}"
        write(path, text)
        first = path.read_bytes()
        assert len(first) < 200
        write(path, text)
        assert path.read_bytes() == first
        if ending == ".gz":
            assert unpack(first) == text
        assert [line for lines in open_samples(path, "refuse").read() for line in lines] == ["the cat"] * 1000
    assert gzip.compress(b"", mtime=0)[4:8] == bytes(4) == (tmp_path / "samples.txt.gz").read_bytes()[4:8]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst", "with space'.txt", "no-ending", "new/folder/a.txt"])
def test_the_proposed_command_scores_the_samples(name: str, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capfd, "textgan.sample", "RUN", "--count", "50", "--output", name)
    assert status == 0
    python, m, module, *arguments = shlex.split(out.partition("score them: ")[2])
    assert (python, m, module) == ("python", "-m", "eval.jsd")
    status, out, _ = run(capfd, module, *arguments, "--json")
    assert status == 0
    assert json.loads(out)[0]["samples"] == 50
    assert json.loads(out)[0]["reference"].startswith("text.txt")


def test_samples_packed_or_unpacked_afterwards_keep_their_record(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sample(["RUN", "--count", "50", "--output", "a.txt.gz"])
    Path("a.txt").write_bytes(gzip.decompress(Path("a.txt.gz").read_bytes()))
    Path("a.txt.gz").unlink()
    sample(["RUN", "--count", "50", "--output", "b.txt"])
    Path("b.txt.gz").write_bytes(gzip.compress(Path("b.txt").read_bytes()))
    Path("b.txt").unlink()
    capfd.readouterr()
    for name in ("a.txt", "b.txt.gz"):
        _, out, _ = run(capfd, "eval.jsd", name, "--json")
        assert json.loads(out)[0]["reference"].startswith("text.txt")


# What is refused before the work


@pytest.mark.parametrize(
    "name", ["x.txt.bz2", "x.txt.xz", "x.zip", "x.tar.gz", "x.parquet", "x.npz", "x.npy", "x.PNG", "x.tgz", "x.txt.Z"]
)
def test_text_under_the_name_of_something_else_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"^--output {re.escape(name)}: would hold text, not .*; end it in \.txt"):
        require_output("--output", Path(name))


@pytest.mark.parametrize("name", ["x", "x.docx", "x.svg.gz", "x.svgz", "x.jpg", "x.txt", ".png"])
def test_figures_need_an_ending_that_is_known(name: str) -> None:
    with pytest.raises(InputError, match=r"must end in \.png, \.svg, \.pdf$"):
        require_image_ending(Path(name), "--plot")


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_a_figure_does_not_go_where_tables_are_printed(name: str) -> None:
    with pytest.raises(InputError, match="tables are printed there; give a file"):
        require_image_ending(Path(name), "--plot")


def test_a_figure_to_a_device_is_drawn() -> None:
    from matplotlib.figure import Figure

    require_image_ending(Path("/dev/null"), "--plot")
    save_figure(Figure(), Path("/dev/null"))


@pytest.mark.parametrize(
    ("module", "arguments", "flag"),
    [
        ("textgan.compare", ["absent"], "--output"),
        ("eval.report", ["absent"], "--plot"),
        ("eval.disturb", ["absent"], "--output"),
        ("eval.fid", ["stats", "absent"], "--output"),
        ("textgan.suite", ["controls"], "--output"),
        ("data.images", ["absent"], "--grid"),
        ("images.sample", ["absent"], "--grid"),
        ("images.sample", ["absent"], "--output"),
        ("textgan.sample", ["absent"], "--output"),
        ("eval.ngram_sampler", ["absent"], "--output"),
    ],
)
def test_every_command_refuses_its_output_first(
    module: str, arguments: list[str], flag: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("x.docx", str(tmp_path)):
        status, out, err = run(capfd, module, *arguments, flag, name)
        assert (status, out) == (2, "")
        assert err.startswith(f"error: {flag} {name}: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize("source", ["jsonl:lines.jsonl:of.text", 'pool:["other.txt", "jsonl:lines.jsonl:a"]'])
def test_a_source_of_several_parts_is_not_overwritten(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.jsonl").write_text("{}\n", "utf-8")
    with pytest.raises(InputError, match=r"--output lines\.jsonl: is read by the command"):
        require_output("--output", Path("lines.jsonl"), inputs=[source])


def test_impossible_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, problem in (
        ("file/x.txt", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("x" * 300, "File name too long"),
        (".", "a folder; give a file in it"),
        ("nul\0", "embedded null byte"),
    ):
        with pytest.raises(InputError, match=problem):
            require_output("--output", tmp_path / name)
        if name != ".":
            with pytest.raises(InputError, match=problem):
                require_output_folder("--export", tmp_path / name, "exported generator")


def test_a_folder_that_does_not_exist_yet_is_no_file(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capfd, "textgan.sample", "RUN", "--output", "results/")
    assert (status, err) == (2, "error: --output results/: a folder; give a file in it\n")
    assert not Path("results").exists()


def test_an_output_is_not_what_is_read(tmp_path: Path, text_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before, folder = text_file.read_bytes(), tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_bytes(before)
    (tmp_path / "link.txt").symlink_to(text_file)
    for source, output in ((text_file, text_file), (text_file, tmp_path / "link.txt"), (folder, folder / "b.txt")):
        status, _, err = run(capfd, "eval.ngram_sampler", str(source), "--output", str(output))
        assert status == 2
        assert err.startswith(f"error: --output {output}: ")
    assert text_file.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


def as_nobody(act: Callable[[], None]) -> int:
    """Call a function as a user without rights in a process of its own; return 1 if it raised an InputError."""
    child = os.fork()
    if not child:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        try:
            act()
        except InputError:
            os._exit(1)
        except BaseException:  # nothing of the parent's may run in the child
            os._exit(2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_rights_are_checked_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    closed, opened, kept = tmp_path / "closed", tmp_path / "open", tmp_path / "open" / "kept"
    closed.mkdir(mode=0o555)
    opened.mkdir()
    opened.chmod(0o777)
    for path, mode in ((closed / "mine", 0o666), (kept, 0o444)):
        closed.chmod(0o755)
        path.write_bytes(b"old")
        path.chmod(mode)
        closed.chmod(0o555)
    assert as_nobody(lambda: require_output("--output", closed / "new")) == 1
    assert as_nobody(lambda: require_output("--output", closed / "deep" / "new")) == 1
    assert as_nobody(lambda: require_output_folder("--export", closed / "new", "exported generator")) == 1
    assert as_nobody(lambda: require_output("--output", kept)) == 1
    assert as_nobody(lambda: require_output("--output", opened / "new")) == 0
    assert as_nobody(lambda: write(opened / "new")) == 0
    assert as_nobody(lambda: require_output("--output", closed / "mine")) == 0
    assert as_nobody(lambda: write(closed / "mine")) == 0  # in place, as the folder takes no other file
    assert (closed / "mine").read_bytes() == (opened / "new").read_bytes() == b"new\n"
    assert kept.read_bytes() == b"old"


# Folders of other commands


@pytest.mark.parametrize(
    "command",
    [
        "textgan.sample RUN --export RUN",
        "textgan.sample RUN --export .",
        "textgan.sample RUN --export COUNTS",
        "textgan.sample RUN --export RUN/samples/2",
        "textgan.sample RUN --export RUN/checkpoints/000000009",
        "textgan.sample RUN --export RUN/options.json",
        "textgan.sample RUN --export -",
        "textgan.sample RUN --output RUN",
        "textgan.sample RUN --output RUN/samples/4.txt",
        "textgan.sample RUN --output RUN/samples/deep/4.txt",
        "textgan.sample RUN --output RUN/options.json",
        "textgan.sample RUN --output RUN/metrics.jsonl",
        "textgan.sample RUN --output RUN/summary.json",
        "textgan.sample RUN --output EXPORT/config.json",
        "textgan.sample RUN --output COUNTS/ngrams.json",
        "eval.ngram_sampler grammar --output RUN/samples/4.txt",
        "eval.ngrams build grammar --lines 100 --output RUN",
        "eval.ngrams build grammar --lines 100 --output EXPORT",
        "eval.ngrams build grammar --lines 100 --output RUN/samples",
        "eval.ngrams build grammar --lines 100 --output RUN/checkpoints/000000009",
        "eval.ngrams merge COUNTS --output RUN",
        "textgan.compare RUN --output RUN/samples/2.png",
        "data.images shapes --count 4 --grid RUN/samples/2.png",
        "textgan.suite --presets quickstart --suite-dir RUN",
        "textgan.suite --presets quickstart --suite-dir EXPORT",
        "textgan.search --search-dir RUN",
        "textgan.search --search-dir RUN/samples",
    ],
)
def test_the_folder_of_another_command_is_refused(command: str, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    before = contents(work)
    module, *arguments = command.split()
    status, out, err = run(capfd, module, *arguments)
    assert (status, out) == (2, ""), err
    assert re.match(rf"error: {arguments[-2]} {arguments[-1]}: .*(choose another|give a file)", err)
    assert contents(work) == before


@pytest.mark.parametrize("folder", ["EXPORT", "COUNTS", "RUN/samples", "RUN/checkpoints", "RUN/again", "."])
def test_training_in_the_folder_of_another_command_is_refused(folder: str, work: Path) -> None:
    before = contents(work)
    with pytest.raises(InputError, match=rf"^--run-dir {re.escape(folder)}: .*; choose another --run-dir"):
        train(small(run_dir=folder))
    assert contents(work) == before


def test_names_that_are_not_utf8(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9")
    with pytest.raises(InputError, match=r"^--run-dir .*: a name that is not UTF-8; choose another --run-dir$"):
        train(small(run_dir=name))
    assert not Path(name).exists()
    expected = run(capfd, "textgan.sample", "RUN", "--count", "3")
    for folder in ("RUN", "EXPORT"):  # whose owner renamed them
        Path(folder).rename(name)
        assert run(capfd, "textgan.sample", name, "--count", "3") == expected
        Path(name).rename(folder)


def test_what_does_no_harm_is_permitted(work: Path) -> None:
    sample(["RUN", "--count", "5", "--output", "RUN/mine.txt"])
    sample(["RUN", "--export", "RUN/generator"])
    sample(["RUN", "--export", "EXPORT"])  # again
    assert record_path(Path("RUN/mine.txt")).exists()


def test_a_foreign_config_is_not_overwritten(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("other").mkdir()
    Path("other/config.json").write_text('{"model_type": "bert"}', "utf-8")
    status, _, err = run(capfd, "textgan.sample", "RUN", "--export", "other")
    assert status == 2
    assert err == "error: --export other: its config.json belongs to something else; choose another --export\n"
    assert [path.name for path in Path("other").iterdir()] == ["config.json"]


def test_an_old_export_in_a_runs_folder_does_not_hide_its_checkpoints(
    work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in Path("EXPORT").iterdir():  # as earlier versions wrote it there
        (Path("RUN") / path.name).write_bytes(path.read_bytes())
    train(small(iterations=6))
    newest, old = load_generator(Path("RUN")), load_generator(Path("EXPORT"))
    assert any(
        not new.equal(before)
        for new, before in zip(newest.network.state_dict().values(), old.network.state_dict().values(), strict=True)
    )
    assert capfd.readouterr().err.endswith(
        "note: RUN: a run; its newest checkpoint counts, not the generator exported there\n"
    )


def test_images_go_where_text_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from images.sample import main

    monkeypatch.chdir(tmp_path)
    train_on_images(tiny_images("quickstart", Path("RUN"), count=32, iterations=1, eval_samples=4))
    capfdbinary.readouterr()
    assert main(["RUN", "--count", "4", "--grid", "-", "--output", "/dev/null"]) == 0
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"wrote 4 images to /dev/null\n\x89PNG\r\n")
    assert err == b"wrote -\n"
    with pytest.raises(InputError, match="holds a run"):
        main(["RUN", "--grid", "RUN/samples/1.png"])
    main(["RUN", "--count", "4", "--output", "RUN/samples.npz"])  # where eval.fid looks for them
