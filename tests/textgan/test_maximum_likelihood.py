import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from data.errors import InputError
from tests.helpers.oracles import BETA1, BETA2, PlainAdam
from tests.helpers.runs import PRESETS, assert_same_run, tiny_text, train_until_power_cut
from textgan.compare import main as compare_runs
from textgan.engine.game import Networks
from textgan.engine.run_folder import read_metrics
from textgan.engine.trainer import NonFiniteError, Trainer, make_trainer
from textgan.models.common import initialise
from textgan.models.mle import LanguageModel, MleSettings, phases
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.program import parse_train
from textgan.sample import load_generator, sample_ids
from textgan.train import train

SYMBOLS, LENGTH, DIM = 3, 4, 5


def make_model() -> LanguageModel:
    model = LanguageModel(SYMBOLS, LENGTH, DIM).double()
    initialise(model, torch.Generator().manual_seed(0))
    return model


def one_hot(*lines: tuple[int, ...]) -> Tensor:
    return torch.eye(SYMBOLS, dtype=torch.float64)[torch.tensor(lines)]


def plain_logits(model: LanguageModel, line: Tensor) -> Tensor:
    """An LSTM with forget gates written out; before the first symbol it reads zeros."""
    w = dict(model.named_parameters())
    h = c = torch.zeros(DIM, dtype=torch.float64)
    logits = []
    for x in [torch.zeros(SYMBOLS, dtype=torch.float64), *line[:-1]]:
        gates = w["recurrent.weight_ih_l0"] @ x + w["recurrent.bias_ih_l0"]
        gates = gates + w["recurrent.weight_hh_l0"] @ h + w["recurrent.bias_hh_l0"]
        i, f, g, o = gates.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        logits.append(model.to_symbols.weight @ h + model.to_symbols.bias)
    return torch.stack(logits)


def test_the_model_is_an_lstm_that_sees_only_what_came_before() -> None:
    model = make_model()
    lines = one_hot((0, 1, 2, 1), (2, 2, 0, 0))
    logits = model(lines)
    for line, ours in zip(lines, logits, strict=True):
        assert torch.allclose(ours, plain_logits(model, line), rtol=0, atol=1e-12)
        # One that saw the symbol it is to tell would differ.
        assert not torch.allclose(ours, plain_logits(model, torch.cat([line[1:], line[:1]])), atol=1e-3)


def test_lines_are_drawn_from_the_models_distribution() -> None:
    model = make_model()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4)  # far from uniform
        every = list(product(range(SYMBOLS), repeat=LENGTH))
        lines = one_hot(*every)
        chance = (lines * model(lines).log_softmax(dim=-1)).sum(dim=(1, 2)).exp()
        drawn = model.float().sample(20_000, torch.Generator().manual_seed(1))
    assert chance.sum().item() == pytest.approx(1, abs=1e-12)
    number = (drawn * torch.tensor([SYMBOLS**place for place in reversed(range(LENGTH))])).sum(dim=1)
    counts = torch.bincount(number, minlength=len(every)).double()
    expected = 20_000 * chance
    chi_squared = ((counts - expected).square() / expected).sum().item()
    freedom = len(every) - 1
    assert abs(chi_squared - freedom) < 4 * math.sqrt(2 * freedom)
    uniform = 20_000 / len(every)
    assert ((counts - uniform).square() / uniform).sum().item() > 100 * freedom


def likelihood_trainer(model: LanguageModel, **changes: Any) -> Trainer:
    config = MleSettings(batch_size=6, beta1=BETA1, beta2=BETA2, generator_lr=1e-2, **changes)
    return make_trainer(config, phases(config, Networks(model)), Networks(model), torch.device("cpu"))


