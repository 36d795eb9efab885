"""What the bench prints, by a clock that only its parts move; counts of operations; pairs of measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from data.errors import InputError
from eval.core.score import Estimate
from tests.helpers.runs import PRESETS, config_of, tiny_text
from tests.helpers.trainers import BATCH, LATENT, LENGTH, SETTINGS, SYMBOLS, a_trainer, critic_of, real_batches
from textgan.bench import configs_of, main, operations_of, run_bench
from textgan.engine.game import Game, Networks
from textgan.engine.loop import Experiment
from textgan.engine.phases import Phase, gan_phases
from textgan.engine.players import Player
from textgan.engine.run_log import SampleFile
from textgan.engine.scoring import Scored, Scoring
from textgan.engine.trainer import make_trainer
from textgan.engine.updates import Turn
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.breakdown import Stopwatch, _divide
from textgan.runs.extrapolation import Operations, from_widths
from textgan.runs.flops import forward_flops, iteration_flops, lacks_bfloat16
from textgan.runs.pairs import Comparison, compare
from textgan.runs.peers.table import peer_step
from textgan.runs.program import TrainingProgram
from textgan.runs.speed import beside_peer, peer_table, require_preset_game
from textgan.train import open_experiment


class Clock:
    """A clock that work moves; on CUDA, time passes only when the device is waited for."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.now = self.pending = 0.0

    def work(self, milliseconds: float) -> None:
        if self.device.type == "cpu":
            self.now += milliseconds / 1e3
        else:
            self.pending += milliseconds / 1e3

    def synchronise(self, device: torch.device) -> None:
        assert device == self.device
        self.now, self.pending = self.now + self.pending, 0.0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("textgan.runs.breakdown.time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(torch.cuda, "synchronize", self.synchronise)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_part_is_told_its_own_time(
    device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # An iteration: drawing 1 ms; gradients 2 of the generator and 7 of the critic, 3 without penalty; 4 per update.
    clock, drawn, evaluated = Clock(device), list[int](), list[int]()

    def move(milliseconds: float, player: str, networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
        assert real.item() == drawn[-1]
        clock.work(milliseconds)
        return {"loss": next(vars(networks)[player].parameters()).square().sum()}

    def draw(iteration: int) -> Sequence[Tensor]:
        drawn.append(iteration)
        clock.work(1 if iteration >= 8 else 700)
        return [torch.full((1,), iteration)] * 10

    def evaluate(iteration: int) -> Scoring:
        evaluated.append(iteration)
        clock.work(20)
        return score

    def score() -> Scored:
        clock.work(30)
        return {}, SampleFile(".txt", b"", lambda *_: None)

    def open_experiment(config: WganGpSettings) -> Experiment:
        game = Game(partial(move, 2, "generator"), partial(move, 7, "critic"), partial(move, 3, "critic"))
        networks = Networks(nn.Linear(1, 1), nn.Linear(1, 1, bias=False))
        trainer = make_trainer(config, gan_phases(config, game), networks, torch.device("cpu"))
        return Experiment(trainer, clock.device, draw, evaluate, {}, None, {}, {})

    def apply(player: Player, gradients: Sequence[Tensor], learning_rate: float) -> None:
        clock.work(4)

    clock.install(monkeypatch)
    monkeypatch.setattr(Player, "apply", apply)
    monkeypatch.setattr("textgan.engine.players.torch.autograd.grad", lambda *_, **__: [])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr("textgan.runs.breakdown.peak_memory", lambda: 123_400_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 123_400_000)
    monkeypatch.setattr("textgan.bench.flops_of", lambda *_: 11_600_000)
    monkeypatch.setattr("textgan.bench.product_peak", lambda *_: 4e8)
    program: TrainingProgram[Any] = TrainingProgram("words.train", PRESETS, open_experiment, lambda *_: "")
    flags = ["--preset", "orig-small", "--eval-samples", "1200", "--critic-warm-up", "3"]
    assert run_bench(program, flags, None, peer_step) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"orig-small on grammar: batch 32, {device}, 3 threads",
        "",
        "part                           ms",
        "drawing batches              1.00",
        "training step              116.00",
        "step: generator gradients    2.00",
        "step: critic gradients      70.00",
        "step: critic penalty        40.00",
        "step: optimiser             44.00",
        "evaluation                  50.00",
        "evaluation: scoring         30.00",
        "",
        "8.5 steps/s; drawing batches takes 0.85% of the time",
        "an evaluation draws and scores 1,200 samples",
        # On CUDA the training goes on while samples are scored.
        f"evaluations take {'0.43' if device == 'cpu' else '0.17'}% of the time at one per 100 iterations",
        "the critic's gradients include the penalty",
        "peak memory 123 MB",
        "0.1 GFLOP/s, 25% of this machine's matrix products in float32, 0.4 GFLOP/s",
    ]
    assert drawn == list(range(3, 58))  # the warm-up of the critic is another phase
    assert evaluated == [58] * 5


def test_operations_of_a_forward_pass_in_closed_form() -> None:
    trainer = a_trainer()
    dim, body = 4, 10 * 5 * 4**2  # multiply-adds per position in ten convolutions of width 5
    z = torch.zeros(BATCH, LATENT, dtype=torch.float64)
    x = torch.zeros(BATCH, LENGTH, SYMBOLS, dtype=torch.float64)
    of_generator = forward_flops(trainer.generator.network, z)
    of_critic = forward_flops(critic_of(trainer), x)
    assert of_generator == 2 * BATCH * LENGTH * (LATENT * dim + body + dim * SYMBOLS)
    assert of_critic == 2 * BATCH * LENGTH * (SYMBOLS * dim + body + dim)
    assert of_critic != BATCH * LENGTH * (SYMBOLS * dim + body + dim)  # wrong: a multiply-add as one
    # 16 F per iteration with one critic update, 5 F + 11 F each with ten.
    assert iteration_flops(100, 100, 1) == 1600
    assert iteration_flops(100, 100, 10) == 11500


def test_a_training_step_spends_the_operations_that_it_needs() -> None:
    trainer = a_trainer()
    trainer.step(real_batches(0, 1))  # the first iteration has no update of the generator
    with FlopCounterMode(display=False) as counter:
        trainer.step(real_batches(1, 1))
    forward = [
        forward_flops(trainer.generator.network, torch.zeros(BATCH, LATENT, dtype=torch.float64)),
        forward_flops(critic_of(trainer), torch.zeros(BATCH, LENGTH, SYMBOLS, dtype=torch.float64)),
    ]
    needed = iteration_flops(forward[0], forward[1], 1)
    assert counter.get_total_flops() == pytest.approx(needed, rel=0.03)
    assert counter.get_total_flops() != pytest.approx(needed * 18 / 16, rel=0.03)  # with a double backward


def test_the_share_of_evaluations_is_extrapolated_by_operations_from_the_widest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock("cpu")
    clock.install(monkeypatch)
    # Milliseconds of a step and of drawing. Drawing a batch takes 1 ms more, and scoring 7; the first steps are slow.
    took = {4: (3, 2), 8: (4, 3)}

    def open_experiment(config: WganGpSettings) -> Any:
        def step(_real: Any, measure: bool) -> None:
            assert not measure
            trainer.steps += 1
            clock.work(took[config.dim][0] + 900 * (trainer.steps <= 2))

        def evaluate(_iteration: int) -> Any:
            clock.work(took[config.dim][1])
            return lambda: clock.work(7)

        trainer = SimpleNamespace(iteration=0, steps=0, step=step)
        draw = lambda _iteration: clock.work(1)  # noqa: E731
        return SimpleNamespace(trainer=trainer, device=clock.device, next_batches=draw, evaluate=evaluate)

    def operations(_experiment: Any, config: WganGpSettings) -> Operations:
        return Operations(4000 * config.dim**2, 1000 * config.dim**2)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    program: Any = SimpleNamespace(open=open_experiment)
    config = config_of(["--preset", "ttur-small", "--dim", "32", "--eval-every", "10", "--eval-samples", "500"])
    # At width 32: 16 times as many operations as at 8; steps take 80 ms and drawing 48, (48 + 7) / (48 + 7 + 800).
    assert from_widths(program, config, [8, 4], operations, "text").splitlines() == [
        "ttur-small on grammar: batch 32, cpu, 3 threads",
        "",
        "dim                step, ms  GFLOP/s  drawing, ms  GFLOP/s  scoring, ms  evaluations",
        "4                       4.0      0.0          2.0      0.0          7.0       18.37%",
        "8                       5.0      0.1          3.0      0.0          7.0       16.67%",
        "32 (extrapolated)      80.0      0.1         48.0      0.0          7.0        6.43%",
        "",
        "evaluations: share of the time, at 500 samples per 10 iterations",
        "extrapolated: operations take as long as at width 8, and scoring takes as long as there",
    ]


def test_operations_of_a_step_and_of_the_samples_of_an_evaluation() -> None:
    trainer = a_trainer(dtype=torch.float32)
    config = replace(SETTINGS, dim=4, latent_dim=LATENT, eval_samples=7)
    experiment: Any = SimpleNamespace(trainer=trainer, device=torch.device("cpu"))
    per_line = 2 * LENGTH * (LATENT * 4 + 10 * 5 * 4**2 + 4 * SYMBOLS)
    critic = 2 * LENGTH * (SYMBOLS * 4 + 10 * 5 * 4**2 + 4)
    assert operations_of(experiment, config) == Operations(BATCH * (4 * per_line + 12 * critic), 7 * per_line)


def test_pairs_take_turns_and_their_ratios_have_an_exact_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls, drawn = Clock("cpu"), list[str](), list[int]()
    clock.install(monkeypatch)

    def draw(iteration: int) -> Sequence[Tensor]:
        drawn.append(iteration)
        clock.work(500)
        return [torch.full((1,), iteration)]

    def ours(real: Sequence[Tensor]) -> None:
        calls.append("ours")
        clock.work(10 if real[0] >= 3 else 900)

    def peer(real: Sequence[Tensor]) -> None:
        calls.append("peer")
        clock.work(10 + int(real[0]) // 3)  # one more from pair to pair

    found = compare(ours, peer, draw, Stopwatch(clock.device))
    assert drawn == list(range(48))
    assert calls == [
        name for pair in range(16) for name in (["ours", "peer"] if pair % 2 else ["peer", "ours"]) for _ in range(3)
    ]
    # Ratios 1.1, 1.2, ..., 2.5: the median is the eighth, the interval from the fourth to the twelfth.
    assert found.ours == pytest.approx(0.010)
    assert found.peer == pytest.approx(0.018)
    ratio = found.ratio
    assert [ratio.value, ratio.low, ratio.high] == [pytest.approx(value) for value in (1.8, 1.4, 2.2)]


def test_widths_have_their_batches_unless_the_user_sets_one() -> None:
    config = config_of(["--preset", "ttur-small"])
    found = configs_of(config, (32, 64, 128), [])
    assert [(each.dim, each.batch_size) for each in found] == [(32, 32), (64, 64), (128, 64)]
    given = config_of(["--preset", "ttur-small", "--batch-size=7"])
    assert [each.batch_size for each in configs_of(given, (32, 64), ["--batch-size=7"])] == [7, 7]
    assert [each.batch_size for each in configs_of(given, (32, 64), ["--batch_size", "7"])] == [7, 7]
    with pytest.raises(InputError, match="--dim and --dims: leave one out"):
        configs_of(config, (32,), ["--dim", "8"])
    for flags in (["--preset", "mle-small"], ["--preset", "ttur-small", "--loss", "hinge"]):
        with pytest.raises(InputError, match="choose --preset ttur-small, and leave out --loss"):
            configs_of(config_of(flags), (32,), [])


def test_a_processor_says_whether_it_has_bfloat16(tmp_path: Path) -> None:
    processor = tmp_path / "cpuinfo"
    for flags, lacks in (("fpu avx512f avx512_vnni", True), ("fpu avx512_bf16 amx_int8", False), ("fp bf16", False)):
        processor.write_text(f"flags\t\t: {flags}\n")
        assert lacks_bfloat16(torch.device("cpu"), processor) is lacks
    assert not lacks_bfloat16(torch.device("cpu"), tmp_path / "absent")


def test_the_step_of_the_last_phase_is_timed_beside_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = PRESETS["seqgan-words-ttur"]
    networks = Networks(nn.Linear(1, 1), nn.Linear(1, 1))
    game = Game(lambda *_: {}, lambda *_: {})
    phases = gan_phases(config, game, [Phase("likelihood", game, None, None, 7)])
    trainer = make_trainer(config, phases, networks, torch.device("cpu"))
    steps: list[int] = []

    def draw(iteration: int) -> Sequence[Tensor]:
        return [torch.full((1,), iteration)]

    def step(real: Sequence[Tensor], measure: bool) -> None:
        steps.append(int(real[0]))
        assert not measure
        assert trainer.iteration == 107  # after 7 iterations of likelihood and 100 of the critic alone

    def peer(given: Any, theirs: Networks, device: torch.device) -> Any:
        assert (given, theirs, device.type) == (config, networks, "cpu")
        return "peer"

    def paired(ours: Any, theirs: Any, draw: Any, watch: Stopwatch) -> Comparison:
        assert theirs == "peer"
        for number in range(3):
            ours(draw(number))
        return Comparison(0.02, 0.05, Estimate(2.5, 2.0, 3.0))

    monkeypatch.setattr(trainer, "step", step)
    monkeypatch.setattr("textgan.runs.speed.compare", paired)
    monkeypatch.setattr("textgan.runs.speed.product_peak", lambda *_: 8e9)
    experiment = Experiment(trainer, torch.device("cpu"), draw, lambda _: pytest.fail("evaluated"), {}, None, {}, {})
    record = beside_peer(experiment, config, peer, 40_000_000)
    assert steps == [107, 108, 109]
    expected = {
        "model": "seqgan", "preset": "seqgan-words-ttur", "dim": 128, "batch_size": 64, "milliseconds": 20.0,
        "peer_milliseconds": 50.0, "ratio": 2.5, "low": 2.0, "high": 3.0, "flops_per_second": 2e9, "product_peak": 8e9,
    }  # fmt: skip
    assert {name: record[name] for name in expected} == pytest.approx(expected)
    last, _, notes = peer_table([record], ["a note"], "text").partition("\n\nratio: ")
    assert last.splitlines()[-1].split() == ["128", "64", "50.0", "20.0", "2.50", "2.00", "..", "3.00", "2.0", "25%"]
    assert notes.endswith("a note")
    without = {name: value for name, value in record.items() if "flops" not in name}
    assert "GFLOP" not in peer_table([without], [], "text")


def test_a_game_that_the_peer_does_not_play_is_refused() -> None:
    preset = PRESETS["seqgan-words-ttur"]
    require_preset_game(config_of(["--preset", "seqgan-words-ttur", "--dim", "8", "--rollouts", "3"]), preset)
    for flag, value in (("--reward", "odds"), ("--rule", "lookahead")):
        with pytest.raises(InputError, match=f"{flag} and --peer: the peer plays the game of --preset; leave one out"):
            require_preset_game(config_of(["--preset", "seqgan-words-ttur", flag, value]), preset)
    for flag in ("--generator-steps", "--max-gradient-norm"):
        require_preset_game(config_of(["--preset", "seqgan-words-ttur", flag, "2"]), preset)
        with pytest.raises(InputError, match=f"{flag} and --peer"):
            require_preset_game(config_of(["--preset", "ttur-small", flag, "2"]), PRESETS["ttur-small"])


@pytest.mark.parametrize(
    "flags", ["--peer --dims 8", "--dims 8 --replicas 2", "--peer --replicas 2", "--extrapolate-from 8 --replicas 2"]
)
def test_two_measurements_at_once_are_refused(flags: str) -> None:
    with pytest.raises(InputError, match="two measurements; give one of them"):
        main(["--preset", "ttur-small", *flags.split()])


def test_a_rule_with_products_asks_for_a_turns_gradients_once() -> None:
    watch = Stopwatch(torch.device("cpu"))
    for part in ("a", "b", "a"):
        watch.time(part, lambda: None)
    assert watch.calls == {"a": 2, "b": 1}
    experiment = open_experiment(tiny_text("grammar", lines=300, seq_len=5, rule="consensus:0.1"))
    _divide(experiment, watch)
    assert watch.calls["step: critic gradients"] == 10  # not twice per step, though its products count as evaluations
