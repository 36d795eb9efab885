"""Learning-rate schedules: the factor on a player's rate as a function of its update's number n = 0, 1, ..."""

from collections.abc import Callable

from data.errors import InputError

Schedule = Callable[[int], float]


def parse_schedule(spec: str, updates: int | None) -> Schedule:
    """Return the schedule that a flag's value names.

    Args:
        spec: `constant`; `linear`, falling to 0 at `updates`; or `power:TAU`, (n + 1)^-TAU (theory: assumption A2).
        updates: the player's updates in the whole run, None where only time ends it.

    Raises:
        InputError: another name, TAU not a number from 0 to 1, or `linear` without a number of updates.
    """
    kind, _, argument = spec.partition(":")
    if spec == "constant":
        return lambda n: 1.0
    if spec == "linear":
        if updates is None:
            raise InputError("schedule linear: needs --iterations, the point where the rate reaches 0")
        return lambda n: max(0.0, 1 - n / updates)
    if kind == "power":
        try:
            tau = float(argument)
        except ValueError:
            tau = -1.0
        if 0 <= tau <= 1:
            return lambda n: (n + 1.0) ** -tau
    raise InputError(f"schedule {spec!r}: choose constant, linear, or power:TAU with TAU from 0 to 1")
