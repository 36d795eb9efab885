"""Start a run from the weights of another run, for instance a GAN from maximum likelihood."""

from collections.abc import Mapping
from typing import Any

from data.errors import InputError, note
from textgan.engine.checkpoint import TENSORS, read_newest, strip_prefix
from textgan.engine.run_folder import SUMMARY, read_options, start_settings
from textgan.engine.settings import Settings
from textgan.engine.trainer import Trainer


def start_from(trainer: Trainer, config: Settings, symbols: Mapping[str, Any]) -> dict[str, Any]:
    """Load the last weights of the run `config.start`, of every network that both runs have.

    Optimisers and the EMA begin anew. A run that has checkpoints of its own keeps them.

    Args:
        trainer: holds the networks.
        config: the run's settings.
        symbols: entries of `options.json` that describe the symbols of the text, which both runs must share.

    Returns:
        The entry `start` of `options.json`: iteration and hash of the weights, and a hash of the settings that led to
        them; {} if the run starts from random weights or has checkpoints.

    Raises:
        InputError: the start is no run, has no checkpoint, or has other symbols or networks of other sizes.
    """
    if config.start is None or any((config.folder / "checkpoints").glob("[0-9]*")):
        return {}
    options, newest = read_options(config.start), read_newest(config.start)
    if newest is None:
        raise InputError(f"--start {config.start}: no checkpoint yet; train it longer")
    if any(options.get(name) != value for name, value in symbols.items()):
        raise InputError(f"--start {config.start}: has other symbols; start from a run on the same data")
    _, tensors, state = newest
    for name, player in trainer.players.items():
        weights = strip_prefix(tensors, f"{name}.network.")
        if not weights:
            continue
        try:
            player.network.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(f"--start {config.start}: its {name} has other layers or sizes; use the same") from error
        player.new_average()
    if not (config.start / SUMMARY).exists():
        note(f"--start {config.start}: has not ended its training; runs that start from it later differ")
    hashes = {"sha256": state["sha256"][TENSORS], "settings": start_settings(options["config"])}
    return {"start": {"iteration": state["iteration"], **hashes}}
