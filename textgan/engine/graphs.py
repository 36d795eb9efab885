"""A training step as a CUDA graph: one launch in place of hundreds of small ones.

A graph reads and writes the same memory at every launch. Batches and random numbers are therefore copied into buffers
before it, the optimisers count their steps on the device, and the rates are constant.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.errors import InputError
from textgan.engine.draws import Buffered
from textgan.engine.processes import world_size
from textgan.engine.settings import Settings
from textgan.engine.trainer import Trainer

_WARM_UP = 3  # steps on another stream before the capture, as PyTorch's documentation of CUDA graphs asks


def require_graph(config: Settings, device: torch.device) -> None:
    """Refuse settings whose steps differ in more than batches and random numbers.

    Raises:
        InputError: names the flags.
    """
    if device.type != "cuda" or world_size() > 1:
        raise InputError(f"--cuda-graphs: only with one process on a GPU, not on {device.type}; leave it out")
    wanted = {"rule": "alternating", "critic_warm_up": 0, "generator_ema": 0.0, "max_gradient_norm": None}
    if any(vars(config)[name] != value for name, value in wanted.items()) or {*config.schedules} != {"constant"}:
        raise InputError(
            "--cuda-graphs: not with --rule, --critic-warm-up, --generator-ema, --max-gradient-norm and schedules; "
            "leave it out, or choose --preset ttur"
        )


class GraphedStep:
    """Takes a trainer's steps from buffers, on CUDA by one graph after a few single steps."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._on_cuda = trainer.device.type == "cuda"
        self._numbers: Buffered | None = None
        self._real: list[Tensor] = []
        self._graph: torch.cuda.CUDAGraph | None = None
        self._single_steps = 0

    def step(self, real_batches: Sequence[Tensor]) -> None:
        """Take a step on batches [B, ...] as `Trainer.step` without `measure`, with the same random numbers."""
        trainer = self._trainer
        if trainer.iteration == 0:  # the generator waits
            trainer.step(real_batches, measure=False)
            return
        if self._numbers is None:
            self._numbers = Buffered(trainer.random())
            self._real = [batch.clone() for batch in real_batches]
        else:
            self._numbers.refill(trainer.random())
            for buffer, batch in zip(self._real, real_batches, strict=True):
                buffer.copy_(batch)
        if not self._on_cuda:
            self._from_buffers()
        elif self._single_steps < _WARM_UP:
            self._single_steps += 1
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._from_buffers()
            torch.cuda.current_stream().wait_stream(stream)
        else:
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph):
                    self._from_buffers()
                trainer.iteration -= 1  # a capture computes nothing
            self._graph.replay()
            trainer.iteration += 1

    def _from_buffers(self) -> None:
        """Take a step that is a function of weights, moments and buffers alone."""
        self._trainer.source = self._numbers
        self._trainer.step(self._real, measure=False)
        self._trainer.source = None


def count_on_device(trainer: Trainer) -> None:
    """Let a trainer's optimisers keep the numbers of their steps on the device, if it is a GPU."""
    if trainer.device.type != "cuda":
        return
    for player in trainer.players.values():
        for group in player.optimiser.param_groups:
            group["capturable"] = True
        for entries in player.optimiser.state.values():
            entries["step"] = entries["step"].to(trainer.device)
