"""Files on file systems that lack operations, and errors that name the file."""

import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data import files
from data.cache import concatenate_on_disk, save_array
from data.errors import InputError
from data.files import LOCK, atomic_folder, atomic_write, is_locked, locked_folder
from tests.helpers.commands import run

LACKS = [getattr(errno, name) for name in ("ENOSYS", "EPERM", "EINVAL", "ENOTSUP", "ENOLCK")]


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_noted", set())


def failing(number: int, *_: object, **__: object) -> None:
    raise OSError(number, os.strerror(number))


def write(path: Path, content: bytes = b"new") -> None:
    with atomic_write(path) as file:
        file.write(content)


def test_links_stay_and_their_targets_are_replaced(tmp_path: Path) -> None:
    target, link, dangling = tmp_path / "there" / "target", tmp_path / "link", tmp_path / "dangling"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(Path("there", "target"))
    dangling.symlink_to(tmp_path / "absent" / "file")
    write(link)
    write(dangling)
    assert link.is_symlink() and dangling.is_symlink()
    assert target.read_bytes() == (tmp_path / "absent" / "file").read_bytes() == b"new"
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="loop") as refused:
        write(loop)
    assert refused.value.errno == errno.ELOOP
    assert loop.is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_the_mode_of_a_replaced_file_stays(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "file")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_a_replaced_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.chown(path, 1234, 4321)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


@pytest.mark.parametrize("number", LACKS)
@pytest.mark.parametrize("lacking", ["os.fsync", "pathlib.Path.chmod", "pathlib.Path.replace", "pathlib.Path.rename"])
def test_a_file_system_that_lacks_an_operation_is_noted_once(
    lacking: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lacking, lambda *_, **__: failing(number))
    for _ in range(2):
        write(tmp_path / "file")
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "inside").write_bytes(b"whole")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "folder" / "inside").read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    (note,) = capfd.readouterr().err.splitlines()
    assert note.startswith(f"note: {tmp_path}/f")
    assert os.strerror(number) in note


@pytest.mark.parametrize("number", LACKS)
def test_a_file_system_without_locks_is_noted(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: failing(number))
    with locked_folder(tmp_path / "run", "another"):
        pass
    (note,) = capfd.readouterr().err.splitlines()
    assert note == (
        f"note: {tmp_path / 'run'}: its file system has no locks ({os.strerror(number)}); going on: "
        "make sure that no two processes write there"
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_other_errors_name_the_file(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", lambda *_: failing(number))
    with pytest.raises(OSError, match=os.strerror(number)) as failed:
        write(path)
    assert failed.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_an_error_while_cleaning_up_does_not_hide_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: failing(errno.EACCES))
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "file") as file:
        file.write(b"%d" % (1 // 0))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_names_the_array(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="No space left") as failed:
        save_array(Path("/dev/full"), np.zeros(1 << 16))
    assert failed.value.filename == "/dev/full"
    with Path("/dev/full").open("w+b", buffering=0) as full, pytest.raises(OSError, match="No space left") as failed:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
        concatenate_on_disk([np.zeros(1 << 16)])
    assert failed.value.filename == str(cache)


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127])
def test_the_longest_names_are_written(name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"new"


def test_a_lock_is_seen_without_a_trace(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "run")  # no folder
    with locked_folder(tmp_path / "run", "another"):
        assert is_locked(tmp_path / "run")
        assert is_locked(tmp_path / "run")
        with pytest.raises(InputError, match=r"^another$"), locked_folder(tmp_path / "run", "another"):
            pass
    assert not is_locked(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    (tmp_path / "run" / LOCK).touch()  # as a killed process leaves it
    assert not is_locked(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    with locked_folder(tmp_path / "run", "another"):
        pass


@pytest.mark.parametrize(("tests", "starts"), [(1, True), (1000, False)])
def test_a_test_of_the_lock_does_not_keep_a_process_from_starting(
    tests: int, starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, met = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        met.append(operation)
        if len(met) <= tests:  # the lock is taken by a test at this instant
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        take(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", flock)
    if starts:
        with locked_folder(tmp_path / "run", "another"):
            assert len(met) == tests + 1
    else:
        with pytest.raises(InputError, match=r"^another$"), locked_folder(tmp_path / "run", "another"):
            pass


@pytest.mark.parametrize("number", [*LACKS, errno.EACCES])
def test_a_lock_that_cannot_be_tested_counts(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: failing(number))
    assert not is_locked(tmp_path)
    (tmp_path / LOCK).touch()
    assert is_locked(tmp_path)


HOLDER = """
import sys, time
from pathlib import Path
from data.files import locked_folder
with locked_folder(Path(sys.argv[1]), "another"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_lock_keeps_others_out_until_its_process_ends_even_if_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(InputError, match=r"^another process$"), locked_folder(folder, "another process"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with locked_folder(folder, "another process"):
        pass
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("fault", ["flock", "fsync", "chmod,fchmod,fchmodat", "rename,renameat,renameat2"])
def test_commands_go_on_with_one_note_under_real_faults(fault: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from data.files import locked_folder, write_json\n"
        "with locked_folder(Path(sys.argv[1]), 'another'): write_json(Path(sys.argv[1], 'file'), [1])"
    )
    words = ["strace", "-f", "-o", os.devnull, "-e", f"trace={fault}", "-e", f"inject={fault}:error=ENOSYS"]
    found = subprocess.run(
        [*words, sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    if "ptrace" in found.stderr.lower():
        pytest.skip("strace is not permitted")
    assert (found.returncode, found.stderr.count("\n")) == (0, 1), found.stderr
    assert found.stderr.startswith(f"note: {tmp_path / 'run'}")
    assert (tmp_path / "run" / "file").exists()


def test_an_error_of_a_command_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda *_: failing(errno.EIO))
    status, out, err = run(capfd, "textgan.suite", "controls", "--output", "controls.toml")
    assert (status, out, err) == (2, "", "error: controls.toml: Input/output error\n")
    assert list(tmp_path.iterdir()) == []
