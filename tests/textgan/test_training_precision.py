"""Training in bfloat16: near single precision, with weights, norms and scores in single precision."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from eval.core.device import Precision, arithmetic
from tests.helpers.runs import LARGE_RATES, assert_same_run, tiny_text, train_until_power_cut, write_run
from tests.helpers.trainers import LENGTH, SYMBOLS, a_trainer, real_batches
from textgan.engine.run_folder import read_options
from textgan.engine.trainer import Trainer
from textgan.models.lines import LineModel
from textgan.models.wgan_gp import Critic, Generator
from textgan.train import train

CPU = torch.device("cpu")


def after_two_steps(precision: Precision) -> tuple[Trainer, dict[str, float]]:
    trainer = a_trainer(dtype=torch.float32, training_precision=precision)
    stats = None
    for iteration in range(2):
        stats = trainer.step([batch.float() for batch in real_batches(iteration, 1)])
    assert stats is not None
    return trainer, stats


def test_bfloat16_is_near_single_precision_and_not_equal() -> None:
    _, single = after_two_steps("float32")
    trainer, found = after_two_steps("bf16")
    for name in ("critic_loss", "gradient_penalty", "critic_gradient_norm", "generator_gradient_norm"):
        assert found[name] == pytest.approx(single[name], rel=0.05)
        assert found[name] != pytest.approx(single[name], rel=1e-5)
    for network in (trainer.networks.generator, trainer.networks.require_critic()):
        assert {weight.dtype for weight in network.parameters()} == {torch.float32}


def test_probabilities_scores_and_input_gradients_are_rounded_to_single_precision() -> None:
    random = torch.Generator().manual_seed(0)
    generator, critic = Generator(SYMBOLS, LENGTH, 4, 3), Critic(SYMBOLS, LENGTH, 4)
    with arithmetic("bf16", CPU):
        rows = generator(generator.sample_latent(50, random))
        scores, gradient = critic(rows), critic.input_gradient(rows)
        short = rows.bfloat16()  # of a softmax in bfloat16
    assert (rows.sum(dim=-1) - 1).abs().max() < 1e-6
    assert (short.sum(dim=-1, dtype=torch.float32) - 1).abs().max() > 1e-4
    assert scores.dtype == gradient.dtype == torch.float32


def test_lstms_are_computed_in_single_precision() -> None:
    model = LineModel(vocabulary_size=9, seq_len=5, dim=8)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(1))
    embedded = model.embedding(torch.arange(5).view(1, 5))
    expected = model.body(embedded, None)[0]
    with arithmetic("bf16", CPU):
        assert torch.equal(model.body(embedded, None)[0], expected)
        logits = model(torch.arange(5).view(1, 5))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, model(torch.arange(5).view(1, 5)))


def test_a_run_in_bfloat16_continues_bit_for_bit(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_text(text_file, tmp_path / "whole", training_precision="bf16", **LARGE_RATES)
    train(config)
    cut = replace(config, run_dir=tmp_path / "cut")
    train_until_power_cut(monkeypatch, 3, train, cut)
    train(cut)
    assert_same_run(config.folder, cut.folder)
    assert json.loads((config.folder / "options.json").read_text())["config"]["training_precision"] == "bf16"


def test_runs_of_earlier_versions_took_tf32_on_cuda_alone(tmp_path: Path) -> None:
    for kind, precision in (("cpu", "float32"), ("cuda", "tf32")):
        folder = write_run(tmp_path / kind, [])
        options = json.loads((folder / "options.json").read_text())
        (folder / "options.json").write_text(json.dumps({**options, "device": {"name": "x", "type": kind}}))
        assert read_options(folder)["config"]["training_precision"] == precision
