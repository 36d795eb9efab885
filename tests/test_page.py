"""The leaderboards' page in a real browser: sorted, filtered, read, without a network."""

import json
import shutil
from pathlib import Path

import pytest

from leaderboards import build
from leaderboards.records import RECORDS

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NAMES = {"alpha": 0.9, "beta": 0.25, "gamma": 0.5, "delta": None}


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """A page of the project's own records and a toy task."""
    records = Path(shutil.copytree(RECORDS, tmp_path / "records"))
    task = records / "toy-task"
    task.mkdir()
    shown = {"jsd_4": "lower", "jsd_6": "lower"}
    about = {"title": "Toy", "signature": "s", "floor": {"jsd_4": 0.1}, "metrics": ["jsd"], "shown": shown}
    (task / "task.json").write_text(json.dumps(about), "utf-8")
    band = {"mean": [0.9, 0.5], "low": [0.8, 0.4], "high": [1.0, 0.6]}
    for name, end in NAMES.items():
        (task / name).mkdir()
        record = {
            "name": name, "kind": "runs", "signature": "s", "samples": [],
            "facts": {"seeds": [0, 1], "critic_lr": 0.003, "note": f"note of {name} <&>"},
            "scores": {"jsd_4": {"best_run": end, "best_mean": end, "end": end, "sd": 0.01}},
            "curve": {"minutes": [1, 2], "jsd_4": band, "jsd_6": band},
        }  # fmt: skip
        (task / name / "record.json").write_text(json.dumps(record), "utf-8")
    assert build.main(["--records", str(records), "--output", str(tmp_path), "--readme", str(tmp_path / "none")]) == 0
    return tmp_path / "index.html"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.filterwarnings("ignore")
def test_the_page_sorts_filters_and_shows_numbers(page_file: Path, tmp_path: Path) -> None:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1600}, offline=True)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(page_file.as_uri())
        section = page.locator("section#toy-task")

        def names() -> list[str]:
            return [str(row) for row in section.locator("tbody tr:visible td:first-child").all_inner_texts()]

        assert names()[-1] == "real text"
        head = section.get_by_role("button", name="JSD-4 at the end")
        head.click()
        assert names() == ["real text", "beta", "gamma", "alpha", "delta"]  # an empty cell comes last
        head.click()
        assert names() == ["alpha", "gamma", "beta", "real text", "delta"]
        section.get_by_role("button", name="name", exact=True).click()
        assert names() == ["alpha", "beta", "delta", "gamma", "real text"]
        section.get_by_role("searchbox").fill("note of b")
        assert names() == ["beta"]
        row = section.locator("tbody tr:visible td").all_inner_texts()
        assert row[4:7] == ["0.250", "0.250", "0.250 ± 0.010"]
        assert row[-1] == "note of beta <&>"
        section.get_by_role("searchbox").fill("")
        assert len(names()) == 5
        # The curves are drawn, and the records' samples can be read side by side.
        page.wait_for_function("document.querySelectorAll('section#toy-task .bk-Figure').length == 2")
        assert len(page.locator("section#lm1b-small pre").first.inner_text()) > 100
        picture = page.locator("section#shapes-32 pre img").first
        assert picture.evaluate("image => image.naturalWidth") == 8 * 32 + 7 * 2
        page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
        assert errors == []
        browser.close()
