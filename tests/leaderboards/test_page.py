"""The leaderboards' page in a real browser: sorted, filtered, read, without a network."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboards import build
from leaderboards.places import RECORDS

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NAMES = {"alpha": 0.9, "beta": 0.25, "gamma": 0.5, "delta": None}
ODD = ["</script><script>window.broken = 1</script>", "$$\\frac{1}{$$", "two  spaces | \"quotes'", "<b>модель</b>"]
LOADED = 600_000  # ms; a browser that starts in a second may need minutes on a loaded machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all tests. It is started again if it dies at its start, as it may if memory is short."""
    with playwright.sync_playwright() as driver:
        for attempt in range(3):
            try:
                started = driver.chromium.launch(
                    executable_path=CHROMIUM,
                    timeout=LOADED,
                    args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
                )
                break
            except playwright.Error:
                if attempt == 2:
                    raise
        yield started
        started.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the project's own records and two toy tasks, one with names that mean something to browsers."""
    folder = tmp_path_factory.mktemp("page")
    records = Path(shutil.copytree(RECORDS, folder / "records"))
    write_task(records / "toy-task", NAMES)
    write_task(records / "odd-task", dict.fromkeys(ODD, 0.5))
    assert build.main(["--records", str(records)]) == 0
    return folder / "index.html"


def write_task(task: Path, ends: dict[str, Any]) -> None:
    task.mkdir()
    shown = {"jsd_4": "lower", "jsd_6": "lower"}
    about = {"title": "Toy", "signature": "s", "floor": {"jsd_4": 0.1}, "metrics": ["jsd"], "shown": shown}
    (task / "task.json").write_text(json.dumps(about), "utf-8")
    band = {"mean": [0.9, 0.5], "low": [0.8, 0.4], "high": [1.0, 0.6]}
    for number, (name, end) in enumerate(ends.items()):
        folder = task / str(number)
        folder.mkdir()
        (folder / "samples.txt").write_text(f"samples of {name}\n", "utf-8")
        record = {
            "name": name, "kind": "runs", "signature": "s",
            "samples": [{"file": "samples.txt", "sha256": "", "scores": {}}],
            "facts": {"seeds": [0, 1], "critic_lr": 0.003, "note": f"note of {name} <&>"},
            "scores": {"jsd_4": {"best_run": end, "best_mean": end, "end": end, "sd": 0.01}},
            "curve": {"minutes": [1, 2], "jsd_4": band, "jsd_6": band},
        }  # fmt: skip
        (folder / "record.json").write_text(json.dumps(record), "utf-8")


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    """The page as opened, without a network; no script of it fails."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, offline=True)
    opened.set_default_timeout(LOADED)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(page_file.as_uri())
    opened.wait_for_function("document.querySelectorAll('section#toy-task .bk-Figure').length == 2")
    yield opened
    opened.close()
    assert errors == []


def test_the_page_sorts_filters_and_shows_numbers(page: Any) -> None:
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
    assert row[3:6] == ["0.250", "0.250", "0.250 ± 0.010"]
    assert row[-1] == "note of beta <&>"
    section.get_by_role("searchbox").fill("")
    assert len(names()) == 5
    # The records' samples can be read side by side.
    assert len(page.locator("section#lm1b-small pre").first.inner_text()) > 100
    picture = page.locator("section#shapes-32 pre img").first
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8 * 32 + 7 * 2


def test_names_are_shown_as_they_are(page: Any) -> None:
    section = page.locator("section#odd-task")
    shown = section.locator("tbody tr td:first-child").all_text_contents()
    assert sorted(shown) == sorted([*ODD, "real text"])
    for number, name in enumerate(section.locator("select").first.locator("option").all_text_contents()):
        section.locator("select").first.select_option(index=number)
        assert section.locator("pre").first.text_content().strip() == f"samples of {name}"
    assert page.evaluate("window.broken") is None


def test_the_first_screen_has_the_matrix_and_the_tasks(page: Any) -> None:
    tasks = [link.get_attribute("href") for link in page.locator("nav a").all()]
    assert tasks[:2] == ["#lm1b-small", "#lm1b-char32"]
    assert tasks[-4:] == ["#cifar10-32", "#celeba-64", "#lsun-bedrooms-64", "#svhn-32"]
    assert page.locator("section").first.get_attribute("id") == "lm1b-small"
    for place in [*page.locator("#matrix tr").all(), page.locator("nav a").first]:
        box = place.bounding_box()
        assert box["y"] + box["height"] <= 900
        assert box["x"] + box["width"] <= 1280
    rows = [row.locator("td").all_inner_texts() for row in page.locator("#matrix tbody tr").all()]
    head = page.locator("#matrix th").all_inner_texts()
    shown = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    column = next(name for name in head if name.startswith("lm1b-small"))
    ends = {row[0]: row[-2] for row in ([*map(str, cells)] for cells in _cells(page, "lm1b-small"))}
    assert shown["6-gram model"][column] == ends["6-gram model"]
    assert shown["mle"][column] == ends["mle-small"].partition(" ")[0]
    assert shown["real data"][column] == ends["real text"]
    assert shown["dcgan"][column] == ""


def _cells(page: Any, task: str) -> list[list[str]]:
    return [row.locator("td").all_inner_texts() for row in page.locator(f"section#{task} tbody tr").all()]


def test_a_narrow_page_scrolls_tables_only(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 400")
    assert page.locator("#matrix td").first.bounding_box()["x"] >= 0
