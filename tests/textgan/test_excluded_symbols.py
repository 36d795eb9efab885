"""Symbols that no training line holds: padding where every line is full, and the unknown symbol."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data.corpus import open_corpus
from data.tokenizers import PADDING_ID, UNKNOWN_ID
from tests.helpers.runs import PRESETS, assert_same_run, tensors, train_until_power_cut
from tests.helpers.text import write_lines
from textgan.engine.run_folder import read_options
from textgan.models.common import initialise
from textgan.models.lines import LineModel, exclude
from textgan.sample import load_generator
from textgan.train import open_experiment, train

LENGTH = 4


def a_model(excluded: tuple[int, ...] = (), size: int = 6) -> LineModel:
    model = LineModel(size, LENGTH, 8).double()
    initialise(model, torch.Generator().manual_seed(3))
    exclude(model, excluded)
    return model


def settings(folder: Path, lines: list[str], **changes: Any) -> Any:
    tiny: dict[str, Any] = {
        "seq_len": LENGTH, "dim": 4, "batch_size": 4, "iterations": 4, "eval_every": 2, "checkpoint_every": 2,
        "eval_samples": 30, "ngram": 2, "generator_ema": 0.5, "device": "cpu",
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    data = write_lines(folder / "text.txt", lines)
    return replace(PRESETS["mle-words"], data=data, **{"run_dir": folder / "run", **tiny, **changes})


FULL = [f"{a} {b} {c} {d}" for a in "abc" for b in "abc" for c in "abc" for d in "abc"]


def test_an_excluded_symbol_has_probability_0_and_the_others_share_it() -> None:
    model, whole = a_model((PADDING_ID, UNKNOWN_ID)), a_model()
    ids = torch.randint(2, 6, (50, LENGTH), generator=torch.Generator().manual_seed(0))
    found, before = model(ids).softmax(-1), whole(ids).softmax(-1)
    assert found[..., :2].eq(0).all()
    expected = before[..., 2:] / before[..., 2:].sum(-1, keepdim=True)
    torch.testing.assert_close(found[..., 2:], expected, rtol=0, atol=1e-12)
    random = torch.Generator().manual_seed(1)
    assert model.draw(2000, random).min() == 2
    assert model.rollouts(ids[:4], 50, random)[:, :, :, 1:].min() == 2
    assert model.relaxed(100, random, 0.5, soft=True)[..., :2].eq(0).all()
    # Known to be wrong: a softmax over all symbols draws both.
    assert set(whole.draw(2000, random).flatten().tolist()) == set(range(6))


def test_probabilities_of_all_full_lines_sum_to_1_without_padding() -> None:
    lines = torch.cartesian_prod(*[torch.arange(1, 4)] * LENGTH)
    assert abs(a_model((PADDING_ID,), size=4).log_probs(lines).sum(dim=1).exp().sum() - 1) < 1e-12
    assert a_model(size=4).log_probs(lines).sum(dim=1).exp().sum() < 0.9


def test_gradients_are_finite_and_none_for_excluded_symbols() -> None:
    model = a_model((UNKNOWN_ID,))
    logits = model(torch.tensor([[2, 3, 4, 0]]))
    probabilities = logits.softmax(-1)
    entropy = -(probabilities * logits.log_softmax(-1)).sum()  # 0 log 0 is 0
    entropy.backward()
    gradients = model.to_symbols.weight.grad
    assert gradients is not None
    assert torch.isfinite(gradients).all()
    assert gradients[UNKNOWN_ID].eq(0).all()
    assert gradients[2:].ne(0).any()


def test_exclusion_reaches_models_inside_and_replaces_earlier_exclusions() -> None:
    inner = a_model((UNKNOWN_ID,))
    exclude(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ModuleDict({"inner": inner})), [PADDING_ID])
    assert inner.excluded.tolist() == [True, *[False] * 5]
    exclude(inner, [])
    assert not inner.excluded.any()


@pytest.mark.parametrize(
    ("lines", "changes", "absent", "share"),
    [
        (FULL, {}, [PADDING_ID, UNKNOWN_ID], 0),
        (FULL, {"seq_len": 5}, [UNKNOWN_ID], 0),
        (["a b c d", "a b c d", "a b c e"] * 10, {"vocabulary_size": 3}, [PADDING_ID], None),
        (["a b c", "a b", "a d e"] * 10, {"vocabulary_size": 2}, [], None),
    ],
)
def test_the_corpus_tells_which_symbols_its_training_lines_lack(
    tmp_path: Path, lines: list[str], changes: dict[str, Any], absent: list[int], share: float | None
) -> None:
    config = settings(tmp_path, lines, **changes)
    corpus = open_corpus(config.corpus)
    ids = corpus.train[:]
    words = ids[ids != PADDING_ID]
    experiment = open_experiment(config)
    network = experiment.trainer.generator.network
    assert isinstance(network, LineModel)
    assert network.excluded.nonzero().flatten().tolist() == absent == corpus.absent
    assert absent == [number for number in (PADDING_ID, UNKNOWN_ID) if not (ids == number).any()]
    assert experiment.facts["unknown_share"] == (words == UNKNOWN_ID).mean()
    assert (share is None) == (experiment.facts["unknown_share"] > 0)


def test_checkpoints_averages_and_exports_keep_the_exclusion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = (settings(tmp_path, FULL, run_dir=tmp_path / name) for name in ("whole", "broken"))
    train(whole)
    train_until_power_cut(monkeypatch, 3, train, broken)
    train(broken)
    assert_same_run(whole.folder, broken.folder)
    saved = {name: tensor for name, tensor in tensors(whole.folder).items() if name.endswith(".excluded")}
    assert len(saved) == 2  # of the network and of its average
    assert all(tensor.tolist() == [True, True, False, False, False] for tensor in saved.values())
    load_generator(whole.folder).save(tmp_path / "exported")
    for source in (whole.folder, tmp_path / "exported"):
        network = load_generator(source).network
        assert isinstance(network, LineModel)
        assert network.draw(200, torch.Generator().manual_seed(0)).min() == 2
    samples = (whole.folder / "samples" / "4.txt").read_text("utf-8").splitlines()
    assert all(len(line.split()) == LENGTH and "\ufffd" not in line for line in samples)
    assert read_options(whole.folder)["unknown_share"] == 0


def test_a_start_brings_weights_and_no_exclusion(tmp_path: Path) -> None:
    full = settings(tmp_path, FULL)
    train(full)
    longer = replace(full, seq_len=5, start=full.folder, run_dir=tmp_path / "longer")
    trainer = open_experiment(longer).trainer
    for network in (trainer.generator.network, trainer.generator.sampler):
        assert isinstance(network, LineModel)
        assert network.excluded.tolist() == [False, True, False, False, False]
        first = tensors(full.folder)["generator.network.to_symbols.weight"]
        assert torch.equal(network.to_symbols.weight, first)
