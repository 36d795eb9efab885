"""The report of a GPU, assembled on a CPU: errors against float64, the benches' commands, parts that fail."""

import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from data.errors import InputError
from eval.images.bench import Timing
from images.train import IMAGES
from textgan import bench
from textgan.engine.game import Networks
from textgan.engine.players import Player
from textgan.models.common import initialise
from textgan.models.wgan_gp import WganGpSettings, networks
from textgan.runs import exactness, gpu_report
from textgan.runs.exactness import Draw, StepErrors, step_errors
from textgan.runs.gpu_report import Part, bench_parts, records_of, run_parts, write_report
from textgan.train import TEXT

CPU = torch.device("cpu")
SMALL = WganGpSettings(dim=6, batch_size=4, seq_len=8, latent_dim=5, seed=3)


def errors(config: WganGpSettings, precision: Any = "float32") -> StepErrors:
    random = torch.Generator().manual_seed(1)
    players = networks(config, 9)
    for network in (players.generator, players.require_critic()):
        initialise(network, random)
    real = torch.eye(9)[torch.randint(9, (4, 8), generator=random)]
    draw = Draw(real, torch.randn(4, 5, generator=random), torch.rand(4, generator=random))
    (found,) = step_errors(config, players, draw, CPU, [precision])
    return found


def test_errors_of_a_step_are_rounding_and_larger_in_bfloat16() -> None:
    exact, short = errors(SMALL), errors(SMALL, "bf16")
    for name in ("losses", "gradient_median", "gradient_most"):
        assert 0 < getattr(exact, name) < 1e-4
        assert 1e-4 < getattr(short, name) < 1
    assert exact.gradient_median < exact.gradient_most
    assert 0 < exact.update < 1e-3


def test_a_wrong_network_and_a_wrong_update_have_their_relative_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    moved, apply = exactness._moved, Player.apply

    def scaled(networks: Networks, device: torch.device, dtype: torch.dtype) -> Networks:
        """Return networks with a critic of scores, and so losses, larger by one per mille in float32."""
        copies = moved(networks, device, dtype)
        if dtype == torch.float32:
            with torch.no_grad():
                copies.require_critic().get_parameter("to_score.weight").mul_(1.001)
        return copies

    with monkeypatch.context() as patch:
        patch.setattr(exactness, "_moved", scaled)
        found = errors(replace(SMALL, penalty_weight=0.0))
    # Without a penalty, losses and gradients are linear in the last layer; its own gradient stays.
    assert found.losses == pytest.approx(1e-3, rel=0.01)
    assert found.gradient_median == pytest.approx(1e-3, rel=0.01)
    assert found.update < 1e-4

    def larger(player: Player, gradients: Sequence[torch.Tensor], rate: float) -> None:
        apply(player, gradients, rate * 1.01 if gradients[0].dtype == torch.float32 else rate)

    monkeypatch.setattr(Player, "apply", larger)
    assert errors(SMALL).update == pytest.approx(0.01, rel=0.02)


def test_the_part_on_errors_has_the_values_of_the_function() -> None:
    part = bench.errors_part(SMALL, CPU, ["float32"])
    (record,) = part.measure(60)
    random = torch.Generator().manual_seed(3)
    players = networks(SMALL, 96)
    for network in (players.generator, players.require_critic()):
        initialise(network, random)
    ids = torch.randint(96, (4, 8), generator=random)
    draw = Draw(torch.eye(96)[ids], torch.randn(4, 5, generator=random), torch.rand(4, generator=random))
    assert [record] == [asdict(each) for each in step_errors(SMALL, players, draw, CPU, ["float32"])]
    ((name, shown),) = part.shown([record]).items()
    assert name == "relative errors, float32"
    assert shown.startswith(f"losses {record['losses']:.1e}, gradients {record['gradient_median']:.1e} (median), ")


