"""Runs on Ray: a cluster of this machine's own, two workers, one of them killed."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from threading import Event, Thread

import pytest

from tests.helpers.runs import assert_same_run
from textgan.engine.run_folder import read_metrics
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.executors import run_all
from textgan.runs.halving import SearchOptions, search
from textgan.runs.options import ExecutorOptions
from textgan.train import TEXT, train

pytest.importorskip("ray")


def workers_in(folder: Path) -> list[int]:
    """The processes that have a run's folder, or a file right in it, open: the one that trains there."""
    found, folder = [], folder.resolve()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(folder in ((file := fd.resolve()), file.parent) for fd in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return found


pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # warnings of Ray's own making


@pytest.fixture(autouse=True)
def quiet_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Room to spare on a loaded machine, where Ray gives its parts half a minute or a minute to start and to answer.
    for name in ("gcs_server_request_timeout_seconds", "worker_register_timeout_seconds",
                 "gcs_rpc_server_connect_timeout_s", "gcs_rpc_server_reconnect_timeout_s"):  # fmt: skip
        monkeypatch.setenv(f"RAY_{name}", "600")
    for name in ("health_check_timeout_ms", "health_check_initial_delay_ms"):
        monkeypatch.setenv(f"RAY_{name}", "600000")


def test_a_killed_worker_is_replaced_and_the_rows_are_those_of_an_undisturbed_run(
    tiny: WganGpSettings,
    tmp_path: Path,
) -> None:
    runs = [
        replace(tiny, seed=seed, iterations=400, eval_every=20, checkpoint_every=50, run_dir=tmp_path / f"ray{seed}")
        for seed in (0, 1)
    ]
    victim = runs[0].folder
    killed: list[int] = []
    over = Event()

    def kill_one() -> None:
        while not (victim / "checkpoints" / "000000100").exists() and not over.is_set():
            os.sched_yield()
        for process in workers_in(victim):
            if process != os.getpid():
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    killer = Thread(target=kill_one, daemon=True)
    killer.start()
    try:
        ended = run_all(TEXT, runs, ExecutorOptions("ray", workers=2, retries=3))
    finally:
        over.set()
        killer.join()
    assert len(killed) == 1
    assert [(each.state, each.message) for each in ended] == [("finished", ""), ("finished", "")]
    for config in runs:
        undisturbed = replace(config, run_dir=tmp_path / f"alone{config.seed}")
        train(undisturbed)
        assert_same_run(config.folder, undisturbed.folder)
    assert [each.state for each in run_all(TEXT, runs, ExecutorOptions("ray"))] == ["skipped", "skipped"]


def test_a_search_lets_rays_scheduler_choose(text_file: Path, tmp_path: Path) -> None:
    command = SearchOptions(
        "ttur-small", str(text_file), critic_lr=(1e-3, 1e5), generator_lr=(1e-3, 1e-3), score="jsd_4",
        execution=ExecutorOptions("ray", workers=2), grid_size=5, iterations=40, rungs=3, seeds=(5, 6),
        reduction_factor=2, search_dir=tmp_path / "search",
    )  # fmt: skip
    trials = search(TEXT, command, 1)
    assert [trial.iterations for trial in trials if trial.rung == 0] == [10] * 5
    assert {trial.iterations for trial in trials if trial.rung == 2} == {40}
    for trial in trials:
        for seed, score in zip(command.seeds, trial.scores, strict=True):
            folder = command.search_dir / f"critic{trial.critic_lr:g}-generator{trial.generator_lr:g}-seed{seed}"
            rows = [row for row in read_metrics(folder) if row["iteration"] <= trial.iterations]
            # Scored by the last tenth of the rung's iterations, whatever came later; with a wild rate a run fails.
            ended = rows[-1]["iteration"] == trial.iterations
            last = [row["scores/jsd_4"] for row in rows if row["iteration"] > 0.9 * trial.iterations]
            assert score == (pytest.approx(fmean(last)) if ended else None)
    # Whoever is best of a rung goes on, whenever it came there.
    for rung in (0, 1):
        best = next(trial for trial in trials if trial.rung == rung)
        assert any(trial.rung == rung + 1 and trial.critic_lr == best.critic_lr for trial in trials)
    furthest = {trial.critic_lr: trial.rung for trial in trials}
    assert min(furthest.values()) < 2  # somebody was stopped
