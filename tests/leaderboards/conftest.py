"""Fixtures: records of tiny runs and of a few samples."""

from pathlib import Path

import pytest

from eval.ngram_sampler import main as sample_ngrams
from leaderboards import submit
from tests.helpers.records import submit_few
from tests.helpers.runs import LARGE_RATES, copy_runs, even_clock, tiny_text
from tests.helpers.text import short_lines, write_lines
from textgan.train import train


@pytest.fixture(scope="session")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs and samples, and the records of them."""
    place: Path = tmp_path_factory.mktemp("submitted")
    text, folder = write_lines(place / "text.txt", short_lines()), place / "records"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGAN_CACHE", str(place / "cache"))
        for name, change in (("a0", {}), ("a1", {"seed": 1}), ("b0", {"critic_lr": 1e-3})):
            config = tiny_text(
                text, place / "suite" / name, iterations=8, eval_every=2, checkpoint_every=4, ngram=6,
                **{**LARGE_RATES, **change},
            )  # fmt: skip
            train(config)
            even_clock(config.folder)
        assert submit.main([str(place / "suite"), "--task", "toy", "--records", str(folder)]) == 0
        flags = ["--order", "2", "--count", "30", "--seq-len", "12"]
        assert sample_ngrams([text, *flags, "--output", str(place / "two.txt")]) == 0
        more = ["--task", "toy", "--name", "2-gram model", "--note", "counts alone", "--records", str(folder)]
        assert submit.main([str(place / "two.txt"), *more]) == 0
    return place


@pytest.fixture
def records(submitted: Path, tmp_path: Path) -> Path:
    """A task with two records of runs, one of them of two seeds, and one of samples."""
    copy_runs(submitted, tmp_path)
    return tmp_path / "records"


@pytest.fixture(scope="session")
def submitted_few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("few")
    (place / "real.txt").write_text("the cat sat on a mat\n" * 40, "utf-8")
    (place / "few.txt").write_text("the cat sat on a dog\n" * 10, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGAN_CACHE", str(place / "cache"))
        assert submit_few(place, "--name", "first") == 0
    return place


@pytest.fixture
def few(submitted_few: Path, tmp_path: Path) -> Path:
    """Ten samples and real text, and a task `toy` with a record of the samples."""
    copy_runs(submitted_few, tmp_path)
    return tmp_path
