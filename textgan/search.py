"""Search the two learning rates by successive halving.

    python -m textgan.search --data corpus.txt.gz --search-dir searches/rates
    python -m textgan.search --method random --trials 20 --critic-lr 1e-4 1e-1 --iterations 4000 --rungs 4

All candidates train for a few iterations; the best third continues to three times that number, and so on (Jamieson &
Talwalkar 2016, arXiv 1502.07943). On Ray, ASHA promotes candidates without waiting for the rest of the rung. The same
command resumes a search. Report the chosen rates on new seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from data.command import parse_command, run_command
from data.errors import InputError
from data.files import write_json
from data.naming import as_command, printable
from data.outputs import require_output_folder
from eval.core.tables import Best, Block, fixed, render, tell
from textgan.engine.experiment import TrainingProgram, preset_in
from textgan.engine.run_folder import headline
from textgan.engine.settings import Settings
from textgan.runs.halving import SearchOptions, Trial, search
from textgan.runs.plots import plot_rates
from textgan.train import TEXT


def recommendation(program: TrainingProgram[Any], command: SearchOptions, trials: Sequence[Trial]) -> str:
    """Return the table of trials, the best pair of rates, and the suite to run next."""
    best = min(trials, key=lambda trial: (-trial.rung, trial.mean))
    if math.isinf(best.mean):
        return "every candidate failed (see above); if losses were not finite, search smaller rates"
    rows = [
        f"  {trial.critic_lr:8.3g}  {trial.generator_lr:9.3g}  {trial.iterations:10,}  "
        + ("  failed" if math.isinf(trial.mean) else f"{trial.mean:8.4f}")
        + "  "
        + " ".join("failed" if score is None else f"{score:.4f}" for score in trial.scores)
        for trial in trials
    ]
    lines = [f"    critic  generator  iterations  {command.score:>8}  per seed", *rows, ""]
    return "\n".join([*lines, *_advice(program, command, trials, best)])


def _advice(program: TrainingProgram[Any], command: SearchOptions, trials: Sequence[Trial], best: Trial) -> list[str]:
    """Return the best pair of rates, its score, and the suite to run next."""
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
        *(f"the {name} rate is at the edge of the searched range: widen it" for name in edge),
        f"report it on seeds other than {seeds}:",
        f"    {as_command(*suite, '--set', *settings)}",
    ]


def _rendered(program: TrainingProgram[Any], command: SearchOptions, trials: Sequence[Trial], whole: Any) -> str:
    """Return trials and recommendation in the chosen format; `whole` is the content of search.json."""
    if command.output_format == "text":
        return recommendation(program, command, trials)
    best = min(trials, key=lambda trial: (-trial.rung, trial.mean))
    advice = [] if math.isinf(best.mean) else _advice(program, command, trials, best)
    table: list[list[str | Best]] = [["critic", "generator", "iterations", command.score, "per seed"]]
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


def run_search(program: TrainingProgram[Any], arguments: Sequence[str], description: str | None) -> int:
    """Run the search, write `search.json` and `search.png`, print a recommendation, and return the exit status.

    Raises:
        InputError: a flag is wrong, or runs were stopped.
    """
    preset: Settings = preset_in(arguments, program.presets, "ttur-small")
    critic_lr, generator_lr = ((rate / 10, rate * 10) for rate in (preset.critic_lr, preset.generator_lr))
    default = SearchOptions(preset.preset, preset.data, critic_lr, generator_lr, headline(preset.scores)[0])
    command = parse_command(SearchOptions, arguments, f"{program.package}.search", description, default)
    if command.score not in preset.scores:
        raise InputError(f"--score {command.score}: choose from {', '.join(preset.scores)}")
    require_output_folder("--search-dir", command.search_dir, "runs")
    trials = search(program, command)
    settings = {**asdict(command), "search_dir": str(command.search_dir)}
    records = [{**asdict(trial), "mean": None if math.isinf(trial.mean) else trial.mean} for trial in trials]
    whole = {
        "command": {name: settings[name] for name in settings if name not in ("format", "json")},
        "trials": records,
    }
    write_json(command.search_dir / "search.json", whole)
    plot_rates(command.search_dir / "search.png", trials, command.score)
    print(_rendered(program, command, trials, whole))
    wrote = f"wrote {command.search_dir / 'search.json'} and {command.search_dir / 'search.png'}"
    tell(command.output_format, printable(wrote))
    return 1 if all(math.isinf(trial.mean) for trial in trials) else 0


def main(arguments: list[str]) -> int:
    """Search the rates of training on text."""
    return run_search(TEXT, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
