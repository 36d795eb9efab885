"""What the README says of the project's files is true."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_file_tree_is_complete() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (tree,) = re.findall(r"## Files\n\n```\n(.*?)```", readme, re.DOTALL)
    named: set[str] = set()
    folder = ""
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name
        else:
            named.add(folder + name)
    there = {
        f"{package}/{path.name}"
        for package in ("data", "eval", "textgan", "images", "leaderboards")
        for path in (ROOT / package).glob("*.py")
        if path.name != "__init__.py"
    }
    assert named == there


def test_every_file_a_line_links_to_is_there() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)|src=\"(?!http)([^\"]+)\"", readme):
        assert (ROOT / (target[0] or target[1])).exists(), target
