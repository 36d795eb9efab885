import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from images.suite import main as suite_of_images
from images.train import IMAGES
from textgan.runs.program import TrainingProgram
from textgan.suite import configs_of, read_suite
from textgan.suite import main as suite_of_text
from textgan.train import TEXT


def main(arguments: list[str]) -> int:
    return suite_of_text(["controls", *arguments])


def main_of_images(arguments: list[str]) -> int:
    return suite_of_images(["controls", *arguments])


Main = Callable[[list[str]], int]


@pytest.mark.parametrize(
    ("program", "main", "b", "a", "suite"),
    [(TEXT, main, 3e-3, 1e-3, "textgan.suite"), (IMAGES, main_of_images, 1e-4, 5e-4, "images.suite")],
)
def test_the_suite_holds_every_control(
    program: TrainingProgram[Any],
    main: Main,
    b: float,
    a: float,
    suite: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "controls.toml"
    flags = ["--data", 'a "b".txt', "--minutes", "5", "--seeds", "3", "4", "--ratios", "12"]
    assert main(["--output", str(output), *flags]) == 0
    assert capsys.readouterr().out == f"wrote {output}; run it: python -m {suite} --file {output}\n"
    runs: list[Any] = list(configs_of(program, *read_suite(output), tmp_path))
    preset = program.presets["ttur-small"]
    assert (preset.critic_lr, preset.generator_lr) == (b, a)
    small, large, middle = min(a, b), max(a, b), math.sqrt(a * b)
    expected = [
        (b, a), (small, small), (large, large), (middle, middle), (a, b),
        (middle * math.sqrt(12), middle / math.sqrt(12)),
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


@pytest.mark.parametrize(
    ("program", "main", "preset", "data"),
    [
        (TEXT, main, "ttur-small", "grammar"),
        (TEXT, main, "ttur", "lm1b"),
        (IMAGES, main_of_images, "ttur-small", "shapes"),
    ],
)
def test_data_are_the_presets_unless_told(
    program: TrainingProgram[Any], main: Main, preset: str, data: str, tmp_path: Path
) -> None:
    output = tmp_path / "controls.toml"
    main(["--preset", preset, "--output", str(output)])
    assert {run.data for run in configs_of(program, *read_suite(output), tmp_path)} == {data}


def test_a_preset_with_one_rate_has_nothing_to_control(tmp_path: Path) -> None:
    for each in (main, main_of_images):
        with pytest.raises(InputError, match="--preset orig-small: has one rate for both players"):
            each(["--output", str(tmp_path / "c.toml"), "--preset", "orig-small"])
    with pytest.raises(InputError, match="must be positive"):
        main(["--output", str(tmp_path / "c.toml"), "--ratios", "0"])
    with pytest.raises(InputError, match="--output"):
        main([])
    assert not list(tmp_path.iterdir())
