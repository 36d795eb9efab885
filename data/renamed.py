"""Earlier names of flags, settings and values, until 1.0: one table for command lines, suites and files."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import note
from data.naming import as_flag

_SETTINGS = {"generator_average": "generator_ema", "faults": "compat"}
_VALUES = {("compat", "paper-compat"): "paper", ("model", "lstm"): "mle"}
_FLAGS: Mapping[str, Mapping[str, str]] = {
    "textgan.compare": {"points": "windows", "level": "target"},
    "textgan.search": {"points": "grid_size", "keep": "reduction_factor"},
    "images.search": {"points": "grid_size", "keep": "reduction_factor"},
    "eval.disturb": {"other": "contaminate_with"},
}
"""Flags renamed in one command: new names by old name."""


def current_arguments(prog: str, arguments: Sequence[str]) -> list[str]:
    """Return the arguments of the command `prog` with new names in place of old ones; print a note for each."""
    names = {**_SETTINGS, **_FLAGS.get(prog, {})}
    flag, current = "", []
    for argument in arguments:
        word, equals, value = argument.partition("=")
        if word.startswith("--"):
            old = word[2:].replace("-", "_")
            flag = names.get(old, old)
            if flag != old:
                note(f"{word} is now {as_flag(flag)}")
                word = as_flag(flag)
            argument = word + equals + _current_value(flag, value)
        else:
            argument = _current_value(flag, argument)
        current.append(argument)
    return current


def current_settings(settings: Mapping[str, Any], told: bool = False) -> dict[str, Any]:
    """Return a run's settings with new names and values in place of old ones; if `told`, print a note per old name."""
    current = {}
    for name, value in settings.items():
        new = _SETTINGS.get(name, name)
        if told and new != name:
            note(f"setting {name} is now {new}")
        current[new] = _current_value(new, value) if isinstance(value, str) else value
    return current


def _current_value(name: str, value: str) -> str:
    return _VALUES.get((name, value), value)
