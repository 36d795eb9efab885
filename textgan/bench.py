"""Time the parts of a training run: drawing batches, the training step and its parts, drawing and scoring samples.

    python -m textgan.bench --preset quickstart
    python -m textgan.bench --preset ttur --data grammar --device cuda
    python -m textgan.bench --preset seqgan-words-ttur --peer
    python -m textgan.bench --dims 32 64 128 --training-precision bf16
    python -m textgan.bench --preset ttur --data grammar --extrapolate-from 64 128 256
    python -m textgan.bench --gpu-report gpu.json

With --peer: time the training step beside the same step as most people write it in PyTorch, in its default precision.
With --dims: the same for WGAN-GP at several widths.
With --replicas: time a step of several runs together (`textgan.train --replicas`) beside a step of one run.
With --extrapolate-from: measure narrower networks than the preset's, and extrapolate the share of evaluations in the
time of a training by floating-point operations.
With --table: print JSON files of --peer and --dims as one table.
With --gpu-report: measure the errors of a step on a GPU against float64, WGAN-GP at width 512 in each precision, steps
on images, and Inception features, in less than eight minutes. A part that fails is reported, and the others go on.
Run nothing else at the same time.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

import torch

from data.command import parse_command, run_command
from data.errors import InputError
from data.naming import as_flag, given_flags
from data.outputs import require_output
from eval.core.device import Precision
from eval.core.tables import Block, Format, FormatFlags, fixed, render
from eval.images.inception_weights import save_random_weights
from textgan.engine.loop import Experiment
from textgan.engine.scoring import beside_training
from textgan.engine.settings import Settings
from textgan.models.common import initialise
from textgan.models.wgan_gp import Generator, WganGpSettings, networks
from textgan.runs.breakdown import measure
from textgan.runs.costs import cost_table
from textgan.runs.exactness import Draw, step_errors
from textgan.runs.extrapolation import Operations, from_widths
from textgan.runs.flops import forward_flops, iteration_flops, product_peak
from textgan.runs.gpu_report import PRECISIONS, Part, bench_parts, run_parts, shown_errors, write_report
from textgan.runs.machine import cadence, facts_of, on_machine, precision_notes, share
from textgan.runs.peers.table import peer_step
from textgan.runs.program import TrainingProgram, preset_in
from textgan.runs.speed import PeerStep, beside_peer, peer_table, require_preset_game
from textgan.runs.together import beside_one
from textgan.train import TEXT

C = TypeVar("C", bound=Settings)

_SYMBOLS = 96
"""Symbols of the random lines that a step's errors are measured on."""


@dataclass(frozen=True)
class BenchCommand(FormatFlags, Generic[C]):
    """Flags of a benchmark: the training settings and the output format."""

    config: C
    """Settings of the run."""
    peer: bool = False
    """Time the training step beside the same game in plain PyTorch, in place of the parts of a run."""


@dataclass(frozen=True)
class TextBenchCommand(BenchCommand[C]):
    """Flags of a benchmark of text models."""

    dims: tuple[int, ...] = ()
    """Widths at which to time WGAN-GP beside a plain PyTorch version, in place of the parts of a run.
    Defaults: --preset ttur-small; --batch-size 32 at width 32, else 64."""
    replicas: tuple[int, ...] = ()
    """Numbers of runs to time together beside one run alone, in place of the parts of a run."""
    extrapolate_from: tuple[int, ...] = ()
    """Widths at which to time WGAN-GP, from which the share of evaluations at --dim is extrapolated by operations."""
    table: tuple[Path, ...] = ()
    """JSON files of --peer or --dims to print as one table, in place of a measurement."""
    gpu_report: Path | None = None
    """JSON file for all figures of a GPU, at sizes of its own, in place of the parts of a run."""
    inception_weights: Path | None = None
    """Inception weights for --gpu-report. Default: random ones, which show speed and rounding, but no distances."""


def run_bench(
    program: TrainingProgram[Any], arguments: Sequence[str], description: str | None, peer_step: PeerStep
) -> int:
    """Print the milliseconds that each part takes, and return the exit status; the flags are the training command's.

    Raises:
        InputError: a flag or value is wrong, or the data cannot be used.
    """
    preset = preset_in(arguments, program.presets, "quickstart")
    default: BenchCommand[Any] = BenchCommand(preset)
    command = parse_command(BenchCommand[type(preset)], arguments, f"{program.package}.bench", description, default)  # type: ignore[misc,arg-type]
    print(measured(program, command, preset, peer_step))
    return 0


