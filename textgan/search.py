"""Search the two learning rates by successive halving, on seeds of its own.

    python -m textgan.search --data corpus.txt.gz --search-dir searches/rates
    python -m textgan.search --method random --trials 20 --critic-lr 1e-4 1e-1 --iterations 4000 --rungs 4

All candidates train for a short while; the best third goes on to three times as many iterations, and so on (Jamieson &
Talwalkar 2016, arXiv 1502.07943); on Ray its ASHA decides, without waiting for all of a rung. The same command
continues. Seeds of the search must not be those of a later report.
"""

import math
import sys
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from data.command import parse_command, run_command
from data.errors import InputError, require_at_least
from data.files import write_json
from data.naming import as_command, printable
from data.outputs import require_output_folder
from eval.core.figures import label, save_figure
from eval.core.tables import Best, Block, FormatFlags, fixed, render, tell
from textgan.curves import group_runs, load_run, standings, window_count
from textgan.executors import Ended, Execution, Tell, attempt, run_all, tune_on_ray
from textgan.experiment import Program, preset_in
from textgan.rundir import headline, read_metrics, score_title
from textgan.settings import Settings
from textgan.train import TEXT

_POINTS = 10

Rates = tuple[float, float]
"""Of critic and generator."""


@dataclass(frozen=True)
class SearchCommand(FormatFlags):
    """Flags of `python -m textgan.search`."""

    preset: str
    """Settings that the rates are searched for: as --preset of the training command."""
    data: str
    """What to train on: as --data of the training command. Default: the preset's."""
    critic_lr: tuple[float, float]
    """Smallest and largest rate of the critic. Default: a tenth of the preset's, and ten times it."""
    generator_lr: tuple[float, float]
    """Smallest and largest rate of the generator. Default: a tenth of the preset's, and ten times it."""
    score: str
    """Score to make small, by its name in the metrics."""
    execution: tyro.conf.OmitArgPrefixes[Execution] = field(default_factory=Execution)
    """How runs are executed."""
    method: Literal["grid", "random"] = "grid"
    """Candidates: a grid of both rates, or random pairs; both evenly spread over logarithms."""
    points: int = 4
    """Rates of each player, for a grid."""
    trials: int = 16
    """Pairs of rates, for random ones."""
    iterations: int = 1800
    """Generator iterations of those that come to the last rung."""
    rungs: int = 3
    """Rungs; each gives its survivors more iterations than the one before."""
    keep: int = 3
    """One candidate in so many survives a rung, for as many times the iterations."""
    seeds: tuple[int, ...] = (100, 101)
    """Seeds of each candidate; not to be used again for a report."""
    search_dir: Path = Path("searches/search")
    """Folder of the search's runs and of what came out."""


@dataclass(frozen=True)
class Trial:
    """A candidate on a rung: its rates, how long it trained, each seed's score at the end (None: the run failed)."""

    critic_lr: float
    generator_lr: float
    rung: int
    iterations: int
    scores: Sequence[float | None]

    @property
    def mean(self) -> float:
        """Mean score over seeds; infinity where one failed, which is worse than any score."""
        known = [score for score in self.scores if score is not None]
        return sum(known) / len(known) if len(known) == len(self.scores) else math.inf


def candidates(command: SearchCommand) -> list[Rates]:
    """Return pairs of critic's and generator's rate, to three digits.

    Raises:
        InputError: a range is empty, or a number of candidates not positive.
    """
    for name, (low, high) in (("--critic-lr", command.critic_lr), ("--generator-lr", command.generator_lr)):
        if not 0 < low <= high < math.inf:
            raise InputError(f"{name} {low:g} {high:g}: must be a range of positive rates")
    for name in ("points", "trials", "iterations", "rungs"):
        require_at_least(f"--{name}", getattr(command, name), 1)
    if command.rungs > 64:
        raise InputError(f"--rungs {command.rungs}: must be at most 64")
    if command.keep < 2 or not command.seeds:
        raise InputError("--keep must be at least 2, and --seeds at least one")
    ranges = (command.critic_lr, command.generator_lr)
    if command.method == "grid":
        critic, generator = (np.geomspace(*each, command.points) for each in ranges)
        pairs = [(b, a) for b in critic for a in generator]
    else:
        random = np.random.default_rng(0).random((command.trials, 2))
        lowest, highest = (np.log([each[end] for each in ranges]) for end in (0, 1))
        pairs = [(b, a) for b, a in np.exp(lowest + random * (highest - lowest))]
    return list(dict.fromkeys((float(f"{b:.3g}"), float(f"{a:.3g}")) for b, a in pairs))