def test_steps_equal_plain_ones_on_the_cross_entropy() -> None:
    model, plain = make_model(), make_model()
    trainer = likelihood_trainer(model, generator_schedule="power:0.6")
    adam = PlainAdam(list(plain.parameters()))
    for n in range(4):
        ids = torch.randint(SYMBOLS, (6, LENGTH), generator=torch.Generator().manual_seed(n))
        stats = trainer.step([ids])
        assert stats is not None
        # Nats per position, as PyTorch computes it: from logits and ids.
        loss = F.cross_entropy(plain(one_hot(*map(tuple, ids.tolist()))).flatten(0, 1), ids.flatten())
        gradients = torch.autograd.grad(loss, list(plain.parameters()))
        adam.step(list(plain.parameters()), gradients, 1e-2 * (n + 1) ** -0.6)
        norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
        assert stats.keys() == {"generator_loss", "generator_gradient_norm", "generator_update_norm"}
        assert stats["generator_loss"] == pytest.approx(loss.item(), abs=1e-12)
        assert stats["generator_gradient_norm"] == pytest.approx(norm, rel=1e-9)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)
    assert trainer.counters == {
        "generator_updates": 4, "critic_updates": 0, "gradient_evaluations": 4, "samples_seen": 24,
    }  # fmt: skip


def test_a_loss_that_is_not_finite_stops_it() -> None:
    model = make_model()
    with torch.no_grad():
        model.to_symbols.bias.fill_(math.inf)
    with pytest.raises(NonFiniteError, match="iteration 1: generator_loss"):
        likelihood_trainer(model).step([torch.tensor([[0, 1, 2, 0]])])


def test_a_run_is_logged_resumed_exported_and_compared_as_those_of_a_gan(
    tiny: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tiny_text(
        tiny.data, tmp_path / "suite" / "whole", "mle-small", iterations=20, eval_every=5, checkpoint_every=10,
        generator_lr=0.03,
    )  # fmt: skip
    train(whole)
    rows = read_metrics(whole.folder)
    assert [(row["iteration"], row["time/critic_updates"], row["time/samples_seen"]) for row in rows[:2]] == [
        (0, 0, 0),
        (5, 0, 20),
    ]
    assert not any("train/critic_loss" in row for row in rows)
    assert rows[-1]["train/generator_loss"] < rows[1]["train/generator_loss"]
    assert rows[-1]["scores/jsd_2"] < rows[0]["scores/jsd_2"]
    broken = replace(whole, run_dir=tmp_path / "broken")
    train_until_power_cut(monkeypatch, 13, train, broken)
    train(broken)
    assert_same_run(whole.folder, broken.folder)
    load_generator(whole.folder).save(tmp_path / "exported")
    ours, theirs = (load_generator(place).network for place in (whole.folder, tmp_path / "exported"))
    draws = [sample_ids(network, 5, torch.Generator().manual_seed(3)) for network in (ours, theirs)]
    assert np.array_equal(draws[0], draws[1])
    train(replace(tiny, run_dir=tmp_path / "suite" / "gan"))
    capsys.readouterr()
    assert compare_runs([str(tmp_path / "suite"), "--axis", "iterations", "--scores", "jsd_4"]) == 0
    table = capsys.readouterr().out
    assert "mle-small" in table
    assert "ttur" in table


def test_presets_for_it_differ_from_the_gans_in_model_and_optimiser_alone() -> None:
    shared = vars(PRESETS["mle"]).keys() & vars(PRESETS["ttur"]).keys()
    differing = {name for name in shared if getattr(PRESETS["mle"], name) != getattr(PRESETS["ttur"], name)}
    assert differing == {"preset", "model", "generator_lr", "beta1", "beta2"}


def test_flags_of_another_model_are_refused_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    for flag, model in (("--penalty-weight", "mle"), ("--critic-lr=1e-3", "mle"), ("--latent-dim", "mle")):
        with pytest.raises(InputError) as error:
            parse_train(["--preset", "mle", flag, "1"], PRESETS, "textgan.train", None)
        name = flag.partition("=")[0]
        assert str(error.value).startswith(f"{name}: not a setting of {model}, the model of --preset mle")
    # Known to be right: the flag of the model itself.
    assert parse_train(["--preset=mle", "--dim", "7"], PRESETS, "textgan.train", None).config.dim == 7
