from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.runs import assert_same_run, tiny_text, train_until_power_cut
from textgan.engine.run_folder import read_metrics
from textgan.sample import load_generator, sample_ids
from textgan.train import train

PRETRAINED: Mapping[str, Any] = {"pretraining": 3}
# Presets of games at word and subword level, and changes that reach every phase within 10 iterations.
GAMES: Mapping[str, Mapping[str, Any]] = {
    "mle-words": {"body": "transformer"},
    "jsdgan-words": PRETRAINED,
    "cot-words-ttur": {**PRETRAINED, "critic_warm_up": 3, "prefix_gradient": "on"},
    "scratchgan-words-ttur": {**PRETRAINED, "critic_warm_up": 3},
    "falling-short-words-ttur": {**PRETRAINED, "critic_warm_up": 3},
    "seqgan-words-ttur": {**PRETRAINED, "critic_warm_up": 3},
    "maligan-words-control": {**PRETRAINED, "critic_warm_up": 3},
    "rankgan-words-ttur": {**PRETRAINED, "critic_warm_up": 3, "references": 2},
    "dpgan-words-ttur": {**PRETRAINED, "critic_warm_up": 3},
    "relgan-words-ttur": {**PRETRAINED, "critic_warm_up": 3},
    "gsgan-words-ttur": {**PRETRAINED, "critic_warm_up": 3},
    "textgan-mmd-words-orig": {**PRETRAINED, "critic_warm_up": 3},
    "rnn-wgan-chars-ttur": {"seq_len": 4, "curriculum": 2},
    "wgan-words-ttur": {"critic_warm_up": 3},
    "wgan-sp1000-orig": {"vocabulary_size": 60, "critic_steps": 2},
}


@pytest.mark.parametrize("preset", GAMES)
def test_a_run_resumes_across_phases_bit_for_bit_and_its_generator_is_exported(
    preset: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_text(
        text_file, tmp_path / "whole", preset, iterations=10, eval_every=5, checkpoint_every=2, generator_ema=0.5,
        **GAMES[preset],
    )  # fmt: skip
    train(whole)
    rows = read_metrics(whole.folder)
    assert [row["iteration"] for row in rows] == [0, 5, 10]
    assert rows[-1]["train/generator_update_norm"] > 0
    # The run that continues is in the pretraining and crosses its end, or is in the last phase.
    for cut in (3, 9):
        broken = replace(whole, run_dir=tmp_path / f"broken{cut}")
        train_until_power_cut(monkeypatch, cut, train, broken)
        train(broken)
        assert_same_run(whole.folder, broken.folder)
    load_generator(whole.folder).save(tmp_path / "exported")
    ours, theirs = (load_generator(place).network for place in (whole.folder, tmp_path / "exported"))
    draws = [sample_ids(network, 20, torch.Generator().manual_seed(3)) for network in (ours, theirs)]
    assert np.array_equal(draws[0], draws[1])
    assert len(np.unique(draws[0])) > 3
