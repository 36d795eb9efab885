"""A new game, score and statistic, written here alone, reach everything: logs, resume, comparison, record and page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from eval.core.score import Estimate, Score, Signature
from tests.helpers.runs import assert_same_run, train_until_power_cut
from textgan.compare import main as compare_runs
from textgan.engine.game import Game, Networks, adversarial_game
from textgan.engine.loop import Experiment
from textgan.engine.losses import NON_SATURATING
from textgan.engine.phases import Phase, gan_phases, generator_scale
from textgan.engine.run_folder import declared, read_metrics, values_by_name
from textgan.engine.run_log import SampleFile
from textgan.engine.scoring import Scoring
from textgan.engine.seeds import stream_seed
from textgan.engine.settings import GanSettings
from textgan.engine.trainer import make_trainer
from textgan.engine.updates import Turn
from textgan.runs.program import TrainingProgram


@dataclass(frozen=True)
class ToySettings(GanSettings):
    """A generator shifts and stretches noise; the real numbers are normal with mean 3 and deviation 2."""

    preset: str = "toy"
    data: str = "numbers"
    pretraining: int = 6


def numbers(count: int, random: torch.Generator) -> Tensor:
    return 3 + 2 * torch.randn(count, 1, generator=random)


# The game: moments are matched for some iterations, then the usual two players.
def match_mean(networks: Networks, real: Tensor, turn: Turn) -> Mapping[str, Tensor]:
    fake = networks.generator(torch.randn(len(real), 1, generator=turn.random))
    gap = fake.mean() - real.mean()
    return {"loss": gap.square(), "gap": gap}


def open_toy(config: ToySettings) -> Experiment:
    torch.manual_seed(config.seed)
    networks = Networks(nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)))
    game = adversarial_game(
        NON_SATURATING, 0.0, lambda count, random: torch.randn(count, 1, generator=random), score_together=True
    )
    pretraining = Phase(
        "pretraining", Game(match_mean), generator_scale(config, config.pretraining), None, config.pretraining
    )
    phases = [pretraining, *gan_phases(config, game)]
    trainer = make_trainer(config, phases, networks, torch.device("cpu"))

    def draw(iteration: int) -> Sequence[Tensor]:
        random = torch.Generator().manual_seed(stream_seed(config.seed, "batches", iteration) >> 1)
        return [numbers(config.batch_size, random) for _ in trainer.batches_of(iteration)]

    def scores(values: Sequence[float]) -> list[Score]:
        found: dict[str, tuple[Any, str, float]] = {
            "overlap": ("higher", "share", float(np.mean(np.abs(np.array(values) - 3) < 2)))
        }
        found["distance"] = ("lower", "units", abs(float(np.mean(values)) - 3))
        return [
            Score(name, {name: Estimate(value)}, unit, better, 50, "numbers", Signature(name, {"samples": 50}))
            for name, (better, unit, value) in found.items()
        ]

    def evaluate(iteration: int) -> Scoring:
        random = torch.Generator().manual_seed(stream_seed(config.seed, "samples", iteration) >> 1)
        with torch.no_grad():
            drawn = networks.generator(torch.randn(50, 1, generator=random)).flatten().tolist()
        content = "".join(f"{value}\n" for value in drawn).encode()
        return lambda: (values_by_name(scores(drawn)), SampleFile(".txt", content, lambda *_: None))

    return Experiment(
        trainer, torch.device("cpu"), draw, evaluate, declared(scores([0.0]), ["overlap"]), None,
        {"data_sha256": "none"}, {},
    )  # fmt: skip


TOY = TrainingProgram("toy.train", {"toy": ToySettings()}, open_toy, lambda *_: "")


def toy(folder: Path, **changes: Any) -> ToySettings:
    tiny: dict[str, Any] = {
        "generator_lr": 0.05, "critic_lr": 0.1, "critic_steps": 2, "batch_size": 16, "iterations": 16, "eval_every": 4,
        "checkpoint_every": 2, "eval_samples": 50,
    }  # fmt: skip
    return replace(ToySettings(), run_dir=folder, **{**tiny, **changes})


@pytest.mark.parametrize("iteration", [3, 6, 7, 11])
def test_it_resumes_inside_and_across_phases_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iteration: int
) -> None:
    whole, broken = toy(tmp_path / "whole"), toy(tmp_path / "broken")
    TOY.train(whole)
    train_until_power_cut(monkeypatch, iteration, TOY.train, broken)
    TOY.train(broken)
    assert_same_run(whole.folder, broken.folder)


def test_its_score_and_its_statistic_reach_logs_and_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for preset, rate in (("slow", 1e-4), ("fast", 0.05)):
        for seed in (0, 1):
            TOY.train(toy(tmp_path / f"{preset}{seed}", generator_lr=rate, seed=seed))
    rows = read_metrics(tmp_path / "fast0")
    assert [row["time/critic_updates"] for row in rows] == [0, 0, 4, 12, 20]
    assert [row["time/generator_updates"] for row in rows] == [0, 4, 7, 11, 15]
    assert rows[1].keys() >= {"train/gap", "train/generator_loss", "scores/overlap", "scores/distance"}
    assert "train/gap" not in rows[3]
    assert rows[1]["train/generator_loss"] == pytest.approx(rows[1]["train/gap"] ** 2, rel=1e-5)
    events = EventAccumulator(str(tmp_path / "fast0")).Reload()
    assert {"train/gap", "scores/overlap", "train/wasserstein"} <= set(events.Tags()["scalars"])
    logged = [event.value for event in events.Scalars("scores/overlap")]
    assert logged == pytest.approx([row["scores/overlap"] for row in rows])
    assert compare_runs([str(tmp_path), "--axis", "iterations", "--windows", "4", "--json"]) == 0
    (compared,) = json.loads(capsys.readouterr().out)  # the headline alone
    assert compared["score"] == "overlap"
    ends = {method["method"]: method["end"]["mean"] for method in compared["methods"]}
    assert max(ends, key=lambda name: ends[name]) == "toy, generator_lr 0.05"
    for method in compared["methods"]:
        # Higher is better: the best run is the largest window mean, here of windows with one evaluation each.
        best = max(value for run in method["windows"] for value in run)
        assert method["best_run"]["value"] == best
