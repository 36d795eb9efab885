"""What a user is told: the error to act on, notes, and checks of numbers."""

import math
import sys
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from data.naming import printable

_LARGEST = 2**63 - 1


class InputError(Exception):
    """A wrong flag, file or setting. The message is one line that names it and says what to do."""


def require_at_least(flag: str, value: float | None, least: int) -> None:
    """Refuse a flag's value, where it has one, that is too small, or NaN.

    Raises:
        InputError: naming the flag.
    """
    if value is not None and not value >= least:
        raise InputError(f"{flag} {value}: must be at least {least}")


@cache
def note(message: str) -> None:
    """Print a note in one line to stderr, the same one once per process."""
    print(printable(f"note: {message}"), file=sys.stderr)


def require_numbers(options: Any) -> None:
    """Refuse numbers that no flag can have: NaN, infinity, negative whole numbers, and those above 2^63 - 1.

    Args:
        options: a dataclass of flags; numbers in its tuples and in dataclasses inside it are checked too.

    Raises:
        InputError: naming the flag.
    """
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            require_numbers(value)
        flag = "--" + field.name.replace("_", "-")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise InputError(f"{flag} {number}: must be a finite number")
            if isinstance(number, int) and not 0 <= number <= _LARGEST:
                raise InputError(f"{flag} {number}: must be at least 0" + (" and below 2^63" if number > 0 else ""))
