"""Errors and notes for the user, and checks of the numbers in flags."""

import math
import sys
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from data.naming import as_flag, printable

_MOST = 2**31 - 1
_MOST_OF = dict.fromkeys(("seed", "seeds", "iterations", "eval_every", "checkpoint_every", "lines"), 2**63 - 1)
_LEAST_OF = dict.fromkeys(
    ("seed", "seeds", "retries", "order", "critic_warm_up", "curriculum", "pretraining", "rollouts"), 0
)


class InputError(Exception):
    """A wrong flag, file or setting. The message is one line that names it and the remedy."""


def require_at_least(flag: str, value: float | None, least: int) -> None:
    """Refuse a flag's value if it is below `least` or NaN; None passes.

    Raises:
        InputError: the value is refused; names the flag.
    """
    if value is not None and not value >= least:
        raise InputError(f"{flag} {value}: must be at least {least}")


@cache
def note(message: str) -> None:
    """Print a note of one line to stderr; the same note is printed once per process."""
    print(printable(f"note: {message}"), file=sys.stderr)


def require_numbers(options: Any) -> None:
    """Refuse NaN, infinity, and integers below 1 or above 2^31 - 1.

    Seeds, retries, orders, rollouts, and iterations before a game or per length of lines may be 0; seeds, lines,
    iterations and the intervals between evaluations or checkpoints may be up to 2^63 - 1.

    Args:
        options: a dataclass of flags; numbers in tuples and nested dataclasses are checked too.

    Raises:
        InputError: a number is refused; names the flag.
    """
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            require_numbers(value)
        flag = as_flag(field.name)
        least, most = _LEAST_OF.get(field.name, 1), _MOST_OF.get(field.name, _MOST)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise InputError(f"{flag} {number}: must be a finite number")
            if isinstance(number, int) and not isinstance(number, bool) and not least <= number <= most:
                raise InputError(
                    f"{flag} {number}: must be at {f'least {least}' if number < least else f'most {most}'}"
                )


def require_choices(options: Any) -> None:
    """Refuse values of settings that are not among their choices; parsed flags always are.

    Args:
        options: a dataclass of flags; a setting with choices is a Literal, optional, or a tuple of them.

    Raises:
        InputError: a value is refused; names the flag.
    """
    for name, hint in get_type_hints(type(options)).items():
        choices = [
            choice for part in (hint, *get_args(hint)) if get_origin(part) is Literal for choice in get_args(part)
        ]
        value = getattr(options, name)
        for chosen in value if isinstance(value, tuple) else (value,):
            if choices and chosen is not None and chosen not in choices:
                raise InputError(f"{as_flag(name)} {chosen!r}: choose from {', '.join(choices)}")
