"""A game of lines that is cut off in any phase continues bit for bit."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.runs import assert_same_run, tiny_text, train_until_power_cut
from textgan.engine.run_folder import read_metrics
from textgan.train import train

PRESETS = (
    "scratchgan-words-ttur", "falling-short-words-ttur", "seqgan-words-ttur", "maligan-words-control",
    "relgan-words-ttur", "gsgan-words-ttur",
)  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_it_resumes_within_and_across_phases_bit_for_bit(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    whole = tiny_text(
        text_file, tmp_path / "whole", preset, iterations=9, pretraining=3, critic_warm_up=2, critic_steps=2,
        generator_lr=0.01, eval_every=3,
    )  # fmt: skip
    train(whole)
    rows = read_metrics(whole.folder)
    assert [row["time/critic_updates"] for row in rows] == [0, 0, 6, 12]
    assert [row["time/generator_updates"] for row in rows] == [0, 3, 3, 6]
    for cut in (3, 5, 7):  # the checkpoints before: of maximum likelihood, the critic's warm-up, both players
        broken = replace(whole, run_dir=tmp_path / f"broken{cut}")
        train_until_power_cut(monkeypatch, cut, train, broken)
        train(broken)
        assert_same_run(whole.folder, broken.folder)
