"""Save and load a trainer's whole state, in folders that are either complete or absent.

`checkpoints/ITERATION/` holds `tensors.safetensors` (networks, optimisers, tensors that the update rule keeps) and
`state.json` (iteration, clocks, hashes). The iteration is the whole random state, see `Trainer`. Loading unpickles
nothing.
"""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from data.cache import read_manifest, write_manifest
from data.errors import InputError
from data.files import atomic_folder
from data.naming import printable
from textgan.engine.progress import Clock
from textgan.engine.trainer import Trainer

_KEPT = 2
TENSORS, _STATE = "tensors.safetensors", "state.json"


def save_checkpoint(run: Path, trainer: Trainer, clock: Clock) -> None:
    """Write a checkpoint, and remove the run's checkpoints except for the newest two."""
    with atomic_folder(run / "checkpoints" / f"{trainer.iteration:09d}") as temporary:
        (temporary / TENSORS).write_bytes(save(trainer_tensors(trainer)))
        write_manifest(temporary, _STATE, {"iteration": trainer.iteration, "clock": asdict(clock)})
    for old in _newest_first(run)[_KEPT:]:
        shutil.rmtree(old)


def load_checkpoint(run: Path, trainer: Trainer, iteration: int | None = None) -> Clock | None:
    """Load the newest undamaged checkpoint into the trainer and return its clock; None if there are no checkpoints.

    With `iteration`, only this iteration's checkpoint counts. Newer ones are removed; the run will write them again.

    Raises:
        InputError: all checkpoints are damaged.
    """
    if (newest := read_newest(run, iteration)) is None:
        return None
    folder, tensors, state = newest
    restore(trainer, tensors, state["iteration"])
    trainer.finite_at = trainer.iteration
    for newer in _newest_first(run):
        if newer.name > folder.name:
            shutil.rmtree(newer)
    return Clock(**state["clock"])


def restore(trainer: Trainer, tensors: dict[str, Tensor], iteration: int) -> None:
    """Give a trainer the state that `trainer_tensors` returned at an iteration."""
    for name, player in trainer.players.items():
        player.network.load_state_dict(strip_prefix(tensors, f"{name}.network."))
        if player.average is not None:
            player.average.load_state_dict(strip_prefix(tensors, f"{name}.average."))
        optimiser = player.optimiser.state_dict()
        optimiser["state"] = {}
        for key, tensor in strip_prefix(tensors, f"{name}.optimiser.").items():
            number, _, entry = key.partition(".")
            optimiser["state"].setdefault(int(number), {})[entry] = tensor
        player.optimiser.load_state_dict(optimiser)
        for parameter, entries in player.optimiser.state.items():
            for entry, tensor in entries.items():
                if tensor.shape == parameter.shape:
                    # In the memory layout of the weight: fused optimisers need it, and some do not check it.
                    entries[entry] = torch.empty_like(parameter).copy_(tensor)
    trainer.state = {key: tensor.to(trainer.device) for key, tensor in strip_prefix(tensors, "state.").items()}
    trainer.iteration = iteration


def read_newest(run: Path, iteration: int | None = None) -> tuple[Path, dict[str, Tensor], dict[str, Any]] | None:
    """Return folder, tensors and state of the newest undamaged checkpoint; None if there are no checkpoints.

    With `iteration`, only this iteration's checkpoint counts.

    Raises:
        InputError: all checkpoints are damaged.
    """
    folders = [folder for folder in _newest_first(run) if iteration in (None, int(folder.name))]
    for folder in folders:
        try:
            state = read_manifest(folder, _STATE)
            # `load_file` refuses names that are not UTF-8.
            return folder, load((folder / TENSORS).read_bytes()), state
        except (ValueError, SafetensorError) as error:
            message = f"warning: {folder}: damaged checkpoint ({error}); falling back to the previous one"
            print(printable(message), file=sys.stderr)
    if folders:
        raise InputError(f"{run}: every checkpoint is damaged; start again with another --run-dir")
    return None


def sampler_weights(run: Path) -> tuple[dict[str, Tensor], int]:
    """Return the weights to draw samples from (the EMA if the run has one) and their iteration.

    Both come from the newest undamaged checkpoint.

    Raises:
        InputError: there are no checkpoints, or all are damaged.
    """
    if (newest := read_newest(run)) is None:
        raise InputError(f"{run}: no checkpoint yet; train longer, or lower --checkpoint-every")
    _, tensors, state = newest
    average = strip_prefix(tensors, "generator.average.module.")
    return average or strip_prefix(tensors, "generator.network."), state["iteration"]


def strip_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def trainer_tensors(trainer: Trainer) -> dict[str, Tensor]:
    """Return a trainer's whole state but for the iteration, by name."""
    tensors = {f"state.{key}": tensor for key, tensor in trainer.state.items()}
    for name, player in trainer.players.items():
        tensors |= {f"{name}.network.{key}": tensor for key, tensor in player.network.state_dict().items()}
        if player.average is not None:
            tensors |= {f"{name}.average.{key}": tensor for key, tensor in player.average.state_dict().items()}
        for number, entries in player.optimiser.state_dict()["state"].items():
            tensors |= {f"{name}.optimiser.{number}.{entry}": tensor for entry, tensor in entries.items()}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _newest_first(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("[0-9]*"), reverse=True)
