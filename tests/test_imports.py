"""The rule of the house: which packages, folders and modules import which, and how many there are in a folder."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.commands import MOVED
from tests.helpers.paths import ROOT

ALLOWED = {
    "data": {"data"},
    "eval": {"eval", "data"},
    "textgan": {"textgan", "eval", "data"},
    "images": {"images", "textgan", "eval", "data"},
    "leaderboards": {"leaderboards", "textgan", "eval", "data"},
}
# Imports between folders, by prefixes of modules: from one of the first, none of the second.
FORBIDDEN = [
    ("eval.text", ("eval.images",)),
    ("eval.images", ("eval.text",)),
    ("eval.core", ("eval.text", "eval.images")),
    ("textgan.models", ("textgan.runs",)),
    ("textgan.runs", ("textgan.models",)),
    ("leaderboards", ("textgan.train", "textgan.models")),  # they read records and options
    ("eval.text", ("eval.sentences",)),
    ("eval.images", ("eval.sentences",)),
]
ENGINE_IMPORTS = ("data", "eval.core", "textgan.engine")
# Entries of a package: commands and folders, without what is no module and without commands under old names.
MOST_ENTRIES = {"eval": 17, "textgan": 12}
NO_ENTRIES = {"__init__.py", "__pycache__", "README.md", "coming_from_texygen.md", "py.typed"}
MOST_LEVELS = 5
MOST_LINES = 300

Graph = Mapping[str, set[str]]


def module_name(path: Path) -> str:
    """Return the name that a file of the checkout is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))}


def nodes(tree: ast.AST, in_functions: bool) -> Iterator[ast.AST]:
    """Yield the nodes of a syntax tree; nodes inside functions are optional."""
    if in_functions:
        yield from ast.walk(tree)
        return
    yield tree
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        for child in ast.iter_child_nodes(tree):
            yield from nodes(child, in_functions)


@cache
def imports_of(source: str, in_functions: bool = True) -> set[str]:
    """Return the names of the modules that a source imports; `from package import module` imports the module."""
    modules: set[str] = set()
    for node in nodes(ast.parse(source), in_functions):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name if name in MODULES else node.module or "" for name in inner}
    return modules


@cache
def imports(module: str, in_functions: bool = True) -> set[str]:
    """Return the modules of this project that a module imports."""
    names = imports_of(MODULES[module].read_text("utf-8"), in_functions)
    return {name for name in names if name.partition(".")[0] in ALLOWED}


def inside(module: str, prefixes: Iterable[str]) -> bool:
    """Whether a module is one of the prefixes, or lies below one."""
    return any(f"{module}.".startswith(f"{prefix}.") for prefix in prefixes)


def circle(graph: Graph) -> list[str]:
    """Return the modules of a circle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        modules: list[str] = error.args[1]
        return modules
    return []


def levels(graph: Graph) -> int:
    """Return the number of modules in the longest chain of imports."""
    below: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        below[name] = 1 + max((below[other] for other in graph.get(name, ())), default=0)
    return max(below.values())


def entries(package: str) -> set[str]:
    """Return the names of a package's commands and folders."""
    old = {f"{name.rpartition('.')[2]}.py" for name in MOVED if name.startswith(f"{package}.")}
    return {path.name for path in (ROOT / package).iterdir()} - NO_ENTRIES - old


def entry_graph(package: str) -> Graph:
    """Return which entries of a package import which others; a folder is one entry."""
    names = {entry.removesuffix(".py") for entry in entries(package)}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for module in MODULES:
        top, _, rest = module.partition(".")
        name = rest.partition(".")[0]
        if top == package and name in names:
            others = {other.split(".")[1] for other in imports(module) if inside(other, [package]) and "." in other}
            graph[name] |= others & names - {name}
    return graph


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_is_below_them(package: str) -> None:
    for module in MODULES:
        if inside(module, [package]):
            assert {name.partition(".")[0] for name in imports(module)} <= ALLOWED[package], module


@pytest.mark.parametrize("package", MOST_ENTRIES)
def test_folders_never_import_a_command(package: str) -> None:
    commands = {module_name(path) for path in (ROOT / package).glob("*.py") if path.name != "__init__.py"}
    in_folders = [name for name in MODULES if inside(name, [package]) and name not in {package, *commands}]
    assert len(in_folders) > 10
    for module in in_folders:
        assert not imports(module) & commands, module


@pytest.mark.parametrize(("folder", "others"), FORBIDDEN)
def test_folders_that_never_import_each_other(folder: str, others: tuple[str, ...]) -> None:
    modules = [module for module in MODULES if inside(module, [folder])]
    assert len(modules) > 1
    for module in modules:
        assert not [name for name in imports(module) if inside(name, others)], module


def test_the_engine_imports_neither_models_nor_text_nor_images() -> None:
    modules = [module for module in MODULES if inside(module, ["textgan.engine"])]
    assert len(modules) > 1
    for module in modules:
        assert not [name for name in imports(module) if not inside(name, ENGINE_IMPORTS)], module


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle({module: imports(module, in_functions=False) - {module} for module in MODULES}) == []


@pytest.mark.parametrize("package", MOST_ENTRIES)
def test_packages_stay_small(package: str) -> None:
    assert len(entries(package)) <= MOST_ENTRIES[package]


def test_evaluators_import_each_other_on_few_levels() -> None:
    assert circle(entry_graph("eval")) == []
    assert levels(entry_graph("eval")) <= MOST_LEVELS


def test_files_are_short_or_say_why_not() -> None:
    for module, path in MODULES.items():
        source = path.read_text("utf-8")
        docstring = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
        reason = docstring.partition("longer than 300 lines")[2].partition(".")[0]
        assert len(source.splitlines()) <= MOST_LINES or len(reason.split()) > 2, module


def test_nothing_is_ever_unpickled() -> None:
    for path in MODULES.values():
        source = path.read_text("utf-8")
        loads = 0
        if path == ROOT / "eval" / "images" / "weights.py":  # published as .pth, which only PyTorch reads
            loads = sum("torch.load(" in line and "weights_only=True" in line for line in source.splitlines())
            assert loads == 1
            source = source.replace("from pickle import UnpicklingError\n", "")  # what it raises
        assert source.count("torch.load") == loads, path
        assert not imports_of(source) & {"pickle", "dill", "joblib", "shelve", "marshal"}, path
        assert source.count("np.load(") == source.count("allow_pickle=False"), path


def test_test_files_import_from_helpers_alone() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        ours = [name for name in imports_of(path.read_text("utf-8")) if inside(name, ["tests"])]
        assert all(inside(name, ["tests.helpers"]) for name in ours), path


def test_wrong_graphs_are_noticed() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
    assert levels({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == 3
    source = "from eval.core import score\ndef late() -> None:\n    import eval.fid\n"
    assert imports_of(source) == {"eval.core.score", "eval.fid"}
    assert imports_of(source, in_functions=False) == {"eval.core.score"}
