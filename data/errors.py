"""What a user is told: the error to act on, and notes."""

import sys
from functools import cache


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
    """Print a note to stderr, the same one once per process."""
    print(f"note: {message}", file=sys.stderr)