def measured(program: TrainingProgram[Any], command: BenchCommand[Any], preset: Settings, peer_step: PeerStep) -> str:
    """Return the table of a run's parts, or with --peer of the training step beside the peer's.

    Raises:
        InputError: the data cannot be used, or the peer does not play the game.
    """
    if not command.peer:
        return parts_of(program.open(command.config), command.config, command.output_format)
    require_preset_game(command.config, preset)
    return beside_peers(program, [command.config], peer_step, command.output_format)


def parts_of(experiment: Experiment, config: Any, output_format: Format) -> str:
    """Return a table of the milliseconds that each part of a run takes."""
    flops = flops_of(experiment, config)
    found = measure(experiment)
    seconds = found.seconds
    draw, step, evaluation = (seconds[part] for part in ("drawing batches", "training step", "evaluation"))
    facts = {"preset": config.preset, "data": config.data, **facts_of(experiment, config)}
    facts |= {"steps_per_second": 1 / (draw + step), "peak_memory": found.peak_memory}
    blocking = evaluation - (seconds["evaluation: scoring"] if beside_training(experiment.device) else 0)
    spent = blocking / (blocking + (config.eval_seconds or config.eval_every * (draw + step)))
    notes = [
        f"{1 / (draw + step):.1f} steps/s; drawing batches takes {draw / (draw + step):.2%} of the time",
        f"an evaluation draws and scores {config.eval_samples:,} samples",
        f"evaluations take {spent:.2%} of the time at one per {cadence(config)}",
    ]
    if "step: critic penalty" in seconds:
        notes.append("the critic's gradients include the penalty")
    if found.peak_memory is not None:
        notes.append(f"peak memory {found.peak_memory / 1e6:,.0f} MB")
    if flops is not None:
        peak = product_peak(config.training_precision, experiment.device)
        facts |= {"flops": flops, "flops_per_second": flops / step, "product_peak": peak}
        notes.append(f"{flops / step / 1e9:,.1f} GFLOP/s, {share(flops / step, peak, config.training_precision)}")
    notes += precision_notes(config, experiment.device)
    table = [["part", "ms"], *([part, fixed(1e3 * taken, 2)] for part, taken in seconds.items())]
    records = [{"part": part, "milliseconds": 1e3 * taken, **facts} for part, taken in seconds.items()]
    title = f"{config.preset} on {config.data}: batch {config.batch_size}, {on_machine(experiment)}"
    return render(output_format, [Block(title, table, notes)], records)


def is_published(config: Any) -> bool:
    """Return whether settings describe the published WGAN-GP: loss, penalty, order of updates, no normalisation."""
    return isinstance(config, WganGpSettings) and config.penalty_weight > 0 and (
        config.loss, config.penalty, config.rule, config.spectral_norm, config.generator_steps, config.critic_warm_up,
    ) == ("wasserstein", "wgan-gp", "alternating", "off", 1, 0)  # fmt: skip


def require_published(config: Settings, flag: str) -> WganGpSettings:
    """Return settings of the published WGAN-GP.

    Raises:
        InputError: they are others; names the flag.
    """
    if not isinstance(config, WganGpSettings) or not is_published(config):
        raise InputError(
            f"{flag}: times WGAN-GP with its published loss, penalty and order of updates; choose --preset ttur-small, "
            "and leave out --loss, --penalty, --rule, --spectral-norm, --generator-steps and --critic-warm-up"
        )
    return config


def flops_of(experiment: Experiment, config: Any) -> int | None:
    """Return the floating-point operations that an iteration needs; None unless the run is the published WGAN-GP."""
    if not is_published(config):
        return None
    networks = experiment.trainer.networks
    generator, critic = networks.generator, networks.require_critic()
    assert isinstance(generator, Generator)
    z = torch.zeros(config.batch_size, config.latent_dim, device=experiment.device)
    with torch.no_grad():
        lines = generator(z)  # [B, L, V]
    return iteration_flops(forward_flops(generator, z), forward_flops(critic, lines), config.critic_steps)


def operations_of(experiment: Experiment, config: WganGpSettings) -> Operations:
    """Return the operations of an iteration of the published WGAN-GP, and of the samples of an evaluation."""
    step, generator = flops_of(experiment, config), experiment.trainer.networks.generator
    assert step is not None
    z = torch.zeros(1, config.latent_dim, device=experiment.device)
    return Operations(step, config.eval_samples * forward_flops(generator, z))


def beside_peers(
    program: TrainingProgram[Any], configs: Sequence[Any], peer_step: PeerStep, output_format: Format
) -> str:
    """Return a table of the training step beside the peer's, one row per configuration of one preset."""
    records = []
    for config in configs:
        experiment = program.open(config)
        records.append(beside_peer(experiment, config, peer_step, flops_of(experiment, config)))
    return peer_table(records, precision_notes(configs[0], experiment.device), output_format)


