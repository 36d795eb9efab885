"""Settings of tiny runs, run folders made without training, and comparisons of runs."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from data.errors import InputError
from images.config import PRESETS as IMAGE_PRESETS
from images.config import ImageConfig
from textgan.engine.checkpoint import read_newest
from textgan.engine.run_folder import DeclaredScore, read_metrics
from textgan.engine.trainer import Trainer
from textgan.models import PRESETS as TEXT_PRESETS
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.aggregate import Group, Run
from textgan.runs.program import parse_train

# Settings of different models, so that tests may name fields that only some have.
PRESETS: Mapping[str, Any] = TEXT_PRESETS


def tiny_text(data: str | Path, run_dir: Path | None = None, preset: str = "ttur", **changes: Any) -> WganGpSettings:
    """Return a preset's settings, reduced to a run on text that takes a second, with changes."""
    tiny: dict[str, Any] = {
        "seq_len": 12, "dim": 4, "latent_dim": 4, "batch_size": 4, "ngram": 4, "iterations": 6, "eval_samples": 30,
        "eval_every": 2, "checkpoint_every": 2, "device": "cpu",
    }  # fmt: skip
    config = PRESETS[preset]
    known = {name: value for name, value in tiny.items() if name in vars(config)}
    return cast(WganGpSettings, replace(config, data=str(data), run_dir=run_dir, **{**known, **changes}))


# So large that a few iterations move the weights visibly; for `tiny_text`.
LARGE_RATES: dict[str, Any] = {"critic_steps": 2, "critic_lr": 3e-3, "generator_lr": 1e-3, "generator_ema": 0.5}


def tiny_images(preset: str, run_dir: Path | None = None, **changes: Any) -> ImageConfig:
    """Return a preset's settings, reduced to a run on images that takes a second, with changes."""
    tiny: dict[str, Any] = {"count": 64, "dim": 2, "iterations": 2, "eval_samples": 10, "device": "cpu"}
    return replace(IMAGE_PRESETS[preset], run_dir=run_dir, **{**tiny, **changes})


def config_of(flags: Sequence[str]) -> Any:
    """Return the settings that flags of `textgan.train` give."""
    return parse_train(flags, PRESETS, "textgan.train", None).config


def assert_refused(flags: Sequence[str], message: str) -> None:
    """Assert that flags of `textgan.train` are refused in one line that begins with a message."""
    with pytest.raises(InputError) as error:
        config_of(flags)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


CLOCKS = {"time/wall_seconds", "time/train_seconds"}


def without_clocks(folder: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in CLOCKS} for row in read_metrics(folder)]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    newest = read_newest(folder)
    assert newest is not None
    return newest[1]


def assert_same_run(a: Path, b: Path) -> None:
    assert without_clocks(a) == without_clocks(b)
    ours, theirs = tensors(a), tensors(b)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for samples in (a / "samples").glob("*.txt"):
        assert samples.read_bytes() == (b / "samples" / samples.name).read_bytes()


def copy_runs(trained: Path, folder: Path) -> None:
    """Copy a folder with runs, their data and cache; the paths that runs and records name change with it."""
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    for path in folder.rglob("*.json"):
        if path.relative_to(folder).parts[0] != "cache":
            path.write_text(path.read_text("utf-8").replace(str(trained), str(folder)), "utf-8")


def stop_at(monkeypatch: pytest.MonkeyPatch, iteration: int, action: Any) -> None:
    """Call `action` before the training step of an iteration."""
    step = Trainer.step

    def stopping_step(self: Any, real: Any, measure: bool = True) -> Any:
        if self.iteration == iteration:
            action()
        return step(self, real, measure)

    monkeypatch.setattr(Trainer, "step", stopping_step)


def wait_until(process: subprocess.Popen[Any], done: Callable[[], bool]) -> None:
    """Wait until a condition holds or the process ends; meanwhile the processor is free for the process."""
    while not done():
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            return


_DYING = """
import os, signal, sys
from pathlib import Path
from textgan.train import main
def deadly(move):
    def move_or_die(path, target):
        if str(target).endswith(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return move(path, target)
    return move_or_die
Path.rename, Path.replace = deadly(Path.rename), deadly(Path.replace)
main(sys.argv[2:])
"""


def dying(command: Sequence[str], written: str) -> list[str]:
    """Return the command of a training that kills itself by SIGKILL while it writes a path with this ending."""
    place = command.index("textgan.train")
    return [*command[: place - 1], "-c", _DYING, written, *command[place + 1 :]]


class PowerCutError(Exception):
    """The machine goes out."""


def train_until_power_cut(
    monkeypatch: pytest.MonkeyPatch, iteration: int, train: Callable[[Any], Any], config: Any
) -> None:
    """Train until the machine goes out, before the training step of an iteration."""

    def cut() -> None:
        raise PowerCutError

    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        stop_at(patch, iteration, cut)
        train(config)


SIGNATURE = "jsd|n:6|sym:char|len:32|pad:in|ref:text.txt@0123456789ab|samples:640|seed:0|v:0.1"


def write_run(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    signature: str = SIGNATURE,
    floor: Mapping[str, float] | None = None,
    processor: str = "a processor",
    **config: Any,
) -> Path:
    """Write the files of a run's folder, in format 1, that other commands read."""
    folder.mkdir(parents=True)
    settings = {
        "preset": "ttur-small", "data": "/text.txt", "critic_lr": 0.003, "eval_every": 100, "iterations": None,
        "minutes": 20.0, "seed": 0, "device": "auto", "run_dir": str(folder), **config,
    }  # fmt: skip
    scores = [name for name in (rows[0] if rows else {}) if name.startswith("jsd_")]
    options = {
        "config": settings, "seed": settings["seed"], "signature": signature, "floor": floor, "scores": scores,
        "device": {"name": processor},
    }  # fmt: skip
    (folder / "options.json").write_text(json.dumps(options), "utf-8")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


def rows_of(curve: Sequence[float]) -> list[dict[str, Any]]:
    """Return the rows of a run that was scored after every minute of training."""
    return [
        {
            "iteration": 200 * i, "critic_updates": 400 * i, "samples_seen": 12800 * i, "train_seconds": 60.0 * i,
            "wall_seconds": 90.0 * i, "jsd_4": score, "jsd_6": score + 0.25, "critic_loss": None,
        }
        for i, score in enumerate(curve, start=1)
    ]  # fmt: skip


def falling(start: float, step: float) -> list[float]:
    return [start - step * i for i in range(1, 11)]


def a_run(x: Sequence[float], y: Sequence[float], seed: int = 0) -> Run:
    """Return a run with the JSD-4 y after x minutes of training."""
    metrics = pd.DataFrame({"time/train_seconds": 60 * np.array(x, float), "scores/jsd_4": np.array(y, float)})
    scores = {"jsd_4": DeclaredScore("lower", True, SIGNATURE, most=1.0)}
    return Run(Path(f"run{seed}"), {"preset": "toy", "seed": seed}, scores, None, metrics)


def a_group(name: str, curves: Sequence[Sequence[float]], every: float = 1.0) -> Group:
    """Return a group of runs, scored each `every` minutes."""
    x = [every * (i + 1) for i in range(len(curves[0]))]
    return Group(name, [a_run(x, curve, seed) for seed, curve in enumerate(curves)])


def even_clock(run: Path) -> None:
    """Rewrite a run's clocks: each iteration took the same time, so the window of each score is known."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    for row in rows:
        row.update({name: row["iteration"] / 10 for name in row if name.endswith("_seconds")})
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
