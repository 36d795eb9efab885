"""Compare the speed of two training steps by interleaved pairs of measurements in one process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from torch import Tensor

from eval.core.intervals import median_interval
from eval.core.score import Estimate
from textgan.runs.breakdown import Stopwatch

PAIRS = 15
_WARM_UP, _STEPS = 1, 3

Step = Callable[[Sequence[Tensor]], object]


@dataclass(frozen=True)
class Comparison:
    """Median seconds per step of ours and of the peer, and the median ratio peer / ours with its 95 % interval."""

    ours: float
    peer: float
    ratio: Estimate


def compare(ours: Step, peer: Step, draw: Callable[[int], Sequence[Tensor]], watch: Stopwatch) -> Comparison:
    """Time a step against the peer's: 15 pairs of three steps of each, after an untimed pair.

    Who is first alternates from pair to pair, so that a drift of the machine's speed favours neither.

    Args:
        ours: takes a training step on batches of real samples.
        peer: does the same on batches in the host's memory.
        draw: returns the batches of an iteration; drawing is not timed.
        watch: times on the device.
    """
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for pair in range(_WARM_UP + PAIRS):
        real = [draw(pair * _STEPS + number) for number in range(_STEPS)]
        on_host: list[Sequence[Tensor]] = [[batch.cpu() for batch in batches] for batches in real]
        arms = [("ours", ours, real), ("peer", peer, on_host)]
        watch.seconds.clear()
        for name, step, samples in arms if pair % 2 else reversed(arms):
            watch.time(name, partial(_all, step, samples))
        if pair >= _WARM_UP:
            for name, times in seconds.items():
                times.append(watch.seconds[name] / _STEPS)
    ratios = [slow / fast for slow, fast in zip(seconds["peer"], seconds["ours"], strict=True)]
    return Comparison(median(seconds["ours"]), median(seconds["peer"]), median_interval(ratios))


def _all(step: Step, samples: Sequence[Sequence[Tensor]]) -> None:
    for batches in samples:
        step(batches)
