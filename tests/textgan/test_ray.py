"""Runs and counts on Ray: a cluster of this machine's own, and one of two nodes; workers are killed on the way."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from threading import Event, Thread
from typing import Any

import pytest

from data.errors import InputError
from eval.core.cluster import reduce_on_ray
from eval.ngrams import main as ngrams
from eval.text import part_counts
from tests.helpers.runs import assert_same_run
from tests.helpers.text import folder_of_parts
from textgan.engine.run_folder import read_metrics
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.executors import run_all
from textgan.runs.halving import SearchOptions, search
from textgan.runs.options import ExecutorOptions
from textgan.train import TEXT, train

ray = pytest.importorskip("ray")


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


@pytest.fixture(scope="module", autouse=True)
def _quiet_ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Room to spare on a loaded machine, where Ray gives its parts half a minute or a minute to start and to answer.
        for name in ("gcs_server_request_timeout_seconds", "worker_register_timeout_seconds",
                     "gcs_rpc_server_connect_timeout_s", "gcs_rpc_server_reconnect_timeout_s"):  # fmt: skip
            patch.setenv(f"RAY_{name}", "600")
        for name in ("health_check_timeout_ms", "health_check_initial_delay_ms"):
            patch.setenv(f"RAY_{name}", "600000")
        yield


@pytest.fixture(scope="module")
def two_nodes(_quiet_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of two nodes on this machine; the second has a GPU, which Ray only counts."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGAN_CACHE", str(tmp_path_factory.mktemp("cache-of-workers")))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=2, num_gpus=1)
    yield cluster.address
    cluster.shutdown()


def test_counts_over_two_nodes_equal_those_of_the_whole_although_a_worker_is_killed(
    two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, nodes = folder_of_parts(tmp_path / "corpus"), tmp_path / "nodes"
    nodes.mkdir()
    on_ray = [str(folder), "--ngram", "4", "--seq-len", "10", "--executor", "ray", "--address", two_nodes]
    tries = tmp_path / "tries"

    def on_both_nodes(items: Sequence[str], count: Callable[[str], Any], join: Callable[[Any, Any], Any]) -> Any:
        def count_once_more(file: str) -> Any:
            (nodes / ray.get_runtime_context().get_node_id()).touch()
            while len(list(nodes.iterdir())) < 2:  # the first node has one core, so another task is on the second
                os.sched_yield()
            if file.endswith("corpus/b.txt"):
                with tries.open("a") as log:
                    log.write("x")
                if tries.read_text() == "x":
                    os.kill(os.getpid(), signal.SIGKILL)
            return count(file)

        return reduce_on_ray(items, count_once_more, join)

    with monkeypatch.context() as patch:
        patch.setattr(part_counts, "reduce_on_ray", on_both_nodes)
        assert ngrams(["build", *on_ray, "--output", str(tmp_path / "parts.ngrams")]) == 0
    assert tries.read_text() == "xx"
    assert len(list(nodes.iterdir())) == 2
    assert ngrams(["build", *on_ray[:5], "--output", str(tmp_path / "whole.ngrams")]) == 0
    parts, whole = (
        json.loads((tmp_path / f"{name}.ngrams" / "ngrams.json").read_text("utf-8")) for name in ("parts", "whole")
    )
    assert len(whole["sha256"]) == 8
    for name in ("sha256", "name", "lines", "characters", "vocabulary_limit", "ngrams"):
        assert parts[name] == whole[name]
    (folder / "c.txt").write_bytes(b"a line\nnot \xff\n")
    with pytest.raises(InputError, match=r"^\S*c\.txt:2: not UTF-8 \(byte 0xff\)"):
        ngrams(["build", *on_ray, "--output", str(tmp_path / "none.ngrams")])


def test_runs_on_a_cluster_share_a_gpu_and_equal_local_runs(
    two_nodes: str, tiny: WganGpSettings, tmp_path: Path
) -> None:
    def open_and_record(config: Any) -> Any:
        context = ray.get_runtime_context()
        found = [context.get_node_id(), context.get_assigned_resources(), ray.get_gpu_ids()]
        (tmp_path / f"{config.seed}.json").write_text(json.dumps(found), "utf-8")
        return TEXT.open(config)

    runs = [replace(tiny, seed=seed, run_dir=tmp_path / f"ray{seed}") for seed in (0, 1)]
    half = ExecutorOptions("ray", workers=2, address=two_nodes, gpus=0.5)
    ended = run_all(replace(TEXT, open=open_and_record), runs, half)
    assert [(each.state, each.message) for each in ended] == [("finished", ""), ("finished", "")]
    first, second = (json.loads((tmp_path / f"{seed}.json").read_text("utf-8")) for seed in (0, 1))
    assert first == second  # both on the one GPU of the one node that has any
    assert first[1] == {"CPU": 1.0, "GPU": 0.5}
    for config in runs:
        alone = replace(config, run_dir=tmp_path / f"alone{config.seed}")
        train(alone)
        assert_same_run(config.folder, alone.folder)


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
        execution=ExecutorOptions("ray", workers=2), grid_size=5, iterations=40, rungs=3,
        seeds=(5, 6), reduction_factor=2, search_dir=tmp_path / "search",
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
