"""Models of text. To add one, write a file with settings, networks, phases and presets, and a line in `MODELS`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from data.errors import InputError
from textgan.engine.game import Networks
from textgan.engine.phases import Phase
from textgan.models import (
    cot,
    dense,
    dpgan,
    jsdgan,
    likelihood,
    maligan,
    mle,
    rankgan,
    relgan,
    rnn_wgan,
    seqgan,
    textgan_mmd,
    wgan_gp,
)
from textgan.models.settings import TextSettings


class Sampler(Protocol):
    """A network that samples lines."""

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """Draw ids [count, L] of lines, on the device of `random`."""


@dataclass(frozen=True)
class Model:
    """A model of text.

    Attributes:
        settings: class of the settings; its fields are the flags.
        networks: returns the networks of given settings and vocabulary size, with uninitialised weights.
        phases: returns the phases of a run with these settings and networks.
        presets: named settings.
        mean_over_lines: whether all losses are means over the lines of a batch, so that processes can share a batch.
    """

    settings: type[TextSettings]
    networks: Callable[[Any, int], Networks]
    phases: Callable[[Any, Networks], Sequence[Phase]]
    presets: Sequence[TextSettings]
    mean_over_lines: bool = False


MODELS: Mapping[str, Model] = {
    "wgan-gp": Model(wgan_gp.WganGpSettings, wgan_gp.networks, wgan_gp.phases, wgan_gp.PRESETS, True),
    "rnn-wgan": Model(rnn_wgan.RnnWganSettings, rnn_wgan.networks, rnn_wgan.phases, rnn_wgan.PRESETS, True),
    "mle": Model(mle.MleSettings, mle.networks, mle.phases, mle.PRESETS, True),
    "likelihood": Model(likelihood.LikelihoodSettings, likelihood.networks, likelihood.phases, likelihood.PRESETS),
    "jsdgan": Model(jsdgan.JsdganSettings, jsdgan.networks, jsdgan.phases, jsdgan.PRESETS),
    "cot": Model(cot.CotSettings, cot.networks, cot.phases, cot.PRESETS),
    "dense": Model(dense.DenseSettings, dense.networks, dense.phases, dense.PRESETS),
    "seqgan": Model(seqgan.SeqGanSettings, seqgan.networks, seqgan.phases, seqgan.PRESETS),
    "maligan": Model(maligan.MaliGanSettings, maligan.networks, maligan.phases, maligan.PRESETS),
    "rankgan": Model(rankgan.RankGanSettings, rankgan.networks, rankgan.phases, rankgan.PRESETS),
    "dpgan": Model(dpgan.DpganSettings, dpgan.networks, dpgan.phases, dpgan.PRESETS),
    "relgan": Model(relgan.RelganSettings, relgan.networks, relgan.phases, relgan.RELGAN_PRESETS),
    "gsgan": Model(relgan.GsganSettings, relgan.networks, relgan.phases, relgan.GSGAN_PRESETS),
    "textgan-mmd": Model(textgan_mmd.TextGanSettings, textgan_mmd.networks, textgan_mmd.phases, textgan_mmd.PRESETS),
}

PRESETS: Mapping[str, TextSettings] = {config.preset: config for model in MODELS.values() for config in model.presets}


def settings_of(config: Mapping[str, Any]) -> TextSettings:
    """Return the settings recorded in a run's options or in an export; others than the model's are left out.

    Raises:
        InputError: the model is unknown.
    """
    model = MODELS.get(config["model"])
    if model is None:
        raise InputError(f"model {config['model']!r}: unknown to this version; choose from {', '.join(MODELS)}")
    known = {field.name for field in fields(model.settings)}
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in config.items() if name in known
    }
    return model.settings(**kept)
