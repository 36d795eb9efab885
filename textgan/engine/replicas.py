"""Runs of one configuration that train together, by the steps of one trainer of stacked networks.

Between measured steps the stacked trainer holds the state of all runs. A measured step is a step of each run's own
trainer, which gets its state back before; so do evaluations and checkpoints.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from data.errors import InputError
from textgan.engine.checkpoint import load_checkpoint, read_newest, restore, trainer_tensors
from textgan.engine.draws import Streams, interleaved
from textgan.engine.graphs import GraphedStep, count_on_device
from textgan.engine.players import Player
from textgan.engine.processes import world_size
from textgan.engine.progress import Clock
from textgan.engine.settings import Settings
from textgan.engine.stacked import stacked
from textgan.engine.trainer import NonFiniteError, Trainer

C = TypeVar("C", bound=Settings)


def replicas_of(config: C, count: int) -> list[C]:
    """Return the settings of runs with the seeds S to S + count - 1, where S is the seed of `config`.

    In a folder given by --run-dir, {seed} stands for the run's seed.

    Raises:
        InputError: runs with these settings cannot train together; names the flag.
    """
    if count < 1:
        raise InputError(f"--replicas {count}: must be at least 1")
    if count == 1:
        return [_with_seed(config, config.seed)]
    require_stackable(f"--replicas {count}", config)
    if world_size() > 1:
        raise InputError(f"--replicas {count}: only with one process; start one command per GPU with its own --seed")
    if config.max_gradient_norm is not None or vars(config).get("spectral_norm") == "on":
        raise InputError(f"--replicas {count}: not with --max-gradient-norm or --spectral-norm on; leave one out")
    if config.run_dir is not None and "{seed}" not in str(config.run_dir):
        raise InputError(f"--run-dir {config.run_dir}: write {{seed}} in it, for one folder per replica")
    return [_with_seed(config, config.seed + number) for number in range(count)]


def require_stackable(flag: str, config: Settings) -> None:
    """Refuse a flag for the settings of a model whose runs cannot train together.

    Raises:
        InputError: names the flag.
    """
    if not config.stackable:
        raise InputError(f"{flag}: only for the language WGAN-GP; leave it out, or choose a preset as ttur")


def _with_seed(config: C, seed: int) -> C:
    folder = None if config.run_dir is None else Path(str(config.run_dir).replace("{seed}", str(seed)))
    return replace(config, seed=seed, run_dir=folder)


def load_checkpoints(folders: Sequence[Path], trainers: Sequence[Trainer]) -> Clock | None:
    """Load the newest iteration of which every run has a checkpoint; return its clock, None without checkpoints.

    A killed process may have written the last checkpoint of some runs only. If runs trained apart until now, the clock
    with the most seconds of training is the clock of all from here on.

    Raises:
        InputError: not all runs have checkpoints of one iteration; names the folders.
    """
    clocks = [load_checkpoint(folder, trainer) for folder, trainer in zip(folders, trainers, strict=True)]
    found = [trainer.iteration for trainer in trainers]
    ahead = [number for number, iteration in enumerate(found) if iteration > min(found)]
    # To load a checkpoint is to remove newer ones, so first all are looked for.
    if any(read_newest(folders[number], min(found)) is None for number in ahead):
        newest = ", ".join(f"{run} ({iteration})" for run, iteration in zip(folders, found, strict=True))
        raise InputError(
            f"--replicas {len(folders)}: no checkpoints of one iteration in {newest}; "
            "bring each run to the same --iterations without --replicas"
        )
    for number in ahead:
        clocks[number] = load_checkpoint(folders[number], trainers[number], min(found))
    return max((clock for clock in clocks if clock is not None), key=lambda clock: clock.train_seconds, default=None)


class Replicas:
    """The trainers of runs that differ in their seeds and are at one iteration.

    Several trainers take their steps as one, equal to steps of each alone up to rounding; a single trainer takes its
    own steps. With `cuda_graphs` steps that are not measured are a CUDA graph; see `require_graph`.
    """

    def __init__(self, configs: Sequence[Settings], trainers: Sequence[Trainer], cuda_graphs: bool = False) -> None:
        self._names = [f"seed {config.seed}: " if len(configs) > 1 else "" for config in configs]
        self._trainers = trainers
        self._stacked = StackedTrainer(configs[0], trainers) if len(trainers) > 1 else None
        self._apart = True
        self._graphed = None
        if cuda_graphs:
            self._graphed = GraphedStep(self._stacked or trainers[0])
            for trainer in (*trainers, *([] if self._stacked is None else [self._stacked])):
                count_on_device(trainer)

    def step(self, real_batches: Sequence[Sequence[Tensor]], measure: bool) -> list[dict[str, float]] | None:
        """Take a step of every run on its batches, and return the statistics of each if `measure`; see `Trainer.step`.

        Raises:
            NonFiniteError: with `measure`, a loss, a gradient or a weight is infinite or NaN, now or earlier.
        """
        if measure:
            self._take_apart()
            stats = []
            for name, trainer, batches in zip(self._names, self._trainers, real_batches, strict=True):
                with _named(name):
                    stats.append(trainer.step(batches, True))
            return [of_run for of_run in stats if of_run is not None]
        if self._stacked is None:
            self._take(self._trainers[0], real_batches[0])
            return None
        if self._apart:
            self._stacked.gather()
            self._apart = False
        self._take(self._stacked, [interleaved(batches) for batches in zip(*real_batches, strict=True)])
        for trainer in self._trainers:
            trainer.iteration = self._stacked.iteration
        return None

    def settle(self) -> None:
        """Give every trainer the present state of its run, and check all losses so far and all weights.

        Raises:
            NonFiniteError: one is infinite or NaN.
        """
        self._take_apart()
        for name, trainer in zip(self._names, self._trainers, strict=True):
            with _named(name):
                trainer.require_finite()
        if self._stacked is not None:
            self._stacked.require_finite()

    def _take(self, trainer: Trainer, batches: Sequence[Tensor]) -> None:
        if self._graphed is None:
            trainer.step(batches, False)
        else:
            self._graphed.step(batches)

    def _take_apart(self) -> None:
        if self._stacked is not None and not self._apart:
            self._stacked.scatter()
            self._apart = True


class StackedTrainer(Trainer):
    """The trainer of the stacked networks of several trainers of one shape."""

    def __init__(self, config: Settings, trainers: Sequence[Trainer]) -> None:
        self._trainers = trainers
        first = trainers[0]
        generator, critic = (
            _StackedPlayer(stacked(network, len(trainers)), config, first.device, ema)
            for network, ema in (
                (first.generator.network, config.generator_ema),
                (first.networks.require_critic(), 0.0),
            )
        )
        super().__init__(first.phases, generator, critic, config, first.device)

    def random(self) -> torch.Generator:
        """Return the source of the random numbers of all runs at the present iteration."""
        return Streams([trainer.random() for trainer in self._trainers])

    @torch.no_grad()
    def gather(self) -> None:
        """Take the state of all trainers."""
        states = [trainer_tensors(trainer) for trainer in self._trainers]
        # Tensors without axes count updates, which are the same in all runs.
        together = {
            name: torch.stack([state[name] for state in states]) if tensor.dim() else tensor.clone()
            for name, tensor in states[0].items()
        }
        self.finite_at = self._trainers[0].finite_at
        present, iteration = trainer_tensors(self), self._trainers[0].iteration
        if present.keys() != together.keys():
            restore(self, together, iteration)
            return
        for name, tensor in present.items():  # a CUDA graph reads the same memory at every launch
            tensor.copy_(together[name])
        self.iteration = iteration

    def scatter(self) -> None:
        """Give every trainer its state."""
        for number, trainer in enumerate(self._trainers):
            tensors = trainer_tensors(self).items()
            own = {name: tensor[number] if tensor.dim() else tensor.clone() for name, tensor in tensors}
            restore(trainer, own, self.iteration)


class _StackedPlayer(Player):
    """A player of stacked networks, of which the loss is the mean of all runs' losses."""

    def gradients(self, loss: Tensor, second_order: bool = False) -> Sequence[Tensor]:
        """Return the gradients of each run's own loss."""
        replicas = len(next(self.network.parameters()))
        return super().gradients(replicas * loss, second_order)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of a run before the message of a NonFiniteError."""
    try:
        yield
    except NonFiniteError as error:
        raise NonFiniteError(f"{name}{error}") from error
