"""A run that starts from another run's weights."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.errors import InputError
from tests.helpers.runs import assert_same_run, tensors, tiny_text, train_until_power_cut
from textgan.compare import main as compare_runs
from textgan.engine.checkpoint import read_newest, strip_prefix
from textgan.engine.run_folder import read_options
from textgan.engine.seeds import stream_seed
from textgan.models import MODELS
from textgan.models.wgan_gp import WganGpSettings
from textgan.sample import load_generator, sample_ids
from textgan.suite import main as suite
from textgan.train import open_experiment, train


def lines_of(config: WganGpSettings, weights: dict[str, torch.Tensor], seed: int) -> list[str]:
    """The samples that these weights give at iteration 0 of a run with this seed."""
    tokenizer = load_generator(config.folder).tokenizer
    network = MODELS[config.model].networks(config, tokenizer.size).generator
    network.load_state_dict(weights)
    random = torch.Generator().manual_seed(stream_seed(seed, "samples", 0))
    return tokenizer.decode(sample_ids(network, config.eval_samples, random))


def test_it_begins_at_the_other_runs_last_raw_weights(finished: WganGpSettings, tmp_path: Path) -> None:
    started = replace(finished, start=finished.folder, run_dir=tmp_path / "started", seed=7)
    train(started)
    first = (started.folder / "samples" / "0.txt").read_text("utf-8").splitlines()
    raw, average = (  # an EMA of decay 0.5
        strip_prefix(tensors(finished.folder), prefix) for prefix in ("generator.network.", "generator.average.module.")
    )
    assert first == lines_of(finished, raw, 7)
    assert first != lines_of(finished, average, 7)
    start = read_options(started.folder)["start"]
    (newest,) = finished.folder.glob("checkpoints/000000008/tensors.safetensors")
    assert start["iteration"] == 8
    assert start["sha256"] == hashlib.sha256(newest.read_bytes()).hexdigest()


def test_it_continues_without_the_other_run(
    finished: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(finished, start=finished.folder, run_dir=tmp_path / "started")
    train(whole)
    broken = replace(whole, run_dir=tmp_path / "broken")
    train_until_power_cut(monkeypatch, 5, train, broken)
    shutil.rmtree(finished.folder)
    train(broken)
    assert_same_run(whole.folder, broken.folder)
    assert read_options(whole.folder)["start"] == read_options(broken.folder)["start"]


def test_a_first_checkpoint_that_was_not_written_is_none(finished: WganGpSettings, tmp_path: Path) -> None:
    started = replace(finished, start=finished.folder, run_dir=tmp_path / "started")
    (started.folder / "checkpoints" / ".000000004.partial").mkdir(
        parents=True
    )  # as a kill while it is written leaves it
    trainer = open_experiment(started).trainer
    _, tensors, _ = read_newest(finished.folder) or pytest.fail("no checkpoint")
    for name, weight in trainer.generator.network.state_dict().items():
        assert torch.equal(weight, tensors[f"generator.network.{name}"])


def test_a_start_that_cannot_be_is_refused(finished: WganGpSettings, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("".join(f"zyx {i}\n" for i in range(200)), "utf-8")
    for change, message in (
        ({"start": tmp_path / "nowhere"}, "nowhere: not a run"),
        ({"dim": 5}, "its generator has other layers or sizes; use the same"),
        ({"spectral_norm": "on"}, "its critic has other layers or sizes; use the same"),
        ({"data": str(other)}, "has other symbols; start from a run on the same data"),
    ):
        config = replace(finished, **{"start": finished.folder, "run_dir": tmp_path / "refused", **change})  # type: ignore[arg-type]
        with pytest.raises(InputError, match=message):
            train(config)
        assert not config.folder.exists()


def test_a_run_keeps_its_start(finished: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = replace(finished, start=finished.folder, run_dir=tmp_path / "started")
    random = replace(finished, run_dir=tmp_path / "random")
    train(started)
    train(random)
    # The start is neither lost nor added, and a moved one is the same.
    for config in (replace(started, start=None), replace(random, start=finished.folder)):
        with pytest.raises(InputError, match=f"--start {config.start}: not the start of the run in"):
            train(replace(config, iterations=9))
    other = replace(finished, critic_lr=2 * finished.critic_lr, run_dir=tmp_path / "other")
    train(other)
    for place, message in ((other.folder, "not the start of the run in"), (tmp_path / "nowhere", "nowhere: not a run")):
        with pytest.raises(InputError, match=message):
            train(replace(started, start=place, iterations=9))
    moved = Path(shutil.copytree(finished.folder, tmp_path / "moved"))
    train(replace(started, start=moved, iterations=9))
    # Stopped before the first checkpoint, while the start trains on: its weights are others now.
    young = replace(started, run_dir=tmp_path / "young")
    train_until_power_cut(monkeypatch, 3, train, young)
    train(replace(finished, iterations=12))
    with pytest.raises(InputError, match="not the start of the run in"):
        train(young)


def test_runs_of_one_start_and_seed_are_compared_in_pairs(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        train(tiny_text(text_file, tmp_path / "first" / f"run-seed{seed}", seed=seed))
    settings = ["--set", f"data={text_file}", "seq_len=12", "dim=4", "latent_dim=4", "batch_size=4", "ngram=4"]
    settings += ["iterations=4", "eval_samples=30", "eval_every=2", f"start={tmp_path}/first/run-seed{{seed}}"]
    command = ["--presets", "ttur", "orig", "--seeds", "0", "1", "--suite-dir", str(tmp_path / "second")]
    assert suite([*command, *settings, "--executor", "inline"]) == 0
    starts = {run.name: read_options(run)["start"]["sha256"] for run in (tmp_path / "second").glob("*-seed*")}
    assert starts["ttur-seed0"] == starts["orig-seed0"] != starts["ttur-seed1"] == starts["orig-seed1"]
    capsys.readouterr()
    assert compare_runs([str(tmp_path / "second"), "--axis", "iterations", "--windows", "2"]) == 0
    out = capsys.readouterr().out
    assert "the smallest possible p is 0.5" in out  # 2 pairs: 2 of 4 sign flips
