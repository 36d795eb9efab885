"""The installed project, editable and as a wheel, in a user's folder with folders of our packages' names."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from textgan.__main__ import COMMANDS

NAMESAKES = ("data", "eval", "images", "leaderboards", "tests", "textgan")
# Every command, as `python -m` would find it: with the working folder first on the path.
EVERY_HELP = """
import contextlib, io, runpy, sys
sys.path[0] = %r
for module in sys.argv[1:]:
    sys.argv, shown = [module, "--help"], io.StringIO()
    with contextlib.redirect_stdout(shown):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            assert not stop.code, module
    assert shown.getvalue().startswith(f"usage: python -m {module.removesuffix('.__main__')} "), module
print(sys.modules["data"].__file__)
"""


@pytest.fixture(scope="module", params=["editable", "wheel"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the project, and the packages of this one; needs setuptools here, and no network."""
    pytest.importorskip("setuptools")
    place: Path = tmp_path_factory.mktemp(request.param)
    source, environment = place / "source", place / "environment"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "data", "eval", "images", "leaderboards", "textgan"):
        (source / name).symlink_to(ROOT / name)
    venv.create(environment, with_pip=False)
    paths = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    paths |= {path: None for path in sys.path if path.endswith("site-packages")}
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "base.pth").write_text("".join(f"{path}\n" for path in paths), "utf-8")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed", "--quiet"]
    what = ["--editable", str(source)] if request.param == "editable" else [str(source)]
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, *what]
    subprocess.run(command, cwd=place, check=True)
    return environment / "bin"


def succeed(command: Sequence[str | Path], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.slow
def test_commands_start_in_a_folder_with_namesakes(installed: Path, tmp_path: Path) -> None:
    for name in NAMESAKES:
        (tmp_path / name).mkdir()
    modules = [module for module, _ in COMMANDS.values()]
    if "editable" in str(installed):  # it holds all modules of a package or none, unlike a wheel
        modules = list({module.split(".")[0]: module for module in modules}.values())
    found = succeed([installed / "python", "-c", EVERY_HELP % str(tmp_path), *modules], tmp_path)
    assert Path(found.strip()).is_file()
    shown = succeed([installed / "python", "-m", "eval.jsd", "--help"], tmp_path)
    assert shown.startswith("usage: python -m eval.jsd ")


@pytest.mark.slow
def test_the_console_command_works_among_packages_of_the_same_names(
    installed: Path, tmp_path: Path, text_file: Path
) -> None:
    for name in NAMESAKES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n", "utf-8")
    assert succeed([installed / "textgan", "jsd", "--help"], tmp_path).startswith("usage: textgan jsd ")
    if "editable" in str(installed):  # the processes of a suite find packages as this one did
        return
    settings = ["iterations=1", "dim=4", "latent_dim=4", "batch_size=4", "eval_samples=20", "device=cpu"]
    suite = ["suite", "--presets", "quickstart", "--seeds", "0", "--set", f"data={text_file}", *settings]
    assert "finished" in succeed([installed / "textgan", *suite], tmp_path)
