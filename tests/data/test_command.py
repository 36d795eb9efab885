"""Flags and errors of commands: whole in every terminal, locale and closed stream; one line for impossible values."""

import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tyro

from data.cache import cache_folder
from data.command import expand_home, parse_command, run_command
from data.errors import InputError, require_numbers
from data.missing import EXTRAS
from eval.ngrams import Commands
from tests.helpers.paths import ROOT
from tests.helpers.runs import PRESETS
from textgan.suite import main as suite


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    """A share."""


@dataclass(frozen=True)
class Flags:
    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files."""
    inner: Inner = field(default_factory=Inner)
    """More flags."""
    count: int | None = None
    """A count."""
    seeds: tuple[int, ...] = (0,)
    """Seeds."""
    rates: tuple[float, float] = (0.0, 1.0)
    """Rates."""
    side: Literal["left", "right"] = "left"
    """A side."""
    name: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """A name."""
    fast: bool = False
    """Whether to hurry."""


def parsed(*arguments: str) -> Flags:
    return parse_command(Flags, arguments, "eval.jsd", "Description.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--cuont 3", "unrecognised --cuont (did you mean --count?)"),
        ("--count=3 --zzz=4", "unrecognised --zzz; see"),
        ("--count many", "--count: invalid literal for int() with base 10: 'many' (expected INT)"),
        ("--seeds 1 x", "--seeds: "),
        ("--rates 1", "--rates: a value is missing (FLOAT FLOAT)"),
        ("--count", "--count: a value is missing"),
        ("--side up", "--side 'up': choose from left, right"),
        ("--count -5", "--count -5: must be at least 1"),
        ("--count 4294967296", "--count 4294967296: must be at most 2147483647"),
        ("--seeds 0 -1", "--seeds -1: must be at least 0"),
        ("--seeds 0 18446744073709551616", "--seeds 18446744073709551616: must be at most 9223372036854775807"),
        ("--share nan", "--share nan: must be a finite number"),
        ("--rates 0 inf", "--rates inf: must be a finite number"),
        ("--name ''", "--name: its value is empty"),
        ("--name=", "--name: its value is empty"),
        ("--name ' '", "--name: its value is empty"),
        ("a ''", "argument 2 is empty"),
    ],
)
def test_wrong_flags_say_what_is_wrong(arguments: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parsed(*shlex.split(arguments))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Expected one of {build, merge}; see python -m eval.ngrams --help"),
        ("biuld", "unrecognised biuld (did you mean build?)"),
        ("build", "source (STR) is missing"),
        ("--ngram 4 build text", "unrecognised --ngram before the subcommand"),
        ("build text --ngramm 4", "unrecognised --ngramm (did you mean --ngram?)"),
        ("build --ngramm 4", "unrecognised --ngramm (did you mean --ngram?); source (STR) is missing"),
        ("merge part", "--output is missing"),
    ],
)
def test_wrong_subcommands_say_what_is_wrong(arguments: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_command(Commands, shlex.split(arguments), "eval.ngrams", "Description.")  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_messages_name_the_command_as_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    for called, shown in (("/somewhere/jsd.py", "python -m eval.jsd"), ("textgan jsd", "textgan jsd")):
        monkeypatch.setattr(sys, "argv", [called])
        with pytest.raises(InputError, match=f"; see {shown} --help$"):
            parsed("--zzz")


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parsed("~/a", "b~/c", "./~", "--name=~/d").files == (tmp_path / "a", Path("b~/c"), Path("~"))
    assert parsed("--name=~/d").name == f"{tmp_path}/d"
    assert parsed("--name", "~").name == "~"
    assert expand_home("~10 minutes") == "~10 minutes"


@pytest.mark.parametrize("setting", ["data=", "data= ", "critic_lr=nan", "critic_lr=1e300", "minutes=inf", "dim=0"])
def test_a_suite_refuses_values_that_no_run_has(setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=setting.partition("=")[0].replace("_", ".")):
        suite(["--presets", "quickstart", "--set", setting])
    name, _, value = setting.partition("=")
    quoted = value if name != "data" else f'"{value}"'
    if value != "1e300":
        Path("suite.toml").write_text(f'[common]\n{name} = {quoted}\n[[method]]\npreset = "quickstart"\n', "utf-8")
        with pytest.raises(InputError, match=f"suite.toml: .*{name.replace('_', '.')}"):
            suite(["--file", "suite.toml"])
    assert not Path("suites").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"data": ""},
        {"critic_lr": 1e300},
        {"penalty_weight": 1e300},
        {"seed": 2**64},
        {"seq_len": 10**12},
        {"minutes": 1e10},
    ],
)
def test_settings_refuse_impossible_values(change: Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^--{next(iter(change)).replace('_', '-')}"):
        replace(PRESETS["quickstart"], **change)


def test_numbers_that_flags_may_have_pass() -> None:
    require_numbers(Flags((), count=2**31 - 1, seeds=(0, 2**63 - 1), rates=(-1e308, 1e-320), fast=False))
    for preset in PRESETS.values():
        require_numbers(preset)


def ended(main: Callable[[list[str]], int], capfd: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as stop:
        run_command(main)
    return stop.value.code, capfd.readouterr().err


def raising(error: BaseException) -> Callable[[list[str]], int]:
    def main(_arguments: list[str]) -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "not enough memory; lower a flag that sets sizes: "),
        (MemoryError("Unable to allocate 7.28 TiB for an array"), "not enough memory for 7.28 TiB; lower "),
        (
            RuntimeError("can't allocate memory: you tried to allocate 99 bytes. Error"),
            "not enough memory for 99 bytes; ",
        ),
        (RuntimeError("Storage size calculation overflowed with sizes=[9]"), "not enough memory; "),
        (ValueError("array is too big; `arr.size`"), "not enough memory; "),
        (OverflowError("int too large"), "a number is too large (int too large); lower it\n"),
        (RecursionError("maximum recursion depth"), "a file is nested too deeply"),
        (
            UnicodeEncodeError("utf-8", '"a": "n\udcff.txt"', 7, 8, "surrogates"),
            "n\\",
        ),
        (ModuleNotFoundError("", name="torch.nn"), "torch is not installed; pip install 'textgan[train]'\n"),
        (FileNotFoundError(2, "No such file or directory"), "the working folder: No such file or directory; it was "),
        (PermissionError(13, "Permission denied", "x"), "x: Permission denied; change its permissions"),
    ],
)
def test_errors_a_user_can_act_on_are_one_line(
    error: BaseException, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status, err = ended(raising(error), capfd)
    assert status == 2
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a defect"),
        ValueError("a defect"),
        ModuleNotFoundError("", name="data.none"),
        UnicodeEncodeError("ascii", "é", 0, 1, ""),
    ],
)
def test_defects_are_not_hidden(error: BaseException) -> None:
    with pytest.raises(type(error)):
        run_command(raising(error))


def on_terminal(command: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command whose streams are a pseudo-terminal; return its status and what it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(command)], stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT,
        env={**os.environ, **environment},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(ours)
    return process.wait(), shown.decode().replace("\r\n", "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "xterm", "FORCE_COLOR": "1"},
        {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "20"},
        {"TERM": "xterm", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_wrong_flag_is_whole_at_a_terminal(environment: Mapping[str, str]) -> None:
    status, shown = on_terminal("eval.jsd samples.txt --ngramm 4", environment)
    assert status == 2
    assert shown == NGRAMM


NGRAMM = "error: unrecognised --ngramm (did you mean --ngram?); see python -m eval.jsd --help\n"


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which PYTHON stands for this interpreter."""
    line = command.replace("PYTHON", shlex.quote(sys.executable))
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "redirected", "status", "err"),
    [
        ("a.txt --ngramm 4", ">&-", 2, NGRAMM),
        ("a.txt --reference a.txt --ngram 2", ">&-", 0, ""),
        ("--help", ">&-", 0, ""),
        ("a.txt --ngramm 4", "2>&-", 2, ""),
        ("a.txt --ngramm 4", "<&-", 2, NGRAMM),
        ("--help", ">/dev/full", 2, "error: standard output: No space left on device\n"),
        ("модель.txt", "", 2, "error: \\"),
    ],
)  # fmt: skip
def test_closed_streams_and_other_locales(
    flags: str, redirected: str, status: int, err: str, tmp_path: Path, text_file: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(b"a line\n" * 30)
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = shell(f"PYTHON -m eval.jsd {flags} {redirected}", tmp_path, **locale)
    assert result.returncode == status
    assert result.stderr.startswith(err) and result.stderr.count("\n") == bool(err)
    assert result.stdout == ""


@pytest.mark.slow
def test_signals_stop_a_command_unless_they_are_ignored() -> None:
    code = (
        "import signal, sys; from data.command import run_command\n"
        "def main(_):\n    try:\n        print('ready', flush=True); signal.pause()\n    finally: print('cleaned up')\n"
        "    return 0\n"
        "run_command(main)"
    )
    for number in (signal.SIGHUP, signal.SIGTERM):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            assert process.stdout.read() == "cleaned up\n"
        assert process.returncode == 128 + number
    # As after nohup: SIGHUP passes by, and SIGTERM, which is sent next, stops it.
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + code
    with subprocess.Popen([sys.executable, "-c", ignoring], stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "cleaned up\n"
    assert process.returncode == 128 + signal.SIGTERM


def test_without_a_home_folder_the_cache_is_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEXTGAN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(InputError, match="TEXTGAN_CACHE"):
        cache_folder()


@pytest.mark.slow
def test_a_missing_package_is_one_line_with_its_extra(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module', name='torch')\n", "utf-8")
    for command in ("textgan.train", "textgan train", "eval.fid a b"):
        result = shell(f"PYTHON -m {command}", tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "error: torch is not installed; pip install 'textgan[train]'\n"
    result = shell("PYTHON -c 'import torch'", tmp_path)  # other programs are left alone
    assert result.returncode == 1


@pytest.mark.slow
def test_text_is_scored_by_a_plain_installation_and_starts_with_little(tmp_path: Path) -> None:
    for name in EXTRAS:
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module', name='{name}')\n", "utf-8")
    (tmp_path / "a.txt").write_bytes(b"a line\n" * 30)
    (tmp_path / "b.py").write_text(
        "import sys\n"
        "import eval.jsd, eval.bleu, eval.report\n"
        "print({'scipy.stats', 'pandas', 'pydantic', 'torch'} & set(sys.modules))\n"
        "import eval.ngrams, eval.ngram_sampler, eval.overlap, eval.likelihood, eval.diversity, eval.memorisation\n"
        "print(eval.report.main(['a.txt', '--reference', 'a.txt', '--format', 'markdown']))\n",
        "utf-8",
    )
    result = shell("PYTHON b.py", tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("set()\n")
    assert result.stdout.endswith("\n0\n")
