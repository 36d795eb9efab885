"""Write a suite for a question of the TTUR paper's reviewers: do the two time scales help, or only other rates?

    python -m textgan.suite controls --preset ttur-small --output controls.toml
    python -m textgan.suite --file controls.toml --suite-dir suites/controls

The controls are the preset's two rates; one rate for both players, namely the smaller, the larger and the geometric
mean of the two; the two rates exchanged; and further ratios of critic's to generator's rate with the same geometric
mean. `textgan.compare suites/controls --ratio-figure FILE` draws the time to a target score against the ratio.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from data.command import parse_command
from data.errors import InputError
from data.naming import as_command, printable
from data.outputs import is_special, require_output, told_on, write_output
from textgan.runs.program import TrainingProgram, preset_in, require_critic
from textgan.runs.ratios import parse_ratio, ratio_name


@dataclass(frozen=True)
class ControlsCommand:
    """Flags of `python -m textgan.suite controls`."""

    output: Path
    """TOML file to write the suite to."""
    preset: str
    """Preset with the two learning rates to test; critic and generator must have different ones."""
    data: str
    """Training data, as in the training command. Default: the preset's data."""
    minutes: float = 20.0
    """Budget per run, in minutes of training."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of each control's runs."""
    ratios: tuple[str, ...] = ("1/27", "1/9", "1/3", "1", "3", "9", "27")
    """Ratios of critic's to generator's rate, numbers or fractions, at the geometric mean of the preset's rates."""


def methods(critic_lr: float, generator_lr: float, ratios: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Return each control's learning rates of critic and generator, by its name; equal controls once.

    The preset's ratio is "two rates", its inverse "rates exchanged", and 1 "one rate, the geometric mean".
    """
    small, large = sorted((critic_lr, generator_lr))
    middle = math.sqrt(small * large)
    named = {
        "two rates": (critic_lr, generator_lr),
        "one rate, the smaller": (small, small),
        "one rate, the larger": (large, large),
        "one rate, the geometric mean": (middle, middle),
        "rates exchanged": (generator_lr, critic_lr),
    }
    for ratio in ratios:
        rates = (middle * math.sqrt(ratio), middle / math.sqrt(ratio))
        if _written(rates) not in map(_written, named.values()):
            named[f"ratio {ratio_name(ratio)}"] = rates
    return named


def _written(rates: tuple[float, float]) -> tuple[str, str]:
    return f"{rates[0]:.6g}", f"{rates[1]:.6g}"


def write_controls(program: TrainingProgram[Any], arguments: Sequence[str]) -> int:
    """Write the suite of controls, and return the exit status.

    Raises:
        InputError: a flag is wrong.
    """
    preset = require_critic(preset_in(arguments, program.presets, "ttur-small"))
    default = ControlsCommand(tyro.MISSING, preset.preset, preset.data)
    command = parse_command(ControlsCommand, arguments, f"{program.package}.suite controls", __doc__, default)
    require_output("--output", command.output, (".toml",))
    if preset.critic_lr == preset.generator_lr:
        raise InputError(f"--preset {command.preset}: has one rate for both players; choose one with two")
    if not 0 < command.minutes < math.inf:
        raise InputError("--minutes must be positive and finite")
    ratios = [parse_ratio(text) for text in command.ratios]
    lines = [f"seeds = {list(command.seeds)}", "", "[common]", f'preset = "{command.preset}"']
    lines += [f"data = {json.dumps(command.data, ensure_ascii=False)}", f"minutes = {command.minutes!r}"]
    for name, (critic_lr, generator_lr) in methods(preset.critic_lr, preset.generator_lr, ratios).items():
        # Refuses settings that no run can have.
        replace(preset, critic_lr=critic_lr, generator_lr=generator_lr, minutes=command.minutes, iterations=None)
        critic, generator = _written((critic_lr, generator_lr))
        lines += ["", "[[method]]", f'name = "{name}"', f"critic_lr = {critic}", f"generator_lr = {generator}"]
    with write_output(command.output) as file:
        file.write("\n".join([*lines, ""]).encode())
    suite = as_command("python", "-m", f"{program.package}.suite", "--file", command.output)
    wrote = f"wrote {printable(command.output)}"
    print(wrote if is_special(command.output) else f"{wrote}; run it: {suite}", file=told_on(command.output))
    return 0
