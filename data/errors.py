"""The error a user can act on."""


class InputError(Exception):
    """A wrong flag, file or setting. The message is one line that names it and says what to do."""


def require_at_least(flag: str, value: float | None, least: int) -> None:
    """Refuse a flag's value, where it has one, that is too small, or NaN.

    Raises:
        InputError: naming the flag.
    """
    if value is not None and not value >= least:
        raise InputError(f"{flag} {value}: must be at least {least}")
