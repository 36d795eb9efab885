"""Submissions of samples and tables of records in a test's folder."""

import json
from pathlib import Path
from typing import Any

from leaderboards import build, submit


def submit_few(folder: Path, *flags: str, source: str = "few.txt") -> int:
    """Submit a file of samples in the folder of the fixture `few`, to the task `toy` if the flags name no task."""
    place = ["--records", str(folder / "records"), "--reference", str(folder / "real.txt")]
    return submit.main([str(folder / source), *place, *(() if "--task" in flags else ("--task", "toy")), *flags])


def build_all(folder: Path, *flags: str) -> int:
    """Build the tables and the page into the folder that the records are in."""
    return build.main(["--records", str(folder / "records"), *flags])


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of a folder's files by path, without the cache."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items() if name.parts[0] != "cache"}


def change(path: Path, **entries: Any) -> None:
    """Replace entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **entries}), "utf-8")
