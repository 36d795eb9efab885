"""Runs that train together equal runs that train alone, with their states, rows, samples and checkpoints."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data.errors import InputError
from eval.core.score import Estimate
from tests.helpers.runs import (
    PRESETS,
    PowerCutError,
    assert_refused,
    assert_same_run,
    stop_at,
    tensors,
    tiny_text,
    without_clocks,
)
from textgan.engine import replicas
from textgan.engine.checkpoint import trainer_tensors
from textgan.engine.draws import Streams
from textgan.engine.players import Player
from textgan.engine.replicas import Replicas, replicas_of
from textgan.engine.run_folder import read_metrics, read_options
from textgan.engine.settings import as_flags
from textgan.engine.trainer import Trainer
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs import together
from textgan.runs.breakdown import Stopwatch
from textgan.runs.pairs import Comparison, Step
from textgan.runs.together import compare_together
from textgan.train import TEXT, build_trainer, main, train

CPU, SYMBOLS, COUNT, STEPS = torch.device("cpu"), 7, 2, 5
State = dict[str, Tensor]


@pytest.fixture
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def tiny(**changes: Any) -> WganGpSettings:
    return tiny_text("grammar", seq_len=5, **{"iterations": STEPS, "critic_lr": 3e-3, "generator_lr": 1e-3, **changes})


def batches(config: WganGpSettings, iteration: int, count: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(1000 * config.seed + iteration)
    return list(torch.randint(SYMBOLS, (count, config.batch_size, config.seq_len), generator=random))


def play(configs: list[WganGpSettings]) -> list[State]:
    """Return the state of each run after steps together, with the statistics of the measured steps."""
    trainers = [build_trainer(config, SYMBOLS, CPU) for config in configs]
    runs, measured = Replicas(configs, trainers), []
    for iteration in range(STEPS):
        count = len(trainers[0].batches_of(iteration))
        real = [batches(config, iteration, count) for config in configs]
        measured.append(runs.step(real, measure=iteration in (0, 3)))
        assert {trainer.iteration for trainer in trainers} == {iteration + 1}
    assert [number for number, stats in enumerate(measured) if stats] == [0, 3]
    runs.settle()
    states = [trainer_tensors(trainer) for trainer in trainers]
    for number, stats in enumerate(measured):
        for state, of_run in zip(states, stats or [{}] * len(states), strict=True):
            state |= {f"statistics of {number}: {name}": torch.tensor(value) for name, value in of_run.items()}
    return states


def furthest(ours: list[State], theirs: list[State]) -> float:
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        assert all(a[name].shape == b[name].shape for name in a)
    return max(float((a[name] - b[name]).abs().max()) for a, b in zip(ours, theirs, strict=True) for name in a)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "config",
    [
        tiny(critic_steps=2, critic_warm_up=2, critic_schedule="power:0.5", generator_ema=0.9),
        tiny(rule="lookahead:3:0.5:extragradient", penalty_weight=0.1, penalty="r1+r2", loss="relativistic"),
    ],
    ids=["warm-up", "lookahead"],
)
def test_steps_together_equal_steps_alone(config: WganGpSettings) -> None:
    configs = replicas_of(config, COUNT)
    alone = [play([each])[0] for each in configs]
    assert furthest(play(configs), alone) < 1e-9
    assert min(furthest([alone[0]], [other]) for other in alone[1:]) > 1e-2


@pytest.mark.usefixtures("float64")
def test_wrong_ways_to_train_together_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = replicas_of(tiny(), COUNT)
    alone = [play([each])[0] for each in configs]
    wrong: list[tuple[Any, str, Any]] = [
        (Streams, "draw", lambda streams, draw, rows: draw(rows, streams.each[0])),  # one run's numbers for all
        (Streams, "draw", lambda streams, draw, rows: torch.cat([draw(rows // COUNT, one) for one in streams.each])),
        (replicas, "interleaved", torch.cat),  # the rows of one run after the other
        (replicas._StackedPlayer, "gradients", Player.gradients),  # of the mean of all losses
    ]
    for place, name, value in wrong:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value)
            assert furthest(play(configs), alone) > 1e-4, name


def command(config: WganGpSettings) -> list[str]:
    return [*as_flags(config, PRESETS), "--replicas", "3"]


def of_seed(config: WganGpSettings, seed: int) -> Path:
    return Path(str(config.run_dir).format(seed=seed))


def test_folders_equal_those_of_runs_alone_and_continue_after_a_kill(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed = (
        tiny_text(text_file, tmp_path / f"{name}-{{seed}}", iterations=10, eval_every=5, checkpoint_every=3, seed=4)
        for name in ("whole", "killed")
    )
    assert main(command(whole)) == 0
    printed = capsys.readouterr().out
    for seed in (4, 5, 6):
        alone = replace(whole, seed=seed, run_dir=tmp_path / f"alone-{seed}")
        train(alone)
        assert f"{of_seed(whole, seed)}: 10 iterations" in printed
        ours, theirs = tensors(of_seed(whole, seed)), tensors(alone.folder)
        assert ours.keys() == theirs.keys()
        # This bias shifts all scores alike, so its gradient is rounding, which Adam scales to the size of its rate.
        weights = [name for name in ours if ".network." in name and name != "critic.network.blocks.4.second.bias"]
        assert len(weights) > 40
        assert all((ours[name] - theirs[name]).norm() <= 1e-4 * theirs[name].norm() for name in weights)
        rows, rows_alone = without_clocks(of_seed(whole, seed)), without_clocks(alone.folder)
        assert [row["iteration"] for row in rows] == [0, 5, 10]
        for row, other in zip(rows, rows_alone, strict=True):
            moved = {"train/generator_loss"} & row.keys()  # by the same bias
            assert [row.pop(name) for name in moved] == pytest.approx([other.pop(name) for name in moved], abs=1e-2)
            assert row == pytest.approx(other, rel=5e-3, abs=1e-6)
        options, options_alone = read_options(of_seed(whole, seed)), read_options(alone.folder)
        assert {**options["config"], "run_dir": ""} == {**options_alone["config"], "run_dir": ""}
        assert (options["command"], options["replicas"]) == (options_alone["command"], [4, 5, 6])
    clocks = {row["time/train_seconds"] for seed in (4, 5, 6) for row in read_metrics(of_seed(whole, seed))}
    assert len(clocks) == 3  # of iterations 0, 5 and 10

    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        stop_at(patch, 7, power_cut)
        main(command(killed))
    shutil.rmtree(of_seed(killed, 5) / "checkpoints" / "000000006")  # not yet written at the kill
    assert main(command(killed)) == 0
    for seed in (4, 5, 6):
        assert_same_run(of_seed(killed, seed), of_seed(whole, seed))

    shutil.rmtree(of_seed(killed, 6) / "checkpoints")
    with pytest.raises(InputError, match=r"no checkpoints of one iteration in .*-4 \(10\), .*-5 \(10\), .*-6 \(0\);"):
        main(command(replace(killed, iterations=12)))
    assert {path.name for path in (of_seed(killed, 4) / "checkpoints").iterdir()} == {"000000009", "000000010"}
    # Seed 4 has a checkpoint of iteration 9, seed 5 does not: nothing is loaded, and so nothing removed.
    shutil.copytree(of_seed(killed, 4) / "checkpoints" / "000000009", of_seed(killed, 6) / "checkpoints" / "000000009")
    shutil.rmtree(of_seed(killed, 5) / "checkpoints" / "000000009")
    with pytest.raises(InputError, match=r"no checkpoints of one iteration in .*-4 \(10\), .*-5 \(10\), .*-6 \(9\);"):
        main(command(replace(killed, iterations=12)))
    assert {path.name for path in (of_seed(killed, 4) / "checkpoints").iterdir()} == {"000000009", "000000010"}


def power_cut() -> None:
    raise PowerCutError


@pytest.mark.parametrize(
    ("config", "count", "message"),
    [
        (tiny(), 0, "--replicas 0: must be at least 1"),
        (tiny(preset="seqgan-words-ttur"), 2, "--replicas 2: only for the language WGAN-GP"),
        (tiny(max_gradient_norm=1.0), 2, "--replicas 2: not with --max-gradient-norm"),
        (tiny(spectral_norm="on"), 2, "--replicas 2: not with --max-gradient-norm or --spectral-norm on"),
        (tiny(run_dir=Path("run")), 2, "--run-dir run: write {seed} in it"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_runs_that_cannot_train_together_are_refused(config: WganGpSettings, count: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        replicas_of(config, count)
    assert str(error.value).startswith(message)


def test_other_models_have_no_replicas() -> None:
    assert_refused(["--preset", "mle", "--replicas", "2"], "--replicas: only for the language WGAN-GP")
    assert_refused(["--preset", "mle", "--cuda-graphs"], "--cuda-graphs: only for the language WGAN-GP")


def test_the_bench_times_all_runs_against_the_first_one(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, taken = tiny_text(text_file, critic_steps=2), list[Any]()

    def compared(ours: Step, peer: Step, draw: Callable[[int], Sequence[Tensor]], watch: Stopwatch) -> Comparison:
        ours(draw(3))
        peer(draw(3))
        return Comparison(0.2, 0.1, Estimate(0.5, 0.4, 0.6))

    monkeypatch.setattr(Replicas, "step", lambda _replicas, batches, measure: taken.append((batches, measure)))
    monkeypatch.setattr(Trainer, "step", lambda _trainer, batches, measure: taken.append(([batches], measure)))
    monkeypatch.setattr(together, "compare", compared)
    gain = compare_together(TEXT, config, 3).ratio
    assert (gain.value, gain.low, gain.high) == pytest.approx((1.5, 1.2, 1.8))  # 3 runs in twice the time of one
    expected = [TEXT.open(each).next_batches(3) for each in replicas_of(config, 3)]
    for (batches, measure), runs in zip(taken, (3, 1), strict=True):
        assert (len(batches), measure) == (runs, False)
        ours, theirs = ([batch for of_run in each for batch in of_run] for each in (batches, expected[:runs]))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
