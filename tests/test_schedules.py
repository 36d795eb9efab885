import pytest

from data.errors import InputError
from textgan.schedules import parse_schedule


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
