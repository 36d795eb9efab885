"""Runs that commit 423dd7f (textgan 0.1.0) left: they are read, compared, continued, sampled and submitted."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from images.config import PRESETS as IMAGE_PRESETS
from images.train import IMAGES
from images.train import train as train_on_images
from leaderboards.submit import main as submit
from leaderboards.verify import main as verify
from tests.helpers.runs import PRESETS, config_of, tensors
from textgan.compare import main as compare
from textgan.engine.run_folder import DeclaredScore, declared_scores, read_metrics, read_options
from textgan.runs.executors import is_finished
from textgan.sample import main as sample
from textgan.suite import main as suite
from textgan.train import TEXT, train

RUNS = Path(__file__).with_name("runs_423dd7f")  # its README.md says how they were made
# The quickstarts of 0.1.0 and 0.2.0, whose rates have changed since, and the critic of images.
TEXT_QUICKSTART_OF_THEN = replace(
    PRESETS["quickstart"], critic_lr=5e-3, generator_lr=2e-3, generator_ema=0.99, critic_steps=2
)
QUICKSTART_OF_THEN = replace(
    IMAGE_PRESETS["ttur-small"], preset="quickstart", generator_lr=1e-3, batch_size=32, generator_ema=0.995,
)  # fmt: skip
SIGNATURE = "jsd|n:4|sym:char|len:8|pad:in|ref:grammar@d7687e9c8c8f|samples:20|v:1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUNS, tmp_path / "old"))


def settings_of(run: Path) -> Any:
    """The settings that the run was made with, as a user gives them now."""
    common: dict[str, Any] = {"minutes": None, "iterations": 6, "eval_every": 2, "checkpoint_every": 2, "device": "cpu"}
    common |= {"batch_size": 4, "latent_dim": 2, "run_dir": run}
    if run.name.startswith("images"):
        return replace(QUICKSTART_OF_THEN, count=40, dim=1, eval_samples=4, **common)
    config = replace(TEXT_QUICKSTART_OF_THEN, seq_len=8, dim=2, eval_samples=20, ngram=4, lines=300, **common)
    if run.name == "text-corpus-seed1":
        return replace(config, data=str(run.parent / "corpus.txt"), lines=None, seed=1)
    return config


def test_options_and_metrics_are_read_as_this_version_writes_them(old: Path) -> None:
    options = read_options(old / "text-finished")
    assert options["format"] == 1
    assert options["config"]["eval_seconds"] is None
    of_gans = ("loss", "penalty", "spectral_norm")
    assert [options["config"][name] for name in of_gans] == ["wasserstein", "wgan-gp", "off"]
    of_pictures = read_options(old / "images-finished")["config"]
    assert [of_pictures[name] for name in (*of_gans, "upsampling", "critic_norm")] == [
        "non-saturating", "wgan-gp", "off", "transposed", "batch",
    ]  # fmt: skip
    scores = {f"jsd_{n}": DeclaredScore("lower", n == 4, SIGNATURE, 0.0, 1.0) for n in (1, 2, 3, 4)}
    assert declared_scores(old / "text-finished") == scores
    of_images = "fd-random|features:random-conv-2@seed0|size:32x32|cov:unbiased|ref:shapes@126602f7467f|samples:4|v:1"
    assert declared_scores(old / "images-finished") == {"fd_random": DeclaredScore("lower", True, of_images)}
    raw = json.loads((old / "text-finished" / "metrics.jsonl").read_text("utf-8").splitlines()[-1])
    row = read_metrics(old / "text-finished")[-1]
    assert (row["iteration"], row["scores/jsd_2"], row["train/wasserstein"], row["time/critic_updates"]) == (
        raw["iteration"], raw["jsd_2"], raw["wasserstein"], raw["critic_updates"],
    )  # fmt: skip
    assert {name.partition("/")[0] for name in row} == {"iteration", "scores", "time", "train"}


@pytest.mark.parametrize("name", ["text-finished", "text-corpus-seed1", "images-finished"])
def test_a_suite_knows_that_they_are_finished(old: Path, name: str) -> None:
    config = settings_of(old / name)
    recorded = read_options(config.folder)["config"]["data"]
    assert is_finished(config) == (config.as_json()["data"] == recorded)
    program: Any = IMAGES if name.startswith("images") else TEXT
    weights = tensors(config.folder)
    rows = (config.folder / "metrics.jsonl").read_bytes()
    assert program.train(config).summary is not None  # of data that were moved, their hash decides
    assert (config.folder / "metrics.jsonl").read_bytes() == rows
    assert all(torch.equal(weights[key], each) for key, each in tensors(config.folder).items())


@pytest.mark.parametrize("kind", ["text", "images"])
def test_a_stopped_run_is_continued_in_its_own_format(old: Path, kind: str) -> None:
    stopped = settings_of(old / f"{kind}-stopped")
    assert [row["iteration"] for row in read_metrics(stopped.folder)] == [0, 2, 4]
    (train_on_images if kind == "images" else train)(stopped)
    rows = [json.loads(line) for line in (stopped.folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [row["iteration"] for row in rows] == [0, 2, 4, 6]
    assert [list(row) for row in rows] == [list(rows[0])] * 4
    assert "train_seconds" in rows[-1]
    assert read_options(stopped.folder)["format"] == 1
    # The run that was never stopped was made on one processor; on another one sums round otherwise.
    whole = old / f"{kind}-finished"
    for ours, theirs in zip(read_metrics(stopped.folder), read_metrics(whole), strict=True):
        for name in (name for name in ours if name.startswith("scores/")):
            assert ours[name] == pytest.approx(theirs[name], abs=0.05 if kind == "text" else 0.5)
    ours, theirs = tensors(stopped.folder), tensors(whole)
    for name in theirs:
        # The gradient of a bias before batch normalisation is rounding, of which Adam makes two whole steps of 1e-3.
        before_norm = name.endswith("bias") and ("doublings" in name or "halvings" in name)
        assert torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=2e-3 if before_norm else 1e-4), name


def test_they_are_compared_with_runs_of_this_version(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = replace(settings_of(old / "text-finished"), seed=5, run_dir=old / "text-new")
    train(new)
    options = read_options(new.folder)
    device = read_options(old / "text-finished")["device"]
    (new.folder / "options.json").write_text(json.dumps({**options, "device": device}))  # of the same machine
    assert compare([str(old / "text-finished"), str(new.folder), "--format", "json"]) == 0
    (method,) = json.loads(capsys.readouterr().out)[0]["methods"]
    assert method["runs"] == [str(old / "text-finished"), str(new.folder)]
    # Two critic updates per iteration; the generator waits in the first one. The new run logs what it counted.
    logged = [json.loads(line) for line in (new.folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    for rows in (read_metrics(old / "text-finished"), logged):
        assert [row["time/gradient_evaluations"] for row in rows] == [0, 4 + 1, 8 + 3, 12 + 5]


def test_samples_are_drawn_and_records_made_of_them(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample([str(old / "text-finished"), "--count", "5", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("\n") == 5
    records = str(old / "records")
    assert submit([str(old / "text-finished"), "--task", "old", "--records", records]) == 0
    capsys.readouterr()
    assert verify([records]) == 0
    assert capsys.readouterr().out.startswith("passed")
    record = json.loads((old / "records" / "old" / "quickstart" / "record.json").read_text("utf-8"))
    assert record["signature"] == SIGNATURE
    # The run did not record its command: it is rebuilt from all settings.
    command = shlex.split(record["facts"]["command"])
    assert command[:3] == ["python", "-m", "textgan.train"]
    assert config_of(command[3:]).as_json() == replace(settings_of(old / "text-finished"), run_dir=None).as_json()


def test_what_is_added_to_a_suite_is_scored_as_the_suite_was(old: Path, tmp_path: Path) -> None:
    # By minutes, with evaluations counted in iterations: as every suite of the earlier version.
    folder = tmp_path / "suite"
    flags = ["--presets", "ttur-small", "--executor", "inline", "--suite-dir", str(folder), "--set", "minutes=0.002"]
    flags += ["dim=2", "latent_dim=2", "seq_len=8", "batch_size=4", "eval_samples=20", "lines=300", "device=cpu"]
    assert suite([*flags, "--seeds", "0"]) == 0
    first = folder / "ttur-small-seed0"
    assert read_options(first)["config"]["eval_seconds"] == pytest.approx(0.002)
    options = json.loads((first / "options.json").read_text("utf-8"))
    del options["config"]["eval_seconds"], options["format"]
    (first / "options.json").write_text(json.dumps(options), "utf-8")
    assert suite([*flags, "--seeds", "0", "1"]) == 0
    assert read_options(folder / "ttur-small-seed1")["config"]["eval_seconds"] is None
