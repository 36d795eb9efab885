"""Time the parts of a training run: drawing batches, the step, drawing and scoring samples.

python -m textgan.bench --preset quickstart
python -m textgan.bench --preset ttur --data grammar --device cuda
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
import tyro

from data.command import parse_command, run_command
from data.naming import printable
from eval.core.tables import Block, FormatFlags, fixed, render
from textgan.engine.experiment import TrainingProgram, preset_in
from textgan.engine.settings import Settings
from textgan.train import TEXT

A = TypeVar("A")
C = TypeVar("C", bound=Settings)
R = TypeVar("R")

_WARM_UP, _STEPS, _EVALUATIONS = 5, 40, 5


@dataclass(frozen=True)
class BenchCommand(FormatFlags, Generic[C]):
    """Flags of a benchmark: the training settings and the output format."""

    config: tyro.conf.OmitArgPrefixes[C]
    """Settings of the run."""


def run_bench(program: TrainingProgram[Any], arguments: Sequence[str], description: str | None) -> int:
    """Print the milliseconds that each part takes, and return the exit status; takes the training command's flags.

    Raises:
        InputError: a flag or value is wrong, or the data cannot be used.
    """
    prog = f"{program.package}.bench"
    default: Any = BenchCommand(preset_in(arguments, program.presets, "quickstart"))
    command = parse_command(BenchCommand[program.settings], arguments, prog, description, default)  # type: ignore[name-defined]
    config = command.config
    experiment = program.open(config)
    trainer, device = experiment.trainer, experiment.device
    seconds = {"drawing batches": 0.0, "training step": 0.0, "evaluation": 0.0}

    def timed(part: str, call: Callable[[A], R], argument: A) -> R:
        start = time.perf_counter()
        result = call(argument)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds[part] += time.perf_counter() - start
        return result

    for step in range(_WARM_UP + _STEPS):
        if step == _WARM_UP:
            seconds = dict.fromkeys(seconds, 0.0)
        real = timed("drawing batches", experiment.next_batches, trainer.iteration)
        timed("training step", trainer.step, real)
    for _ in range(_EVALUATIONS):
        timed("evaluation", experiment.evaluate, trainer.iteration)
    draw, step_seconds, evaluation = seconds.values()
    threads = torch.get_num_threads()
    title = f"{config.preset} on {config.data}: batch {config.batch_size}, {device}, {threads} threads"
    times = {
        "drawing batches": draw / _STEPS,
        "training step": step_seconds / _STEPS,
        "evaluation": evaluation / _EVALUATIONS,
    }
    if command.output_format != "text":
        facts = {
            "preset": config.preset, "data": config.data, "batch_size": config.batch_size,
            "eval_samples": config.eval_samples, "device": str(device), "threads": threads,
        }  # fmt: skip
        table = [["part", "ms"], *([part, fixed(1e3 * taken, 2)] for part, taken in times.items())]
        records = [{"part": part, "milliseconds": 1e3 * taken, **facts} for part, taken in times.items()]
        print(render(command.output_format, [Block(title, table)], records))
        return 0
    print(printable(title))
    print(f"drawing batches  {1e3 * draw / _STEPS:9.2f} ms per step, {draw / (draw + step_seconds):.2%} of the time")
    print(f"training step    {1e3 * step_seconds / _STEPS:9.2f} ms, {_STEPS / (draw + step_seconds):.1f} steps/s")
    print(f"evaluation       {1e3 * evaluation / _EVALUATIONS:9.2f} ms for {config.eval_samples:,} samples")
    return 0


def main(arguments: list[str]) -> int:
    """Time a training run on text."""
    return run_bench(TEXT, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
