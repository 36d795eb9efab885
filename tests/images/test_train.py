import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from data.errors import InputError
from data.images.dataset import as_grid, batch_floats, open_dataset, to_uint8
from eval.core.sampling import fixed_sample
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.features import extract
from eval.images.frechet import FeatureStatistics, distance
from images import train as train_module
from images.config import PRESETS, ImageConfig
from images.networks import as_levels, sample_images
from images.sample import load_generator
from images.sample import main as sample
from images.suite import main as suite
from images.train import IMAGES, build_trainer, main, open_experiment, real_batches, train
from tests.helpers.runs import tensors, tiny_images, train_until_power_cut, without_clocks
from textgan.compare import main as compare
from textgan.engine.losses import LOSSES
from textgan.engine.rows import DeviceRows, device_rows
from textgan.engine.run_folder import declared_scores, read_metrics, read_options
from textgan.engine.seeds import stream_seed
from textgan.runs.program import parse_train
from textgan.sample import load_generator as load_text_generator

CPU = torch.device("cpu")


def rows_of(config: ImageConfig) -> DeviceRows:
    return device_rows(open_dataset(config.pictures).images, np.uint8, CPU)


@pytest.fixture
def small(tmp_path: Path) -> ImageConfig:
    return tiny_images(
        "ttur-small", tmp_path / "runs" / "run", count=120, latent_dim=4, batch_size=8, iterations=6, eval_every=2,
        eval_samples=30, checkpoint_every=4, generator_ema=0.5, flips="on",
    )  # fmt: skip


def test_a_run_is_scored_by_the_frechet_distance_of_its_samples(small: ImageConfig) -> None:
    outcome = train(small)
    rows = read_metrics(small.folder)
    assert [row["iteration"] for row in rows] == [0, 2, 4, 6]
    assert [row["time/samples_seen"] for row in rows] == [0, 16, 32, 48]
    # The score and the grid of the last evaluation, made again step by step from the checkpoint.
    generator, iteration = load_generator(small.folder)
    assert iteration == 6
    random = torch.Generator().manual_seed(stream_seed(small.seed, "samples", 6))
    images = sample_images(generator, 30, random)
    extractor = random_conv_extractor()
    pictures = open_dataset(small.pictures)
    features = [extract(each, extractor).astype(np.float64) for each in (images, pictures.images)]
    ours, real = (FeatureStatistics.of(each, "same") for each in features)
    assert rows[-1]["scores/fd_random"] == pytest.approx(distance(ours, real), rel=1e-6)
    content = (small.folder / "samples" / "6.png").read_bytes()
    with Image.open(io.BytesIO(content)) as grid:
        assert np.array_equal(np.asarray(grid), np.asarray(as_grid(images)))
    options = read_options(small.folder)
    assert declared_scores(small.folder).keys() == {"fd_random"}
    assert options["scores"]["fd_random"]["signature"] == (
        f"fd-random|features:{extractor.signature}|size:32x32|cov:unbiased|ref:shapes@{pictures.sha256[:12]}|samples:30|v:1"
    )
    assert outcome.summary is not None
    assert outcome.summary["best"]["fd_random"]["value"] == min(row["scores/fd_random"] for row in rows)
    # The floor: these many real images against the others.
    chosen = np.zeros(len(pictures.images), bool)
    chosen[fixed_sample(len(pictures.images), 30)] = True
    part, others = (FeatureStatistics.of(features[1][each], "same") for each in (chosen, ~chosen))
    assert outcome.summary["floor"]["fd_random"] == pytest.approx(distance(part, others), rel=1e-6)
    events = EventAccumulator(str(small.folder), {"images": 0})
    events.Reload()
    assert [event.step for event in events.Images("samples")] == [0, 2, 4, 6]
    assert events.Scalars("scores/fd_random")[-1].value == pytest.approx(rows[-1]["scores/fd_random"], rel=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "wgan-gp", "loss": "wasserstein", "penalty_weight": 10.0},
        {"loss": "relativistic", "penalty": "r1+r2", "penalty_weight": 1.0, "spectral_norm": "on",
         "upsampling": "bilinear", "critic_norm": "none"},
    ],
)  # fmt: skip
def test_a_run_that_was_broken_off_ends_as_one_that_was_not(
    small: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    whole = replace(small, critic_steps=2, **changes, run_dir=tmp_path / "whole")
    broken = replace(whole, run_dir=tmp_path / "broken")
    train(whole)
    train_until_power_cut(monkeypatch, 5, train, broken)
    train(broken)
    assert without_clocks(whole.folder) == without_clocks(broken.folder)
    ours, theirs = tensors(whole.folder), tensors(broken.folder)
    # Running statistics of the batch normalisation are part of a checkpoint.
    assert any("running_mean" in name for name in ours)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name in ("4.png", "6.png"):
        assert (whole.folder / "samples" / name).read_bytes() == (broken.folder / "samples" / name).read_bytes()


def test_samples_are_drawn_by_running_statistics_and_leave_training_as_it_was(small: ImageConfig) -> None:
    trainer = build_trainer(small, CPU)
    for iteration in range(2):
        trainer.step(real_batches(small, rows_of(small), iteration, 1))
    generator = trainer.generator.network
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    images = sample_images(generator, 70, torch.Generator().manual_seed(0))
    assert generator.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())
    # So an image does not depend on those it is drawn with.
    z = load_latents(small, 70)
    with torch.no_grad():
        alone = generator.eval()(z[3:4]).numpy()
    assert np.array_equal(images[3], np.rint((alone[0] + 1) * 127.5).astype(np.uint8))


