"""Compare the speed of runs that train together with one run alone, by interleaved pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from eval.core.tables import Block, Format, fixed, render
from textgan.engine.replicas import Replicas, replicas_of
from textgan.runs.breakdown import Stopwatch
from textgan.runs.pairs import PAIRS, Comparison, compare
from textgan.runs.program import TrainingProgram


def compare_together(program: TrainingProgram[Any], config: Any, count: int) -> Comparison:
    """Time a step of `count` replicas against a step of one run with the same settings.

    Returns:
        Seconds per step of all replicas (ours) and of one run (peer); as ratio, seconds of `count` runs one after the
        other over seconds of the replicas.

    Raises:
        InputError: runs with these settings cannot train together.
    """
    configs = replicas_of(config, count)
    alone, *experiments = [program.open(each) for each in (configs[0], *configs)]
    replicas = Replicas(configs, [experiment.trainer for experiment in experiments])

    def draw(iteration: int) -> Sequence[Tensor]:
        return [batch for experiment in experiments for batch in experiment.next_batches(iteration)]

    def together(batches: Sequence[Tensor]) -> None:
        per_run = len(batches) // count
        replicas.step([batches[run * per_run : (run + 1) * per_run] for run in range(count)], measure=False)

    def one(batches: Sequence[Tensor]) -> None:
        alone.trainer.step([batch.to(alone.device) for batch in batches[: len(batches) // count]], measure=False)

    found = compare(together, one, draw, Stopwatch(alone.device))
    return replace(found, ratio=found.ratio.scaled(count))


def beside_one(
    program: TrainingProgram[Any], config: Any, counts: Sequence[int], facts: Mapping[str, Any], output_format: Format
) -> str:
    """Return a table of the step of replicas beside the step of one run, one row per number of replicas.

    Args:
        program: opens the runs.
        config: settings of each run but for the seed.
        counts: numbers of replicas.
        facts: entries for the records.
        output_format: of the table.
    """
    table = [["replicas", "one run, ms", "all, ms", "gain", "95 % interval"]]
    records = []
    for count in counts:
        found = compare_together(program, config, count)
        gain = found.ratio
        interval = f"{gain.low:.2f} .. {gain.high:.2f}"
        table.append(
            [str(count), fixed(1e3 * found.peer, 1), fixed(1e3 * found.ours, 1), fixed(gain.value, 2), interval]
        )
        records.append({
            "replicas": count, "milliseconds": 1e3 * found.ours, "one_milliseconds": 1e3 * found.peer,
            "gain": gain.value, "low": gain.low, "high": gain.high, **facts,
        })  # fmt: skip
    notes = [
        f"gain: median of (replicas x one run's time) / time of all, over {PAIRS} interleaved pairs of three steps",
    ]
    return render(output_format, [Block(f"{config.preset}: runs that train together", table, notes)], records)
