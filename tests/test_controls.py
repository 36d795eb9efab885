import math
from pathlib import Path

import pytest

from data.errors import InputError
from textgan.config import PRESETS
from textgan.controls import main
from textgan.suite import configs_of, read_suite
from textgan.train import TEXT


def test_the_suite_holds_every_control(tmp_path: Path) -> None:
    output = tmp_path / "controls.toml"
    flags = ["--data", 'a "b".txt', "--minutes", "5", "--seeds", "3", "4", "--ratios", "12"]
    assert main(["--output", str(output), *flags]) == 0
    runs = configs_of(TEXT, *read_suite(output), tmp_path)
    preset = PRESETS["ttur-small"]
    b, a = preset.critic_lr, preset.generator_lr
    assert (b, a) == (3e-3, 1e-3)
    middle = math.sqrt(3) * 1e-3
    expected = [
        (b, a), (a, a), (b, b), (middle, middle), (a, b), (middle * math.sqrt(12), middle / math.sqrt(12)),
    ]  # fmt: skip
    for seed in (3, 4):
        of_seed = [run for run in runs if run.seed == seed]
        rates = [(run.critic_lr, run.generator_lr) for run in of_seed]
        assert [each for pair in rates for each in pair] == pytest.approx(
            [each for pair in expected for each in pair], rel=1e-5
        )
    for run in runs:
        assert (run.data, run.minutes, run.iterations, run.preset) == ('a "b".txt', 5.0, None, "ttur-small")
        assert run.critic_steps == preset.critic_steps
    assert runs[0].folder.name == "two-rates-seed3"


def test_a_preset_with_one_rate_has_nothing_to_control(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--preset orig-small: has one rate for both players"):
        main(["--output", str(tmp_path / "c.toml"), "--preset", "orig-small"])
    with pytest.raises(InputError, match="must be positive"):
        main(["--output", str(tmp_path / "c.toml"), "--ratios", "0"])
    assert not list(tmp_path.iterdir())
