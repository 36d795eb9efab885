"""A game of lines that is cut off in any phase continues bit for bit."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.runs import assert_same_run, tiny_text, train_until_power_cut
from textgan.engine.run_folder import read_metrics
from textgan.train import train

PRESETS = (
    "scratchgan-words-ttur", "falling-short-words-orig", "seqgan-words-ttur", "maligan-words-control",
    "relgan-words-ttur", "gsgan-words-orig",
)  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_it_resumes_within_and_across_phases_bit_for_bit(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    whole = tiny_text(
        text_file, tmp_path / "whole", preset, iterations=11, pretraining=4, critic_warm_up=2, generator_lr=0.01
    )
    train(whole)
    rows = read_metrics(whole.folder)
    assert [row["time/critic_updates"] for row in rows][:3] == [0, 0, 0]
    assert rows[-1]["time/generator_updates"] == 4 + 4
    for cut in (3, 5, 9):  # maximum likelihood, the critic alone, both
        broken = replace(whole, run_dir=tmp_path / f"broken{cut}")
        train_until_power_cut(monkeypatch, cut, train, broken)
        train(broken)
        assert_same_run(whole.folder, broken.folder)
