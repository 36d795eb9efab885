"""Execute many runs sequentially in this process, in parallel processes, or on Ray; interrupted runs resume."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from data.errors import InputError
from data.signals import STOP_SIGNALS
from textgan.engine.progress import Budget, Clock
from textgan.engine.run_folder import SUMMARY, Row, read_metrics, read_options
from textgan.engine.settings import Settings, as_flags
from textgan.engine.trainer import NonFiniteError
from textgan.runs.options import ExecutorOptions
from textgan.runs.program import TrainingProgram
from textgan.runs.ray import ReportFn, tune_on_ray

_POLL_SECONDS = 2.0


@dataclass(frozen=True)
class RunResult:
    """The state in which a run ended; `message` is the reason if it did not finish."""

    folder: Path
    state: Literal["finished", "skipped", "stopped", "failed"]
    message: str = ""


def is_finished(config: Settings) -> bool:
    """Whether the run's folder holds the summary of a run with exactly these settings."""
    if not (config.folder / SUMMARY).exists():
        return False
    recorded, wanted = read_options(config.folder)["config"], json.loads(json.dumps(config.as_json()))
    if recorded["start"] is not None:  # relative in runs of earlier versions
        recorded = {**recorded, "start": str(Path(recorded["start"]).resolve())}
    return bool({**recorded, "run_dir": None} == {**wanted, "run_dir": None})


def run_all(program: TrainingProgram[Any], configs: Sequence[Settings], execution: ExecutorOptions) -> list[RunResult]:
    """Execute runs; skip finished ones and continue interrupted ones.

    Raises:
        InputError: the executor cannot be used.
    """
    ended = {config.folder: RunResult(config.folder, "skipped") for config in configs if is_finished(config)}
    left = [config for config in configs if config.folder not in ended]
    execute = {"inline": _inline, "processes": _in_processes, "ray": _on_ray}[execution.executor]
    ended |= {result.folder: result for result in execute(program, left, execution)} if left else {}
    return [ended[config.folder] for config in configs]


def _inline(program: TrainingProgram[Any], configs: Sequence[Settings], _execution: ExecutorOptions) -> list[RunResult]:
    results = []
    for number, config in enumerate(configs, start=1):
        print(f"{config.folder} ({number} of {len(configs)})", file=sys.stderr)
        results.append(run_one(config, program.train))
        if results[-1].state == "stopped":
            break
    stopped = [RunResult(config.folder, "stopped", "not begun") for config in configs[len(results) :]]
    return results + stopped


def run_one(config: Settings, run: Callable[[Any], Any]) -> RunResult:
    """Execute `run(config)` and return the run's result; an error makes the state "failed"."""
    try:
        outcome = run(config)
    except (InputError, NonFiniteError) as error:
        return RunResult(config.folder, "failed", str(error))
    except Exception as error:  # one run's failure must not end the others
        return RunResult(config.folder, "failed", f"{type(error).__name__}: {error}")
    if outcome.summary is None:
        return RunResult(config.folder, "stopped", "by a signal")
    return RunResult(config.folder, "finished")


def python_command() -> list[str]:
    """Return the words that start Python for a child process, which imports from the same folders as this process.

    The console command does not import from the working folder.
    """
    return [sys.executable] if sys.path[:1] == [str(Path.cwd())] else [sys.executable, "-P"]


def _in_processes(
    program: TrainingProgram[Any], configs: Sequence[Settings], execution: ExecutorOptions
) -> list[RunResult]:
    running: dict[Path, subprocess.Popen[bytes]] = {}
    threads = max(1, (os.cpu_count() or 1) // execution.workers)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}

    def run(config: Settings) -> RunResult:
        log = config.folder.with_name(f"{config.folder.name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [*python_command(), "-m", program.module, *as_flags(config, program.presets)]
        for _ in range(execution.retries + 1):
            with log.open("ab") as output:
                process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
            running[config.folder] = process
            status = process.wait()
            if status == 0:
                return RunResult(config.folder, "finished")
            if status - 128 in STOP_SIGNALS or -status in STOP_SIGNALS:
                return RunResult(config.folder, "stopped", "by a signal")
            if status > 0:  # an error of the run itself, which would repeat
                break
        last_line = log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
        return RunResult(config.folder, "failed", last_line if status > 0 else f"killed by signal {-status}")

    pool = ThreadPoolExecutor(execution.workers)
    try:
        futures = [pool.submit(run, config) for config in configs]
        _show_until_done(configs, futures)
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running.values():
            process.terminate()  # SIGTERM: the run saves a checkpoint first
        for process in running.values():
            process.wait()


def _show_until_done(configs: Sequence[Settings], futures: Sequence[Future[RunResult]]) -> None:
    with tqdm(total=len(configs), unit="run", disable=None, bar_format="{l_bar}{bar}|{n:.2f}/{total}{postfix}") as bar:
        pending = set(futures)
        while pending:
            _, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
            if not bar.disable:
                shares = [
                    share_done(read_metrics(each.folder), Budget(each.iterations, each.minutes)) for each in configs
                ]
                bar.n = sum(shares)
                bar.set_postfix_str(f"{sum(share >= 1 for share in shares)} finished, {len(pending)} to go")


def share_done(rows: Sequence[Row], budget: Budget) -> float:
    """Return the used fraction of a run's budget at the last of its rows; 0 if there are none."""
    if not rows:
        return 0.0
    clock = Clock(rows[-1]["time/wall_seconds"], rows[-1]["time/train_seconds"])
    return min(1.0, budget.used(rows[-1]["iteration"], clock))


def _on_ray(program: TrainingProgram[Any], configs: Sequence[Settings], execution: ExecutorOptions) -> list[RunResult]:
    """Execute the runs on Ray Tune, which places them, streams their scores, and restarts a run if its worker is lost.

    The runs' folders must be on a file system that all workers share.
    """
    # Workers have different working folders.
    by_folder = {str(config.folder.resolve()): config for config in configs}
    absolute = {name: config.with_absolute_paths() for name, config in by_folder.items()}

    def run(folder: str, report: ReportFn) -> None:
        result = run_one(
            absolute[folder],
            lambda config: program.train(config, lambda iteration, scores: report({"iteration": iteration, **scores})),
        )
        report({"state": result.state, "message": result.message})

    reported = tune_on_ray(list(by_folder), run, execution, configs[0].folder.resolve().parent / "ray")
    return [RunResult(by_folder[name].folder, last["state"], last["message"]) for name, last in reported.items()]
