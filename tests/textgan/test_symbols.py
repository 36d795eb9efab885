"""Runs on words and subwords: trained, scored as lines, continued, exported, sampled."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from data.corpus import open_corpus
from data.errors import InputError
from data.words import WordRule
from eval.jsd import main as jsd
from tests.helpers.runs import assert_same_run, tiny_text, train_until_power_cut
from textgan.engine.run_folder import read_metrics, read_options
from textgan.models.wgan_gp import WganGpSettings
from textgan.sample import load_generator
from textgan.sample import main as sample
from textgan.train import open_experiment, train

LEVELS = ("char", "word", "unigram", "bpe")


def settings(folder: Path, symbols: Any, **changes: Any) -> WganGpSettings:
    tiny: dict[str, Any] = {"lines": 400, "seq_len": 12 if symbols == "word" else 40, "symbols": symbols}
    tiny |= {"vocabulary_size": 120, "iterations": 4, "critic_steps": 2}
    return tiny_text(changes.pop("data", "grammar"), folder, **{**tiny, **changes})


@pytest.mark.parametrize("symbols", LEVELS)
def test_a_run_is_scored_as_lines_continued_exported_and_sampled(
    symbols: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = (settings(tmp_path / name, symbols) for name in ("whole", "broken"))
    train(whole)
    train_until_power_cut(monkeypatch, 3, train, broken)
    train(broken)
    assert_same_run(whole.folder, broken.folder)
    # The text of the samples is the record: the command gives the logged scores.
    last = read_metrics(whole.folder)[-1]
    capsys.readouterr()
    assert jsd([str(whole.folder / "samples" / "4.txt"), "--json"]) == 0
    (score,) = json.loads(capsys.readouterr().out)
    for n in range(1, 5):
        assert score["scores"][f"jsd-{n}"]["value"] == last[f"scores/jsd_{n}"]
    assert f"|len:{40 if symbols == 'char' else 128}|" in score["signature"]
    assert score["signature"] == read_options(whole.folder)["scores"]["jsd_4"]["signature"]
    # An export draws what the run draws, and carries the tokenizer.
    load_generator(whole.folder).save(tmp_path / "exported")
    drawn = []
    for source in (whole.folder, tmp_path / "exported"):
        assert sample([str(source), "--count", "30", "--seed", "5"]) == 0
        drawn.append(capsys.readouterr().out)
    assert drawn[0] == drawn[1]
    assert drawn[0].count("\n") == 30
    assert load_generator(tmp_path / "exported").tokenizer == open_corpus(whole.corpus).tokenizer


def batches(config: WganGpSettings, iterations: int) -> Iterator[np.ndarray[Any, Any]]:
    experiment = open_experiment(config)
    for iteration in range(iterations):
        yield from (batch.cpu().numpy() for batch in experiment.next_batches(iteration))


def test_by_epochs_every_line_comes_once_per_epoch(tmp_path: Path) -> None:
    config = settings(tmp_path / "run", "word", order="epochs", batch_size=30, critic_steps=1)
    corpus = open_corpus(config.corpus)
    per_epoch = len(corpus.train) // 30
    lines = Counter(tuple(line) for line in np.asarray(corpus.train[:]).tolist())
    drawn = [tuple(line) for batch in batches(config, 2 * per_epoch) for line in batch.tolist()]
    first, second = Counter(drawn[: 30 * per_epoch]), Counter(drawn[30 * per_epoch :])
    assert first <= lines
    assert second <= lines
    assert first.total() == second.total() == 30 * per_epoch > len(corpus.train) - 30
    assert drawn[: 30 * per_epoch] != drawn[30 * per_epoch :]
    # Known to be wrong: with replacement, some lines come more often than they are in the text.
    replaced = Counter(
        tuple(line) for batch in batches(replace(config, order="replacement"), per_epoch) for line in batch.tolist()
    )
    assert not replaced <= lines


def test_two_critic_steps_take_two_batches_of_the_epoch(tmp_path: Path) -> None:
    one = settings(tmp_path / "one", "word", order="epochs", batch_size=10, critic_steps=1)
    two = replace(one, critic_steps=2)
    for ours, theirs in zip(batches(one, 6), batches(two, 3), strict=True):
        assert np.array_equal(ours, theirs)


def test_long_lines_of_words_are_left_out_and_counted(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"line {i} has seven words, really\n" for i in range(90)) + "short\n" * 90, "utf-8")
    config = settings(tmp_path / "run", "word", data=str(text), lines=None, seq_len=3)
    train(config)
    counted = read_options(config.folder)["lines"]
    assert counted["dropped"] > 60
    assert all(
        line.startswith("short")
        for line in open_corpus(config.corpus).tokenizer.decode(open_corpus(config.corpus).train[:])
    )


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--score-seq-len: only if --symbols are words or subwords"):
        settings(tmp_path / "run", "char", score_seq_len=20)
    with pytest.raises(InputError, match="--vocabulary-size 4000: the text has at most"):
        train(settings(tmp_path / "run", "unigram", vocabulary_size=4000))
    with pytest.raises(InputError, match=r"--scores rouge: not a text metric; choose from jsd, .*, classifier$"):
        settings(tmp_path / "run", "char", scores=("rouge",))
    for name in ("nll", "nll_char", "nll_test"):
        with pytest.raises(InputError, match=f"--scores {name}: an exact score, which runs of models with a density"):
            settings(tmp_path / "run", "word", scores=("bleu", name))


def test_other_metrics_score_a_run(tmp_path: Path) -> None:
    config = settings(tmp_path / "run", "word", scores=("word-jsd", "bleu", "ms-jaccard", "entropy", "jsd"))
    train(config)
    rows = read_metrics(config.folder)
    options = read_options(config.folder)
    assert {"jsd_4", "word_jsd_2", "bleu_4", "self_bleu_4"} <= options["scores"].keys()
    assert [name for name, score in options["scores"].items() if score["headline"]] == [
        "jsd_4", "word_jsd_2", "bleu_4", "self_bleu_4", "ms_jaccard_4",
    ]  # fmt: skip
    assert options["scores"]["bleu_4"]["better"] == options["scores"]["ms_jaccard_4"]["better"] == "higher"
    assert options["scores"]["self_bleu_4"]["better"] == "lower"
    assert rows[-1].keys() >= {f"scores/{name}" for name in options["scores"]}
    assert options["floor"].keys() == options["scores"].keys()
    # Words of decoded lines, whatever the symbols of the run; the obvious way, by the word rule alone.
    split = WordRule(config.words).splitter()
    lines = (config.folder / "samples" / "4.txt").read_text("utf-8").splitlines()
    counts = Counter(word for line in lines for word in split(line)[1])
    assert rows[-1]["scores/unigram_entropy"] == pytest.approx(stats.entropy(list(counts.values())), abs=1e-12)
