"""The figures of a GPU in one report: errors against float64, and the benches, each in a process and a time of its own.

A part that fails or runs out of time is reported with the message, and the others go on: after an error of CUDA a
process cannot use the device again, so no part depends on another's process.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Literal

import torch

from data.errors import InputError
from data.files import write_json
from data.readers import first_line
from eval.core.device import Device, Precision
from eval.core.tables import Block, Format, fixed, render
from textgan.engine.provenance import code_version, describe_device, versions
from textgan.runs.executors import python_command

Records = Sequence[Mapping[str, Any]]
Figures = Mapping[str, str]

TOTAL_SECONDS = 450.0
"""Time of all parts together, so that the report takes less than eight minutes with its own start and end."""

PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class Part:
    """A part of the report: its records come from `measure(seconds)`, which may take that long.

    `shown` returns the figures for people by name, from the records.
    """

    name: str
    seconds: float
    measure: Callable[[float], Records]
    shown: Callable[[Records], Figures]


@dataclass(frozen=True)
class Outcome:
    """How a part ended: its records and figures, or the message of its failure; and its time."""

    part: str
    state: Literal["finished", "failed"]
    seconds: float
    figures: Figures
    records: Records
    message: str = ""


def bench_parts(device: Device, weights: Path, dim: int = 512, images: int = 10_000) -> list[Part]:
    """Return the parts that are commands of the project's benches, the least certain to end last.

    Args:
        device: device of all parts.
        weights: weights of the Inception network.
        dim: width of WGAN-GP on text.
        images: number of images for the Inception features.
    """
    text = f"textgan.bench --preset ttur --data grammar --device {device} --json".split()
    peers = [
        Part(
            f"WGAN-GP beside plain PyTorch, {precision}",
            60,
            partial(records_of, [*text, "--dims", str(dim), "--training-precision", precision]),
            _beside_peer,
        )
        for precision in PRECISIONS
    ]
    steps = [Part("WGAN-GP, parts of a step", 60, partial(records_of, [*text, "--dim", str(dim)]), _steps)]
    words = ["--dim", str(dim), "--training-precision", "tf32", "--replicas", "4", "10"]
    steps.append(Part("WGAN-GP, replicas in tf32", 60, partial(records_of, [*text, *words]), _replicas))
    for title, preset in (("DCGAN", "dcgan-celeba-ttur"), ("WGAN-GP on images", "wgan-gp-lsun-ttur")):
        flags = f"--preset {preset} --data shapes --features random-conv --eval-samples 5000 --device {device} --json"
        steps.append(Part(title, 80, partial(records_of, ["images.bench", *flags.split()]), _steps))
    flags = f"eval.bench images shapes --count {images} --batch-size 256 --device {device} --json --weights"
    features = [*flags.split(), str(weights.resolve())]
    eager = Part("Inception, eager", 90, partial(records_of, [*features, "--eager-only"]), _features)
    compiled = Part("Inception, eager and compiled", 300, partial(records_of, features), _features)
    return [*peers, *steps, eager, compiled]


def records_of(words: Sequence[str], seconds: float) -> Records:
    """Return what `python -m WORDS` prints as JSON, in a process that may take some seconds.

    Raises:
        InputError: the command fails, with its last line, or takes longer.
    """
    with TemporaryFile() as printed, TemporaryFile() as log:
        process = subprocess.Popen([*python_command(), "-m", *words], stdout=printed, stderr=log)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise InputError(f"not finished after {seconds:.0f} s") from None
        finally:
            process.kill()
            process.wait()
        if status:
            raise InputError(_read(log).rpartition("\n")[2] or f"exit status {status}")
        records: Records = json.loads(_read(printed))
        return records


def run_parts(parts: Sequence[Part], total: float = TOTAL_SECONDS) -> list[Outcome]:
    """Measure one part after the other, each within its own seconds and what is left of the total."""
    outcomes, start = [], time.monotonic()
    for part in parts:
        print(f"{part.name} ...", file=sys.stderr)
        begin = time.monotonic()
        left = min(part.seconds, start + total - begin)
        try:
            if left <= 0:
                raise InputError("no time left")
            records = part.measure(left)
            json.dumps(records, allow_nan=False)  # NaN is no figure
            outcomes.append(Outcome(part.name, "finished", time.monotonic() - begin, part.shown(records), records))
        except Exception as error:  # one part's failure must not end the others
            message = first_line(error)
            outcomes.append(Outcome(part.name, "failed", time.monotonic() - begin, {}, [], message))
    return outcomes


def write_report(
    output: Path, outcomes: Sequence[Outcome], device: torch.device, inception_weights: str, output_format: Format
) -> str:
    """Write the outcomes with machine and versions to a JSON file, and return them as a table of one row per figure."""
    machine = describe_device(device)
    parts = [asdict(outcome) for outcome in outcomes]
    facts = {"code": code_version(), "versions": versions(), "device": machine}
    report = {**facts, "inception_weights": inception_weights, "parts": parts}
    write_json(output, report)
    table = [["part", "figure", "value"]]
    for each in outcomes:
        shown = each.figures or {"failed": each.message}
        names = [each.part, *[""] * (len(shown) - 1)]
        table += [[name, *row] for name, row in zip(names, shown.items(), strict=True)]
    notes = [
        "peer: WGAN-GP as most people write it, in float32; its seconds over ours, with the 95 % interval of the ratio",
        "gain of replicas: steps of all runs per second over steps per second of one run alone, with the 95 % interval",
        "product peak: the fastest product of two matrices on the same device in the same precision",
        f"Inception weights: {inception_weights}; FID: relative change of the distance from eager float32",
    ]
    block = Block(f"{machine['name']}, torch {torch.__version__}", table, notes)
    rows = [{**each, **{name: json.dumps(each[name]) for name in ("figures", "records")}} for each in parts]
    return render(output_format, [block], rows, report)


def shown_errors(records: Records) -> Figures:
    """Return relative errors of a step in words, by precision."""
    return {
        f"relative errors, {each['precision']}": f"losses {each['losses']:.1e}, gradients "
        f"{each['gradient_median']:.1e} (median), update {each['update']:.1e}"
        for each in records
    }


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace").strip()


def _beside_peer(records: Records) -> Figures:
    (found,) = records
    share, peak = found["flops_per_second"] / found["product_peak"], found["product_peak"] / 1e12
    return {
        "steps/s": fixed(1e3 / found["milliseconds"], 1),
        "steps/s of the peer": fixed(1e3 / found["peer_milliseconds"], 1),
        "times the peer": f"{found['ratio']:.2f} ({found['low']:.2f} .. {found['high']:.2f})",
        "of the product peak": f"{share:.0%} of {peak:,.3g} TFLOP/s",
    }


def _replicas(records: Records) -> Figures:
    return {
        f"gain of {each['replicas']} replicas": f"{each['gain']:.2f} ({each['low']:.2f} .. {each['high']:.2f})"
        for each in records
    }


def _steps(records: Records) -> Figures:
    figures = {"steps/s": fixed(records[0]["steps_per_second"], 1)}
    figures |= {f"{each['part']}, ms": fixed(each["milliseconds"], 2) for each in records}
    memory = records[0]["peak_memory"]
    return figures if memory is None else {**figures, "peak memory, MB": f"{memory / 1e6:,.0f}"}


def _features(records: Records) -> Figures:
    return {
        f"{each['precision']}, {'compiled' if each['compiled'] else 'eager'}": f"{each['images_per_second']:,.0f} "
        f"images/s, FID {each['fid'] / records[0]['fid'] - 1:+.1e}"
        for each in records
    }
