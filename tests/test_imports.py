"""The arrows between packages: data <- eval <- textgan, and the trainer knows no text."""

import ast
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PACKAGES = {"data", "eval", "textgan", "images", "leaderboards"}
ALLOWED = {
    "data": {"data"},
    "eval": {"eval", "data"},
    "textgan": {"textgan", "eval", "data"},
    "images": {"images", "textgan", "eval", "data"},
    "leaderboards": {"leaderboards", "images", "textgan", "eval", "data"},
}
ENGINE = {
    "trainer",
    "losses",
    "schedules",
    "loop",
    "runlog",
    "rundir",
    "checkpoint",
    "progress",
    "settings",
    "experiment",
    "maximum_likelihood",
}


def imported(module: Path | ast.Module) -> set[str]:
    modules: set[str] = set()
    tree = module if isinstance(module, ast.Module) else ast.parse(module.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            modules.add(node.module or "")
    return modules


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_is_below_them(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        ours = {module.split(".")[0] for module in imported(path)} & PACKAGES
        assert ours <= ALLOWED[package], path


def test_the_engine_knows_no_text_and_no_networks() -> None:
    for name in ENGINE:
        modules = imported(ROOT / "textgan" / f"{name}.py")
        ours = {module for module in modules if module.split(".")[0] in PACKAGES}
        below = {"data", *(f"data.{module}" for module in ("command", "errors", "files", "naming", "outputs"))}
        below |= {"eval.core.device", "eval.core.score"}
        assert ours <= below | {f"textgan.{other}" for other in ENGINE}, name


def test_nothing_is_ever_unpickled() -> None:
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text("utf-8")
            loads = 0
            if path == ROOT / "eval" / "inception_weights.py":  # published as .pth, which only PyTorch reads
                loads = sum("torch.load(" in line and "weights_only=True" in line for line in source.splitlines())
                source = source.replace("from pickle import UnpicklingError\n", "")  # what it raises
            assert source.count("torch.load") == loads, path
            assert not imported(ast.parse(source)) & {"pickle", "dill", "joblib", "shelve", "marshal"}, path
            assert source.count("np.load(") == source.count("allow_pickle=False"), path
