from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.runs import PRESETS, config_of
from textgan.engine import settings
from textgan.models.wgan_gp import WganGpSettings


def as_flags(config: WganGpSettings) -> list[str]:
    return settings.as_flags(config, PRESETS)


CHANGES: list[dict[str, Any]] = [
    {},
    {"data": "some where/über text.txt.gz", "run_dir": Path("suites/a b/slow,critic_lr=1e-3-seed0")},
    {"lines": 7, "iterations": None, "minutes": 0.1, "invalid_utf8": "replace", "padding": "out", "device": "cpu"},
    {"minutes": None, "iterations": 12, "eval_seconds": 0.1},
    {"iterations": 12, "seed": 12345, "critic_schedule": "power:0.6", "generator_schedule": "linear"},
    {"critic_lr": 1 / 3, "generator_lr": 5e-324, "penalty_weight": 0.0, "beta1": 0.0, "beta2": 1 - 2**-53},
    {"symbols": "word", "order": "epochs", "scores": ("bleu", "jsd"), "score_seq_len": 9, "words": "whitespace",
     "lower_case": True},
    {"generator_steps": 2, "critic_warm_up": 7, "max_gradient_norm": 1 / 7, "start": Path("runs/a b")},
    {"critic_steps": 1, "generator_steps": 1, "rule": "lookahead:3:0.2:extragradient", "diagnostics": True},
    {"body": "transformer", "layers": 2, "pretraining": 3, "pretraining_lr": 1 / 3, "critic_dim": 7,
     "filters": "seqgan", "rollouts": 4, "gamma": 1 / 3, "prefix_gradient": "on", "anneal_iterations": 5,
     "final_inverse_temperature": 1 / 3, "representations": 7, "cap": 1 / 3},
    {"training_precision": "bf16", "inverse_temperature": 1 / 3, "bandwidth": 1 / 3, "mmd_weight": 1 / 3,
     "rank_scale": 1 / 3},
    {"curriculum": 0, "teacher_helping": "off", "noise_deviation": 1 / 3},
    {"loss": "relativistic", "penalty": "r1+r2", "penalty_weight": 1 / 3, "spectral_norm": "on"},
    {"dim": 1, "latent_dim": 3, "batch_size": 5, "references": 3, "critic_steps": 2, "ngram": 9, "seq_len": 20,
     "vocabulary_size": 30, "eval_samples": 11, "eval_every": 13, "checkpoint_every": 17, "generator_ema": 0.999},
]  # fmt: skip


BY_MODEL = {config.model: preset for preset, config in PRESETS.items()}
"""A preset per model; the presets of a model have the same settings with other values."""


@pytest.mark.parametrize("preset", BY_MODEL.values())
def test_flags_give_the_same_settings(preset: str) -> None:
    for change in CHANGES:
        known = {name: value for name, value in change.items() if name in vars(PRESETS[preset])}
        config = replace(PRESETS[preset], **known)
        assert config_of(as_flags(config)) == config
    unchanged = vars(PRESETS[preset]).keys() - {name for change in CHANGES for name in change}
    assert unchanged - {"reward"} == {"preset", "model"}
    if "reward" in unchanged:  # the models that have it do not share a value
        config = replace(PRESETS[preset], reward={"dense": "log-probability", "seqgan": "odds"}[config.model])
        assert config_of(as_flags(config)) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_flags_give_a_preset(preset: str) -> None:
    assert as_flags(PRESETS[preset]) == ["--preset", preset]
    assert config_of(as_flags(PRESETS[preset])) == PRESETS[preset]
    # Known to be wrong: without the preset, its settings get lost.
    if preset != "quickstart":
        assert config_of(as_flags(PRESETS[preset])[2:]) != PRESETS[preset]


@given(
    st.floats(0, 1e9, exclude_min=True),
    st.none() | st.floats(0, 1e9, exclude_min=True),
    st.floats(0, 1, exclude_max=True),
)
def test_flags_keep_every_bit(rate: float, minutes: float | None, average: float) -> None:
    config = replace(PRESETS["orig"], critic_lr=rate, minutes=minutes, generator_ema=average)
    assert config_of(as_flags(config)) == config


def test_a_rounded_flag_is_known_to_be_wrong() -> None:
    config = replace(PRESETS["orig"], critic_lr=1 / 3)
    rounded = [f"{float(word):g}" if word[0] == "0" else word for word in as_flags(config)]
    assert config_of(rounded).critic_lr != config.critic_lr
