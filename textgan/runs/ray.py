"""Runs on Ray Tune: placed on the machines of a cluster, restarted if their worker is lost."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from textgan.runs.options import ExecutorOptions

ReportFn = Callable[[Mapping[str, Any]], None]


def tune_on_ray(
    names: Sequence[str],
    run: Callable[[str, ReportFn], None],
    execution: ExecutorOptions,
    storage: Path,
    halving: Mapping[str, Any] | None = None,
) -> dict[str, Mapping[str, Any]]:
    """Let Ray Tune call `run(name, tell)` for every name, again where its worker was lost; return what each told last.

    Args:
        names: of what is to be run.
        run: is given a name, and a function that takes what is to be told.
        execution: how many at a time, and where.
        storage: folder for Ray's own records.
        halving: arguments of Ray's ASHA scheduler, which stops what falls behind; without it all run to their end.

    Raises:
        InputError: Ray is not installed.
    """
    try:
        import ray
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler
    except ImportError as error:
        raise InputError("--executor ray: Ray is not installed; pip install 'textgan[ray]'") from error
    ray.init(address=execution.address, num_cpus=None if execution.address else execution.workers)
    try:
        results = tune.Tuner(
            tune.with_resources(lambda trial: run(trial["name"], tune.report), {"cpu": 1, "gpu": execution.gpus}),
            param_space={"name": tune.grid_search(list(names))},
            tune_config=tune.TuneConfig(
                max_concurrent_trials=execution.workers, scheduler=None if halving is None else ASHAScheduler(**halving)
            ),
            run_config=tune.RunConfig(
                storage_path=str(storage), failure_config=tune.FailureConfig(max_failures=execution.retries)
            ),
        ).fit()
    finally:
        ray.shutdown()
    told: dict[str, Mapping[str, Any]] = {}
    for number in range(len(results)):
        result = results[number]
        lost = None if result.error is None else str(result.error).strip().rpartition("\n")[2]
        told[(result.config or {})["name"]] = (
            (result.metrics or {}) if lost is None else {"state": "failed", "message": lost}
        )
    return told
