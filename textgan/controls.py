"""Write the suite that answers the reviewers of the TTUR paper: is it the two time scales, or the rates themselves?

    python -m textgan.controls --preset ttur-small --output controls.toml
    python -m textgan.suite --file controls.toml --suite-dir suites/controls

Beside the preset's two rates: one rate for both players at the smaller, the larger and the geometric mean of the two;
the rates exchanged; and other ratios of the two at the same geometric mean.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from data.command import parse_command, run_command
from data.errors import InputError
from data.files import atomic_write
from textgan.config import PRESETS, Preset


@dataclass(frozen=True)
class ControlsCommand:
    """Flags of `python -m textgan.controls`."""

    output: Path
    """TOML file for the suite."""
    preset: Preset = "ttur-small"
    """Preset whose rates are questioned; its critic's and generator's rates must differ."""
    data: str = "grammar"
    """Training text: as --data of textgan.train."""
    minutes: float = 20.0
    """Minutes of training of each run."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of each method."""
    ratios: tuple[float, ...] = (9.0, 27.0)
    """Other ratios of the critic's rate to the generator's."""


def methods(critic_lr: float, generator_lr: float, ratios: tuple[float, ...]) -> dict[str, tuple[float, float]]:
    """Return critic's and generator's rate of each control, by name."""
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
        named[f"ratio {ratio:g}"] = (middle * math.sqrt(ratio), middle / math.sqrt(ratio))
    return named


def main(arguments: list[str]) -> int:
    """Write the suite."""
    command = parse_command(ControlsCommand, arguments, "textgan.controls", __doc__)
    preset = PRESETS[command.preset]
    if preset.critic_lr == preset.generator_lr:
        raise InputError(f"--preset {command.preset}: has one rate for both players; choose one with two")
    if not all(0 < ratio < math.inf for ratio in command.ratios) or not 0 < command.minutes < math.inf:
        raise InputError("--ratios and --minutes must be positive and finite")
    lines = [f"seeds = [{', '.join(map(str, command.seeds))}]", "", "[common]", f'preset = "{command.preset}"']
    lines += [f"data = {_quoted(command.data)}", f"minutes = {command.minutes!r}"]
    for name, (critic_lr, generator_lr) in methods(preset.critic_lr, preset.generator_lr, command.ratios).items():
        rates = [f"critic_lr = {critic_lr:.6g}", f"generator_lr = {generator_lr:.6g}"]
        lines += ["", "[[method]]", f'name = "{name}"', *rates]
    with atomic_write(command.output) as file:
        file.write("\n".join([*lines, ""]).encode())
    print(f"wrote {command.output}; run it: python -m textgan.suite --file {command.output}")
    return 0


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    run_command(main)