def test_pixels_are_rounded_on_the_device_as_on_the_host(small: ImageConfig) -> None:
    pixels = torch.cat([torch.linspace(-1.1, 1.1, 2001), torch.arange(511) / 255 - 1])  # some lie between two levels
    assert np.array_equal(as_levels(pixels).numpy(), to_uint8(pixels.numpy()))
    assert not np.array_equal(((pixels + 1) * 127.5).clamp(0, 255).to(torch.uint8).numpy(), to_uint8(pixels.numpy()))
    generator = build_trainer(small, CPU).generator.network
    with torch.no_grad():
        next(generator.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="infinite or NaN pixels"):
        sample_images(generator, 3, torch.Generator().manual_seed(0))
    assert generator.training


def load_latents(config: ImageConfig, count: int) -> Tensor:
    """DCGAN's noise, uniform in [-1, 1), as drawn 64 at a time."""
    random = torch.Generator().manual_seed(0)
    sizes = [64] * (count // 64) + [count % 64]
    return torch.cat([2 * torch.rand(size, config.latent_dim, generator=random) - 1 for size in sizes])


def test_batches_are_real_images_mirrored_half_of_the_time(small: ImageConfig) -> None:
    pictures = open_dataset(small.pictures)
    plain = {image.tobytes() for image in batch_floats(pictures.images)}
    mirrored = {image.tobytes() for image in batch_floats(pictures.images[..., ::-1])}
    counts = {"off": [0, 0], "on": [0, 0]}
    for flips in ("off", "on"):
        config = replace(small, flips=flips, critic_steps=3)
        for iteration in range(20):
            batches = real_batches(config, rows_of(config), iteration, 3)
            assert len(batches) == 3
            for image in torch.cat(batches).numpy():
                counts[flips][0] += np.ascontiguousarray(image).tobytes() in plain
                counts[flips][1] += np.ascontiguousarray(image).tobytes() in mirrored
    assert counts["off"][0] == 480
    assert counts["off"][1] < 20  # images that are their own mirror
    assert sum(counts["on"]) >= 480
    assert 200 < counts["on"][0] < 280


def test_the_papers_presets() -> None:
    # Heusel et al. 2017, table 1: rates of the critic and the generator, and the appendix.
    rates = {
        ("dcgan", "celeba"): (1e-5, 5e-4, 5e-4), ("dcgan", "cifar10"): (1e-4, 5e-4, 1e-4),
        ("dcgan", "svhn"): (1e-5, 1e-4, 5e-5), ("dcgan", "lsun"): (1e-5, 1e-4, 5e-5),
        ("wgan-gp", "cifar10"): (3e-4, 1e-4, 1e-4), ("wgan-gp", "lsun"): (3e-4, 1e-4, 1e-4),
    }  # fmt: skip
    for (model, data), (critic_lr, generator_lr, both) in rates.items():
        ttur, orig = (PRESETS[f"{model}-{data}-{method}"] for method in ("ttur", "orig"))
        assert (ttur.critic_lr, ttur.generator_lr, ttur.critic_steps) == (critic_lr, generator_lr, 1)
        assert (orig.critic_lr, orig.generator_lr, orig.critic_steps) == (both, both, 5 if model == "wgan-gp" else 1)
        for config in (ttur, orig):
            assert (config.model, config.batch_size, config.eval_samples, config.generator_ema) == (
                model, 64, 50_000, 0.0
            )  # fmt: skip
            assert (config.size, config.data.partition("-")[0]) == (32 if data in ("cifar10", "svhn") else 64, data)
            assert (config.beta1, config.beta2) == ((0.0, 0.9) if model == "wgan-gp" else (0.5, 0.999))
            assert (config.loss, config.penalty_weight, config.latent_dim, config.eval_every) == (
                ("wasserstein", 10.0, 128, 1000) if model == "wgan-gp" else ("non-saturating", 0.0, 100, 5000)
            )
            assert (config.compat, config.features, config.resize, config.dim) == (
                "corrected", "inception", "tensorflow1", 64
            )  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_flags_give_the_presets(preset: str) -> None:
    parsed = parse_train(["--preset", preset], PRESETS, "images.train", None).config
    assert parsed == PRESETS[preset]
    assert parsed.preset == preset


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--size 48 --data shapes --size 40", "--size 40: must be 32 or a larger multiple of 16"),
        ("--size 16", "--size 16: must be 32"),
        ("--dim 0", "--dim 0: must be at least 1"),
        ("--eval-samples 1", "--eval-samples 1: must be at least 2"),
        (
            "--preset wgan-gp-cifar10-orig --compat paper --batch-size 6",
            "--batch-size 6: must be a multiple of 4",
        ),
        ("--loss hnige", "--loss"),
        ("--preset ttur-smal", r"--preset 'ttur-smal': choose from quickstart, ttur-small"),
        ("--weights some.pth", r"--weights some.pth: only with --features inception"),
        ("--precision bf16", r"--precision bf16: only with --features inception"),
        ("--compat paper", r"--compat paper: applies only to --model wgan-gp with --size 32"),
        ("--model wgan-gp", r"--upsampling bilinear: only with --model dcgan; wgan-gp has its own"),
        (
            "--model wgan-gp --upsampling transposed",
            r"--critic-norm none: only with --model dcgan; wgan-gp has its own",
        ),
        ("--penalty r2 --penalty-weight 0", r"--penalty r2: has no weight; give --penalty-weight above 0"),
        ("--count 5", "5 images, fewer than --batch-size 32"),
        ("--features inception", "pt_inception-2015-12-05-6726825d.pth"),
        ("--features inception --weights nowhere.pth", "nowhere.pth"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_arguments: Any, **_named: Any) -> Any:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(InputError, match=message):
        main([*arguments.split(), "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_dry_run_sees_what_does_not_go_together() -> None:
    with pytest.raises(InputError, match="--precision tf32: only with --features inception"):
        main(["--preset", "quickstart", "--precision", "tf32", "--dry-run"])


def test_any_loss_goes_with_any_networks(small: ImageConfig) -> None:
    rows = rows_of(small)
    losses = []
    for model in ("dcgan", "wgan-gp"):
        for loss in LOSSES:
            trainer = build_trainer(replace(small, model=model, loss=loss), CPU)
            trainer.step(real_batches(small, rows, 0, 1))
            stats = trainer.step(real_batches(small, rows, 1, 1))
            assert stats is not None
            losses.append((stats["generator_loss"], stats["critic_loss"]))
    assert len(set(losses)) == 12


def test_images_are_drawn_from_a_run(
    small: ImageConfig, tmp_path: Path, tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small)
    place = [str(small.folder), "--output", str(tmp_path / "s.npz"), "--grid", str(tmp_path / "g.png")]
    assert sample([*place, "--count", "70", "--seed", "3"]) == 0
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        images = arrays["images"]
        assert arrays["iteration"] == 6
    random = torch.Generator().manual_seed(stream_seed(3, "samples", 0))
    assert np.array_equal(images, sample_images(load_generator(small.folder)[0], 70, random))
    with Image.open(tmp_path / "g.png") as grid:
        assert np.array_equal(np.asarray(grid), np.asarray(as_grid(images[:64])))
    with pytest.raises(InputError, match=r"--seed -1: must be at least 0"):
        sample([*place, "--seed", "-1"])
    with pytest.raises(InputError, match=r"--grid g.jpg: must end in \.png"):
        sample([str(small.folder), "--grid", "g.jpg"])
    with pytest.raises(InputError, match="not a run on text; for images use"):
        load_text_generator(small.folder)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "options.json").write_text(json.dumps({"config": tiny.as_json()}), "utf-8")
    with pytest.raises(InputError, match="not a run on images; for text say"):
        sample([str(tmp_path / "text"), "--grid", "g.png"])


def test_suites_and_comparisons_work_as_for_text(
    small: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for preset in ("ttur-small", "orig-small"):
        monkeypatch.setitem(
            PRESETS, preset, replace(small, preset=preset, critic_lr=PRESETS[preset].critic_lr, run_dir=None)
        )
    folder = str(tmp_path / "suite")
    arguments = ["--executor", "inline", "--seeds", "0", "1", "--suite-dir", folder, "--set", "iterations=4"]
    assert suite(arguments) == 0
    assert capsys.readouterr().out.count("finished") == 4
    assert suite(arguments) == 0
    assert capsys.readouterr().out.count("skipped") == 4
    assert compare([folder, "--axis", "iterations", "--windows", "2", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["score"] == "fd_random"
    assert {method["method"] for method in found["methods"]} == {"ttur-small", "orig-small"}
    for method in found["methods"]:
        last = [read_metrics(Path(run))[-1]["scores/fd_random"] for run in method["runs"]]
        assert method["end"]["runs"] == pytest.approx(last)
    other = replace(small, eval_samples=20, run_dir=tmp_path / "suite" / "other")
    train(other)
    with pytest.raises(InputError, match=r"samples:(20|30) against samples:(20|30)"):
        compare([folder])


def test_a_run_is_not_continued_with_other_features(small: ImageConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    train(small)
    rows = read_metrics(small.folder)
    monkeypatch.setattr(train_module, "open_extractor", lambda *_: random_conv_extractor(seed=5))
    with pytest.raises(InputError, match=r"its fd_random is .*random-conv-2@seed0.*, not .*random-conv-2@seed5"):
        train(replace(small, iterations=8))
    assert read_metrics(small.folder) == rows


def test_settings_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = replace(PRESETS["dcgan-cifar10-ttur"], data="cifar10:there", weights=Path("w.pth"), run_dir=Path("runs/a"))
    assert config.with_absolute_paths() == replace(
        config, data=f"cifar10:{tmp_path / 'there'}", weights=tmp_path / "w.pth", run_dir=tmp_path / "runs" / "a"
    )


def test_two_images_are_enough_and_one_is_not(small: ImageConfig) -> None:
    two = replace(small, count=2, batch_size=2, eval_samples=2)
    trained = train(two)
    assert trained.summary is not None
    assert np.isfinite(trained.summary["last"]["fd_random"])
    with pytest.raises(InputError, match="1 images, fewer than"):
        open_experiment(replace(two, count=1, batch_size=1))


def test_the_program_is_named_in_the_options(small: ImageConfig) -> None:
    train(replace(small, iterations=1))
    assert read_options(small.folder)["program"] == IMAGES.module == "images.train"
