"""Fixtures: records of tiny runs and of a few samples."""

from dataclasses import replace
from pathlib import Path

import pytest

from eval.ngram_sampler import main as sample_ngrams
from leaderboards import submit
from tests.helpers.records import submit_few
from tests.helpers.runs import even_clock
from textgan.models.wgan_gp import WganGpSettings
from textgan.train import train


@pytest.fixture
def records(tiny: WganGpSettings, tmp_path: Path) -> Path:
    """A task with two records of runs, one of them of two seeds, and one of samples."""
    for name, change in (("a0", {}), ("a1", {"seed": 1}), ("b0", {"critic_lr": 1e-3})):
        train(replace(tiny, run_dir=tmp_path / "suite" / name, ngram=6, **change))
        even_clock(tmp_path / "suite" / name)
    folder = tmp_path / "records"
    assert submit.main([str(tmp_path / "suite"), "--task", "toy", "--records", str(folder)]) == 0
    flags = ["--order", "2", "--count", "30", "--seq-len", "12"]
    assert sample_ngrams([tiny.data, *flags, "--output", str(tmp_path / "two.txt")]) == 0
    more = ["--task", "toy", "--name", "2-gram model", "--note", "counts alone", "--records", str(folder)]
    assert submit.main([str(tmp_path / "two.txt"), *more]) == 0
    return folder


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Ten samples and real text, and a task `toy` with a record of the samples."""
    (tmp_path / "real.txt").write_text("the cat sat on a mat\n" * 40, "utf-8")
    (tmp_path / "few.txt").write_text("the cat sat on a dog\n" * 10, "utf-8")
    assert submit_few(tmp_path, "--name", "first") == 0
    return tmp_path
