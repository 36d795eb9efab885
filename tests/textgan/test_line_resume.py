"""Games of lines continue after a power cut as if there had been none, in every phase."""

from pathlib import Path
from typing import Any

import pytest

from data.oracle import as_lines, own_oracle
from tests.helpers.runs import assert_same_run, tiny_text, train_until_power_cut
from textgan.train import train

SETTINGS: dict[str, dict[str, Any]] = {
    "relgan-words-ttur": {"critic_dim": 4, "critic_filters": 2, "representations": 2, "critic_warm_up": 1},
    "gsgan-words-ttur": {"critic_dim": 4, "critic_filters": 2, "generator_ema": 0.5},
}


@pytest.mark.parametrize("preset", SETTINGS)
def test_a_run_continues_bit_for_bit_across_its_phases(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "lines.txt"
    drawn = own_oracle(1, size=8, width=4).draw(80, 5, seed=1)
    corpus.write_text("".join(f"{line}\n" for line in as_lines(drawn)), "utf-8")
    # Maximum likelihood until iteration 3; a checkpoint at 2, 4 and 6.
    whole, *cut = (
        tiny_text(corpus, tmp_path / name, preset, seq_len=6, iterations=7, pretraining=3, **SETTINGS[preset])
        for name in ("whole", "pretraining", "adversarial")
    )
    train(whole)
    for config, iteration in zip(cut, (3, 6), strict=True):
        train_until_power_cut(monkeypatch, iteration, train, config)
        train(config)
        assert_same_run(whole.folder, config.folder)
