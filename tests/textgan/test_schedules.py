import math
from itertools import pairwise

import pytest

from data.errors import InputError
from textgan.engine.schedules import assumption_a2, parse_schedule


def test_values() -> None:
    assert [parse_schedule("constant", None)(n) for n in (0, 10**6)] == [1, 1]
    assert [parse_schedule("linear", 4)(n) for n in range(6)] == [1, 0.75, 0.5, 0.25, 0, 0]
    assert [parse_schedule("power:0.5", None)(n) for n in (0, 3, 99)] == pytest.approx([1, 0.5, 0.1])


@pytest.mark.parametrize("spec", ["cosine", "power", "power:x", "power:2", "constant:1", "power:nan"])
def test_other_specs_are_refused(spec: str) -> None:
    with pytest.raises(InputError, match=spec):
        parse_schedule(spec, 10)


def test_linear_needs_an_end() -> None:
    with pytest.raises(InputError, match="--iterations"):
        parse_schedule("linear", None)


SPECS = ("constant", "linear", "power:0", "power:0.5", "power:0.6", "power:0.75", "power:0.9", "power:1")


@pytest.mark.parametrize("generator", SPECS)
@pytest.mark.parametrize("critic", SPECS)
def test_assumption_a2_is_what_partial_sums_show(generator: str, critic: str) -> None:
    # Growth between 10^5 and 10^7 updates: a sum that converges gains ever less, one that does not gains ever more.
    points = [10**k for k in range(1, 8)]

    def converges(spec: str, power: int) -> bool:
        tau = 0.0 if spec == "constant" else float(spec.removeprefix("power:"))
        # The integral of n^(-tau power) between points, in decades: falling decades are those of a finite sum.
        power_of_n = 1 - tau * power
        decades = [
            math.log(b / a) if power_of_n == 0 else (b**power_of_n - a**power_of_n) / power_of_n
            for a, b in pairwise(points)
        ]
        return decades[-1] < 0.9 * decades[0]

    holds, why = assumption_a2(generator, critic)
    if "linear" in (generator, critic):
        assert not holds
        assert "have a finite sum" in why
        return
    late, early = (parse_schedule(generator, None)(n) / parse_schedule(critic, None)(n) for n in (10**15, 10**3))
    sums = all(not converges(spec, 1) and converges(spec, 2) for spec in (generator, critic))
    assert holds == (sums and late < 0.5 * early)
    assert ("a(n) is not o(b(n))" in why) == (late >= 0.5 * early)
    assert ("the squares of the critic's rates" in why) == (not converges(critic, 2))
    assert why.startswith("assumption A2 holds" if holds else "assumption A2 does not hold: ")
