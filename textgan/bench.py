"""Time the parts of a training run: drawing batches, the training step, drawing and scoring samples.

    python -m textgan.bench --preset quickstart
    python -m textgan.bench --preset ttur --data grammar --device cuda

Run nothing else at the same time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch

from data.command import parse_command, run_command
from eval.core.tables import Block, FormatFlags, fixed, render
from textgan.engine.settings import Settings
from textgan.runs.program import TrainingProgram, preset_in
from textgan.train import TEXT

A = TypeVar("A")
C = TypeVar("C", bound=Settings)
R = TypeVar("R")

_WARM_UP, _STEPS, _EVALUATIONS = 5, 40, 5


@dataclass(frozen=True)
class BenchCommand(FormatFlags, Generic[C]):
    """Flags of a benchmark: the training settings and the output format."""

    config: C
    """Settings of the run."""


def run_bench(program: TrainingProgram[Any], arguments: Sequence[str], description: str | None) -> int:
    """Print the milliseconds that each part takes, and return the exit status; the flags are the training command's.

    Raises:
        InputError: a flag or value is wrong, or the data cannot be used.
    """
    prog = f"{program.package}.bench"
    preset = preset_in(arguments, program.presets, "quickstart")
    command = parse_command(BenchCommand[type(preset)], arguments, prog, description, BenchCommand(preset))  # type: ignore[misc,arg-type]
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

    for number in range(_WARM_UP + _STEPS):
        if number == _WARM_UP:
            seconds = dict.fromkeys(seconds, 0.0)
        real = timed("drawing batches", experiment.next_batches, trainer.iteration)
        timed("training step", partial(trainer.step, measure=False), real)
    for _ in range(_EVALUATIONS):
        timed("evaluation", experiment.evaluate, trainer.iteration)
    counts = (_STEPS, _STEPS, _EVALUATIONS)
    times = {part: 1e3 * seconds[part] / count for part, count in zip(seconds, counts, strict=True)}
    draw, step, _ = times.values()
    facts = {
        "preset": config.preset, "data": config.data, "batch_size": config.batch_size,
        "eval_samples": config.eval_samples, "device": str(device), "threads": torch.get_num_threads(),
    }  # fmt: skip
    title = f"{config.preset} on {config.data}: batch {config.batch_size}, {device}, {facts['threads']} threads"
    notes = [
        f"{1e3 / (draw + step):.1f} steps/s; drawing batches takes {draw / (draw + step):.2%} of the time",
        f"an evaluation draws and scores {config.eval_samples:,} samples",
    ]
    table = [["part", "ms"], *([part, fixed(taken, 2)] for part, taken in times.items())]
    records = [{"part": part, "milliseconds": taken, **facts} for part, taken in times.items()]
    print(render(command.output_format, [Block(title, table, notes)], records))
    return 0


def main(arguments: list[str]) -> int:
    """Time a training run on text."""
    return run_bench(TEXT, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
