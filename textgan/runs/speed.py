"""The training step of a run beside its peer's, as records and as a table."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from data.errors import InputError
from data.naming import as_flag
from eval.core.tables import Block, Format, fixed, render
from textgan.engine.game import Networks
from textgan.engine.loop import Experiment
from textgan.engine.provenance import describe_device, versions
from textgan.runs.breakdown import Stopwatch
from textgan.runs.flops import product_peak
from textgan.runs.machine import facts_of
from textgan.runs.pairs import PAIRS, Step, compare

PeerStep = Callable[[Any, Networks, torch.device], Step]
"""Returns the peer's step from a run's settings, networks and device."""

_OF_THE_GAME = (
    "model", "loss", "penalty", "penalty_weight", "spectral_norm", "rule", "reward", "prefix_gradient",
    "teacher_helping", "upsampling", "critic_norm", "compat",
)  # fmt: skip


def require_preset_game(config: Any, preset: Any) -> None:
    """Refuse settings of a game that the preset's peer does not play.

    Raises:
        InputError: names the flag.
    """
    of_wgan_gp = ("generator_steps", "max_gradient_norm") if config.model == "wgan-gp" else ()
    for name in (*_OF_THE_GAME, *of_wgan_gp):
        if getattr(config, name, None) != getattr(preset, name, None):
            raise InputError(f"{as_flag(name)} and --peer: the peer plays the game of --preset; leave one out")


def beside_peer(experiment: Experiment, config: Any, peer_step: PeerStep, flops: int | None) -> dict[str, Any]:
    """Time the training step of a run's last phase beside its peer's, and return the record.

    Args:
        experiment: the run.
        config: its settings.
        peer_step: returns the step of the run's peer.
        flops: floating-point operations that an iteration needs; None: unknown.
    """
    trainer, device = experiment.trainer, experiment.device
    theirs = peer_step(config, trainer.networks, device)
    trainer.iteration = first = sum(phase.iterations or 0 for phase in trainer.phases[:-1])
    ours = partial(trainer.step, measure=False)
    found = compare(ours, theirs, lambda number: experiment.next_batches(first + number), Stopwatch(device))
    record = {
        "model": config.model, "preset": config.preset, "data": config.data, "dim": config.dim,
        "milliseconds": 1e3 * found.ours, "peer_milliseconds": 1e3 * found.peer, "ratio": found.ratio.value,
        "low": found.ratio.low, "high": found.ratio.high, "critic_steps": getattr(config, "critic_steps", 0),
        **facts_of(experiment, config),
    }  # fmt: skip
    if flops is not None:
        peak = product_peak(config.training_precision, device)
        record |= {"flops": flops, "flops_per_second": flops / found.ours, "product_peak": peak}
    return record | {"machine": describe_device(device)["name"], **versions()}


def peer_table(records: Sequence[Mapping[str, Any]], notes: Sequence[str], output_format: Format) -> str:
    """Return a table of records of `beside_peer`, one row each, all of one preset."""
    table = [["dim", "batch", "peer, ms", "ours, ms", "ratio", "95 % interval"]]
    rates = "flops" in records[0]
    if rates:
        table[0] += ["GFLOP/s", "of peak"]
    for each in records:
        row = [str(each["dim"]), str(each["batch_size"]), *times(each)]
        if rates:
            row += [fixed(each["flops_per_second"] / 1e9, 1), f"{each['flops_per_second'] / each['product_peak']:.0%}"]
        table.append(row)
    first = records[0]
    explained = [
        f"ratio: median of peer / ours over {PAIRS} interleaved pairs of three steps; batches are drawn beforehand",
        "plain PyTorch keeps its default precision: float32, but TF32 in convolutions on CUDA",
    ]
    if rates:
        explained.append("peak: the fastest product of two square matrices on this machine in the same precision")
    title = (
        f"{first['preset']} in {first['training_precision']} beside plain PyTorch: {first['critic_steps']} "
        f"critic updates per iteration, {first['device']}, {first['threads']} threads"
    )
    return render(output_format, [Block(title, table, [*explained, *notes])], records)


def times(record: Mapping[str, Any]) -> list[str]:
    """Return milliseconds of the peer and of ours, their ratio and its interval, in words."""
    return [
        fixed(record["peer_milliseconds"], 1),
        fixed(record["milliseconds"], 1),
        fixed(record["ratio"], 2),
        f"{record['low']:.2f} .. {record['high']:.2f}",
    ]
