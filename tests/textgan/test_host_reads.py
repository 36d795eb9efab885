"""No step reads a value from the device, or uploads a constant to it; a CPU stands for the device."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from data.images.shapes import draw_shapes
from images import train as image_train
from tests.helpers.runs import PRESETS, tiny_images, tiny_text
from textgan.engine.rows import device_rows
from textgan.engine.trainer import Trainer
from textgan.models import MODELS, lines
from textgan.models.lines import LineModel
from textgan.train import build_trainer

CPU = torch.device("cpu")
SYMBOLS, BATCH, LENGTH, STEPS = 12, 4, 6, 4

aten = torch.ops.aten
READS = {aten._local_scalar_dense, aten.is_nonzero, aten.item, aten.equal, aten.nonzero, aten.masked_select}
COPIES = ("tolist", "numpy", "cpu")
UPLOADS = {aten.lift_fresh}  # of `torch.tensor`

PRETRAINED: Mapping[str, Any] = {"pretraining": 1, "critic_warm_up": 1}
# A preset per model, and changes that reach each phase, each rule's state, clipping, EMA and spectral normalisation.
GAMES: Sequence[tuple[str, Mapping[str, Any]]] = [
    ("ttur-small", {"generator_ema": 0.5, "max_gradient_norm": 1.0, "critic_warm_up": 1}),
    ("ttur-small", {"rule": "lookahead:2", "spectral_norm": "on", "loss": "relativistic", "penalty": "r1+r2"}),
    ("ttur-small", {"rule": "consensus"}),
    ("ttur-small", {"rule": "optimistic"}),
    ("rnn-wgan-chars-ttur", {"curriculum": 1}),
    ("mle-small", {}),
    ("mle-words", {"body": "transformer"}),
    ("jsdgan-words", {"pretraining": 1}),
    ("cot-words-ttur", {**PRETRAINED, "prefix_gradient": "on"}),
    ("scratchgan-words-ttur", PRETRAINED),
    ("seqgan-words-ttur", PRETRAINED),
    ("maligan-words-control", PRETRAINED),
    ("rankgan-words-ttur", {**PRETRAINED, "references": 2}),
    ("dpgan-words-ttur", PRETRAINED),
    ("relgan-words-ttur", PRETRAINED),
    ("gsgan-words-ttur", PRETRAINED),
    ("textgan-mmd-words-orig", PRETRAINED),
]


class HostReadError(Exception):
    """The host would wait for the device."""


def refuse(name: str, *_arguments: Any) -> None:
    raise HostReadError(name)


class NoHostReads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses reads of values, sizes that depend on values, and uploads of constants.

    Left out are the inside of Adam and the EMA's counter: PyTorch keeps both counters of updates on the CPU.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        averages = [player.average for player in trainer.players.values() if player.average is not None]
        self._counters = {average.n_averaged.data_ptr() for average in averages}
        self._in_adam = False
        self._hooks = (
            register_optimizer_step_pre_hook(lambda *_: self._enter_adam(True)),
            register_optimizer_step_post_hook(lambda *_: self._enter_adam(False)),
        )

    def _enter_adam(self, inside: bool) -> None:
        self._in_adam = inside

    def __enter__(self) -> Self:
        self._patch = pytest.MonkeyPatch()
        for name in COPIES:  # a CPU reads these without an operation
            self._patch.setattr(Tensor, name, partial(refuse, name))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        self._patch.undo()
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func.overloadpacket
        masks = packet in {aten.index, aten.index_put, aten.index_put_} and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        waits = masks or packet in UPLOADS or (packet in READS and args[0].data_ptr() not in self._counters)
        if waits and not self._in_adam:
            raise HostReadError(str(func))
        return func(*args, **(kwargs or {}))


def words(iteration: int, count: int) -> list[Tensor]:
    """Return batches of lines of several lengths, ids [B, L]."""
    random = torch.Generator().manual_seed(iteration)
    ids = torch.randint(1, SYMBOLS, (count, BATCH, LENGTH), generator=random)
    ends = torch.randint(1, LENGTH + 1, (count, BATCH, 1), generator=random)
    return list(ids * (torch.arange(LENGTH) < ends))


def text_trainer(preset: str, changes: Mapping[str, Any]) -> Trainer:
    config = tiny_text("text.txt", None, preset, seq_len=LENGTH, iterations=None, minutes=1.0, **changes)
    return build_trainer(config, SYMBOLS, CPU)


def steps(trainer: Trainer, draw: Callable[[int, int], Sequence[Tensor]], measure: bool = False) -> None:
    batches = [draw(iteration, len(trainer.batches_of(iteration))) for iteration in range(STEPS)]
    with NoHostReads(trainer):
        for real in batches:
            trainer.step(real, measure)


def test_there_is_a_game_of_every_model() -> None:
    assert {PRESETS[preset].model for preset, _ in GAMES} == set(MODELS)


@pytest.mark.parametrize(("preset", "changes"), GAMES)
def test_no_step_of_a_text_model_waits_for_the_device(
    preset: str, changes: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_leaves_out_ends", lambda _device: False)  # as on CUDA
    trainer = text_trainer(preset, changes)
    steps(trainer, words)
    trainer.require_finite()
    assert trainer.iteration == STEPS


@pytest.mark.parametrize("preset", ["quickstart", "ttur-small", "wgan-gp-cifar10-orig"])
def test_no_step_of_an_image_model_waits_for_the_device(preset: str) -> None:
    config = tiny_images(preset, size=32, latent_dim=4, batch_size=4, generator_ema=0.5, flips="on")
    trainer = image_train.build_trainer(config, CPU)
    rows = device_rows(draw_shapes(0, 8)[0], np.uint8, CPU)
    steps(trainer, lambda iteration, count: image_train.real_batches(config, rows, iteration, count))
    trainer.require_finite()


def test_steps_that_wait_are_noticed() -> None:
    wgan = GAMES[0]
    with pytest.raises(HostReadError, match="tolist"):
        steps(text_trainer(*wgan), words, measure=True)
    with pytest.raises(HostReadError):  # a CPU leaves out the ends of lines
        steps(text_trainer("mle-words", {}), words)
    for wrong in (
        lambda weight: float(weight.sum()),
        lambda weight: weight + torch.tensor(1.0),
        lambda weight: weight[weight > 0],
        lambda weight: torch.equal(weight, weight),
        lambda weight: weight.cpu(),
    ):
        trainer = text_trainer(*wgan)
        weight = trainer.generator.network.get_parameter("project.bias").detach()
        with pytest.raises(HostReadError), NoHostReads(trainer):
            wrong(weight)


def test_the_ends_of_lines_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = LineModel(SYMBOLS, LENGTH, 5).double()
    with torch.no_grad():
        model.to_symbols.bias[0] = 2.0  # many lines end early
    (ids,) = words(0, 1)

    def numbers() -> list[Tensor]:
        random = torch.Generator().manual_seed(3)
        with torch.no_grad():
            drawn = model.draw(40, random, temperature=1.5, top_p=0.8)
            relaxed = [model.relaxed(9, random, 1.7, soft) for soft in (False, True)]
            return [drawn, model.rollouts(ids, 3, random), model.log_probs(ids), *relaxed]

    left_out = numbers()
    monkeypatch.setattr(lines, "_leaves_out_ends", lambda _device: False)
    computed = numbers()
    assert (left_out[0] == 0).any(dim=1).sum() > 5
    for ours, theirs in zip(left_out, computed, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)
