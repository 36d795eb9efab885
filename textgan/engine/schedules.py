"""Learning-rate schedules: the factor of a player's learning rate at update n = 0, 1, ..."""

from collections.abc import Callable

from data.errors import InputError

Schedule = Callable[[int], float]


def parse_schedule(spec: str, updates: int | None) -> Schedule:
    """Return the schedule named by a flag's value.

    Args:
        spec: `constant`; `linear`, falling to 0 at `updates`; or `power:TAU`, (n + 1)^-TAU, see `assumption_a2`.
        updates: number of the player's updates in the whole run, None if the run has no limit in iterations.

    Raises:
        InputError: the name is unknown, TAU is not a number from 0 to 1, or `linear` has no number of updates.
    """
    kind, _, argument = spec.partition(":")
    if spec == "constant":
        return lambda n: 1.0
    if spec == "linear":
        if updates is None:
            raise InputError(
                "a schedule is linear, and needs --iterations, where the rate reaches 0: give them, or "
                "--generator-schedule constant and --critic-schedule constant"
            )
        return lambda n: max(0.0, 1 - n / updates)
    if kind == "power":
        try:
            tau = float(argument)
        except ValueError:
            tau = -1.0
        if 0 <= tau <= 1:
            return lambda n: (n + 1.0) ** -tau
    raise InputError(f"schedule {spec!r}: choose constant, linear, or power:TAU with TAU from 0 to 1")


def assumption_a2(generator: str, critic: str) -> tuple[bool, str]:
    """Return whether two schedules satisfy assumption A2 of the TTUR paper, and the reason in one line.

    A2, for rates a(n) of the generator and b(n) of the critic: the sums of a and b are infinite, the sums of a^2 and
    b^2 are finite, and a = o(b). Powers n^-TAU satisfy it if 1/2 < TAU(critic) < TAU(generator) <= 1; a constant rate
    has TAU 0.
    """
    exponents = {}
    reasons = []
    for player, spec in (("generator", generator), ("critic", critic)):
        if spec == "linear":
            reasons.append(f"the {player}'s rates have a finite sum")
            continue
        exponents[player] = tau = float(spec.partition(":")[2]) if spec.startswith("power:") else 0.0
        if tau <= 0.5:
            reasons.append(f"the squares of the {player}'s rates have an infinite sum")
    if len(exponents) == 2 and not exponents["generator"] > exponents["critic"]:
        reasons.append("a(n) is not o(b(n))")
    if reasons:
        return False, f"assumption A2 does not hold: {', '.join(reasons)}"
    return True, "assumption A2 holds: a(n) = o(b(n)), infinite sums, finite sums of squares"
