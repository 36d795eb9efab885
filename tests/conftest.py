"""Fixtures: a cache of its own for every test, small texts, and real text where it lies beside the checkout."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

# Before PyTorch is imported, which reads the number of threads: networks of a few channels are faster on one thread.
# Commands that tests start inherit it. The hub is out of reach.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = str(Path(tempfile.gettempdir()) / "textgan-tests-hub")

import pytest
from hypothesis import HealthCheck, settings

from data.errors import note
from tests.helpers.paths import REAL_DATA
from tests.helpers.runs import LARGE_RATES, copy_runs, tiny_text
from tests.helpers.text import short_lines, write_lines
from textgan.models.wgan_gp import WganGpSettings
from textgan.train import train

# A loaded machine is no failure, and a failure must come again.
settings.register_profile(
    "tests", max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fuzz", settings.get_profile("tests"), max_examples=10_000)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _notes() -> None:
    """Every test sees all notes, although a process prints each once."""
    note.cache_clear()


@pytest.fixture
def standard_input() -> Iterator[Callable[[bytes], None]]:
    """Return a function that sends bytes to this process's standard input through a pipe."""
    before = os.dup(0)
    threads: list[Thread] = []

    def write(descriptor: int, content: bytes) -> None:
        with suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:  # a test need not read it
            pipe.write(content)

    def send(content: bytes) -> None:
        reading, writing = os.pipe()
        os.dup2(reading, 0)
        os.close(reading)
        threads.append(Thread(target=write, args=(writing, content)))
        threads[-1].start()

    yield send
    os.dup2(before, 0)
    os.close(before)
    for thread in threads:
        thread.join()


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
def cifar10_sample() -> Path:
    """The first 1,000 training images of each class, sorted by class, as JPEG."""
    path = REAL_DATA / "cifar10" / "train-10k.parquet"
    if not path.exists():
        pytest.skip(f"needs {path}")
    return path


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """2,000 different short lines."""
    path = tmp_path / "text.txt"
    write_lines(path, short_lines())
    return path


def _tiny(folder: Path) -> WganGpSettings:
    return tiny_text(folder / "text.txt", folder / "run", iterations=8, eval_every=2, checkpoint_every=4, **LARGE_RATES)


@pytest.fixture
def tiny(text_file: Path) -> WganGpSettings:
    return _tiny(text_file.parent)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, its cache, the run of `tiny` on it, and `whole`, the same run with 12 iterations."""
    folder: Path = tmp_path_factory.mktemp("trained")
    write_lines(folder / "text.txt", short_lines())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGAN_CACHE", str(folder / "cache"))
        train(_tiny(folder))
        train(replace(_tiny(folder), iterations=12, run_dir=folder / "whole"))
    return folder


@pytest.fixture
def finished(trained: Path, tmp_path: Path) -> WganGpSettings:
    """The settings of `tiny`, whose run has ended."""
    copy_runs(trained, tmp_path)
    return _tiny(tmp_path)
