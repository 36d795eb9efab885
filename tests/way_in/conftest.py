"""Fixtures: a command in this process, a tiny run, saved counts."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from data.errors import note
from tests.helpers.commands import run
from tests.helpers.runs import tiny_text
from tests.helpers.way_in.texts import REFERENCE
from tests.helpers.way_in.workshop import Runner, RunOutcome, Workshop, check, fed
from textgan.train import train


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Runner:
    """Run a command in this process."""

    def run_here(shop: Workshop, module: str, arguments: Sequence[str]) -> RunOutcome:
        note.cache_clear()
        before = shop.files()
        capfd.readouterr()
        with fed(shop, in_this_process=True):
            outcome = RunOutcome(*run(capfd, module, *arguments))
        check(shop, outcome, before)
        return outcome

    return run_here


@pytest.fixture
def saved_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "counted.txt"
    text.write_text(REFERENCE)
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    assert run(capfd, "eval.ngrams", "build", str(text), "--output", str(tmp_path / "counts"))[0] == 0


@pytest.fixture
def a_run(tmp_path: Path) -> Path:
    """The folder of a tiny run."""
    (tmp_path / "corpus.txt").write_text(REFERENCE)
    folder = tmp_path / "run"
    train(
        tiny_text(
            tmp_path / "corpus.txt", folder, seq_len=32, dim=2, latent_dim=2, iterations=2, eval_every=1,
            checkpoint_every=1, eval_samples=4, ngram=2,
        )
    )  # fmt: skip
    return folder
