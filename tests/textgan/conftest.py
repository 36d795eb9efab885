"""Fixture: games with few enough lines for every one to be enumerated."""

import pytest

from textgan.theory.enumeration import Enumeration, enumeration


@pytest.fixture(scope="session", params=[False, True], ids=["27 lines", "15 lines with ends"])
def game(request: pytest.FixtureRequest) -> Enumeration:
    return enumeration(seq_len=3, ends=request.param)
