"""Training in several processes equals training in one: by threads in place of processes in float64, and for real."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier, Thread, local
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist

from data.command import run_command
from data.errors import InputError
from images.train import build_trainer as image_trainer
from images.train import refuse_to_share
from tests.helpers.runs import PRESETS, assert_same_run, stop_at, tensors, tiny_images, tiny_text
from textgan.engine import game, processes
from textgan.engine.run_folder import read_options
from textgan.engine.settings import as_flags
from textgan.engine.trainer import Trainer
from textgan.models.wgan_gp import WganGpSettings
from textgan.train import build_trainer, main, train

CPU, SYMBOLS, LIMIT_SECONDS = torch.device("cpu"), 7, 120
Add = Callable[[Tensor, Tensor], Tensor]
Result = Mapping[str, Tensor]


class Pair:
    """Two threads that pass for two processes; `add` is the sum that they exchange tensors for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.add: Add = torch.add
        self._here = local()
        self._meeting = Barrier(2, timeout=LIMIT_SECONDS)
        self._sent: dict[int, Tensor] = {}
        monkeypatch.setattr(dist, "is_initialized", lambda: hasattr(self._here, "rank"))
        monkeypatch.setattr(dist, "get_world_size", lambda: 2)
        monkeypatch.setattr(dist, "get_rank", lambda: self._here.rank)
        monkeypatch.setattr(dist, "all_reduce", self._all_reduce)

    def _all_reduce(self, tensor: Tensor) -> None:
        self._sent[self._here.rank] = tensor.clone()
        self._meeting.wait()
        total = self.add(self._sent[0], self._sent[1])
        self._meeting.wait()
        tensor.copy_(total)

    def play(self, config: WganGpSettings) -> list[Result]:
        """Return the results of both threads."""
        trainers = [build_trainer(config, SYMBOLS, CPU) for _ in range(2)]
        results: dict[int, Result] = {}

        def as_process(rank: int) -> None:
            self._here.rank = rank
            results[rank] = play(trainers[rank], config)

        threads = [Thread(target=as_process, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [results[0], results[1]]


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield Pair(monkeypatch)
    torch.set_default_dtype(before)


def play(trainer: Trainer, config: WganGpSettings) -> Result:
    """Return the weights after some iterations, and the statistics of the last one."""
    for iteration in range(6):
        random = torch.Generator().manual_seed(iteration)
        shape = (len(trainer.batches_of(iteration)), config.batch_size, config.seq_len)
        stats = trainer.step(list(torch.randint(SYMBOLS, shape, generator=random)))
    assert stats is not None
    networks = nn.ModuleDict({name: player.network for name, player in trainer.players.items()})
    return {**networks.state_dict(), **{name: torch.tensor(value) for name, value in stats.items()}}


def play_alone(config: WganGpSettings) -> Result:
    return play(build_trainer(config, SYMBOLS, CPU), config)


def furthest(a: Result, b: Result) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def tiny(preset: str = "ttur", **changes: Any) -> WganGpSettings:
    return tiny_text("grammar", preset=preset, seq_len=5, max_gradient_norm=0.5, **changes)


@pytest.mark.parametrize(
    "config",
    [
        tiny(critic_steps=2),
        tiny(penalty_weight=0.0, loss="non-saturating", generator_ema=0.9),
        tiny(penalty_weight=0.1, penalty="r1+r2", loss="relativistic", spectral_norm="on"),
        tiny(rule="extragradient"),
        tiny("rnn-wgan-chars-ttur", curriculum=1),
        tiny("mle"),
    ],
    ids=lambda config: f"{config.model}-{vars(config).get('loss')}-{vars(config).get('rule')}",
)
def test_rows_of_two_processes_make_the_steps_of_the_whole_batch(pair: Pair, config: WganGpSettings) -> None:
    whole = play_alone(config)
    first, second = pair.play(config)
    assert furthest(first, second) == 0
    assert furthest(first, whole) < 1e-10


def test_wrong_ways_to_share_a_batch_are_noticed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny()
    whole = play_alone(config)
    pair.add = lambda a, b: 2 * (a + b)  # the sum over processes in place of the mean
    assert furthest(pair.play(config)[0], whole) > 1e-3
    pair.add = torch.add
    monkeypatch.setattr(game, "own_draw", lambda draw, rows: draw(2 * rows)[:rows])  # the same noise in both
    assert furthest(pair.play(config)[0], whole) > 1e-5


def test_what_processes_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(work: Callable[[], object]) -> str:
        with pytest.raises(InputError) as error:
            work()
        return str(error.value)

    monkeypatch.setattr(processes, "world_size", lambda: 2)
    monkeypatch.setattr("textgan.train.world_size", lambda: 2)
    monkeypatch.setattr("images.train.world_size", lambda: 2)
    changed: list[tuple[dict[str, Any], str]] = [
        ({"batch_size": 3}, "--batch-size 3: must be a multiple of the 2 processes"),
        ({"diagnostics": True}, "--diagnostics"),
        ({"rule": "consensus:0.1"}, "--rule consensus:0.1"),
    ]
    for changes, named in changed:
        assert refusal(partial(build_trainer, tiny(**changes), SYMBOLS, CPU)).startswith(named)
    lines = replace(PRESETS["seqgan-words-ttur"], dim=4)
    assert refusal(lambda: build_trainer(lines, SYMBOLS, CPU)).startswith(
        "--preset seqgan-words-ttur: a loss of seqgan"
    )
    batch_norm = "--device cpu: batch normalisation over several processes needs CUDA; start one process"
    assert refusal(lambda: image_trainer(tiny_images("ttur-small"), CPU)) == batch_norm
    assert refusal(lambda: image_trainer(tiny_images("wgan-gp-cifar10-ttur"), CPU)) == batch_norm
    penalised = tiny_images("ttur-small", penalty="r1", penalty_weight=1.0)
    assert refusal(lambda: refuse_to_share(penalised)).startswith("--penalty-weight")
    refuse_to_share(replace(penalised, critic_norm="none"))
    assert refusal(lambda: refuse_to_share(tiny_images("wgan-gp-cifar10-ttur", compat="paper"))).startswith("--compat")


def process(rank: int, variables: Mapping[str, str], output: Path, arguments: list[str], killed_at: int | None) -> None:
    """Train as one of two processes, and write the messages to a file; rank 1 may kill itself before an iteration."""
    os.environ |= {**variables, "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)}
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if rank and killed_at is not None:
        stop_at(pytest.MonkeyPatch(), killed_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    sys.argv = ["textgan.train", *arguments]
    run_command(main)


def train_in_two(
    folder: Path, config: WganGpSettings, killed_at: int | None = None
) -> list[tuple[int | None, list[str]]]:
    """Train in two processes, which a server forks after the imports; return status and messages of each."""
    start = get_context("forkserver")
    start.set_forkserver_preload([__name__, "torch._dynamo"])  # which the first optimiser imports
    with socket.create_server(("127.0.0.1", 0)) as free:
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    variables["TEXTGAN_CACHE"] = os.environ["TEXTGAN_CACHE"]
    outputs = [folder / f"messages-{rank}" for rank in range(2)]
    flags = as_flags(config, PRESETS)
    both = [start.Process(target=process, args=(rank, variables, outputs[rank], flags, killed_at)) for rank in range(2)]
    for output in outputs:
        output.unlink(missing_ok=True)
    for one in both:
        one.start()
    for one in both:
        one.join(LIMIT_SECONDS)
        one.kill()  # one that hangs has no status of its own
        one.join()
    messages = [output.read_text("utf-8").splitlines() for output in outputs]
    return [
        (one.exitcode, [line for line in lines if not line.startswith("[")])  # notes of PyTorch's C++ code
        for one, lines in zip(both, messages, strict=True)
    ]


@pytest.mark.slow
def test_two_processes_equal_one_and_continue_after_one_was_killed(text_file: Path, tmp_path: Path) -> None:
    alone, whole, killed = (
        tiny_text(text_file, tmp_path / name, iterations=20, eval_every=10, checkpoint_every=8)
        for name in ("alone", "whole", "killed")
    )
    train(alone)
    (status, messages), other = train_in_two(tmp_path, whole)
    assert (status, other) == (0, (0, []))
    assert f"{whole.folder}: 20 iterations, " in "\n".join(messages)
    # This bias shifts all scores alike, so its gradient is rounding, which Adam scales to the size of its rate.
    free = "critic.network.blocks.4.second.bias"
    ours, theirs = ({name: t for name, t in tensors(run.folder).items() if name != free} for run in (whole, alone))
    weights = [name for name in ours if ".network." in name]
    assert len(weights) > 40
    assert furthest({name: ours[name] for name in weights}, {name: theirs[name] for name in weights}) < 1e-5
    assert [read_options(config.folder)["device"]["processes"] for config in (alone, whole)] == [1, 2]

    (status, messages), other = train_in_two(tmp_path, killed, killed_at=13)
    assert (status, other) == (1, (-signal.SIGKILL, []))
    (line,) = messages
    assert line.startswith("error: another process of the run has ended (")
    assert line.endswith("); the same command continues the run")
    assert train_in_two(tmp_path, killed)[0][0] == 0
    assert_same_run(killed.folder, whole.folder)

    refused = train_in_two(tmp_path, replace(whole, batch_size=3, run_dir=tmp_path / "refused"))
    assert refused == [(2, ["error: --batch-size 3: must be a multiple of the 2 processes"]), (1, [])]
    assert not (tmp_path / "refused").exists()
