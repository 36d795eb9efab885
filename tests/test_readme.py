"""What the README says of the project's files is true."""

import json
import re
from pathlib import Path
from statistics import fmean

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
        for package in ("data", "eval", "textgan")
        for path in (ROOT / package).glob("*.py")
        if path.name != "__init__.py"
    }
    assert named == there


def test_every_file_a_line_links_to_is_there() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)|src=\"(?!http)([^\"]+)\"", readme):
        assert (ROOT / (target[0] or target[1])).exists(), target


def test_the_results_table_is_that_of_the_records() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    records = ROOT / "leaderboards" / "records" / "lm1b-small-2026-11"
    for preset in ("ttur-small", "orig-small"):
        (row,) = re.findall(rf"^\| {preset} \|(.*)\|$", readme, re.MULTILINE)
        cells = [cell.strip() for cell in row.split("|")]
        options = [json.loads(path.read_text("utf-8")) for path in sorted(records.glob(f"{preset}-*/options.json"))]
        summaries = [json.loads(path.read_text("utf-8")) for path in sorted(records.glob(f"{preset}-*/summary.json"))]
        assert len(summaries) == len(options) == 2
        config = options[0]["config"]
        best = {n: [summary["best"][f"jsd_{n}"]["value"] for summary in summaries] for n in (4, 6)}
        assert cells == [
            *(f"{config[name]:g}" for name in ("critic_lr", "generator_lr", "critic_steps")),
            ", ".join(f"{summary['totals']['iteration']:,}" for summary in summaries),
            *(f"{value:.3f}" for n in (4, 6) for value in (min(best[n]), fmean(best[n]))),
        ]
        # The summary's best is that of the rows.
        for summary, path in zip(summaries, sorted(records.glob(f"{preset}-*/metrics.jsonl")), strict=True):
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            assert summary["best"]["jsd_4"]["value"] == min(row["jsd_4"] for row in rows)
