"""Execute runs on Ray Tune, on the machines of a cluster; lost workers are restarted."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from eval.core.cluster import NOT_INSTALLED, ray_cluster
from textgan.runs.options import ExecutorOptions

ReportFn = Callable[[Mapping[str, Any]], None]


def tune_on_ray(
    names: Sequence[str],
    run: Callable[[str, ReportFn], None],
    execution: ExecutorOptions,
    storage: Path,
    halving: Mapping[str, Any] | None = None,
) -> dict[str, Mapping[str, Any]]:
    """Run `run(name, report)` for each name on Ray Tune, restarting lost workers; return each name's last report.

    Args:
        names: names of the runs.
        run: called with a name and a function that takes a report.
        execution: number of parallel runs, and the cluster.
        storage: folder for Ray's own records.
        halving: arguments of Ray's ASHA scheduler, which stops runs that fall behind. Default: no run is stopped.

    Raises:
        InputError: Ray is not installed, or no cluster answers at the address.
    """
    try:
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler
    except ImportError as error:
        raise InputError(NOT_INSTALLED) from error
    with ray_cluster(execution.address, execution.workers):
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
    reported: dict[str, Mapping[str, Any]] = {}
    for number in range(len(results)):
        result = results[number]
        failure = None if result.error is None else str(result.error).strip().rpartition("\n")[2]
        reported[(result.config or {})["name"]] = (
            (result.metrics or {}) if failure is None else {"state": "failed", "message": failure}
        )
    return reported
