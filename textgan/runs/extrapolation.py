"""The share of a training's time that evaluations take, at a width too slow to measure, from narrower networks."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from eval.core.tables import Block, Format, fixed, render
from textgan.engine.loop import Experiment
from textgan.engine.scoring import beside_training
from textgan.engine.settings import Settings
from textgan.runs.breakdown import Stopwatch
from textgan.runs.machine import cadence, facts_of, on_machine, precision_notes
from textgan.runs.program import TrainingProgram

_WARM_UP, _STEPS, _EVALUATIONS = 2, 10, 3


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of an iteration, and of drawing the samples of an evaluation."""

    step: int
    drawing: int


@dataclass(frozen=True)
class Cost:
    """Seconds of an iteration, and of drawing and scoring the samples of an evaluation.

    `scoring` is 0 on a device on which samples are scored in a thread while the training goes on.
    """

    step: float
    drawing: float
    scoring: float

    def share(self, config: Settings) -> float:
        """Return the share of evaluations in the time at a run's cadence."""
        evaluation = self.drawing + self.scoring
        return evaluation / (evaluation + (config.eval_seconds or config.eval_every * self.step))


def measured(experiment: Experiment) -> Cost:
    """Return medians of ten iterations and of three evaluations."""
    trainer, watch = experiment.trainer, Stopwatch(experiment.device)
    times: dict[str, list[float]] = {"step": [], "drawing": [], "scoring": []}
    for _ in range(_WARM_UP + _STEPS):
        watch.seconds.clear()
        watch.time("step", lambda: trainer.step(experiment.next_batches(trainer.iteration), measure=False))
        times["step"].append(watch.seconds["step"])
    for _ in range(_EVALUATIONS):
        watch.seconds.clear()
        score = watch.time("drawing", lambda: experiment.evaluate(trainer.iteration))
        watch.time("scoring", score)
        for name, seconds in watch.seconds.items():
            times[name].append(seconds)
    scoring = 0.0 if beside_training(experiment.device) else median(times["scoring"])
    return Cost(median(times["step"][_WARM_UP:]), median(times["drawing"]), scoring)


def extrapolated(cost: Cost, of: Operations, to: Operations) -> Cost:
    """Return the cost of other operations at the rates of a measured one; scoring takes as long."""
    return replace(cost, step=cost.step * to.step / of.step, drawing=cost.drawing * to.drawing / of.drawing)


def from_widths(
    program: TrainingProgram[Any],
    config: Any,
    dims: Sequence[int],
    operations_of: Callable[[Experiment, Any], Operations],
    output_format: Format,
) -> str:
    """Return a table of the share of evaluations in the time, at measured widths and extrapolated to the run's width.

    Args:
        program: the training command.
        config: settings of the run.
        dims: widths to measure at; the extrapolation is from the widest one.
        operations_of: returns the operations of an experiment with these settings.
        output_format: format of the table.
    """
    rows: list[tuple[int, Operations, Cost]] = []
    for dim in sorted(dims):
        at_dim = replace(config, dim=dim)
        experiment = program.open(at_dim)
        rows.append((dim, operations_of(experiment, at_dim), measured(experiment)))
    widest, of, cost = rows[-1]
    experiment = program.open(config)
    to = operations_of(experiment, config)
    rows.append((config.dim, to, extrapolated(cost, of, to)))
    table = [["dim", "step, ms", "GFLOP/s", "drawing, ms", "GFLOP/s", "scoring, ms", "evaluations"]]
    records = []
    for number, (dim, operations, cost) in enumerate(rows):
        is_last, share = number == len(dims), cost.share(config)
        table.append([
            f"{dim}{' (extrapolated)' * is_last}",
            fixed(1e3 * cost.step, 1), fixed(operations.step / cost.step / 1e9, 1),
            fixed(1e3 * cost.drawing, 1), fixed(operations.drawing / cost.drawing / 1e9, 1),
            fixed(1e3 * cost.scoring, 1), f"{share:.2%}",
        ])  # fmt: skip
        records.append({
            "dim": dim, "extrapolated": is_last, **asdict(cost), "step_flops": operations.step,
            "drawing_flops": operations.drawing, "eval_every": config.eval_every, "share": share,
            "preset": config.preset, "data": config.data, **facts_of(experiment, config),
        })  # fmt: skip
    notes = [
        f"evaluations: share of the time, at {config.eval_samples:,} samples per {cadence(config)}",
        f"extrapolated: operations take as long as at width {widest}, and scoring takes as long as there",
        *precision_notes(config, experiment.device),
    ]
    title = f"{config.preset} on {config.data}: batch {config.batch_size}, {on_machine(experiment)}"
    return render(output_format, [Block(title, table, notes)], records)
