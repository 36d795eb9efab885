"""Run several methods with several seeds each, under one budget.

    python -m textgan.suite --presets ttur-small orig-small --seeds 0 1 2 --set data=corpus.txt.gz minutes=20
    python -m textgan.suite --presets ttur-small --seeds 0 1 --set critic_lr=1e-3,3e-3 iterations=2000
    python -m textgan.suite --file suite.toml --executor ray --workers 8 --gpus 0.25
    python -m textgan.suite --status
    python -m textgan.suite controls --preset ttur-small --output controls.toml

The same command resumes a suite: finished runs are skipped, interrupted ones continue from their checkpoints.
`--status` prints the state of each run: share of the budget, scores at the last evaluation, expected end. If the
budget is in minutes only, each run is evaluated sixty times, at equal intervals of training time, unless eval_every or
eval_seconds is set. A TOML file describes the same suite:

    seeds = [0, 1, 2]
    [common]                    # settings of every run
    data = "corpus.txt.gz"
    minutes = 20
    [[method]]                  # a list of values makes one method per value
    preset = "ttur-small"
    [[method]]
    name = "slow orig"          # default: the preset and the values from lists
    preset = "orig-small"
    critic_lr = 3e-4
    seeds = [0]                 # default: those of the suite
    start = "suites/first/orig-small-seed{seed}"    # weights of another suite's run with the same seed
"""

import io
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import tyro

from data.command import expand_home, parse_command, run_command
from data.errors import InputError, require_at_least
from data.inputs import expand_user
from data.naming import as_command, given_flags, printable
from data.outputs import require_output_folder
from data.renamed import current_settings
from eval.core.tables import FormatFlags
from textgan.engine.run_folder import OPTIONS, read_options
from textgan.engine.settings import Settings, refuse_both_intervals
from textgan.runs.controls import write_controls
from textgan.runs.executors import run_all
from textgan.runs.options import ExecutorOptions
from textgan.runs.program import TrainingProgram, refuse_other_models
from textgan.runs.status import shown_status, suite_status
from textgan.train import TEXT

_EVALUATIONS = 60  # per run, if the budget is in minutes only
_STOPPED = "stopped; the same command continues"
_SUITE_FLAGS = ("--file", "--presets", "--seeds", "--set")


@dataclass(frozen=True)
class SuiteCommand(FormatFlags):
    """Flags of `python -m textgan.suite`."""

    execution: ExecutorOptions = field(default_factory=ExecutorOptions)
    """How runs are executed."""
    file: Path | None = None
    """TOML file of the suite, in place of --presets, --seeds and --set."""
    presets: tuple[str, ...] = ("ttur-small", "orig-small")
    """Presets to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of each method's runs."""
    set: tuple[str, ...] = ()
    """Settings of all runs, NAME=VALUE; NAME=VALUE,VALUE makes one method per value."""
    suite_dir: Path = Path("suites/suite")
    """Folder for the runs."""
    status: bool = False
    """Print the state of the runs in the folder, and stop. Flags that name a suite add runs that wait."""


@dataclass(frozen=True)
class Method:
    """Runs that differ only in the seed: a name, settings by name, including `preset`, and seeds; None: the suite's."""

    name: str
    settings: Mapping[str, Any]
    seeds: Sequence[int] | None = None


def configs_of(
    program: TrainingProgram[Any], methods: Sequence[Method], seeds: Sequence[int], folder: Path
) -> list[Settings]:
    """Return the settings of each run, sorted by seed, so that runs of different methods alternate.

    Raises:
        InputError: a setting is unknown, its value is impossible, or two methods have the same name.
    """
    names = [method.name for method in methods]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"methods {', '.join(sorted(twice))}: given twice; name them apart")
    own = {seed for method in methods for seed in method.seeds or ()}
    runs = [
        (method, seed)
        for seed in [*seeds, *sorted(own - {*seeds})]
        for method in methods
        if seed in (seeds if method.seeds is None else method.seeds)
    ]
    if not runs:
        raise InputError("no runs: give at least one preset and one seed")
    by_clock = not _was_scored_by_iterations(program, folder)
    configs = [_config(program, method, seed, folder, by_clock) for method, seed in runs]
    folders = [config.folder for config in configs]
    if twice_used := [str(path) for path in folders if folders.count(path) > 1]:
        raise InputError(
            f"{twice_used[0]}: two runs would use this folder; name methods apart, and give each seed once"
        )
    return configs


