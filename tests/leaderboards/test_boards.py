"""The tasks on an oracle, COCO captions and the Brown Corpus: their suites, and one measure for levels of symbols."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from data.corpus import open_corpus
from leaderboards.places import RECORDS
from leaderboards.records import read_task
from leaderboards.signatures import exact_parts
from tests.helpers.paths import REAL_DATA, ROOT
from textgan.models import MODELS
from textgan.models.settings import TextSettings
from textgan.suite import configs_of, read_suite
from textgan.train import TEXT

CAPTIONS = REAL_DATA / "coco" / "train.txt.gz"
COCO = ("coco-words", "coco-sp1000", "coco-char")
EPOCHS = (3, 5, 10, 20)


def suite(name: str) -> list[TextSettings]:
    methods, seeds = read_suite(ROOT / "leaderboards" / "suites" / f"{name}.toml")
    configs = configs_of(TEXT, methods, seeds, Path("suites") / name)
    assert all(isinstance(config, TextSettings) for config in configs)
    return [config for config in configs if isinstance(config, TextSettings)]


@pytest.mark.parametrize("name", ["brown-words", "oracle20", *COCO])
def test_a_suite_has_the_envelope_of_maximum_likelihood_and_every_game(name: str) -> None:
    configs = suite(name)
    likelihood = [config for config in configs if config.model == "likelihood"]
    assert sorted(config.seed for config in likelihood) == [0] * 4 + [1] * 4
    without_density = {"wgan-gp", "mle"} | ({"rnn-wgan"} if name == "oracle20" else set())
    assert {config.model for config in configs} >= MODELS.keys() - without_density
    assert len({config.corpus for config in configs}) == 1
    assert {config.order for config in configs} == {"epochs"}
    if name == "brown-words":
        lines = 42_516  # counted once: training lines of at most 32 words
        steps = lines // likelihood[0].batch_size
        assert {config.iterations for config in likelihood} == {epochs * steps for epochs in (1, 2, 3, 5)}
    elif name == "oracle20" or CAPTIONS.exists():
        corpus = replace(configs[0].corpus, data="oracle" if name == "oracle20" else str(CAPTIONS))
        lines = 10_000 if name == "oracle20" else len(open_corpus(corpus).train)
        steps = lines // likelihood[0].batch_size
        assert {config.iterations for config in likelihood} == {epochs * steps for epochs in EPOCHS}


def test_runs_on_words_subwords_and_characters_are_scored_by_the_same_settings() -> None:
    measures = {
        (config.reference, config.scores, config.words, config.lower_case, config.eval_samples)
        for name in COCO
        for config in suite(name)
    }
    assert len(measures) == 1


def test_sentences_of_the_brown_corpus_are_scored_like_captions() -> None:
    """The reference is the checksum split of the corpus: another split of its lines would have another hash."""
    task, captions = read_task(RECORDS / "brown-words"), read_task(RECORDS / "coco-words")
    assert (task.metrics, task.shown) == (captions.metrics, captions.shown)
    assert task.floor is not None and captions.floor is not None
    assert task.floor.keys() == captions.floor.keys()
    settings = [
        re.sub(r"ref:[^|]*|sym:word-[^|]*|len:(24|32)|lines:\d+", "", each.signature) for each in (task, captions)
    ]
    assert settings[0] == settings[1]
    (config,) = {config.reference for config in suite("brown-words")}
    (of_captions,) = {config.reference for config in suite("coco-words")}
    assert replace(config.corpus, data="", lines=None) == replace(of_captions.corpus, data="", lines=None)


def test_tables_of_the_three_levels_can_stand_side_by_side() -> None:
    tasks = [read_task(RECORDS / name) for name in COCO]
    parts = [set(task.signature.split("; ")) for task in tasks]
    of_samples = [of - set(exact_parts(task.signature)) for of, task in zip(parts, tasks, strict=True)]
    assert len(of_samples[0]) == 11
    assert of_samples[0] == of_samples[1] == of_samples[2]
    # Losses are on the lines of each level, and do not compare.
    assert len(set.union(*parts) - of_samples[0]) == 3
    for task in tasks:
        assert (task.metrics, task.shown) == (tasks[0].metrics, tasks[0].shown)
        assert task.floor == tasks[0].floor
