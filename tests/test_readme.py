"""The pages' file lists, links and paths are those of the repository."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

import pytest

from eval.jsd import main as jsd
from tests.helpers.paths import ROOT
from textgan.models import MODELS, PRESETS
from textgan.models.line_settings import LineGanSettings
from textgan.models.rnn_wgan import RnnWganSettings
from textgan.models.wgan_gp import WganGpSettings

PACKAGES = ("data", "eval", "textgan", "images", "leaderboards")
MODELS_PAGE = ROOT / "textgan/models/README.md"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        ROOT / "eval/coming_from_texygen.md",
        *(ROOT / package / "README.md" for package in PACKAGES),
        MODELS_PAGE,
    ]
)


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


def rows(page: Path, first: str) -> list[list[str]]:
    """Return the cells of the table whose first heading is given, without its headings."""
    (text,) = re.findall(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", page.read_text("utf-8"), re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines()]


def expanded(names: str) -> list[str]:
    """Return the quoted names of a cell, as a shell expands their braces."""
    found = re.findall(r"`([\w-]*)(?:\{([\w,]+)\}([\w-]*))?`", names)
    return [f"{before}{part}{after}" for before, parts, after in found for part in parts.split(",")]


def test_the_table_of_models_has_every_model_and_preset_with_its_file() -> None:
    presets: dict[str, list[str]] = {}
    for name, _, _, _, names, _ in rows(MODELS_PAGE, "model"):
        presets.setdefault(name.split("`")[1], []).extend(expanded(names))
        linked = re.findall(r"\((\w+)\.py\)", name)
        assert linked in ([], [MODELS[name.split("`")[1]].phases.__module__.rpartition(".")[2]])
    assert {name: sorted(each) for name, each in presets.items()} == {
        name: sorted(config.preset for config in model.presets) for name, model in MODELS.items()
    }


def test_the_table_of_time_scales_has_the_rates_and_updates_of_every_preset() -> None:
    shown = {}
    for names, pretraining, *cells in rows(MODELS_PAGE, "presets"):
        for name in expanded(names):
            for ending, cell in zip(("ttur", "orig", "control"), cells, strict=True):
                if cell:
                    rates, updates = (tuple(map(float, part.split(","))) for part in cell.split(";"))
                    shown[f"{name}-{ending}"] = (float(pretraining.replace(",", "")), *rates, *updates)
    assert shown == {
        name: (getattr(c, "pretraining", 0), c.generator_lr, c.critic_lr, c.generator_steps, c.critic_steps)
        for name, c in PRESETS.items()
        if isinstance(c, LineGanSettings | RnnWganSettings) or (isinstance(c, WganGpSettings) and c.symbols != "char")
    }


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


def test_braces_expand_as_in_a_shell() -> None:
    assert expanded("`a`, `b-{c,d}`; `{e,f}-g`") == ["a", "b-c", "b-d", "e-g", "f-g"]


def test_a_wrong_list_is_noticed() -> None:
    text = "```\nbench.py   times\ncore/      shared\n  score.py   a score\n```\n| `other.py` | text |\n"
    assert listed(text) == ["bench.py", "core/", "core/score.py", "other.py"]


def test_the_readme_shows_what_a_score_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert jsd([str(ROOT / "leaderboards/records/grammar-char32/3-gram-model/samples.txt.gz")]) == 0
    assert capsys.readouterr().out.strip() in (ROOT / "README.md").read_text("utf-8")