def _was_scored_by_iterations(program: TrainingProgram[Any], folder: Path) -> bool:
    """Whether the folder has runs with a budget in minutes and evaluations every N iterations, as in earlier versions.

    Runs added to a suite of an earlier version must be evaluated in the same way. A method with an `eval_every` of its
    own says nothing about the version.
    """
    options = [read_options(path.parent) for path in folder.glob(f"*/{OPTIONS}")]
    recorded = [each["config"] for each in options if each["format"] == 1]
    return any(
        config["iterations"] is None
        and config["eval_seconds"] is None
        and config["eval_every"] == program.presets[config["preset"]].eval_every
        for config in recorded
        if config["preset"] in program.presets
    )


def _config(program: TrainingProgram[Any], method: Method, seed: int, folder: Path, by_clock: bool) -> Settings:
    """Return the settings of one run; with `by_clock`, a budget in minutes only means sixty evaluations.

    Counted in iterations, a method with many critic steps would be evaluated fewer times than the others.
    """
    settings = current_settings(method.settings, told=True)
    preset = settings.pop("preset", None)
    if preset not in program.presets:
        raise InputError(f"preset {preset!r} of {method.name}: choose from {', '.join(program.presets)}")
    default: Settings = program.presets[preset]
    refuse_other_models(settings, default, program.presets)
    known = {setting.name for setting in fields(default)} - {"preset", "seed", "run_dir"}
    if unknown := settings.keys() - known:
        raise InputError(
            f"{', '.join(sorted(unknown))} of {method.name}: no such setting; see python -m {program.module} --help"
        )
    refuse_both_intervals(settings)
    run_dir = folder / f"{_of_seed(method.name, seed).replace(' ', '-').replace('/', '-')}-seed{seed}"
    # A budget set by a method replaces both budgets of its preset.
    budget = {name: None for name in ("iterations", "minutes") if {"iterations", "minutes"} & settings.keys()}
    typed = {name: _typed(program, type(default), name, _of_seed(value, seed)) for name, value in settings.items()}
    try:
        config = replace(default, **{**budget, **typed}, seed=seed, run_dir=run_dir)
        config.require_game()
    except InputError as error:
        raise InputError(f"{method.name}: {error}") from error
    is_set = config.iterations is not None or {"eval_every", "eval_seconds"} & method.settings.keys()
    if not by_clock or config.minutes is None or is_set:
        return config
    return replace(config, eval_seconds=config.minutes * 60 / _EVALUATIONS)


def _of_seed(value: Any, seed: int) -> Any:
    """Return a setting's value with the seed in place of `{seed}`: runs of one seed may share a start."""
    return value.replace("{seed}", str(seed)) if isinstance(value, str) else value


def _typed(program: TrainingProgram[Any], settings: type[Settings], name: str, value: Any) -> Any:
    """Convert a setting's value, from a flag or a file, to the type of its field.

    Raises:
        InputError: the value does not have this type.
    """
    wanted = get_type_hints(settings)[name]
    if wanted is bool and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (isinstance(value, str) and value.strip() and "\0" not in value) or (is_number and wanted is not str):
        with suppress(SystemExit), redirect_stderr(io.StringIO()):
            words = str(value).split() if get_origin(wanted) is tuple else [str(value)]
            return tyro.cli(wanted, args=[expand_home(word) for word in words])
    raise InputError(f"{name}={value}: not a value of this setting; see python -m {program.module} --help")


