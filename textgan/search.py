"""Search the two learning rates by successive halving.

    python -m textgan.search --data corpus.txt.gz --search-dir searches/rates
    python -m textgan.search --method random --trials 20 --critic-lr 1e-4 1e-1 --iterations 4000 --rungs 4

All pairs of rates train for a few iterations; the best third continues to three times that number, and so on. The same
command resumes a search. Report results of the best pair on seeds other than the search's.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from data.command import parse_command, run_command
from data.errors import InputError
from data.files import write_json
from data.naming import as_command, printable
from data.outputs import require_output_folder
from eval.core.tables import Best, Block, fixed, render, tell
from textgan.engine.run_folder import headline
from textgan.runs.halving import SearchOptions, Trial, search
from textgan.runs.plots import plot_rates
from textgan.runs.program import TrainingProgram, preset_in, require_critic
from textgan.train import TEXT


def rendered(program: TrainingProgram[Any], command: SearchOptions, trials: Sequence[Trial], whole: Any = None) -> str:
    """Return trials, sorted from best to worst in each rung, and advice in the chosen format.

    `whole` is the content of search.json.
    """
    best = max(trials, key=lambda trial: trial.rung)  # the first of the last rung
    table: list[list[str | Best]] = [["critic", "generator", "iterations", str(command.score), "per seed"]]
    records = []
    for trial in trials:
        scores = [trial.mean, *trial.scores]
        mean, *by_seed = ("failed" if score is None else fixed(score) for score in scores)
        rates = [f"{trial.critic_lr:.3g}", f"{trial.generator_lr:.3g}"]
        table.append(
            [
                *rates,
                f"{trial.iterations:,}",
                Best(mean) if trial is best and scores[0] is not None else mean,
                " ".join(by_seed),
            ]
        )
        facts = {name: value for name, value in asdict(trial).items() if name != "scores"}
        names = ["mean", *(f"{command.score}_seed{seed}" for seed in command.seeds)]
        records.append({**facts, **dict(zip(names, scores, strict=True))})
    return render(command.output_format, [Block("", table, _advice(program, command, trials, best))], records, whole)


def _advice(program: TrainingProgram[Any], command: SearchOptions, trials: Sequence[Trial], best: Trial) -> list[str]:
    """Return the best pair of rates, its score, and the suite to run next."""
    if best.mean is None:
        return ["every candidate failed (see above); if losses were not finite, search smaller rates"]
    edge = [
        name
        for name, value, (low, high) in (
            ("critic's", best.critic_lr, command.critic_lr),
            ("generator's", best.generator_lr, command.generator_lr),
        )
        if low < high and not low * 1.001 < value < high * 0.999
    ]
    pairs = len({(trial.critic_lr, trial.generator_lr) for trial in trials})
    rates = [f"critic_lr={best.critic_lr:g}", f"generator_lr={best.generator_lr:g}"]
    preset = require_critic(program.presets[command.preset])
    iterations = f"iterations={preset.iterations_before + command.iterations}"
    schedules = ("critic_schedule", "generator_schedule")
    constant = [f"{name}=constant" for name in schedules if getattr(preset, name) != "constant"]
    settings = [f"data={command.data}", *rates, *constant, iterations]
    suite = ["python", "-m", f"{program.package}.suite", "--presets", command.preset, "--seeds", "0", "1", "2"]
    return [
        f"best of {pairs} pairs: critic {best.critic_lr:g}, generator {best.generator_lr:g}",
        f"({command.score} {best.mean:.4f} after {best.iterations:,} iterations, mean of {len(best.scores)} seeds)",
        *(f"the {name} rate is at the edge of the searched range: widen it" for name in edge),
        f"report it on seeds other than {' '.join(map(str, command.seeds))}:",
        as_command(*suite, "--set", *settings),
    ]


def run_search(program: TrainingProgram[Any], arguments: Sequence[str], description: str | None) -> int:
    """Run the search, write `search.json` and `search.png`, print trials and advice, and return the exit status.

    Raises:
        InputError: a flag is wrong, or runs were stopped.
    """
    preset = require_critic(preset_in(arguments, program.presets, "ttur-small"))
    critic_lr, generator_lr = ((rate / 10, rate * 10) for rate in (preset.critic_lr, preset.generator_lr))
    default = SearchOptions(preset.preset, preset.data, critic_lr, generator_lr)
    command = parse_command(SearchOptions, arguments, f"{program.package}.search", description, default)
    require_output_folder("--search-dir", command.search_dir, "runs")
    scores = program.open(replace(preset, data=command.data)).scores
    score = command.score or headline(scores)[0]
    if score not in scores:
        raise InputError(f"--score {score}: choose from {', '.join(scores)}")
    command, declared = replace(command, score=score), scores[score]
    trials = search(program, command, declared.sign)
    settings = {name: value for name, value in asdict(command).items() if name not in ("format", "json")}
    records = [{**asdict(trial), "mean": trial.mean} for trial in trials]
    whole = {"command": {**settings, "search_dir": str(command.search_dir)}, "trials": records}
    write_json(command.search_dir / "search.json", whole)
    plot_rates(command.search_dir / "search.png", trials, score, declared.better)
    print(rendered(program, command, trials, whole))
    wrote = f"wrote {command.search_dir / 'search.json'} and {command.search_dir / 'search.png'}"
    tell(command.output_format, printable(wrote))
    return 1 if all(trial.mean is None for trial in trials) else 0


def main(arguments: list[str]) -> int:
    """Search the rates of training on text."""
    return run_search(TEXT, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
