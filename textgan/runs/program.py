"""The training command shared by text and images: parse flags, run in a folder, print the result."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar

from data.command import parse_command
from data.errors import InputError
from data.naming import as_command, as_flag, given_flags, printable, without_folder
from eval.core.device import choose_device
from eval.core.tables import aligned, fixed
from textgan.engine.graphs import require_graph
from textgan.engine.loop import Experiment, Report, RunOutcome, run
from textgan.engine.processes import after_rank_0, joined, rank
from textgan.engine.replicas import replicas_of, require_stackable
from textgan.engine.run_folder import score_title
from textgan.engine.settings import GanSettings, Settings, as_flags, refuse_both_intervals
from textgan.engine.trainer import NonFiniteError

C = TypeVar("C", bound=Settings)


@dataclass(frozen=True)
class TrainingProgram(Generic[C]):
    """A training command.

    Attributes:
        module: of the command, as in `python -m MODULE`.
        presets: settings by preset; the class of a preset's settings has the flags.
        open: builds the experiment of given settings.
        final_report: returns the text that ends a run, from its folder and summary.
    """

    module: str
    presets: Mapping[str, C]
    open: Callable[[C], Experiment]
    final_report: Callable[[Path, dict[str, Any]], str]

    @property
    def package(self) -> str:
        """Package of the command; it also has the commands `suite`, `search` and `bench`."""
        return self.module.partition(".")[0]

    def command(self, config: C) -> str:
        """Return the command of a run: flags that differ from the preset, file names in place of paths, no seed."""
        default = self.presets[config.preset]
        shown = replace(config.with_absolute_paths(), seed=default.seed, run_dir=default.run_dir)
        return shlex.join(["python", "-m", self.module, *map(without_folder, as_flags(shown, self.presets))])

    def train(self, config: C, report: Report | None = None) -> RunOutcome:
        """Run the experiment of given settings, as `train_all` runs several."""
        (outcome,) = self.train_all([config], report)
        return outcome

    def train_all(
        self,
        configs: Sequence[C],
        report: Report | None = None,
        argv: Sequence[str] | None = None,
        cuda_graphs: bool = False,
    ) -> list[RunOutcome]:
        """Train runs that differ in their seeds together; call `report(iteration, scores)` of the first at evaluations.

        `options.json` records `argv`, the arguments of the command line, the command without its paths, and the seeds
        of the runs that began together.

        Raises:
            InputError: data or weights cannot be used, or the folder holds a run with different settings.
            NonFiniteError: a loss or gradient became infinite or NaN; the last checkpoint is kept.
        """
        with after_rank_0():
            opened = [self.open(config) for config in configs]
        together = {"replicas": [config.seed for config in configs]} if len(configs) > 1 else {}
        experiments = []
        for config, experiment in zip(configs, opened, strict=True):
            facts = {"program": self.module, "command": self.command(config), "argv": argv, **together}
            experiments.append(replace(experiment, facts={**experiment.facts, **facts}))
        return run(configs, experiments, report, cuda_graphs)


@dataclass(frozen=True)
class TrainCommand(Generic[C]):
    """Flags of a training command."""

    config: C
    """Settings of the run."""
    dry_run: bool = False
    """Print the resolved settings, and stop."""


@dataclass(frozen=True)
class TrainTogetherCommand(TrainCommand[C]):
    """Flags of a training command for a model whose runs can train together."""

    replicas: int = 1
    """Number of runs to train together, with the seeds from --seed on. Each has a folder as if it trained alone; in
    --run-dir, {seed} stands for the seed."""
    cuda_graphs: bool = False
    """Launch each step on a GPU as one CUDA graph. This has not run on a GPU yet."""


def parse_train(
    arguments: Sequence[str], presets: Mapping[str, C], prog: str, description: str | None
) -> TrainCommand[C]:
    """Parse flags; `--preset` chooses the model, whose settings are the flags, and sets the default of every flag.

    Raises:
        InputError: a flag or value is wrong, or the flag of another model.
    """
    given = [flag[2:].replace("-", "_") for flag in given_flags(arguments)]
    refuse_both_intervals(given)
    preset = preset_in(arguments, presets, "quickstart")
    refuse_other_models(given, preset, presets)
    if together := {"replicas", "cuda_graphs"} & set(given):
        require_stackable(as_flag(min(together)), preset)
    of = TrainTogetherCommand if preset.stackable else TrainCommand
    return parse_command(of[type(preset)], arguments, prog, description, of(preset))  # type: ignore[arg-type]


def refuse_other_models(names: Collection[str], preset: Settings, presets: Mapping[str, Settings]) -> None:
    """Refuse settings of another model than the preset's.

    Raises:
        InputError: names the setting's flag, the preset's model, and a preset of the other model.
    """
    own = {field.name for field in fields(preset)}
    for other in presets.values():
        for name in names:
            if name not in own and name in {field.name for field in fields(other)}:
                model = vars(preset)["model"]
                raise InputError(
                    f"{as_flag(name)}: not a setting of {model}, the model of --preset {preset.preset}; "
                    f"leave it out, or choose a preset with it, as {other.preset}"
                )


def require_critic(preset: Settings) -> GanSettings:
    """Return a preset's settings if its model has a critic.

    Raises:
        InputError: it has none.
    """
    if not isinstance(preset, GanSettings):
        raise InputError(f"--preset {preset.preset}: its model has no critic; choose a GAN's preset")
    return preset


def preset_in(arguments: Sequence[str], presets: Mapping[str, C], default: str) -> C:
    """Return the preset named by `--preset`, or the default preset.

    Raises:
        InputError: there is no preset of this name.
    """
    words = [word for argument in arguments for word in argument.split("=", 1)]
    named = [word for flag, word in pairwise(words) if flag == "--preset"]
    preset = named[-1] if named else default
    if preset not in presets:
        raise InputError(f"--preset {preset!r}: choose from {', '.join(presets)}")
    return presets[preset]


@joined()
def run_program(program: TrainingProgram[C], arguments: Sequence[str], description: str | None) -> int:
    """Train with the settings of the flags, print the result, and return the exit status.

    Of several processes, which torchrun starts, rank 0 alone prints.

    Raises:
        InputError: a flag or value is wrong, or the data cannot be used.
    """
    with after_rank_0():
        command = parse_train(arguments, program.presets, program.module, description)
        command.config.require_game()
        count, graphs = 1, False
        if isinstance(command, TrainTogetherCommand):
            count, graphs = command.replicas, command.cuda_graphs
        configs = replicas_of(command.config, count)
        if graphs:
            require_graph(command.config, choose_device(command.config.device))
    folders = ", ".join(str(config.folder) for config in configs)
    if command.dry_run:
        together = {"replicas": len(configs)} if len(configs) > 1 else {}
        print(json.dumps(configs[0].as_json() | together, indent=2))
        return 0
    try:
        outcomes = program.train_all(configs, argv=list(arguments), cuda_graphs=graphs)
    except NonFiniteError as error:
        message = f"error: {error}; the last checkpoint in {folders} is kept; try smaller learning rates"
        print(printable(message), file=sys.stderr)
        return 1
    if rank():
        return 0
    for outcome in outcomes:
        if outcome.summary is None:
            print(printable(f"stopped; the same command continues {folders}"), file=sys.stderr)
            return 128 + (outcome.stopped_by or 0)
        print(program.final_report(outcome.folder, outcome.summary))
    return 0


def final_lines(folder: Path, summary: Mapping[str, Any], real: str, shown: Sequence[str], tries: Sequence[str]) -> str:
    """Return the text that ends a run: its time, a table of its scores, its samples, and commands to try next.

    Args:
        folder: the run's folder.
        summary: the run's summary.
        real: title of the column with the scores of real data.
        shown: lines about the samples.
        tries: modules of commands to try next, with their arguments.
    """
    totals, floor = summary["totals"], summary["floor"] or {}
    minutes, total = totals["train_seconds"] / 60, totals["wall_seconds"] / 60
    took = f"{minutes:.1f} minutes of training ({total:.1f} in total)"
    table = [["", "start", "best", "last", real]]
    for name, best in summary["best"].items():
        values = [summary["first"][name], best["value"], summary["last"][name], floor.get(name)]
        table.append([score_title(name), *("-" if value is None else fixed(value, 3) for value in values)])
    # Paths, if the virtual environment of Python and TensorBoard is below the working folder.
    python = os.path.relpath(sys.executable) if Path(sys.executable).is_relative_to(Path.cwd()) else "python"
    tensorboard = as_command(str(Path(python).with_name("tensorboard")), "--logdir", folder.parent)
    return "\n".join(
        [
            f"\n{printable(folder)}: {totals['iteration']:,} iterations, {took}\n",
            aligned(table),
            *("", *shown),
            "\ntry next",
            f"    {tensorboard}    # curves and samples, by training time",
            *(f"    {as_command(python)} -m {module}" for module in tries),
        ]
    )
