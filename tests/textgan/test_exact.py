"""Exact scores against enumeration and closed forms, and the runs, exports and records that hold them."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from data import oracle_lines
from data.corpus import open_corpus
from data.errors import InputError
from data.line_ids import Ids
from data.oracle import Floats, Oracle, own_oracle
from leaderboards.records import all_tasks
from leaderboards.submit import main as submit
from leaderboards.verify import main as verify
from tests.helpers.oracle_files import write_oracle
from tests.helpers.runs import PRESETS, assert_same_run, train_until_power_cut
from textgan.compare import _common_headlines
from textgan.compare import main as compare
from textgan.engine.run_folder import DeclaredScore, declared_scores, read_metrics, read_options
from textgan.models.exact import (
    HeldOut,
    LogProbs,
    divergences,
    exact_scores,
    held_out_lines,
    log_probs,
    loss,
    oracle_log_probs,
)
from textgan.models.lines import LineModel, exclude
from textgan.runs.aggregate import Run
from textgan.sample import load_generator
from textgan.train import open_experiment, train

SIZE, LENGTH = 5, 3  # padding, unknown and three words


def tiny_model(size: int = SIZE, length: int = LENGTH, dim: int = 4, seed: int = 0) -> LineModel:
    model = LineModel(size, length, dim).double()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(generator=random)
    return model


def all_lines(first: int = 0) -> Ids:
    """Return all lines of at most LENGTH symbols from id `first` on, padded after the end."""
    every = np.array(list(itertools.product(range(first, SIZE), repeat=LENGTH)), np.uint8)
    ended = np.cumsum(every == 0, axis=1) - (every == 0) > 0
    lines: Ids = every[~(ended & (every != 0)).any(axis=1)]
    return lines


@torch.no_grad()
def slow_log_prob(model: LineModel, line: list[int], temperature: float = 1.0, stop: bool = True) -> tuple[float, int]:
    """Return log g of a line and its number of symbols, one symbol at a time; known to be wrong unless it stops."""
    total, symbols = 0.0, 0
    for position, symbol in enumerate(line):
        logits = model(torch.tensor([line]))[0, position] / temperature
        weights = [math.exp(logit) for logit in logits.tolist()]
        total += math.log(weights[symbol] / sum(weights))
        symbols += 1
        if stop and symbol == 0:
            break
    return total, symbols


def held_out_of(ids: Ids, characters: Floats, oracle: Oracle | None = None) -> HeldOut:
    return HeldOut(ids, characters, "lines", {"len": ids.shape[1]}, oracle)


def values_of(scores: Any) -> dict[str, float]:
    return {name: estimate.value for score in scores for name, estimate in score.values.items()}


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_probabilities_of_all_lines_sum_to_one(temperature: float) -> None:
    lines = all_lines()
    assert len(lines) == 1 + 4 + 16 + 64  # ended after 0, 1 or 2 symbols, or full
    found = log_probs(tiny_model(), lines, temperature).sum(axis=1)
    assert abs(np.exp(found).sum() - 1) < 1e-12
    expected = [slow_log_prob(tiny_model(), line, temperature)[0] for line in lines.tolist()]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_excluded_symbols_have_probability_zero_and_the_rest_one() -> None:
    model = tiny_model()
    exclude(torch.nn.ModuleList([model]), [0, 1])
    words = all_lines(first=2)
    assert len(words) == 27
    assert abs(np.exp(log_probs(model, words).sum(axis=1)).sum() - 1) < 1e-12
    others = [line for line in all_lines().tolist() if min(line) < 2]
    assert (np.exp(log_probs(model, np.array(others, np.uint8)).sum(axis=1)) == 0).all()
    drawn = model.draw(500, torch.Generator().manual_seed(0))
    assert drawn.min() >= 2
    copy = tiny_model(seed=1)
    copy.load_state_dict(model.state_dict())  # strict: the choice is saved with the weights
    assert copy.excluded.tolist() == [True, True, False, False, False]
    exclude(model, [])
    assert abs(np.exp(log_probs(model, all_lines()).sum(axis=1)).sum() - 1) < 1e-12


def test_losses_per_line_symbol_and_character() -> None:
    model = tiny_model().train()
    lines = np.array([[2, 3, 4], [3, 0, 0], [2, 4, 0], [0, 0, 0], [4, 4, 4]], np.uint8)
    characters = np.array([12.0, 4, 9, 1, 15])
    value = loss(log_probs(model, lines), held_out_of(lines, characters)).values
    assert model.training
    slow = [slow_log_prob(model, line) for line in lines.tolist()]
    assert [symbols for _, symbols in slow] == [3, 2, 3, 1, 3]
    nats = -sum(log_prob for log_prob, _ in slow)
    for name, count in (("nll-line", 5), ("nll-token", 12), ("nll-char", 41)):
        assert abs(value[name].value - nats / count) < 1e-12
    # The interval of a mean over lines: Student's t with 4 degrees of freedom.
    reach = 2.7764451 * np.std([log_prob for log_prob, _ in slow], ddof=1) / math.sqrt(5)
    interval = value["nll-line"]
    assert interval.low is not None
    assert interval.high is not None
    assert abs(interval.high - interval.low - 2 * reach) < 1e-6
    # Known to be wrong: symbols after the end count.
    wrong = -sum(slow_log_prob(model, line, stop=False)[0] for line in lines.tolist())
    assert wrong - nats > 1


def test_divergences_of_two_hand_made_distributions() -> None:
    # Four lines of two symbols; each line occurs so often that the means over lines are expectations.
    o, g = np.array([4, 2, 1, 1]) / 8, np.array([1, 1, 2, 4]) / 8
    of_oracle, of_model = ([4, 2, 1, 1], [1, 1, 2, 4])
    # Two symbols per line: the first one is 0 in the first two lines.
    first = [np.repeat([p[:2].sum(), p[2:].sum()], 2) for p in (o, g)]

    def log_probs_of(counts: list[int]) -> LogProbs:
        rows = [np.log(np.stack([start, p / start], axis=1)) for p, start in zip((o, g), first, strict=True)]
        return LogProbs(*(np.repeat(row, counts, axis=0) for row in rows))

    held_out, drawn = log_probs_of(of_oracle), log_probs_of(of_model)
    lines = held_out_of(np.zeros((8, 2), np.uint8), np.ones(8), own_oracle(0, size=2, width=1))
    found = values_of(divergences(held_out, drawn, lines))

    def jsd(p: Floats, q: Floats) -> float:
        m = (p + q) / 2
        return float((p * np.log2(p / m)).sum() + (q * np.log2(q / m)).sum()) / 2

    expected = {
        "nll-oracle": -(g * np.log(o)).sum() / 2,
        "nll-test": -(o * np.log(g)).sum() / 2,
        "kl-oracle-model": (o * np.log(o / g)).sum() / 2,
        "kl-model-oracle": (g * np.log(g / o)).sum() / 2,
        "sequence-jsd": jsd(o, g),
        "sequence-jsd-1": jsd(first[0][::2], first[1][::2]),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert abs(found[name] - value) < 1e-12, name
    exchanged = values_of(divergences(drawn, held_out, lines))
    assert abs(exchanged["kl-oracle-model"] - expected["kl-oracle-model"]) > 0.1
    # Disjoint distributions: 1 bit, without overflow.
    likely, unlikely = np.full((8, 2), -1.5), np.full((8, 2), -450.0)
    apart = LogProbs(likely, unlikely), LogProbs(unlikely, likely)
    assert values_of(divergences(*apart, lines))["sequence-jsd"] == 1.0


def as_line_model(oracle: Oracle, length: int) -> LineModel:
    """Return the line model with the distribution of an oracle: the start symbol is its symbol 0."""
    width = len(oracle.recurrent)
    model = LineModel(oracle.size + 2, length, width).double()
    # PyTorch's order of gates is input, forget, candidate, output.
    order = np.concatenate([np.arange(width) + gate * width for gate in (0, 1, 3, 2)])
    body: Any = model.body
    lstm, rows = body.lstm, np.zeros((2, width))
    weights = {
        model.embedding.weight: np.concatenate([rows, oracle.embedding, oracle.embedding[:1]]),
        lstm.weight_ih_l0: oracle.inputs[:, order].T,
        lstm.weight_hh_l0: oracle.recurrent[:, order].T,
        lstm.bias_ih_l0: oracle.bias[order],
        lstm.bias_hh_l0: np.zeros(4 * width),
        model.to_symbols.weight: np.concatenate([rows, oracle.output.T]),
        model.to_symbols.bias: np.concatenate([np.zeros(2), oracle.output_bias]),
    }
    with torch.no_grad():
        for weight, value in weights.items():
            weight.copy_(torch.from_numpy(value))
    exclude(model, [0, 1])
    return model


def test_a_model_that_is_the_oracle_has_divergence_zero() -> None:
    oracle = own_oracle(3, size=20, width=6)
    model = as_line_model(oracle, 6)
    ids = (oracle.draw(3000, 6, seed=1) + 2).astype(np.uint8)
    lines = held_out_of(ids, np.ones(3000), oracle)
    np.testing.assert_allclose(log_probs(model, ids), oracle_log_probs(oracle, ids), rtol=0, atol=1e-10)
    drawn = model.draw(3000, torch.Generator().manual_seed(1)).numpy()
    scores = exact_scores(model, lines, drawn)
    found = {name: value for score in scores for name, value in score.values.items()}
    for name in ("kl-oracle-model", "kl-model-oracle", "sequence-jsd"):
        assert abs(found[name].value) < 1e-10
        assert found[name].floor == 0
    # Both losses are the entropy: of held-out lines exactly, of drawn lines within four standard errors.
    entropy = -oracle_log_probs(oracle, ids).mean()
    assert abs(found["nll-test"].value - entropy) < 1e-10
    assert found["nll-oracle"].floor == found["nll-test"].floor == pytest.approx(entropy, abs=1e-12)
    error = oracle_log_probs(oracle, drawn).sum(axis=1).std() / 6 / math.sqrt(3000)
    assert abs(found["nll-oracle"].value - entropy) < 4 * error * math.sqrt(2)
    # A lower temperature: samples that are more likely, held-out lines that are less likely.
    cold = model.draw(3000, torch.Generator().manual_seed(1), temperature=0.6).numpy()
    colder = values_of(exact_scores(model, lines, cold, temperature=0.6))
    assert colder["nll-oracle"] < entropy - 0.1
    assert colder["nll-test"] > entropy + 0.1
    assert colder["kl-oracle-model"] == pytest.approx(colder["nll-test"] - entropy, abs=1e-12)


# --- runs

ORACLE = own_oracle(7, size=6, width=3)


@pytest.fixture(autouse=True)
def _few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle_lines, "_DRAWS", {"train": (300, 1), "held_out": (200, 2)})


def settings(data: str, folder: Path, **changes: Any) -> Any:
    tiny: dict[str, Any] = {
        "data": data, "run_dir": folder, "dim": 8, "batch_size": 16, "iterations": 4, "eval_every": 2, "ngram": 4,
        "eval_samples": 40, "checkpoint_every": 2, "device": "cpu",
    }  # fmt: skip
    return replace(PRESETS["mle-words"], **{**tiny, **changes})


@pytest.fixture
def oracle_data(tmp_path: Path) -> str:
    return f"oracle:{write_oracle(tmp_path / 'small', ORACLE)}"


def test_a_run_on_an_oracle_logs_the_exact_scores_of_what_it_samples_from(
    oracle_data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = (settings(oracle_data, tmp_path / name, generator_ema=0.5) for name in ("whole", "broken"))
    train(whole)
    train_until_power_cut(monkeypatch, 3, train, broken)
    train(broken)
    assert_same_run(whole.folder, broken.folder)
    # From the exported weights (the EMA) and the samples in the run's folder, line by line.
    load_generator(whole.folder).save(tmp_path / "exported")
    model = load_generator(tmp_path / "exported").network
    assert isinstance(model, LineModel)
    assert model.excluded.tolist() == [True, True, *[False] * 6]
    row = read_metrics(whole.folder)[-1]
    text = (whole.folder / "samples" / "4.txt").read_text("utf-8").splitlines()
    drawn = np.array([line.split() for line in text], np.int64)
    assert drawn.shape == (40, 20)
    assert row["scores/nll_oracle"] == pytest.approx(-ORACLE.log_probs(drawn).mean(), abs=1e-6)
    test = ORACLE.draw(200, 20, seed=2)
    with torch.no_grad():
        of_model = model.log_probs(torch.from_numpy(test) + 2)
        of_drawn = model.log_probs(torch.from_numpy(drawn) + 2)
    assert row["scores/nll_test"] == pytest.approx(-of_model.mean().item(), abs=1e-5)
    gap = row["scores/nll_test"] + ORACLE.log_probs(test).mean()
    assert row["scores/kl_oracle_model"] == pytest.approx(gap, abs=1e-5)
    other = of_drawn.mean().item() + row["scores/nll_oracle"]
    assert row["scores/kl_model_oracle"] == pytest.approx(other, abs=1e-5)
    options = read_options(whole.folder)
    assert options["unknown_share"] == 0
    assert options["floor"]["kl_oracle_model"] == 0
    assert options["floor"]["nll_test"] == pytest.approx(-ORACLE.log_probs(test).mean(), abs=1e-12)
    declared = declared_scores(whole.folder)
    assert {name for name, score in declared.items() if score.headline} == {"jsd_4", "nll_oracle", "nll_test"}
    sha256 = options["data_sha256"][:12]
    assert declared["nll_test"].signature == (
        f"exact|sym:{options['symbols']}|len:20|ref:small@{sha256}|lines:200|oracle:{ORACLE.sha256[:12]}|samples:40|v:1"
    )
    assert (declared["sequence_jsd"].better, declared["sequence_jsd"].most) == ("lower", 1.0)


def test_a_run_on_text_logs_its_loss_per_line_symbol_and_character(tmp_path: Path) -> None:
    config = settings("grammar", tmp_path / "run", lines=400, vocabulary_size=60, seq_len=12)
    train(config)
    corpus = open_corpus(config.corpus)
    assert corpus.absent == []
    held_out = held_out_lines(corpus, config.data)
    assert held_out is not None
    assert held_out.ids.shape == (2000, 12)
    model = load_generator(config.folder).network
    assert isinstance(model, LineModel)
    row = read_metrics(config.folder)[-1]
    nats = -log_probs(model, held_out.ids).sum()
    lines = corpus.tokenizer.decode(held_out.ids)
    symbols = sum(min(len(line[line > 0]) + 1, 12) for line in held_out.ids)
    assert row["scores/nll_line"] == pytest.approx(nats / 2000, rel=1e-6)
    assert row["scores/nll_token"] == pytest.approx(nats / symbols, rel=1e-6)
    assert row["scores/nll_char"] == pytest.approx(nats / sum(len(line) + 1 for line in lines), rel=1e-6)
    share = (corpus.train.row == 1).mean()
    assert read_options(config.folder)["unknown_share"] == pytest.approx(share, abs=1e-12)
    assert share > 0.01


def test_lines_with_symbols_that_no_training_line_has_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    pairs = [f"{one} {other}" for one, other in itertools.product("abcdefghij", repeat=2)]
    path.write_text("\n".join(pairs + [f"new{i} new{i}" for i in range(60)]), "utf-8")
    corpus = open_corpus(settings(str(path), tmp_path, seq_len=2).corpus)
    unknown = (corpus.held_out[:] == 1).any(axis=1)  # a word of one line, which is held out
    assert 0 < unknown.sum() < len(unknown)
    assert corpus.absent == [0, 1]
    held_out = held_out_lines(corpus, str(path))
    assert held_out is not None
    assert held_out.ids.tolist() == corpus.held_out[:][~unknown].tolist()


def test_a_started_run_excludes_what_its_own_lines_lack(tmp_path: Path) -> None:
    words = [f"{one} {other}" for one, other in itertools.product("abcdefgh", repeat=2)]
    full, short = tmp_path / "full.txt", tmp_path / "short.txt"
    full.write_text("\n".join(words), "utf-8")
    short.write_text("\n".join([*words, *"abcdefgh"]), "utf-8")
    first = settings(str(full), tmp_path / "first", seq_len=2, ngram=2)
    train(first)
    trainer = open_experiment(settings(str(short), tmp_path / "second", seq_len=2, ngram=2, start=first.folder)).trainer
    before, now = load_generator(first.folder).network, trainer.generator.network
    assert isinstance(before, LineModel)
    assert isinstance(now, LineModel)
    assert before.excluded[:3].tolist() == [True, True, False]
    assert now.excluded[:3].tolist() == [False, True, False]
    assert torch.equal(now.embedding.weight, before.embedding.weight)


def test_an_oracle_needs_lines_without_padding(oracle_data: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--seq-len 32: lines of small have 20 symbols; give that number"):
        train(settings(oracle_data, tmp_path / "run", seq_len=32))


def test_exact_scores_are_compared_submitted_and_verified(
    oracle_data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for seed in (0, 1):
        config = settings(oracle_data, tmp_path / f"run{seed}", seed=seed)
        train(config)
        folders.append(str(config.folder))
    assert compare([*folders, "--axis", "iterations", "--scores", "nll_test", "kl_model_oracle", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    last = [read_metrics(Path(folder))[-1]["scores/nll_test"] for folder in folders]
    assert compared[0]["level"] == pytest.approx(sum(last) / 2, abs=1e-12)
    entropy = -ORACLE.log_probs(ORACLE.draw(200, 20, seed=2)).mean()
    assert [one["floor"] for one in compared] == pytest.approx([entropy, 0.0], abs=1e-12)
    records, reference = ["--records", str(tmp_path / "records")], ["--reference", oracle_data]
    record = str(tmp_path / "records" / "oracle" / "likelihood")
    assert submit([*folders, "--task", "oracle", "--name", "likelihood", *records]) == 0
    assert verify([record, *reference]) == 0
    # A changed list of metrics of samples keeps the exact scores.
    assert submit(["--rescore", "oracle", "--metrics", "jsd", "word-jsd", *records, *reference]) == 0
    assert verify([record, *reference]) == 0
    assert "skipped" not in capsys.readouterr().out
    task = json.loads((tmp_path / "records" / "oracle" / "task.json").read_text("utf-8"))
    assert task["shown"].keys() == {"jsd_4", "nll_oracle", "nll_test"}
    assert task["floor"]["nll_test"] == pytest.approx(entropy, abs=1e-12)
    kept = json.loads((Path(record) / "record.json").read_text("utf-8"))["samples"]
    assert [sample["scores"]["nll_test"] for sample in kept] == last
    assert all("word_jsd_2" in sample["scores"] for sample in kept)
    # Samples of a model without a density join the task, and keep their place when it is scored again.
    samples = Path(folders[0]) / "samples" / "4.txt"
    assert submit([str(samples), "--task", "oracle", "--name", "samples", *records]) == 0
    assert submit(["--rescore", "oracle", "--metrics", "jsd", *records, *reference]) == 0
    again = json.loads((tmp_path / "records" / "oracle" / "task.json").read_text("utf-8"))
    assert (again["shown"], again["floor"]["nll_test"]) == (task["shown"], task["floor"]["nll_test"])
    assert "|oracle:" in again["signature"]
    assert verify([str(tmp_path / "records"), *reference]) == 0
    assert capsys.readouterr().out.count(": ok\n") == 2
    ((_, made),) = all_tasks(tmp_path / "records")
    by_name = {each.name: each for each in made}
    assert "nll_oracle" not in by_name["samples"].scores
    assert by_name["samples"].signature == by_name["likelihood"].signature.partition("; exact")[0]
    # Samples tell the oracle's loss, so a better one is found even if all of the record's numbers agree with it.
    path, name = Path(record) / "record.json", "nll_oracle"
    altered = json.loads(path.read_text("utf-8"))
    entry, better = altered["scores"][name], 0.125
    for sample in altered["samples"]:
        sample["scores"][name] -= better
    entry["runs"] = [value - better for value in entry["runs"]]
    entry["windows"] = [[value and value - better for value in run] for run in entry["windows"]]
    entry["end"], entry["best_run"], entry["best_mean"] = (entry[k] - better for k in ("end", "best_run", "best_mean"))
    band = altered["curve"][name]
    altered["curve"][name] = {k: [value and value - better for value in values] for k, values in band.items()}
    path.write_text(json.dumps(altered), "utf-8")
    assert verify([record, *reference]) == 1
    assert "samples-seed0.txt.gz scores nll_oracle" in capsys.readouterr().out


def test_a_task_takes_exact_scores_of_its_own_symbols_alone(oracle_data: str, tmp_path: Path) -> None:
    records = ["--records", str(tmp_path / "records")]
    for name, changes in (
        ("first", {}),
        ("second", {"symbols": "char", "seq_len": 128}),
    ):  # scored as 128 characters too
        train(settings(oracle_data, tmp_path / name, **changes))
    assert submit([str(tmp_path / "first"), "--task", "oracle", *records]) == 0
    with pytest.raises(InputError, match=r"scored with .*, but the task with .*sym:word-6@"):
        submit([str(tmp_path / "second"), "--task", "oracle", "--name", "other", *records])


def test_runs_on_other_symbols_compare_by_scores_of_samples(tmp_path: Path) -> None:
    jsd = DeclaredScore("lower", True, "jsd|sym:char|ref:text@0|v:1")
    signatures = [f"exact|sym:{name}|ref:text@{name}|lines:2000|v:1" for name in ("word-9@1", "bpe-9@2", "word-9@1")]
    word, bpe, again = (
        Run(tmp_path, {}, {"jsd_4": jsd, "nll_char": replace(jsd, signature=signature)}, None, pd.DataFrame())
        for signature in signatures
    )
    assert _common_headlines([word, bpe]) == ["jsd_4"]
    assert _common_headlines([word, again]) == ["jsd_4", "nll_char"]


def test_a_task_without_exact_scores_takes_runs_without_theirs(oracle_data: str, tmp_path: Path) -> None:
    config = settings(oracle_data, tmp_path / "run")
    train(config)
    records, reference = ["--records", str(tmp_path / "records")], ["--reference", oracle_data]
    samples = tmp_path / "run" / "samples" / "0.txt"
    assert submit([str(samples), "--task", "texts", "--name", "others", *records]) == 0
    assert submit([str(config.folder), "--task", "texts", "--name", "likelihood", *records]) == 0
    record = tmp_path / "records" / "texts" / "likelihood"
    assert json.loads((record / "record.json").read_text("utf-8"))["scores"].keys() == {f"jsd_{n}" for n in range(1, 5)}
    assert verify([str(record), *reference]) == 0