def test_the_commands_of_the_benches_measure_what_the_report_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[Any, ...]] = []

    def in_this_process(words: Sequence[str], seconds: float) -> Any:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert import_module(words[0]).main(list(words[1:])) == 0
        return json.loads(printed.getvalue())

    def beside_peers(_program: Any, configs: Sequence[WganGpSettings], _peer: Any, output_format: str) -> str:
        measured.extend((each.dim, each.batch_size, each.training_precision, each.critic_steps) for each in configs)
        record = {
            "milliseconds": 8,
            "peer_milliseconds": 20,
            "ratio": 2.5,
            "low": 2.25,
            "high": 2.75,
            "flops_per_second": 7e13,
        }
        return json.dumps([{**record, "product_peak": 3.5e14}])

    def parts_of(_experiment: Any, config: Any, output_format: str) -> str:
        measured.append((config.preset, config.model, config.dim, config.device, config.eval_samples))
        facts = {"steps_per_second": 100.0, "peak_memory": 2_000_000}
        return json.dumps([{"part": part, "milliseconds": 9.5, **facts} for part in ("drawing", "training step")])

    def beside_one(_program: Any, config: Any, counts: Sequence[int], *_: Any) -> str:
        measured.append((config.dim, config.training_precision, counts))
        return json.dumps([{"replicas": count, "gain": count / 2, "low": 1.5, "high": 6.25} for count in counts])

    def measure(source: str, count: int, flags: Any, device: torch.device, eager_only: bool) -> list[Timing]:
        measured.append((source, count, flags.batch_size, flags.weights, device.type, eager_only))
        ways = [("float32", False, 500.0, 2.0)] + ([] if eager_only else [("bf16", True, 1500.0, 2.001)])
        return [Timing(precision, compiled, rate, fid, 0.0) for precision, compiled, rate, fid in ways]  # type: ignore[arg-type]

    unopened: Any = lambda _config: None  # noqa: E731
    monkeypatch.setattr(gpu_report, "records_of", in_this_process)
    monkeypatch.setattr(bench, "beside_peers", beside_peers)
    monkeypatch.setattr(bench, "parts_of", parts_of)
    monkeypatch.setattr(bench, "beside_one", beside_one)
    monkeypatch.setattr("eval.images.bench.measure", measure)
    monkeypatch.setattr(bench, "TEXT", replace(TEXT, open=unopened))
    monkeypatch.setattr("images.bench.IMAGES", replace(IMAGES, open=unopened))
    outcomes = run_parts(bench_parts("cpu", tmp_path / "w", dim=16, images=600))
    assert [each.message for each in outcomes] == [""] * 9
    assert measured == [
        *((16, 64, precision, 1) for precision in ("float32", "tf32", "bf16")),
        ("ttur", "wgan-gp", 16, "cpu", 640),
        (16, "tf32", (4, 10)),
        ("dcgan-celeba-ttur", "dcgan", 64, "cpu", 5000),
        ("wgan-gp-lsun-ttur", "wgan-gp", 64, "cpu", 5000),
        *(("shapes", 600, 256, tmp_path / "w", "cpu", eager_only) for eager_only in (True, False)),
    ]
    figures = [each.figures for each in outcomes]
    assert figures[0] == {
        "steps/s": "125.0", "steps/s of the peer": "50.0", "times the peer": "2.50 (2.25 .. 2.75)",
        "of the product peak": "20% of 350 TFLOP/s",
    }  # fmt: skip
    times = {"drawing, ms": "9.50", "training step, ms": "9.50"}
    assert figures[3] == {"steps/s": "100.0", **times, "peak memory, MB": "2"}
    assert figures[4] == {
        "gain of 4 replicas": "2.00 (1.50 .. 6.25)", "gain of 10 replicas": "5.00 (1.50 .. 6.25)"
    }  # fmt: skip
    assert figures[8] == {
        "float32, eager": "500 images/s, FID +0.0e+00", "bf16, compiled": "1,500 images/s, FID +5.0e-04"
    }  # fmt: skip


