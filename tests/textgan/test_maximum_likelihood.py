import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers.oracles import BETA1, BETA2, PlainAdam
from tests.helpers.runs import assert_same_run, stop_at
from textgan.compare import main as compare_runs
from textgan.engine.maximum_likelihood import LikelihoodTrainer
from textgan.engine.players import NonFiniteError, Player
from textgan.engine.run_folder import read_metrics
from textgan.engine.schedules import parse_schedule
from textgan.models.mle import LanguageModel
from textgan.models.settings import PRESETS, RunConfig
from textgan.models.wgan_gp import initialise
from textgan.sample import load_generator
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


def test_steps_equal_plain_ones_on_the_cross_entropy() -> None:
    model, plain = make_model(), make_model()
    optimiser = torch.optim.Adam(model.parameters(), betas=(BETA1, BETA2))
    trainer = LikelihoodTrainer(Player(model, optimiser, 1e-2, parse_schedule("power:0.6", None)))
    adam = PlainAdam(list(plain.parameters()))
    for n in range(4):
        ids = torch.randint(SYMBOLS, (6, LENGTH), generator=torch.Generator().manual_seed(n))
        stats = trainer.step(one_hot(*map(tuple, ids.tolist())).chunk(2))
        # Nats a position, as PyTorch has it: from logits and ids.
        loss = F.cross_entropy(plain(one_hot(*map(tuple, ids.tolist()))).flatten(0, 1), ids.flatten())
        gradients = torch.autograd.grad(loss, list(plain.parameters()))
        adam.step(list(plain.parameters()), gradients, 1e-2 * (n + 1) ** -0.6)
        assert stats.generator_loss == pytest.approx(loss.item(), abs=1e-12)
        norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
        assert stats.generator_gradient_norm == pytest.approx(norm, rel=1e-9)
        assert stats.critic_loss is stats.wasserstein is stats.critic_update_norm is None
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)
    assert (trainer.iteration, trainer.samples_seen) == (4, 24)


def test_a_loss_that_is_not_finite_stops_it() -> None:
    model = make_model()
    with torch.no_grad():
        model.to_symbols.bias.fill_(math.inf)
    trainer = LikelihoodTrainer(
        Player(model, torch.optim.Adam(model.parameters()), 1e-2, parse_schedule("constant", 1))
    )
    with pytest.raises(NonFiniteError, match="iteration 0: generator_loss"):
        trainer.step([one_hot((0, 1, 2, 0))])


def test_a_run_is_logged_resumed_exported_and_compared_as_those_of_a_gan(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"preset": "mle-small", "model": "lstm", "critic_steps": 1, "generator_lr": 0.03}
    whole = replace(tiny, **small, run_dir=tmp_path / "suite" / "whole")  # type: ignore[arg-type]
    train(whole)
    rows = read_metrics(whole.folder)
    assert [(row["iteration"], row["time/critic_updates"], row["time/samples_seen"]) for row in rows[:2]] == [
        (0, 0, 0),
        (5, 0, 20),
    ]
    assert all(row["train/critic_loss"] is None for row in rows)
    assert rows[-1]["train/generator_loss"] < rows[1]["train/generator_loss"]
    assert rows[-1]["scores/jsd_2"] < rows[0]["scores/jsd_2"]

    class PowerCutError(Exception):
        """The machine goes out."""

    def cut() -> None:
        raise PowerCutError

    broken = replace(whole, run_dir=tmp_path / "broken")
    with monkeypatch.context() as patch:
        step = LikelihoodTrainer.step
        stop_at(patch, 13, cut, LikelihoodTrainer)
        with pytest.raises(PowerCutError):
            train(broken)
        assert LikelihoodTrainer.step is not step
    train(broken)
    assert_same_run(whole.folder, broken.folder)
    load_generator(whole.folder).save(tmp_path / "exported")
    ours, theirs = (load_generator(place).network for place in (whole.folder, tmp_path / "exported"))
    draws = [network.sample(5, torch.Generator().manual_seed(3)) for network in (ours, theirs)]
    assert torch.equal(*draws)
    train(replace(tiny, run_dir=tmp_path / "suite" / "gan"))
    capsys.readouterr()
    assert compare_runs([str(tmp_path / "suite"), "--axis", "iterations", "--scores", "jsd_4"]) == 0
    table = capsys.readouterr().out
    assert "mle-small" in table
    assert "ttur" in table


def test_presets_for_it_differ_from_the_gans_in_model_and_optimiser_alone() -> None:
    changed = {"preset": "ttur", "model": "wgan-gp", "generator_lr": 1e-4, "beta1": 0.5, "beta2": 0.9}
    assert replace(PRESETS["mle"], **changed) == PRESETS["ttur"]  # type: ignore[arg-type]