def methods_of(common: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> Iterator[Method]:
    """Yield the methods of a suite; a setting with a list of values makes one method per value."""
    for settings in listed:
        merged = {**common, **settings}
        name, seeds = merged.pop("name", None), merged.pop("seeds", None)
        varied = {key: value for key, value in merged.items() if isinstance(value, list)}
        if [] in varied.values():
            raise InputError(f"{name or merged.get('preset')}: a setting has no value in its list; leave it out")
        for values in product(*varied.values()):
            settings_of_one = {**merged, **dict(zip(varied, values, strict=True))}
            suffix = "".join(f",{key}={settings_of_one[key]}" for key in varied if key != "preset" or name)
            yield Method(f"{name or settings_of_one.get('preset')}{suffix}", settings_of_one, seeds)


def read_suite(path: Path) -> tuple[list[Method], list[int]]:
    """Return the methods and seeds in a TOML file.

    Raises:
        InputError: the file cannot be read, or is not a suite.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error})") from error
    if unknown := content.keys() - {"seeds", "common", "method"}:
        raise InputError(f"{path}: unknown {', '.join(sorted(unknown))}; a suite has seeds, [common] and [[method]]")
    seeds, common, listed = content.get("seeds", [0, 1, 2]), content.get("common", {}), content.get("method", [])
    if not isinstance(common, dict):
        raise InputError(f"{path}: common must be a table, [common]")
    if not isinstance(listed, list) or not all(isinstance(method, dict) for method in listed):
        raise InputError(f"{path}: methods must be tables in a list, [[method]]")
    for given in (seeds, *(table["seeds"] for table in (common, *listed) if "seeds" in table)):
        if not isinstance(given, list) or not all(type(seed) is int for seed in given):
            raise InputError(f"{path}: seeds must be a list of whole numbers")
    return list(methods_of(common, listed)), seeds


def _of_flags(program: TrainingProgram[Any], command: SuiteCommand) -> list[Method]:
    for preset in command.presets:
        if preset not in program.presets:
            raise InputError(f"--presets {preset}: choose from {', '.join(program.presets)}")
    common: dict[str, Any] = {}
    for setting in command.set:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: must be NAME=VALUE")
        if name in ("name", "preset", "seeds"):
            raise InputError(f"--set {setting}: no setting of a run; give --presets, --seeds or --file")
        several = "," in value and not expand_user(value).exists()  # a file's name may hold commas
        common[name.replace("-", "_")] = value.split(",") if several else value
    return list(methods_of(common, [{"preset": preset} for preset in command.presets]))


def _planned(program: TrainingProgram[Any], command: SuiteCommand) -> list[Settings]:
    """Return the settings of the runs that the flags or the file describe."""
    if command.file is None:
        methods, seeds = _of_flags(program, command), list(command.seeds)
    else:
        methods, seeds = read_suite(command.file)
    try:
        return configs_of(program, methods, seeds, command.suite_dir)
    except InputError as error:
        raise InputError(f"{command.file}: {error}" if command.file else str(error)) from error


def run_suite(program: TrainingProgram[Any], arguments: Sequence[str], description: str | None) -> int:
    """Run a suite, print the state of each run, and return the exit status; `controls` writes a suite instead.

    Raises:
        InputError: a flag or a file is wrong.
    """
    if arguments[:1] == ["controls"]:
        return write_controls(program, arguments[1:])
    command = parse_command(SuiteCommand, arguments, f"{program.package}.suite", description)
    require_at_least("--workers", command.execution.workers, 1)
    given = {*given_flags(arguments)}
    if command.file is not None and (both := sorted(given.intersection(_SUITE_FLAGS[1:]))):
        raise InputError(f"{both[0]}: in place of --file; leave one of the two out")
    if command.status:
        planned = _planned(program, command) if given.intersection(_SUITE_FLAGS) else []
        print(shown_status(command.suite_dir, suite_status(command.suite_dir, planned), command.output_format))
        return 0
    if command.output_format != "text":
        raise InputError(f"--format {command.output_format}: goes with --status")
    configs = _planned(program, command)
    require_output_folder("--suite-dir", command.suite_dir, "runs")
    try:
        ended = run_all(program, configs, command.execution)
    except KeyboardInterrupt:
        print(_STOPPED, file=sys.stderr)
        return 130
    for result in ended:
        print(printable(f"{result.state:9} {result.folder}" + (f": {result.message}" if result.message else "")))
    print(f"\ncompare them: {as_command('python', '-m', 'textgan.compare', command.suite_dir)}")
    states = {result.state for result in ended}
    ends = (("failed", 1, "some runs failed; the same command tries them again"), ("stopped", 130, _STOPPED))
    for state, status, message in ends:
        if state in states:
            print(message, file=sys.stderr)
            return status
    return 0


def main(arguments: list[str]) -> int:
    """Run a suite on text."""
    return run_suite(TEXT, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