def search(program: Program[Any], command: SearchCommand) -> list[Trial]:
    """Run the search and return every trial, rung by rung, the best of a rung first.

    Raises:
        InputError: a flag is impossible, or runs were stopped.
    """
    settings: Settings = replace(program.presets[command.preset], data=command.data)
    run = _on_ray if command.execution.executor == "ray" else _rung_by_rung
    trials = run(program, command, settings, candidates(command))
    return sorted(trials, key=lambda trial: (trial.rung, trial.mean))


def _rung_by_rung(
    program: Program[Any], command: SearchCommand, settings: Settings, left: Sequence[Rates]
) -> list[Trial]:
    """Let all candidates of a rung end, then choose among them."""
    done: list[Trial] = []
    for rung in range(command.rungs):
        configs = [config for pair in left for config in _configs(command, settings, pair, rung)]
        ended = run_all(program, [config for config in configs if not _has_come(config)], command.execution)
        if any(result.state == "stopped" for result in ended):
            raise InputError("stopped; the same command continues")
        failed = _failed(ended)
        trials = [_trial(command, settings, pair, rung, failed) for pair in left]
        trials.sort(key=lambda trial: trial.mean)
        done += trials
        if math.isinf(trials[0].mean):  # all failed, and would again
            break
        survivors = max(1, -(-len(trials) // command.keep))
        left = [(trial.critic_lr, trial.generator_lr) for trial in trials[:survivors]]
    return done


def _on_ray(program: Program[Any], command: SearchCommand, settings: Settings, pairs: Sequence[Rates]) -> list[Trial]:
    """Let Ray's ASHA choose (Li et al. 2020, arXiv 1810.05934): a candidate goes on as soon as it may, none waits.

    A candidate's seeds train one after the other in its worker.
    """
    by_name = {f"{critic_lr:g} {generator_lr:g}": (critic_lr, generator_lr) for critic_lr, generator_lr in pairs}
    # Workers have working folders of their own.
    settings, command = settings.located(), replace(command, search_dir=command.search_dir.resolve())

    def run(name: str, tell: Tell) -> None:
        for rung in range(command.rungs):
            configs = [config for config in _configs(command, settings, by_name[name], rung) if not _has_come(config)]
            failed = _failed([attempt(config, program.train) for config in configs])
            trial = _trial(command, settings, by_name[name], rung, failed)
            # Ray leaves NaN out of its comparisons.
            tell({**asdict(trial), "mean": math.nan if failed else trial.mean})
            if failed:
                return

    told = tune_on_ray(
        list(by_name),
        run,
        command.execution,
        command.search_dir / "ray",
        {
            "time_attr": "iterations", "metric": "mean", "mode": "min", "max_t": command.iterations,
            "grace_period": _iterations(command, 0), "reduction_factor": command.keep,
        },
    )  # fmt: skip
    trials = []
    for name, last in told.items():
        if "rung" not in last:  # its worker was lost too often
            trials.append(Trial(*by_name[name], 0, _iterations(command, 0), [None] * len(command.seeds)))
            continue
        trials += [_trial(command, settings, by_name[name], rung, set()) for rung in range(last["rung"])]
        trials.append(Trial(*by_name[name], last["rung"], last["iterations"], last["scores"]))
    return trials


def _failed(ended: Sequence[Ended]) -> set[Path]:
    """Return the folders of runs that failed, and say why they did."""
    failed = [result for result in ended if result.state == "failed"]
    for result in failed:
        print(printable(f"{result.folder}: {result.message}"), file=sys.stderr)
    return {result.folder for result in failed}


def _iterations(command: SearchCommand, rung: int) -> int:
    divisor: int = command.keep ** (command.rungs - 1 - rung)
    return max(1, command.iterations // divisor)


def _configs(command: SearchCommand, settings: Settings, pair: Rates, rung: int) -> list[Settings]:
    """Return a candidate's runs on a rung, a seed each."""
    return [_config(command, settings, pair, seed, _iterations(command, rung)) for seed in command.seeds]


def _trial(command: SearchCommand, settings: Settings, pair: Rates, rung: int, failed: Container[Path]) -> Trial:
    configs = _configs(command, settings, pair, rung)
    scores = [None if config.folder in failed else _score(config, command.score) for config in configs]
    return Trial(*pair, rung, _iterations(command, rung), scores)


def _config(command: SearchCommand, settings: Settings, pair: Rates, seed: int, iterations: int) -> Settings:
    critic_lr, generator_lr = pair
    return replace(
        settings,
        critic_lr=critic_lr,
        generator_lr=generator_lr,
        seed=seed,
        iterations=iterations,
        minutes=None,
        eval_every=max(1, _iterations(command, 0) // _POINTS),
        run_dir=command.search_dir / f"critic{critic_lr:g}-generator{generator_lr:g}-seed{seed}",
    )


def _has_come(config: Settings) -> bool:
    """Whether the run is so far already, on a later rung of a search that is continued."""
    rows = read_metrics(config.folder)
    return bool(rows) and config.iterations is not None and rows[-1]["iteration"] >= config.iterations


def _score(config: Settings, score: str) -> float:
    """Return a run's mean score over the last tenth of these iterations, whatever came later."""
    run = load_run(config.folder)
    assert config.iterations is not None
    until = run.columns["iteration"] <= config.iterations
    run = replace(run, columns={name: values[until] for name, values in run.columns.items()})
    group = group_runs([run])
    points, _ = window_count(group, "iterations", _POINTS)
    return standings(group, score, "iterations", points, None)[0].end


def recommendation(program: Program[Any], command: SearchCommand, trials: Sequence[Trial]) -> str:
    """Return the best pair of rates, what speaks for it, and what to run next."""
    best = min(trials, key=lambda trial: (-trial.rung, trial.mean))
    if math.isinf(best.mean):
        return "every candidate failed, as said above; search smaller rates only if numbers were not finite"
    rows = [
        f"  {trial.critic_lr:8.3g}  {trial.generator_lr:9.3g}  {trial.iterations:10,}  "
        + ("  failed" if math.isinf(trial.mean) else f"{trial.mean:8.4f}")
        + "  "
        + " ".join("failed" if score is None else f"{score:.4f}" for score in trial.scores)
        for trial in trials
    ]
    lines = [f"    critic  generator  iterations  {command.score:>8}  of each seed", *rows, ""]
    return "\n".join([*lines, *_advice(program, command, trials, best)])


def _advice(program: Program[Any], command: SearchCommand, trials: Sequence[Trial], best: Trial) -> list[str]:
    """Return what speaks for the best pair of rates, and what to run next."""
    edge = [
        name
        for name, value, ends in (
            ("critic's", best.critic_lr, command.critic_lr),
            ("generator's", best.generator_lr, command.generator_lr),
        )
        if ends[0] < ends[1] and not ends[0] * 1.001 < value < ends[1] * 0.999
    ]
    seeds = " ".join(map(str, command.seeds))
    pairs = len({(trial.critic_lr, trial.generator_lr) for trial in trials})
    rates = [f"critic_lr={best.critic_lr:g}", f"generator_lr={best.generator_lr:g}"]
    settings = [f"data={command.data}", *rates, f"iterations={command.iterations}"]
    suite = ["python", "-m", f"{program.package}.suite", "--presets", command.preset, "--seeds", "0", "1", "2"]
    return [
        f"best of {pairs} pairs: critic {best.critic_lr:g}, generator {best.generator_lr:g}",
        f"({command.score} {best.mean:.4f} after {best.iterations:,} iterations, mean of {len(best.scores)} seeds)",
        *(f"the {name} rate is at the edge of what was searched: widen it" for name in edge),
        f"report it on other seeds than {seeds}:",
        f"    {as_command(*suite, '--set', *settings)}",
    ]


def _rendered(program: Program[Any], command: SearchCommand, trials: Sequence[Trial], whole: Any) -> str:
    """Return trials and recommendation in a format; `whole` is what search.json holds."""
    if command.output_format == "text":
        return recommendation(program, command, trials)
    best = min(trials, key=lambda trial: (-trial.rung, trial.mean))
    advice = [] if math.isinf(best.mean) else _advice(program, command, trials, best)
    table: list[list[str | Best]] = [["critic", "generator", "iterations", command.score, "of each seed"]]
    records = []
    for trial in trials:
        mean = "failed" if math.isinf(trial.mean) else fixed(trial.mean)
        scores = ["failed" if score is None else fixed(score) for score in trial.scores]
        rates = [f"{trial.critic_lr:.3g}", f"{trial.generator_lr:.3g}"]
        table.append([*rates, f"{trial.iterations:,}", Best(mean) if trial is best else mean, " ".join(scores)])
        facts = {name: value for name, value in asdict(trial).items() if name != "scores"}
        by_seed = {
            f"{command.score}_seed{seed}": score for seed, score in zip(command.seeds, trial.scores, strict=True)
        }
        records.append({**facts, "mean": None if math.isinf(trial.mean) else trial.mean, **by_seed})
    return render(command.output_format, [Block("", table, [line.strip() for line in advice])], records, whole)


def draw(path: Path, trials: Sequence[Trial], score: str) -> None:
    """Draw candidates over both rates, coloured by their last score; the best is ringed, failed ones are crosses."""
    from matplotlib.figure import Figure

    latest = {(trial.critic_lr, trial.generator_lr): trial for trial in trials}
    known = [trial for trial in latest.values() if not math.isinf(trial.mean)]
    failed = [trial for trial in latest.values() if math.isinf(trial.mean)]
    figure = Figure((5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = [120 * (1 + trial.rung) for trial in known]
    points = axes.scatter(
        [trial.generator_lr for trial in known], [trial.critic_lr for trial in known], sizes,
        [trial.mean for trial in known], cmap="viridis_r",
    )  # fmt: skip
    axes.scatter(
        [trial.generator_lr for trial in failed], [trial.critic_lr for trial in failed], 80, "grey", marker="x"
    )
    if known:
        best = max(known, key=lambda trial: (trial.rung, -trial.mean))
        axes.scatter(best.generator_lr, best.critic_lr, 700, "none", edgecolors="#D55E00", linewidths=2)
    figure.colorbar(points, label=label(f"{score_title(score)} where it ended (larger dots trained longer)"))
    axes.set_xlabel("learning rate of the generator")
    axes.set_ylabel("learning rate of the critic")
    axes.margins(0.2)
    save_figure(figure, path)


def run_search(program: Program[Any], arguments: Sequence[str], description: str | None) -> int:
    """Search by flags, write what came out, recommend, and return the exit status.

    Raises:
        InputError: a flag is wrong, or runs were stopped.
    """
    preset: Settings = preset_in(arguments, program.presets, "ttur-small")
    critic_lr, generator_lr = ((rate / 10, rate * 10) for rate in (preset.critic_lr, preset.generator_lr))
    default = SearchCommand(preset.preset, preset.data, critic_lr, generator_lr, headline(preset.scores)[0])
    command = parse_command(SearchCommand, arguments, f"{program.package}.search", description, default)
    if command.score not in preset.scores:
        raise InputError(f"--score {command.score}: choose from {', '.join(preset.scores)}")
    require_output_folder("--search-dir", command.search_dir, "runs")
    trials = search(program, command)
    settings = {**asdict(command), "search_dir": str(command.search_dir)}
    told = [{**asdict(trial), "mean": None if math.isinf(trial.mean) else trial.mean} for trial in trials]
    whole = {"command": {name: settings[name] for name in settings if name not in ("format", "json")}, "trials": told}
    write_json(command.search_dir / "search.json", whole)
    draw(command.search_dir / "search.png", trials, command.score)
    print(_rendered(program, command, trials, whole))
    wrote = f"wrote {command.search_dir / 'search.json'} and {command.search_dir / 'search.png'}"
    tell(command.output_format, printable(wrote))
    return 1 if all(math.isinf(trial.mean) for trial in trials) else 0


def main(arguments: list[str]) -> int:
    """Search the rates of training on text."""
    return run_search(TEXT, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
