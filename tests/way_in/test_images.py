"""Generated sets of images: a distance counts the images, or a message refuses them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.way_in.contents import situations
from tests.helpers.way_in.images import a_distance
from tests.helpers.way_in.workshop import Runner, counts, workshop


@pytest.mark.fuzz
@situations(350, 6)
@given(data=st.data())
def test_a_distance_counts_the_images(here: Runner, data: st.DataObject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.images.shapes.COUNT", 40)
    with workshop() as shop:
        arguments, number, output, fine = data.draw(a_distance(shop))
        outcome = here(shop, "eval.fid", arguments)
        assert not (fine and outcome.status), (outcome, arguments)
        if outcome.status == 0:
            assert counts(outcome, output) == {number}, (outcome, arguments, shop.files())
