"""Draw samples from a trained generator.

    python -m textgan.sample runs/quickstart-grammar-seed0 --count 1000 --output samples.txt
    python -m textgan.sample runs/mle-words-corpus-seed0 --temperature 0.7 --count 1000 --output samples.txt
    python -m textgan.sample runs/quickstart-grammar-seed0 --export my-generator

The generator comes from a run's newest checkpoint, or from an exported generator: a folder with `config.json` and
`model.safetensors`. The reference to score the samples against is recorded beside them, for `python -m eval.jsd`.
"""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import tyro
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from data.command import parse_command, run_command
from data.errors import InputError, note, require_at_least
from data.files import atomic_write, write_json
from data.line_ids import Ids
from data.naming import as_flag, changed_fields, printable
from data.outputs import require_output_folder
from data.renamed import current_settings
from data.tokenizers import Tokenizer, read_tokenizer
from eval.core.device import Device, choose_device
from eval.text.reference import relocated, samples_output, write_samples
from textgan.engine.checkpoint import sampler_weights
from textgan.engine.run_folder import OPTIONS, read_options
from textgan.engine.seeds import stream_seed
from textgan.models import MODELS, Sampler, settings_of
from textgan.models.lines import LineModel

_CONFIG, _MODEL = "config.json", "model.safetensors"
_PATHS = ("data", "run_dir", "start")


@dataclass(frozen=True)
class SampleCommand:
    """Flags of `python -m textgan.sample`."""

    source: tyro.conf.Positional[Path]
    """Folder of a run or of an exported generator."""
    count: int = 640
    """Number of samples to draw."""
    output: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Text file for the samples, one per line (.gz and .zst are compressed). Default or -: print them."""
    seed: int = 0
    """Seed of the noise."""
    temperature: float = 1.0
    """Divides the logits; below 1, likelier lines that are less diverse. Models with a density alone."""
    top_p: float = 1.0
    """Share of the probability to draw from, the most likely symbols first. Models with a density alone."""
    device: Device = "auto"
    """Device to draw the samples on; auto takes CUDA if available."""
    export: Path | None = None
    """Folder to export the generator to (config.json, model.safetensors), instead of drawing samples."""


@torch.no_grad()
def sample_ids(
    network: nn.Module,
    count: int,
    random: torch.Generator,
    temperature: float = 1.0,
    top_p: float = 1.0,
    batch: int = 64,
) -> Ids:
    """Draw samples from a generator and return their ids [count, seq_len].

    Args:
        network: the generator.
        count: number of samples.
        random: source of random numbers; the samples depend on it and on `batch`.
        temperature: divides the logits; 1 for a network without a density.
        top_p: share of the probability to draw from, the most likely symbols first; 1 for a network without a density.
        batch: samples per pass.

    Raises:
        ValueError: a temperature or top_p other than 1 for a network without a density.
    """
    sizes = [min(batch, count - start) for start in range(0, count, batch)]
    if temperature == top_p == 1:
        batches = [cast(Sampler, network).sample(size, random) for size in sizes]
    elif isinstance(network, LineModel):
        batches = [network.draw(size, random, temperature, top_p) for size in sizes]
    else:
        raise ValueError("a generator without a density has no temperature")
    return torch.cat(batches).to(torch.int32).cpu().numpy().astype(np.uint16)


@dataclass(frozen=True)
class ExportedGenerator:
    """A generator without its run: network, settings, tokenizer, and the record of the reference (JSON)."""

    network: nn.Module
    settings: dict[str, Any]
    tokenizer: Tokenizer
    reference: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`, as on the Hugging Face hub."""
        config = {**self.settings, "tokenizer": self.tokenizer.as_json(), "reference": self.reference}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        with atomic_write(folder / _MODEL) as file:
            file.write(save(tensors))
        write_json(folder / _CONFIG, config)


