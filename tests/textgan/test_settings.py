from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from tests.helpers.runs import PRESETS
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.program import parse_train


def parsed(*arguments: str) -> Any:
    return parse_train(arguments, PRESETS, "textgan.train", None).config


def test_the_papers_presets() -> None:
    # Heusel et al. 2017, table 1 and appendix: both Adam (0.5, 0.9), batch 64, dim 512, lambda 10.
    for preset, critic_lr, critic_steps in (("ttur", 3e-4, 1), ("orig", 1e-4, 10)):
        config = PRESETS[preset]
        assert (config.critic_lr, config.generator_lr, config.critic_steps) == (critic_lr, 1e-4, critic_steps)
        assert (config.dim, config.latent_dim, config.batch_size, config.seq_len) == (512, 128, 64, 32)
        assert (config.beta1, config.beta2, config.penalty_weight) == (0.5, 0.9, 10.0)
        assert (config.eval_every, config.eval_samples, config.ngram, config.padding) == (100, 640, 6, "in")
        assert (config.iterations, config.data, config.size) == (200_000, "lm1b", 2048)


def test_small_presets_differ_as_the_papers_do() -> None:
    ttur, orig = PRESETS["ttur-small"], PRESETS["orig-small"]
    assert replace(orig, preset="ttur-small", critic_lr=ttur.critic_lr, critic_steps=1) == ttur
    assert ttur.critic_lr > ttur.generator_lr == orig.generator_lr == orig.critic_lr
    assert orig.critic_steps == 10


def test_names_of_presets_are_their_own() -> None:
    assert all(config.preset == name for name, config in PRESETS.items())


def test_flags_override_the_preset_wherever_they_stand() -> None:
    for arguments in (["--preset", "orig", "--dim", "64"], ["--dim", "64", "--preset=orig"]):
        assert parsed(*arguments) == replace(PRESETS["orig"], dim=64)
    assert parsed() == PRESETS["quickstart"]
    assert parsed("--ngram", "4", "--minutes", "None", "--iterations", "7") == replace(
        PRESETS["quickstart"], ngram=4, minutes=None, iterations=7
    )


def test_the_folder_says_what_was_run() -> None:
    config = WganGpSettings(preset="orig", data="some/where/text.txt.gz", seed=3)
    assert config.folder == Path("runs/orig-text-seed3")
    assert replace(config, data="hub:me/corpus:title").folder == Path("runs/orig-corpus-title-seed3")
    assert replace(config, run_dir=Path("here")).folder == Path("here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "--dim 0: must be at least 1"),
        ({"eval_every": -1}, "--eval-every -1: must be at least 1"),
        ({"critic_lr": float("nan")}, "--critic-lr nan: must be positive"),
        ({"generator_lr": 0.0}, "--generator-lr"),
        ({"minutes": -1.0}, "--minutes"),
        ({"beta2": 1.0}, "--beta2"),
        ({"penalty_weight": float("nan")}, "--penalty-weight nan"),
        ({"iterations": None}, "--iterations and --minutes are both None"),
        ({"vocabulary_size": 70_000}, "--vocabulary-size 70000: must be at most 65534"),
        ({"critic_schedule": "cosine"}, "cosine"),
    ],
)
def test_impossible_values_are_refused_by_flag(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WganGpSettings(**change)
