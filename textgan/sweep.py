"""Score a generator over temperatures: the curve of quality against diversity, and what other runs gain over it.

    python -m textgan.sweep runs/mle-words-corpus-seed0 --output sweep.svg
    python -m textgan.sweep runs/cot-* --against runs/mle-words-corpus-seed0 --temperatures 1 0.8 0.6 --count 500
    python -m textgan.sweep runs/mle-words-corpus-seed0 --temperatures 1 --top-p 0.9 --axes quality coverage

Runs are compared with the first curve. A temperature below 1 buys quality for diversity without training, so that a run
has gained only where it lies below the curve of maximum likelihood. The excess is the difference of the diversity
scores at equal quality; below 0 is a gain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from tqdm import tqdm

from data.command import parse_command, run_command
from data.corpus import open_corpus
from data.errors import InputError, require_at_least
from data.naming import shortest_different
from data.words import WordRule
from eval.core.device import Device, choose_device
from eval.core.figures import require_image_ending
from eval.core.score import without_name
from eval.core.tables import Block, FormatFlags, fixed, render
from eval.text.metrics import real_text, require_metrics, score_samples
from eval.text.samples import SampleLines
from textgan.engine.run_folder import declared, find_runs, read_options, values_by_name
from textgan.engine.seeds import stream_seed
from textgan.models import settings_of
from textgan.models.exact import exact_scores, held_out_lines, oracle_log_probs
from textgan.models.lines import LineModel
from textgan.runs.plots import plot_curves
from textgan.runs.sweeps import SEQGANS_ORACLE, Curve, Point, collapsed, excess
from textgan.sample import load_generator, require_temperature, sample_ids

AXES = (("nll_oracle", "nll_test"), ("quality", "nll_char"), ("quality", "coverage"))
"""Scores of quality and diversity, in order of preference."""


@dataclass(frozen=True)
class SweepCommand(FormatFlags):
    """Flags of `python -m textgan.sweep`."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of runs, folders that hold runs, or globs; runs without a density have one point."""
    against: Path | None = None
    """Run of maximum likelihood, to compare the others with. Default: the first run."""
    temperatures: tuple[float, ...] = (1.25, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.54, 0.5)
    """Temperatures, which divide the logits."""
    top_p: tuple[float, ...] = ()
    """Shares of the probability to draw from, the most likely symbols first, at temperature 1; for further points."""
    count: int = 2000
    """Samples per point."""
    metrics: tuple[str, ...] | None = None
    """Metrics of the samples as text. Default: likelihood, for its quality; none for lines of an oracle."""
    axes: tuple[str, str] | None = None
    """Scores of quality and of diversity, both better if lower. Default: nll_oracle and nll_test for lines of an
    oracle, else quality and nll_char; quality and coverage if a run has no density."""
    output: Path | None = None
    """Figure (.png, .svg, .pdf): quality against diversity, a curve per run."""
    published: bool = False
    """Draw published values of nll_oracle on SeqGAN's oracle too, measured at temperature 1; their nll_test is
    unknown."""
    seed: int = 0
    """Seed of the samples."""
    device: Device = "auto"
    """Device to draw the samples on; auto takes CUDA if available."""

    def __post_init__(self) -> None:
        """Refuse values that no sweep can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        require_at_least("--count", self.count, 1)
        require_at_least("--seed", self.seed, 0)
        for temperature in self.temperatures:
            require_temperature("--temperatures", temperature)
        for share in self.top_p:
            if not 0 < share < 1:
                raise InputError(f"--top-p {share}: must be above 0 and below 1")
        require_metrics(self.metrics or ())
        if self.output is not None:
            require_image_ending(self.output, "--output")


def sweep(command: SweepCommand) -> list[Curve]:
    """Return the curves of runs, first the one that the others are compared with.

    Raises:
        InputError: runs cannot be read, or the data of a run have changed.
    """
    folders = find_runs(command.runs)
    if command.against is not None:
        first = command.against
        folders = [first, *(folder for folder in folders if folder.resolve() != first.resolve())]
    names = shortest_different([str(folder) for folder in folders])
    return [replace(sweep_run(folder, command), name=name) for folder, name in zip(folders, names, strict=True)]


def axes(chosen: tuple[str, str] | None, curves: Sequence[Curve]) -> tuple[str, str]:
    """Return the scores of quality and diversity: the chosen ones, or the first of `AXES` that all curves have.

    Raises:
        InputError: a curve lacks them, higher is better, or signatures differ.
    """
    known = set.intersection(*({*curve.declared} for curve in curves))
    pair = chosen or next((pair for pair in AXES if known.issuperset(pair)), None)
    if pair is None or not known.issuperset(pair):
        lacking = " and ".join(pair or AXES[-1])
        raise InputError(
            f"--axes: not all runs have {lacking}; choose from {', '.join(sorted(known))}, or add --metrics"
        )
    for name in pair:
        first, *others = (curve.declared[name] for curve in curves)
        if first.better != "lower":
            raise InputError(f"--axes {name}: higher is better; choose scores of which lower is better")
        for curve, other in zip(curves[1:], others, strict=True):
            if without_name(other.signature) != without_name(first.signature):
                raise InputError(
                    f"{curve.name}: {name} is {other.signature}, of {curves[0].name} {first.signature}; leave one out"
                )
    return pair


def sweep_run(folder: Path, command: SweepCommand) -> Curve:
    """Return the scores of a run's generator over temperatures; one point if it has no density.

    Raises:
        InputError: the run, its data or its generator cannot be read, or the data has changed.
    """
    options, generator, device = read_options(folder), load_generator(folder), choose_device(command.device)
    config = replace(settings_of(options["config"]), data=generator.reference["corpus"]["data"])
    corpus = open_corpus(config.corpus)
    if corpus.sha256 != options["data_sha256"]:
        raise InputError(f"{folder}: {corpus.name} has changed since the run; restore it")
    model = generator.network.to(device).eval()
    held_out = held_out_lines(corpus, config.data) if isinstance(model, LineModel) else None
    of_oracle = held_out is not None and held_out.oracle is not None
    metrics = command.metrics if command.metrics is not None else () if of_oracle else ("likelihood",)
    real = real_text(metrics, config.reference, WordRule(config.words, config.lower_case))
    points, found = [], []
    settings: list[tuple[float | None, float]] = [(None, 1.0)]
    if isinstance(model, LineModel):
        settings = [*((each, 1.0) for each in command.temperatures), *((1.0, share) for share in command.top_p)]
    for index, (temperature, top_p) in enumerate(tqdm(settings, folder.name, disable=None, leave=False)):
        random = torch.Generator(device).manual_seed(stream_seed(command.seed, "sweep", index))
        if temperature is None:
            ids = sample_ids(model, command.count, random)
        else:
            ids = sample_ids(model, command.count, random, temperature, top_p, batch=100)
        lines = generator.tokenizer.decode(ids)
        scores = score_samples(as_samples(lines), metrics, real, quiet=True)
        if isinstance(model, LineModel) and held_out is not None and temperature is not None and top_p == 1:
            scores += exact_scores(model, held_out, ids, temperature)
        values = values_by_name(scores)
        if held_out is not None and held_out.oracle is not None and top_p < 1:
            values["nll_oracle"] = -float(oracle_log_probs(held_out.oracle, ids).mean())
        points.append(Point(temperature, top_p, values, len(set(lines)) / len(lines)))
        found += scores
    return Curve(folder.name, points, declared(found, ()), generator.tokenizer.size)


def as_samples(lines: list[str]) -> SampleLines:
    """Return drawn lines as samples."""
    return SampleLines("samples", lambda: iter([lines]))


def blocks(curves: Sequence[Curve], quality: str, diversity: str) -> list[Block]:
    """Return a table per curve: both scores, distinct lines, excess over the first curve, and signs of collapse."""
    tables = []
    for curve in curves:
        head = ["temperature", "top-p", quality, diversity, "distinct", *(["excess"] if curve is not curves[0] else [])]
        rows, notes = [head], []
        for point in curve.points:
            over = excess(point, curves[0], quality, diversity)
            row = [
                "-" if point.temperature is None else f"{point.temperature:g}", f"{point.top_p:g}",
                *(fixed(point.scores[name]) if name in point.scores else "-" for name in (quality, diversity)),
                f"{point.distinct:.0%}",
            ]  # fmt: skip
            if curve is not curves[0]:
                row.append("-" if over is None else fixed(over, 3, "+"))
            rows.append(row)
            if reason := collapsed(point, curve.symbols):
                notes.append(f"collapsed at temperature {row[0]}, top-p {row[1]}: {reason}")
        title = f"{curve.name}: {quality} and {diversity}, lower is better"
        tables.append(Block(title, rows, notes, _signatures(curve, quality, diversity)))
    return tables


def _signatures(curve: Curve, *names: str) -> list[str]:
    return list(dict.fromkeys(curve.declared[name].signature for name in names if name in curve.declared))


def records(curves: Sequence[Curve], quality: str, diversity: str) -> list[dict[str, object]]:
    """Return a row per point of all curves, with all scores and the signatures of quality and diversity."""
    names = sorted({name for curve in curves for point in curve.points for name in point.scores})
    return [
        {
            "run": curve.name, "temperature": point.temperature, "top_p": point.top_p, "distinct": point.distinct,
            **{name: point.scores.get(name) for name in names},
            "excess": None if curve is curves[0] else excess(point, curves[0], quality, diversity),
            "collapsed": collapsed(point, curve.symbols),
            "signature": "; ".join(_signatures(curve, quality, diversity)),
        }
        for curve in curves
        for point in curve.points
    ]  # fmt: skip


def _require_seqgans_oracle(command: SweepCommand, curves: Sequence[Curve], quality: str) -> None:
    """Refuse published values of nll_oracle where they do not belong.

    Raises:
        InputError: there is no figure, another score is on its axis, or the lines are of another oracle than SeqGAN's.
    """
    if command.output is None:
        raise InputError("--published: draws into a figure; name one with --output")
    for curve in curves:
        declared = curve.declared.get("nll_oracle")
        if quality != "nll_oracle" or declared is None or f"|oracle:{SEQGANS_ORACLE}" not in declared.signature:
            raise InputError(
                f"--published: the values are of SeqGAN's oracle, and {curve.name} is scored by {quality} of other "
                "lines; train with --data oracle:PATH, or leave the flag out"
            )


def main(arguments: list[str]) -> int:
    """Score generators over temperatures."""
    command = parse_command(SweepCommand, arguments, "textgan.sweep", __doc__)
    curves = sweep(command)
    quality, diversity = axes(command.axes, curves)
    if command.published:
        _require_seqgans_oracle(command, curves, quality)
    print(render(command.output_format, blocks(curves, quality, diversity), records(curves, quality, diversity)))
    if command.output is not None:
        plot_curves(command.output, curves, quality, diversity, command.published)
    return 0


if __name__ == "__main__":
    run_command(main)