def load_generator(folder: Path) -> ExportedGenerator:
    """Return the generator of an exported folder, or of a run's newest checkpoint.

    Raises:
        InputError: the folder has no generator and no run, or they are damaged.
    """
    if _holds_export(folder):
        try:
            config = json.loads((folder / _CONFIG).read_text("utf-8"))
            weights = load((folder / _MODEL).read_bytes())  # `load_file` refuses names that are not UTF-8
            return _generator(config, config.get("tokenizer", config), weights, config["reference"])
        except (ValueError, KeyError, TypeError, RuntimeError, FileNotFoundError, SafetensorError) as error:
            reason = " ".join(str(error).split())  # torch writes several lines
            raise InputError(f"{folder}: not a readable exported generator ({reason}); export it again") from error
    options = read_options(folder)
    if "tokenizer" not in options:
        raise InputError(f"{folder}: not a run on text; for images use python -m images.sample")
    weights, _ = sampler_weights(folder)
    reference = relocated(options["reference"], folder)
    return _generator(options["config"], options["tokenizer"], weights, reference)


def _holds_export(folder: Path) -> bool:
    """Whether the folder has an exported generator to load; in a run's folder the newest checkpoint counts instead."""
    if not (folder / _CONFIG).exists():
        return False
    if not (folder / OPTIONS).exists() or not (folder / "checkpoints").exists():
        return True
    note(f"{folder}: a run; its newest checkpoint counts, not the generator exported there")
    return False


def _require_export_folder(folder: Path) -> None:
    """Refuse a folder whose files an export would overwrite.

    Raises:
        InputError: the folder's `config.json` was not written by an export.
    """
    require_output_folder("--export", folder, "exported generator")
    if (folder / _CONFIG).exists():
        with suppress(ValueError, TypeError):
            if {"tokenizer", "characters"} & json.loads((folder / _CONFIG).read_text("utf-8")).keys():
                return
        raise InputError(f"--export {folder}: its {_CONFIG} belongs to something else; choose another --export")


def _generator(
    config: Mapping[str, Any], tokens: Mapping[str, Any], weights: dict[str, torch.Tensor], reference: dict[str, Any]
) -> ExportedGenerator:
    tokenizer, settings = read_tokenizer(tokens), settings_of(current_settings(config))
    network = MODELS[settings.model].networks(settings, tokenizer.size).generator
    network.load_state_dict(weights)
    portable = {name: value for name, value in settings.as_json().items() if name not in _PATHS}
    return ExportedGenerator(network, portable, tokenizer, reference)


def require_temperature(flag: str, temperature: float) -> None:
    """Refuse a temperature that leaves no numbers to draw by.

    Raises:
        InputError: names the flag.
    """
    if not 0.01 <= temperature <= 100:
        raise InputError(f"{flag} {temperature}: must be from 0.01 to 100")


def main(arguments: list[str]) -> int:
    """Draw samples, or export the generator."""
    command = parse_command(SampleCommand, arguments, "textgan.sample", __doc__)
    require_at_least("--count", command.count, 1)
    require_at_least("--seed", command.seed, 0)
    require_temperature("--temperature", command.temperature)
    if not 0 < command.top_p <= 1:
        raise InputError(f"--top-p {command.top_p}: must be above 0 and at most 1")
    output = None if command.output is None else samples_output(command.output)
    if command.export is not None:
        if given := changed_fields(command, ("count", "output", "seed", "temperature", "top_p", "device")):
            raise InputError(f"{as_flag(given[0])}: --export draws no samples; leave one of the two out")
        _require_export_folder(command.export)
    generator = load_generator(command.source)
    if command.export is not None:
        generator.save(command.export)
        print(printable(f"wrote {command.export / _CONFIG} and {command.export / _MODEL}"))
        return 0
    if not isinstance(generator.network, LineModel) and (given := changed_fields(command, ("temperature", "top_p"))):
        model = generator.settings["model"]
        raise InputError(f"{as_flag(given[0])}: {command.source} is of {model}, which has no such draws; leave it out")
    device = choose_device(command.device)
    random = torch.Generator(device).manual_seed(stream_seed(command.seed, "samples", 0))
    ids = sample_ids(generator.network.to(device), command.count, random, command.temperature, command.top_p)
    lines = generator.tokenizer.decode(ids)
    if output is None:
        sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())
    else:
        write_samples(output, lines, generator.reference)
    return 0


if __name__ == "__main__":
    run_command(main)
