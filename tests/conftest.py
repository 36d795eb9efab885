"""Fixtures: a cache of its own for every test, small texts, and real text where it lies beside the checkout."""

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TEXTGAN_CACHE", str(folder))
    return folder


@pytest.fixture
def lm1b_sample() -> Path:
    path = REAL_DATA / "lm1b" / "heldout-10-11.txt.gz"
    if not path.exists():
        pytest.skip(f"needs {path}")
    return path


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """2,000 different short lines."""
    path = tmp_path / "text.txt"
    words = ("the", "cat", "sat", "on", "a", "mat", "é", "dog")
    lines = [" ".join(words[(i * i + i * j + j) % 8] for j in range(3 + i % 4)) + f" {i}" for i in range(2000)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
