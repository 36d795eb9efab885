"""Steps from buffers, which a CUDA graph launches, are the trainer's steps; on a CPU, with a stand-in for the graph."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from data.errors import InputError
from tests.helpers.runs import tiny_text
from textgan.engine.checkpoint import trainer_tensors
from textgan.engine.draws import Buffered, Streams
from textgan.engine.graphs import GraphedStep, require_graph
from textgan.engine.replicas import Replicas, replicas_of
from textgan.engine.trainer import Trainer
from textgan.models.wgan_gp import WganGpSettings
from textgan.train import build_trainer

CPU, SYMBOLS, STEPS, MEASURED = torch.device("cpu"), 7, 7, 5
CONFIG = tiny_text("grammar", seq_len=5, critic_steps=2, critic_lr=3e-3, generator_lr=1e-3)
State = dict[str, Tensor]


def real(config: WganGpSettings, trainer: Trainer) -> list[Tensor]:
    random = torch.Generator().manual_seed(100 * config.seed + trainer.iteration)
    shape = (len(trainer.batches_of(trainer.iteration)), config.batch_size, config.seq_len)
    return list(torch.randint(SYMBOLS, shape, generator=random))


def play(count: int, cuda_graphs: bool) -> list[State]:
    """Return the states of replicas after steps of which one is measured."""
    configs = replicas_of(CONFIG, count)
    trainers = [build_trainer(config, SYMBOLS, CPU) for config in configs]
    replicas = Replicas(configs, trainers, cuda_graphs)
    for iteration in range(STEPS):
        batches = [real(config, trainer) for config, trainer in zip(configs, trainers, strict=True)]
        replicas.step(batches, measure=iteration == MEASURED)
        assert {trainer.iteration for trainer in trainers} == {iteration + 1}
    replicas.settle()
    return [trainer_tensors(trainer) for trainer in trainers]


def same(ours: list[State], theirs: list[State]) -> bool:
    assert [state.keys() for state in ours] == [state.keys() for state in theirs]
    return all(torch.equal(a[name], b[name]) for a, b in zip(ours, theirs, strict=True) for name in a)


def test_steps_of_two_runs_from_buffers_are_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = play(2, cuda_graphs=False)
    assert same(play(2, cuda_graphs=True), expected)
    monkeypatch.setattr(Buffered, "refill", lambda buffered, _source: setattr(buffered, "_next", 0))
    assert not same(play(2, cuda_graphs=True), expected)  # the first step's numbers at every step


def test_a_graph_is_captured_once_and_launched_for_every_step_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = build_trainer(CONFIG, SYMBOLS, CPU)
    step, done = GraphedStep(trainer), list[str]()
    take = step._from_buffers

    class StandIn:
        def replay(self) -> None:
            done.append("launch")
            assert step._numbers is not None
            step._numbers.set_state(torch.tensor(0))
            iteration, trainer.iteration = trainer.iteration, 1  # a launch knows no iteration
            take()
            trainer.iteration = iteration

    @contextmanager
    def capture(_graph: StandIn) -> Iterator[None]:
        done.append("capture")
        before = {name: tensor.clone() for name, tensor in trainer_tensors(trainer).items()}
        yield
        with torch.no_grad():
            for name, tensor in trainer_tensors(trainer).items():
                tensor.copy_(before[name])

    stream = SimpleNamespace(wait_stream=lambda _other: None)
    stand_ins = {"CUDAGraph": StandIn, "graph": capture, "Stream": lambda: stream, "current_stream": lambda: stream}
    for name, stand_in in {**stand_ins, "stream": lambda _stream: nullcontext()}.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    step._on_cuda = True
    for iteration in range(STEPS):
        assert trainer.iteration == iteration
        if iteration == MEASURED:
            trainer.step(real(CONFIG, trainer))
        else:
            step.step(real(CONFIG, trainer))
    assert done == ["capture", *["launch"] * 2]  # after iteration 0 and three single steps
    assert same([trainer_tensors(trainer)], play(1, cuda_graphs=False))


def test_the_numbers_of_several_runs_are_refilled_in_the_same_memory() -> None:
    def streams(seed: int) -> Streams:
        return Streams([torch.Generator().manual_seed(seed + run) for run in range(2)])

    def normal(rows: int, random: torch.Generator) -> Tensor:
        return torch.randn(rows, 3, generator=random)

    buffered = Buffered(streams(0))
    first, second = buffered.draw(normal, 4), buffered.draw(normal, 6)
    places = first.data_ptr(), second.data_ptr()
    buffered.refill(streams(7))
    assert (buffered.draw(normal, 4).data_ptr(), buffered.draw(normal, 6).data_ptr()) == places
    for run in range(2):
        random = torch.Generator().manual_seed(7 + run)
        assert torch.equal(first[run::2], torch.randn(2, 3, generator=random))
        assert torch.equal(second[run::2], torch.randn(3, 3, generator=random))


def test_steps_that_are_no_graph_are_refused() -> None:
    with pytest.raises(InputError, match=r"^--cuda-graphs: only with one process on a GPU, not on cpu; leave it out$"):
        require_graph(CONFIG, CPU)
    cuda = torch.device("cuda")
    require_graph(CONFIG, cuda)
    for changes in ({"generator_ema": 0.9}, {"rule": "simultaneous", "critic_steps": 1}, {"critic_schedule": "linear"}):
        with pytest.raises(InputError, match=r"^--cuda-graphs: not with --rule"):
            require_graph(tiny_text("grammar", **changes), cuda)
