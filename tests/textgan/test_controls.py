import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from images.suite import main as suite_of_images
from images.train import IMAGES
from textgan.runs.program import TrainingProgram
from textgan.runs.ratios import parse_ratio, ratio_name
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
    ("program", "main", "b", "a", "names"),
    [
        (TEXT, main, 3, 1, ["ratio 1/27", "ratio 1/9", "ratio 9", "ratio 27"]),  # 3 and 1/3 are the preset's
        (IMAGES, main_of_images, 1, 5, [f"ratio {ratio}" for ratio in ("1/27", "1/9", "1/3", "3", "9", "27")]),
    ],
)
def test_ratios_from_1_27_to_27_at_one_product_and_no_control_twice(
    program: TrainingProgram[Any], main: Main, b: int, a: int, names: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "controls.toml"
    main(["--output", str(output)])
    listed, _ = read_suite(output)
    named = {method.name: (method.settings["critic_lr"], method.settings["generator_lr"]) for method in listed}
    fixed = ["two rates", "one rate, the smaller", "one rate, the larger", "one rate, the geometric mean"]
    assert list(named) == [*fixed, "rates exchanged", *names]
    assert len(set(named.values())) == len(listed)
    near_product = pytest.approx(math.prod(named["two rates"]), rel=1e-4)  # rates have six digits
    at_product = {name: rates for name, rates in named.items() if rates[0] * rates[1] == near_product}
    assert len(at_product) == len(named) - 2  # all but the smaller and the larger rate alone
    wanted = {Fraction(3) ** power for power in range(-3, 4)} | {Fraction(b, a), Fraction(a, b)}
    assert sorted(critic / generator for critic, generator in at_product.values()) == pytest.approx(
        sorted(map(float, wanted)), rel=1e-4
    )
    for name, (critic, generator) in at_product.items():
        if name.startswith("ratio "):
            assert critic / generator == pytest.approx(float(Fraction(name.removeprefix("ratio "))), rel=1e-4)
    # Folders are named after methods.
    folders = {run.folder for run in configs_of(program, *read_suite(output), tmp_path)}
    assert len(folders) == 3 * len(listed)
    assert tmp_path / "ratio-1-9-seed2" in folders


@pytest.mark.parametrize(("text", "ratio"), [("27", 27), ("0.5", 1 / 2), ("1/27", 1 / 27), ("2/6", 1 / 3), ("9e0", 9)])
def test_a_ratio_is_a_number_or_a_fraction(text: str, ratio: float) -> None:
    assert parse_ratio(text) == pytest.approx(ratio, rel=1e-15)
    assert float(Fraction(ratio_name(ratio))) == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize("text", ["0", "-9", "nan", "inf", "1/0", "1/", "/3", "x", "1e999", "1:27"])
def test_other_ratios_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--ratios {text}: must be positive, a number or a fraction such as 1/27"):
        main(["--output", str(tmp_path / "c.toml"), f"--ratios={text}"])
    assert not list(tmp_path.iterdir())


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
    # A budget in minutes has no end to let the rate fall to.
    with pytest.raises(InputError, match="a schedule is linear, and needs --iterations"):
        main_of_images(["--output", str(tmp_path / "c.toml"), "--preset", "quickstart"])
    with pytest.raises(InputError, match="--output"):
        main([])
    assert not list(tmp_path.iterdir())