def configs_of(config: Settings, dims: Sequence[int], arguments: Sequence[str]) -> list[WganGpSettings]:
    """Return the settings at each width, with batches of 32 at width 32 and 64 at others unless the user sets them.

    Raises:
        InputError: the settings are not the published WGAN-GP's, or the user sets --dim too.
    """
    flags = given_flags(arguments)
    published = require_published(config, "--dims")
    if "--dim" in flags:
        raise InputError("--dim and --dims: leave one out")
    sizes = {dim: config.batch_size if "--batch-size" in flags else 32 if dim == 32 else 64 for dim in dims}
    return [replace(published, dim=dim, batch_size=size) for dim, size in sizes.items()]


def refuse_other_flags(arguments: Sequence[str], allowed: Sequence[str], why: str) -> None:
    """Refuse flags that have no effect beside the first of the allowed ones.

    Raises:
        InputError: names the flag.
    """
    for flag in given_flags(arguments):
        if flag not in (*allowed, "--format", "--json"):
            raise InputError(f"{flag} and {allowed[0]}: {why}; leave one out")


def errors_part(config: WganGpSettings, device: torch.device, precisions: Sequence[Precision] = PRECISIONS) -> Part:
    """Return the report's part on errors of a step of WGAN-GP on a device against float64 on the CPU."""

    def measured(_seconds: float) -> list[dict[str, Any]]:
        random = torch.Generator().manual_seed(config.seed)
        players = networks(config, _SYMBOLS)
        for network in (players.generator, players.require_critic()):
            initialise(network, random)
        ids = torch.randint(_SYMBOLS, (config.batch_size, config.seq_len), generator=random)
        z = torch.randn(config.batch_size, config.latent_dim, generator=random)
        alpha = torch.rand(config.batch_size, generator=random)
        draw = Draw(torch.eye(_SYMBOLS)[ids], z, alpha)
        return [asdict(each) for each in step_errors(config, players, draw, device, precisions)]

    return Part(f"WGAN-GP at width {config.dim} against float64", 60, measured, shown_errors)


def gpu_report(output: Path, weights: Path | None, output_format: Format) -> str:
    """Measure all figures of this machine's GPU, write them to a JSON file, and return them as a table.

    Raises:
        InputError: there is no GPU, or a file cannot be used.
    """
    if not torch.cuda.is_available():
        raise InputError("--gpu-report: no CUDA on this machine or in this build of torch; run it where a GPU is")
    require_output("--gpu-report", output, (".json",))
    device = torch.device("cuda")
    with TemporaryDirectory() as folder:
        chosen = weights or Path(folder, "random.safetensors")
        if weights is None:
            save_random_weights(chosen)
        outcomes = run_parts([errors_part(WganGpSettings(), device), *bench_parts("cuda", chosen)])
    return write_report(output, outcomes, device, "random" if weights is None else weights.name, output_format)


def main(arguments: list[str]) -> int:
    """Time a training run on text, or WGAN-GP beside its peer."""
    preset = preset_in(arguments, TEXT.presets, "ttur-small" if "--dims" in given_flags(arguments) else "quickstart")
    default: TextBenchCommand[Any] = TextBenchCommand(preset)
    command = parse_command(TextBenchCommand[type(preset)], arguments, "textgan.bench", __doc__, default)  # type: ignore[misc,arg-type]
    config = command.config
    modes = ("replicas", "extrapolate_from", "dims", "peer")
    if len(given := [as_flag(name) for name in modes if getattr(command, name)]) > 1:
        raise InputError(f"{given[0]} and {given[1]}: two measurements; give one of them")
    if command.table:
        refuse_other_flags(arguments, ["--table"], "the files have settings of their own")
        print(cost_table(command.table, command.output_format))
    elif command.gpu_report is not None:
        refuse_other_flags(arguments, ["--gpu-report", "--inception-weights"], "the report has sizes of its own")
        print(gpu_report(command.gpu_report, command.inception_weights, command.output_format))
    elif command.inception_weights is not None:
        raise InputError("--inception-weights: only with --gpu-report")
    elif command.replicas:
        facts = {"dim": vars(config)["dim"], "batch_size": config.batch_size, "precision": config.training_precision}
        print(beside_one(TEXT, config, command.replicas, facts, command.output_format))
    elif command.extrapolate_from:
        published = require_published(config, "--extrapolate-from")
        print(from_widths(TEXT, published, command.extrapolate_from, operations_of, command.output_format))
    elif command.dims:
        configs = configs_of(config, command.dims, arguments)
        print(beside_peers(TEXT, configs, peer_step, command.output_format))
    else:
        print(measured(TEXT, command, preset, peer_step))
    return 0


if __name__ == "__main__":
    run_command(main)
