"""The pages' file lists, links and paths are those of the repository."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.helpers.paths import ROOT

PACKAGES = ("data", "eval", "textgan", "images", "leaderboards")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / package / "README.md" for package in PACKAGES)])


def section(page: Path, title: str) -> str:
    """Return the text of a page's section."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert isinstance(text, str)
    return text


def listed(text: str) -> list[str]:
    """Return the paths at the starts of lines; an indented name lies in the last folder that is not indented."""
    paths, folder = [], ""
    for line in text.splitlines():
        match = re.match(r"( *)(?:[|*-] *)?`?([\w.-]+(?:/[\w.-]+)*/?)`?(?=[ :|]|$)", line)
        if match is None or not ("." in match[2] or match[2].endswith("/")):
            continue
        if match[1]:
            paths.append(folder + match[2])
            continue
        folder = match[2] if match[2].endswith("/") else ""
        paths.append(match[2])
    return paths


def source_files(package: str) -> set[str]:
    """Return a package's Python files, relative to it, except for `__init__.py`."""
    folder = ROOT / package
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if path.name != "__init__.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_file_lists_name_exactly_the_files_that_exist(package: str) -> None:
    paths = listed(section(ROOT / package / "README.md", "Files"))
    assert sorted(set(paths)) == sorted(paths), "named twice"
    missing = [path for path in paths if not (ROOT / package / path).exists()]
    assert missing == []
    assert {path for path in paths if path.endswith(".py")} == source_files(package)


def test_the_layout_names_every_package_and_its_folders() -> None:
    paths = set(listed(section(ROOT / "README.md", "Layout")))
    assert all((ROOT / path).is_dir() for path in paths)
    folders = {f"{package}/{Path(file).parent}/" for package in PACKAGES for file in source_files(package)}
    assert paths >= {folder.removesuffix("./") for folder in folders}


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "leaderboards").glob("*.md"))], ids=str)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)|src=\"(?!https?:)([^\"]+)\"", text)
    missing = [target for pair in targets for target in pair if target and not (page.parent / unquote(target)).exists()]
    assert missing == []


def test_every_path_in_the_log_exists_or_is_ignored() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    quoted = " ".join(re.findall(r"`([^`\n]+)`", (ROOT / "LOG.md").read_text("utf-8")))
    paths = set(re.findall(rf"(?<![\w./-])(?:{'|'.join([*PACKAGES, 'tests'])})/[\w./-]*\w", quoted))
    assert len(paths) > 20
    missing = [path for path in paths if not (ROOT / path).exists() and not is_ignored(path, ignored)]
    assert missing == []


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Whether a path, or a folder that it lies in, matches a pattern of .gitignore."""
    parents = [path, *(parent.as_posix() for parent in Path(path).parents)]
    return any(
        fnmatchcase(each, pattern.strip("/")) or fnmatchcase(Path(each).name, pattern.strip("/"))
        for each in parents
        for pattern in patterns
    )


@pytest.mark.parametrize(
    ("path", "expected"), [("runs/a/b.txt", True), ("leaderboards/index.html", True), ("a", False)]
)
def test_ignored_paths_are_told_from_missing_ones(path: str, expected: bool) -> None:
    assert is_ignored(path, (ROOT / ".gitignore").read_text("utf-8").split()) == expected


def test_a_wrong_list_is_noticed() -> None:
    text = "```\nbench.py   times\ncore/      shared\n  score.py   a score\n```\n| `other.py` | text |\n"
    assert listed(text) == ["bench.py", "core/", "core/score.py", "other.py"]