def test_a_process_has_its_time_and_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text('[{"a": 1.5}]')
    (tmp_path / "bad.json").write_text("no JSON")
    os.mkfifo(tmp_path / "silent")  # nothing is ever written to it
    assert records_of(["json.tool", str(tmp_path / "good.json")], 600) == [{"a": 1.5}]
    with pytest.raises(InputError, match=r"^Expecting value: line 1 column 1"):
        records_of(["json.tool", str(tmp_path / "bad.json")], 600)
    with pytest.raises(InputError, match=r"^not finished after 0 s$"):
        records_of(["json.tool", str(tmp_path / "silent")], 0.2)


def test_parts_that_fail_or_come_too_late_do_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, given = [100.0], list[float]()
    monkeypatch.setattr(gpu_report, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def taking(seconds: float, error: Exception | None = None) -> Callable[[float], Any]:
        def measure(limit: float) -> Any:
            given.append(limit)
            clock[0] += seconds
            if error is not None:
                raise error
            return [{"x": seconds}]

        return measure

    failing = taking(10, torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"))
    parts = [
        Part("first", 20, taking(15), lambda records: {"x": f"{records[0]['x']} in", "y": "2"}),
        Part("full", 20, failing, lambda _: {"never": "shown"}),
        Part("long", 300, taking(30), lambda _: {"within": "what is left"}),
        Part("no number", 20, lambda _: [{"x": float("nan")}], lambda _: {"never": "shown"}),
        Part("odd", 20, taking(5), lambda records: {"y": f"{records[0]['y']}"}),
        Part("late", 20, taking(1), lambda _: {"never": "shown"}),
    ]
    with pytest.raises(ValueError) as nan:
        json.dumps(float("nan"), allow_nan=False)
    not_json = str(nan.value)  # differs by version
    outcomes = run_parts(parts, total=60)
    assert given == [20, 20, 35, 5]
    assert [(each.state, each.seconds, each.figures or each.message) for each in outcomes] == [
        ("finished", 15, {"x": "15 in", "y": "2"}),
        ("failed", 10, "CUDA out of memory."),
        ("finished", 30, {"within": "what is left"}),
        ("failed", 0, not_json),
        ("failed", 5, "'y'"),
        ("failed", 0, "no time left"),
    ]
    shown = write_report(tmp_path / "gpu.json", outcomes, CPU, "random", "text")
    assert [re.split("  +", line) for line in shown.splitlines()[2:10]] == [
        ["part", "figure", "value"], ["first", "x", "15 in"], ["", "y", "2"], ["full", "failed", "CUDA out of memory."],
        ["long", "within", "what is left"], ["no number", "failed", not_json], ["odd", "failed", "'y'"],
        ["late", "failed", "no time left"],
    ]  # fmt: skip
    assert "Inception weights: random;" in shown
    written = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert written["parts"][0] == {
        "part": "first", "state": "finished", "seconds": 15, "figures": {"x": "15 in", "y": "2"},
        "records": [{"x": 15}], "message": "",
    }  # fmt: skip
    assert (written["device"]["type"], written["versions"]["torch"]) == ("cpu", torch.__version__)
    assert json.loads(write_report(tmp_path / "b.json", outcomes, CPU, "random", "json")) == written


def test_without_a_gpu_or_with_other_flags_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    output = str(tmp_path / "gpu.json")
    with pytest.raises(InputError, match=r"^--gpu-report: no CUDA on this machine"):
        bench.main(["--gpu-report", output])
    with pytest.raises(InputError, match=r"^--dims and --gpu-report: the report has sizes of its own; leave one out$"):
        bench.main(["--gpu-report", output, "--dims", "8"])
    with pytest.raises(InputError, match=r"^--inception-weights: only with --gpu-report$"):
        bench.main(["--inception-weights", "w.pth"])
    assert not any(tmp_path.glob("gpu.json"))
