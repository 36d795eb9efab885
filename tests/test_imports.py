"""The arrows between packages: data <- eval <- textgan, and the trainer knows no text."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"data", "eval", "textgan", "images", "leaderboards"}
ALLOWED = {
    "data": {"data"},
    "eval": {"eval", "data"},
    "textgan": {"textgan", "eval", "data"},
    "leaderboards": {"leaderboards", "textgan", "eval", "data"},
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


def imported(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
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
        assert ours <= {
            "data",
            "data.command",
            "data.errors",
            "data.files",
            *(f"textgan.{other}" for other in ENGINE),
        }, name


def test_nothing_is_ever_unpickled() -> None:
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            assert not imported(path) & {"pickle", "dill", "joblib", "shelve", "marshal"}, path
            source = path.read_text("utf-8")
            assert "torch.load" not in source, path
            assert source.count("np.load(") == source.count("allow_pickle=False"), path
